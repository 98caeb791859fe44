//! Which windows a run sees and in which order: a function of (seed, sample), whatever the threads, ranks or batch size.
//!
//! Sample `s` is window `order(s mod L)` of epoch `s / L`, with L windows an epoch and a keyed permutation for the order,
//! so resuming at a sample costs nothing and needs no state beyond its number. Where sources have weights, sample `s` is a window of
//! one of them, and which of its own it is follows from `s` as well, see [`mixture`].
//!
//! Source: Luby and Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom functions" (the network);
//! Black and Rogaway 2002, "Ciphers with arbitrary finite domains" (the walk into the range).

use std::sync::Arc;

use crate::batch::Window;
use crate::config::{DataConfig, WindowConfig};
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::rng::{Rng, below, hash, mix};

pub mod mixture;

use mixture::Mixture;

/// The uses of one seed, kept apart.
const ORDER: u64 = 1;
const SHIFT: u64 = 2;
const START: u64 = 3;
const OBJECTIVE: u64 = 4;

/// Cuts windows from one split; cheap to clone and free to share between threads.
#[derive(Debug, Clone)]
pub struct Sampler {
    corpus: Corpus,
    plan: Plan,
    length: u64,
    seed: u64,
    mixture: Option<Arc<Mixture>>,
}

/// How windows lie on the run of tokens.
#[derive(Debug, Clone)]
enum Plan {
    /// One behind the other, over documents' borders; shifted anew each epoch.
    Packed(Mark),
    /// Anywhere, each start drawn by itself.
    Random,
    /// Inside one document; `ends[k]` counts the windows of documents 0..=k.
    Within { stride: u64, ends: Arc<[u64]> },
    /// The split cut into `rows` runs of `each` targets that are read side by side: sample s is of run `s mod rows`.
    Streams { rows: u64, each: u64 },
}

/// Whether windows say which token belongs to which document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Nothing,
    Documents,
}

impl Sampler {
    /// Windows of up to `length` targets (and `length` + 1 tokens) over `corpus`.
    ///
    /// # Errors
    /// When the split is empty, `length` is 0, or the stride is 0 or longer than the window, which would skip targets.
    pub fn new(corpus: &Corpus, windows: &WindowConfig, length: usize, seed: u64) -> Result<Self> {
        if corpus.targets() == 0 {
            return Err(Error::EmptySplit { split: corpus.split() });
        }
        let stride = match windows {
            WindowConfig::Slide { stride_tokens } => *stride_tokens as usize,
            _ => length,
        };
        if stride == 0 || stride > length {
            return Err(Error::WindowStride { stride, length });
        }
        let plan = match windows {
            WindowConfig::Packed {} => Plan::Packed(Mark::Nothing),
            WindowConfig::Isolated {} => Plan::Packed(Mark::Documents),
            WindowConfig::Random {} => Plan::Random,
            WindowConfig::Streams { rows } => {
                let rows = u64::from(*rows).clamp(1, corpus.targets());
                Plan::Streams { rows, each: corpus.targets().div_ceil(rows) }
            }
            WindowConfig::Segments {} | WindowConfig::Slide { .. } => within(corpus, length as u64, stride as u64),
        };
        Ok(Self { corpus: corpus.clone(), plan, length: length as u64, seed, mixture: None })
    }

    /// The same, drawn from the sources by their weights where `config` gives them any: what [`Self::window`] gives is mixed, and
    /// windows in order are still those of the whole split.
    ///
    /// # Errors
    /// As [`Self::new`]; when the corpus has not the sources that `config` names, or a source with a weight is empty.
    pub fn mixed(corpus: &Corpus, config: &DataConfig, length: usize) -> Result<Self> {
        let whole = Self::new(corpus, &config.windows, length, config.seed)?;
        let mixture = Mixture::of(corpus, config, length)?.map(Arc::new);
        Ok(Self { mixture, ..whole })
    }

    /// How often each source was drawn in full by the samples below `sample`, by name; nothing where sources are not weighed.
    #[must_use]
    pub fn epochs(&self, sample: u64) -> Vec<(String, f64)> {
        self.mixture.as_ref().map_or_else(Vec::new, |mixture| mixture.epochs(sample))
    }

