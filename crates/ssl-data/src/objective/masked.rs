//! Masked language modelling: predict tokens that were taken out, from both sides.
//!
//! Of the tokens that are no special ones, `rate` are chosen; 80 % of them become `[MASK]`, 10 % another token, 10 % stay.
//! Loss: `-sum over the chosen of log p(x_i | corrupted x)`.
//!
//! Source: Devlin et al. 2019, "BERT", section 3.1 and appendix A.1; whole words: the authors' release of May 2019; spans:
//! Joshi et al. 2020, "SpanBERT", section 3.1; the next sentence: Devlin et al. 2019, section 3.1, task 2.
//!
//! Differs: a random replacement is never a special token; sentences are cut at a random token, as no sentence is known.

use serde::{Deserialize, Serialize};

use super::fill::{Filler, shuffle, text};
use crate::batch::{Attend, Batch, Grid, Sentences, Window};
use crate::config::Fault;
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{CLASS, END, Edges, MASK, PAD, Vocab};

/// Which tokens are taken out, and what stands in their place. Defaults are BERT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MaskedConfig {
    /// The share of tokens that are predicted.
    pub rate: f64,
    /// What is taken out together.
    pub unit: MaskUnit,
    /// The share of the chosen that become a random token.
    pub random: f64,
    /// The share of the chosen that stay as they are.
    pub keep: f64,
    /// Whether rows hold two sentences, and it is asked whether the second follows the first.
    pub next_sentence: bool,
}

impl Default for MaskedConfig {
    fn default() -> Self {
        Self { rate: 0.15, unit: MaskUnit::Token, random: 0.1, keep: 0.1, next_sentence: false }
    }
}

impl MaskedConfig {
    /// Every fault of meaning, below `objective.masked`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(self.rate > 0.0 && self.rate < 1.0) {
            let message = format!("{} is not a share between 0 and 1", self.rate);
            faults.push(Fault::new("objective.masked.rate", message, "0.15 is BERT's"));
        }
        if !(self.random >= 0.0 && self.keep >= 0.0 && self.random + self.keep <= 1.0) {
            let message = format!("{} random and {} kept are more than all, or less than none", self.random, self.keep);
            faults.push(Fault::new("objective.masked.keep", message, "0.1 of each is BERT's"));
        }
        faults
    }
}

/// What is taken out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskUnit {
    /// A token.
    Token,
    /// All tokens of a word.
    Word,
    /// A run of whole words, 3.8 on average and at most 10, replaced alike.
    Span,
}

/// The words of a span: a geometric distribution with this chance to end, drawn again where it is more than so many.
const SPAN_END: f64 = 0.2;
const SPAN_WORDS: usize = 10;

/// Masked language modelling over rows `[CLS] text [SEP]`.
#[derive(Debug)]
pub struct Masked {
    config: MaskedConfig,
    length: usize,
    ids: Ids,
    noise: Noise,
}

/// The special tokens of a row.
#[derive(Debug, Clone, Copy)]
struct Ids {
    separator: u32,
    class: u32,
    end: u32,
    pad: u32,
}

impl Masked {
    /// Rows of `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks `[CLS]`, `[SEP]`, `[PAD]` or `[MASK]`.
    pub fn new(config: &MaskedConfig, length: usize, vocab: &Vocab) -> Result<Self> {
        let ids = Ids {
            separator: vocab.separator(),
            class: vocab.special(CLASS)?,
            end: vocab.special(END)?,
            pad: vocab.special(PAD)?,
        };
        Ok(Self { config: config.clone(), length, ids, noise: Noise::new(config, vocab)? })
    }

    /// The special tokens that rows are made with.
    #[must_use]
    pub fn special_tokens() -> Vec<String> {
        [PAD, CLASS, END, MASK].map(String::from).to_vec()
    }

    /// `[CLS] text [SEP]`.
    fn one(&self, window: &Window) -> Vec<u32> {
        let text = text(window, self.ids.separator);
        let text = &text[..text.len().min(self.window())];
        [&[self.ids.class], text, &[self.ids.end]].concat()
    }

    /// `[CLS] A [SEP] B [SEP]`, B being what follows A or, half of the time, text from elsewhere; and where B begins.
    fn two(&self, window: &Window, elsewhere: &Window, rng: &mut Rng) -> (Vec<u32>, usize, bool) {
        let (here, there) = (text(window, self.ids.separator), text(elsewhere, self.ids.separator));
        let here = &here[..here.len().min(self.window())];
        let cut = 1 + rng.below(here.len().saturating_sub(1).max(1) as u64) as usize;
        let (first, next) = here.split_at(cut.min(here.len()));
        let random = rng.below(2) == 1 && !there.is_empty();
        // As long as what it stands for, so that length does not give it away.
        let second = if random { &there[..there.len().min(next.len())] } else { next };
        let row = [&[self.ids.class], first, &[self.ids.end], second, &[self.ids.end]].concat();
        (row, first.len() + 2, random)
    }
}

