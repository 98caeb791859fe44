//! Mixture of denoisers: one model, seven ways to take text out, each announced by a mode token.
//!
//! | mode | spans of | share |
//! |---|---|---|
//! | `[R]` regular | 3, 8 | 15 % |
//! | `[S]` sequential | the rest of the text, from 1 token to half of it | 25 % on average |
//! | `[X]` extreme | 3, 8, 64 at 50 %; 64 at 15 % | |
//!
//! Source: Tay et al. 2022, "UL2: unifying language learning paradigms", section 3.1 and table 1; all seven equally often.

use super::fill::{source, text, written};
use super::span::{Marks, SpanConfig};
use crate::batch::{Batch, Grid, Window};
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::Vocab;

/// The mode tokens.
const MODES: [&str; 3] = ["[R]", "[S]", "[X]"];

/// A way to take text out.
#[derive(Debug, Clone, Copy)]
enum Denoiser {
    /// Spans, under this mode.
    Spans(usize, SpanConfig),
    /// The rest of the text: a prefix language model.
    Rest,
}

const fn spans(mode: usize, mean_span_tokens: f64, rate: f64) -> Denoiser {
    Denoiser::Spans(mode, SpanConfig { rate, mean_span_tokens })
}

const DENOISERS: [Denoiser; 7] = [
    spans(0, 3.0, 0.15),
    spans(0, 8.0, 0.15),
    Denoiser::Rest,
    spans(2, 3.0, 0.5),
    spans(2, 8.0, 0.5),
    spans(2, 64.0, 0.15),
    spans(2, 64.0, 0.5),
];

/// UL2's mixture.
#[derive(Debug)]
pub struct Mixture {
    length: usize,
    marks: Marks,
    modes: Vec<u32>,
}

impl Mixture {
    /// Sources of `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks `[PAD]`, a sentinel or a mode token.
    pub fn new(length: usize, vocab: &Vocab) -> Result<Self> {
        let modes = MODES.iter().map(|mode| vocab.special(mode)).collect::<Result<_>>()?;
        Ok(Self { length, marks: Marks::new(vocab)?, modes })
    }

    /// The special tokens that rows are made with.
    #[must_use]
    pub fn special_tokens() -> Vec<String> {
        Marks::names().into_iter().chain(MODES.map(String::from)).collect()
    }
}

impl Objective for Mixture {
    fn window(&self) -> usize {
        // No source is longer than its text, its mode and its end.
        self.length.saturating_sub(2).max(2)
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let Marks { separator, pad, .. } = self.marks;
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for (window, rng) in windows.iter().zip(rngs) {
            let text = text(window, separator);
            let denoiser = DENOISERS[rng.below(DENOISERS.len() as u64) as usize];
            let (mode, (given, mut target)) = match denoiser {
                Denoiser::Spans(mode, spans) => (mode, self.marks.corrupt(text, spans, rng)),
                Denoiser::Rest => {
                    let rest = 1 + rng.below((text.len() as u64 / 2).max(1)) as usize;
                    let (given, rest) = text.split_at(text.len().saturating_sub(rest));
                    (1, (given.to_vec(), rest.to_vec()))
                }
            };
            if !target.is_empty() {
                target.push(separator);
            }
            sources.push([&[self.modes[mode]], &given[..], &[separator]].concat());
            targets.push(target);
        }
        // The most that any denoiser takes out of a whole window.
        let longest = DENOISERS.iter().map(|denoiser| match denoiser {
            Denoiser::Spans(_, spans) => spans.lengths(self.window()).1,
            Denoiser::Rest => self.window() / 2 + 1,
        });
        let written_length = longest.max().unwrap_or(1);
        Batch::Pair(source(&sources, self.length, pad), written(&targets, written_length, pad, pad))
    }
}