    /// Samples after which every source with a weight was drawn as often as it may; `None` where there is no end.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.mixture.as_ref().and_then(|mixture| mixture.end())
    }

    /// The split that windows are cut from.
    #[must_use]
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Windows in one epoch of training; at least 1, the same in every epoch.
    ///
    /// Packed windows give up less than one window, the room that the shift needs. Random windows repeat and miss some:
    /// their epoch is as many windows as would cover the split.
    #[must_use]
    pub fn epoch_len(&self) -> u64 {
        match &self.plan {
            Plan::Packed(_) => ((self.corpus.tokens().saturating_sub(self.length)) / self.length).max(1),
            Plan::Random => (self.corpus.tokens() / self.length).max(1),
            Plan::Within { .. } | Plan::Streams { .. } => self.in_order_len(),
        }
    }

    /// How many rows are read side by side, each going on where it ended; a batch must hold as many.
    #[must_use]
    pub fn streams(&self) -> Option<u64> {
        match self.plan {
            Plan::Streams { rows, .. } => Some(rows),
            _ => None,
        }
    }

    /// Window number `sample` of the run, counted over all epochs and all ranks.
    ///
    /// # Errors
    /// When a shard cannot be read or was altered; when no source may be drawn any more, see [`Self::end`].
    pub fn window(&self, sample: u64) -> Result<Window> {
        if let Some(mixture) = &self.mixture {
            return mixture.window(sample);
        }
        let (epoch, place) = (sample / self.epoch_len(), sample % self.epoch_len());
        let order = Permutation { n: self.epoch_len(), key: hash(self.seed, ORDER, epoch) };
        match &self.plan {
            Plan::Packed(_) => {
                let slack = self.corpus.targets().saturating_sub(self.epoch_len() * self.length);
                let shift = below(hash(self.seed, SHIFT, epoch), self.length.min(slack + 1));
                self.cut(order.at(place) * self.length + shift, 0)
            }
            Plan::Random => {
                let starts = self.corpus.tokens().saturating_sub(self.length).max(1);
                self.cut(below(hash(self.seed, START, sample), starts), 0)
            }
            Plan::Within { stride, ends } => Ok(Window { fresh: 0, ..self.inside(order.at(place), *stride, ends)? }),
            Plan::Streams { .. } => self.in_order(place),
        }
    }

    /// The generator that an objective draws from for `sample`.
    #[must_use]
    pub fn rng(&self, sample: u64) -> Rng {
        Rng::at(self.seed, OBJECTIVE, sample)
    }

    /// Windows of one pass in order.
    #[must_use]
    pub fn in_order_len(&self) -> u64 {
        match &self.plan {
            Plan::Packed(_) | Plan::Random => self.corpus.targets().div_ceil(self.length),
            Plan::Within { ends, .. } => ends.last().copied().unwrap_or(0),
            Plan::Streams { rows, each } => rows * each.div_ceil(self.length),
        }
    }

    /// Window `index` of one pass in order: over all of them every target of the split is fresh exactly once.
    ///
    /// Random windows have no order of their own and pass as packed ones; the last window of a run may be shorter.
    ///
    /// # Errors
    /// When `index` is not below [`Self::in_order_len`], or a shard cannot be read or was altered.
    pub fn in_order(&self, index: u64) -> Result<Window> {
        if index >= self.in_order_len() {
            return Err(Error::WindowIndex { index, windows: self.in_order_len() });
        }
        match &self.plan {
            Plan::Packed(_) | Plan::Random => self.cut(index * self.length, 0),
            Plan::Within { stride, ends } => self.inside(index, *stride, ends),
            Plan::Streams { rows, each } => {
                let (row, step) = (index % rows, index / rows);
                // The last run may be shorter, and then ends with windows of a single token, which hold no target.
                let end = self.corpus.targets().min((row + 1) * each);
                let start = end.min(row * each + step * self.length);
                let window = self.read(start, end.min(start + self.length), 0)?;
                Ok(Window { continues: step > 0, ..window })
            }
        }
    }

    /// The window that starts at token `start` and ends after `length` targets or with the split.
    fn cut(&self, start: u64, fresh: usize) -> Result<Window> {
        self.read(start, self.corpus.targets().min(start + self.length), fresh)
    }

    /// Window `index` of those inside documents.
    fn inside(&self, index: u64, stride: u64, ends: &[u64]) -> Result<Window> {
        let k = ends.partition_point(|&end| end <= index);
        let j = index - k.checked_sub(1).map_or(0, |before| ends[before]);
        let document = self.corpus.document(k as u64).unwrap_or_default();
        let start = document.start + j * stride;
        let fresh = if j == 0 { 0 } else { self.length - stride };
        self.read(start, document.end.min(start + self.length), fresh as usize)
    }

    /// The window whose last target is token `last`.
    fn read(&self, start: u64, last: u64, fresh: usize) -> Result<Window> {
        let len = (last - start) as usize + 1;
        let mut tokens = Vec::with_capacity(len);
        self.corpus.read(start, len, &mut tokens)?;
        let mut document = Vec::with_capacity(len);
        let mut ordinal = 0;
        if matches!(self.plan, Plan::Packed(Mark::Documents)) {
            let next = self.corpus.documents_until(start);
            for begin in self.corpus.starts(next).take_while(|&begin| begin <= last) {
                document.resize((begin - start) as usize, ordinal);
                ordinal += 1;
            }
        }
        document.resize(len, ordinal);
        Ok(Window { tokens, document, fresh, continues: false })
    }
}