impl Objective for Masked {
    fn window(&self) -> usize {
        // [CLS] and one or two [SEP] need room.
        self.length.saturating_sub(if self.config.next_sentence { 3 } else { 2 }).max(1)
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn windows_per_row(&self) -> usize {
        if self.config.next_sentence { 2 } else { 1 }
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let mut filler = Filler::new(self.length, self.ids.pad);
        let (mut segments, mut labels) = (Vec::new(), Vec::new());
        let per = self.windows_per_row();
        for (windows, rngs) in windows.chunks(per).zip(rngs.chunks_mut(per)) {
            let rng = &mut rngs[0];
            let row = if let [window, elsewhere] = windows {
                let (row, second, random) = self.two(window, elsewhere, rng);
                segments.extend((0..self.length).map(|i| i64::from((second..row.len()).contains(&i))));
                labels.push(i64::from(random));
                row
            } else {
                self.one(&windows[0])
            };
            let (inputs, weights) = self.noise.apply(&row, rng);
            let count = weights.iter().sum();
            filler.push(&inputs, &row, &weights, count);
        }
        let rows = filler.rows(Attend::Both);
        let sentences = self.config.next_sentence.then(|| Sentences {
            segments: Grid::ids(segments, self.length),
            random: Grid::Ids { shape: vec![labels.len() as i64], data: labels },
        });
        Batch::Rows(crate::batch::Rows { sentences, ..rows })
    }
}

/// Chooses tokens and puts others in their place.
#[derive(Debug)]
pub(super) struct Noise {
    config: MaskedConfig,
    mask: u32,
    /// By id: whether it is a special token.
    special: Vec<bool>,
    /// By id: where words begin and end.
    edges: Vec<Edges>,
    /// The ids that may stand for another.
    ordinary: Vec<u32>,
}

impl Noise {
    pub(super) fn new(config: &MaskedConfig, vocab: &Vocab) -> Result<Self> {
        let mut special = vec![false; vocab.size() as usize];
        vocab.specials().for_each(|id| special[id as usize] = true);
        Ok(Self {
            config: config.clone(),
            mask: vocab.special(MASK)?,
            ordinary: (0..vocab.size()).filter(|&id| !special[id as usize]).collect(),
            special,
            edges: vocab.edges(),
        })
    }

    /// The row with some tokens replaced, and a weight of 1 at each of those.
    pub(super) fn apply(&self, row: &[u32], rng: &mut Rng) -> (Vec<u32>, Vec<f32>) {
        let (mut inputs, mut weights) = (row.to_vec(), vec![0.0; row.len()]);
        for group in self.choose(row, rng) {
            let mut fate = rng.unit();
            for at in group {
                // The tokens of a span share their fate; others have each their own.
                if self.config.unit != MaskUnit::Span {
                    fate = rng.unit();
                }
                weights[at] = 1.0;
                inputs[at] = if fate < self.config.keep {
                    row[at]
                } else if fate < self.config.keep + self.config.random && !self.ordinary.is_empty() {
                    self.ordinary[rng.below(self.ordinary.len() as u64) as usize]
                } else {
                    self.mask
                };
            }
        }
        (inputs, weights)
    }

    /// The places to predict, in groups that were chosen together; the nearest number to the rate, and at least one.
    fn choose(&self, row: &[u32], rng: &mut Rng) -> Vec<std::ops::Range<usize>> {
        let words = self.words(row);
        let candidates: usize = words.iter().map(ExactSizeIterator::len).sum();
        let mut left = ((candidates as f64 * self.config.rate).round() as usize).max(1).min(candidates);
        let mut chosen = Vec::new();
        if self.config.unit == MaskUnit::Span {
            let mut taken = vec![false; words.len()];
            // Chance alone might never find the last free word.
            for _ in 0..20 * words.len() {
                if left == 0 {
                    break;
                }
                let mut span = usize::MAX;
                while span > SPAN_WORDS {
                    span = 1;
                    while rng.unit() >= SPAN_END {
                        span += 1;
                    }
                }
                let first = rng.below(words.len() as u64) as usize;
                // A span ends early at a special token and where the budget ends, and never overlaps another.
                let mut last = first;
                let mut cost = 0;
                while last < words.len()
                    && last < first + span
                    && !taken[last]
                    && (last == first || words[last].start == words[last - 1].end)
                    && cost + words[last].len() <= left
                {
                    cost += words[last].len();
                    last += 1;
                }
                if last > first {
                    taken[first..last].fill(true);
                    chosen.push(words[first].start..words[last - 1].end);
                    left -= cost;
                }
            }
        } else {
            let mut order: Vec<usize> = (0..words.len()).collect();
            shuffle(&mut order, rng);
            for word in order {
                // A word longer than what is left is passed over for a shorter one.
                if words[word].len() <= left {
                    left -= words[word].len();
                    chosen.push(words[word].clone());
                }
                if left == 0 {
                    break;
                }
            }
        }
        // Where no word is short enough, a part of one goes.
        if let (true, Some(word)) = (chosen.is_empty(), words.first()) {
            chosen.push(word.start..word.start + left);
        }
        chosen
    }

    /// What is taken out together: words, or tokens; never a special one.
    fn words(&self, row: &[u32]) -> Vec<std::ops::Range<usize>> {
        let mut words: Vec<std::ops::Range<usize>> = Vec::new();
        for (at, &id) in row.iter().enumerate() {
            if self.special[id as usize] {
                continue;
            }
            let joined = at > 0 && self.edges[id as usize].goes_on(self.edges[row[at - 1] as usize]);
            match words.last_mut().filter(|word| self.config.unit != MaskUnit::Token && joined && word.end == at) {
                Some(word) => word.end = at + 1,
                None => words.push(at..at + 1),
            }
        }
        words
    }
}
