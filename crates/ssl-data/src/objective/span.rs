//! Span corruption: runs of tokens are taken out of a text, and the model writes them, each after its sentinel.
//!
//! ```text
//! source  Thank you <extra_id_0> me to your party last <extra_id_1> </s>
//! target  <extra_id_0> for inviting <extra_id_1> week . </s>
//! ```
//!
//! Source: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text transformer",
//! sections 3.1.4 and 3.3.4; the exact division into spans is that of the authors' `random_spans_noise_mask`.
//!
//! Differs: a text has at most as many runs as there are sentinels, 100, so that runs of long rows are longer than asked.

use serde::{Deserialize, Serialize};

use super::fill::{shuffle, source, text, written};
use crate::batch::{Batch, Grid, Window};
use crate::config::Fault;
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{PAD, Vocab, sentinel};

/// Sentinels of a vocabulary, as many as T5's.
const SENTINELS: usize = 100;

/// How much is taken out, in runs of which length. Defaults are T5's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SpanConfig {
    /// The share of tokens taken out.
    pub rate: f64,
    /// The mean length of a run, in tokens.
    pub mean_span_tokens: f64,
}

impl Default for SpanConfig {
    fn default() -> Self {
        Self { rate: 0.15, mean_span_tokens: 3.0 }
    }
}

impl SpanConfig {
    /// Every fault of meaning, below `objective.span`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(self.rate > 0.0 && self.rate < 1.0) {
            let message = format!("{} is not a share between 0 and 1", self.rate);
            faults.push(Fault::new("objective.span.rate", message, "0.15 is T5's"));
        }
        if !(self.mean_span_tokens >= 1.0 && self.mean_span_tokens.is_finite()) {
            let message = format!("a run of {} tokens", self.mean_span_tokens);
            faults.push(Fault::new("objective.span.mean-span-tokens", message, "3 is T5's"));
        }
        faults
    }

    /// Tokens taken out of `n`, and the runs that they lie in: T5's rounding, at least one of each and never all.
    fn counts(self, n: usize) -> (usize, usize) {
        let noise = ((n as f64 * self.rate).round_ties_even() as usize).clamp(1, n.saturating_sub(1).max(1));
        let spans = ((noise as f64 / self.mean_span_tokens).round_ties_even() as usize).max(1);
        (noise, spans.min((n - noise).clamp(1, SENTINELS)))
    }

    /// The lengths of source and target, ends included, that `n` tokens become.
    #[must_use]
    pub fn lengths(self, n: usize) -> (usize, usize) {
        let (noise, spans) = self.counts(n.max(2));
        (n.max(2) - noise + spans + 1, noise + spans + 1)
    }
}

/// The ids that corrupted text is written with.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub(super) separator: u32,
    pub(super) pad: u32,
    pub(super) sentinels: Vec<u32>,
}

impl Marks {
    pub(super) fn new(vocab: &Vocab) -> Result<Self> {
        let sentinels = (0..SENTINELS).map(|k| vocab.special(&sentinel(k))).collect::<Result<_>>()?;
        Ok(Self { separator: vocab.separator(), pad: vocab.special(PAD)?, sentinels })
    }

    /// The special tokens meant.
    pub(super) fn names() -> Vec<String> {
        std::iter::once(PAD.to_owned()).chain((0..SENTINELS).map(sentinel)).collect()
    }

    /// The source without its spans, and the spans; neither has its end yet.
    pub(super) fn corrupt(&self, text: &[u32], spans: SpanConfig, rng: &mut Rng) -> (Vec<u32>, Vec<u32>) {
        if text.len() < 2 {
            return (text.to_vec(), Vec::new());
        }
        let (noise, count) = spans.counts(text.len());
        let kept = segments(text.len() - noise, count, rng);
        let taken = segments(noise, count, rng);
        let (mut source, mut target, mut at) = (Vec::new(), Vec::new(), 0);
        for ((kept, taken), &mark) in kept.into_iter().zip(taken).zip(&self.sentinels) {
            source.extend(&text[at..at + kept]);
            source.push(mark);
            target.push(mark);
            target.extend(&text[at + kept..at + kept + taken]);
            at += kept + taken;
        }
        (source, target)
    }
}

/// Divides `n` into `parts` lengths of at least 1, every division as likely as any other.
fn segments(n: usize, parts: usize, rng: &mut Rng) -> Vec<usize> {
    // A part begins after each of `parts - 1` chosen places among n - 1.
    let mut begins: Vec<bool> = (1..n).map(|place| place < parts).collect();
    shuffle(&mut begins, rng);
    let mut lengths = vec![1];
    for begin in begins {
        match lengths.last_mut() {
            Some(last) if !begin => *last += 1,
            _ => lengths.push(1),
        }
    }
    lengths
}

/// Span corruption of windows; sources of `length` positions.
#[derive(Debug)]
pub struct Span {
    config: SpanConfig,
    length: usize,
    window: usize,
    marks: Marks,
}

impl Span {
    /// Sources of `length` positions, filled as far as whole windows allow.
    ///
    /// # Errors
    /// When the vocabulary lacks `[PAD]` or a sentinel.
    pub fn new(config: SpanConfig, length: usize, vocab: &Vocab) -> Result<Self> {
        // The most tokens whose source still fits, as the authors' `compute_input_and_target_lengths` finds them.
        let window = (2..length * 16).take_while(|&n| config.lengths(n).0 <= length).last().unwrap_or(2);
        Ok(Self { config, length, window, marks: Marks::new(vocab)? })
    }

    /// The special tokens that rows are made with.
    #[must_use]
    pub fn special_tokens() -> Vec<String> {
        Marks::names()
    }
}

impl Objective for Span {
    fn window(&self) -> usize {
        self.window
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let Marks { separator, pad, .. } = self.marks;
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for (window, rng) in windows.iter().zip(rngs) {
            let (mut source, mut target) = self.marks.corrupt(text(window, separator), self.config, rng);
            source.push(separator);
            if !target.is_empty() {
                target.push(separator);
            }
            sources.push(source);
            targets.push(target);
        }
        let written_length = self.config.lengths(self.window).1;
        Batch::Pair(source(&sources, self.length, pad), written(&targets, written_length, pad, pad))
    }
}