/// Counts the windows of each document: one, and one more for every stride that its targets go past the first.
fn within(corpus: &Corpus, length: u64, stride: u64) -> Plan {
    let last = std::iter::once(corpus.targets());
    let ends = corpus.starts(1).chain(last);
    let mut windows = 0;
    let count = |(start, end): (u64, u64)| {
        windows += 1 + (end - start).saturating_sub(length).div_ceil(stride);
        windows
    };
    Plan::Within { stride, ends: corpus.starts(0).zip(ends).map(count).collect() }
}

/// Which of `n` examples sample number `sample` is: each once an epoch, in an order of its own each time.
#[must_use]
pub fn shuffled(n: u64, seed: u64, sample: u64) -> u64 {
    Permutation { n: n.max(1), key: hash(seed, ORDER, sample / n.max(1)) }.at(sample % n.max(1))
}

/// A keyed bijection of `0..n` without a table: a Feistel network over the next power of four, walked until it lands inside.
struct Permutation {
    n: u64,
    key: u64,
}

impl Permutation {
    /// Enough rounds that neighbours and epochs show no relation; four already suffice in theory.
    const ROUNDS: u64 = 6;

    /// Where `index`, which must be below n, goes; less than four steps on average.
    fn at(&self, index: u64) -> u64 {
        let half = (64 - (self.n - 1).leading_zeros()).div_ceil(2);
        let mask = (1 << half) - 1;
        let mut at = index;
        loop {
            let (mut left, mut right) = (at >> half, at & mask);
            for round in 0..Self::ROUNDS {
                (left, right) = (right, left ^ mix(self.key.wrapping_add(round) ^ mix(right)) & mask);
            }
            at = left << half | right;
            if at < self.n {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_a_permutation(n in 1_u64..3000, key: u64) {
            let mut seen: Vec<u64> = (0..n).map(|index| Permutation { n, key }.at(index)).collect();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..n));
        }

        #[test]
        fn order_stays_inside_large_ranges(n in 1_u64..=1 << 62, key: u64, index: u64) {
            let at = Permutation { n, key }.at(index % n);
            prop_assert!(at < n);
        }
    }

    #[test]
    fn every_place_is_taken_evenly_over_keys() {
        let mut counts = [[0_u32; 7]; 7];
        for epoch in 0..7000 {
            let order = Permutation { n: 7, key: hash(1, ORDER, epoch) };
            for (index, row) in (0..).zip(&mut counts) {
                row[order.at(index) as usize] += 1;
            }
        }
        // The expectation is 1000, the standard deviation 29.
        assert!(counts.as_flattened().iter().all(|&count| count.abs_diff(1000) < 180), "{counts:?}");
    }
}
