//! What a step costs, from a run's configuration alone: floating-point operations, and the memory that its activations take.
//!
//! One formula serves every family, because each is stacks of layers and heads. With n = rows times positions, L layers of
//! width d, i features in all queries and k in all keys, u inside the feed-forward, m of its matrices (2, gated 3), and s
//! positions to look at:
//!
//! ```text
//! a stack       6 n L (2 d i + 2 d k + m d u)  +  12 n s L i        cross-attention: as much again, its keys over the source
//! a head        6 n d v                        n: the positions that have a target, of masked models those that are masked
//! an LSTM       6 n L 8 d²
//! Word2Vec      6 a feature of each prediction, of which a word has window + 1 on average, times negatives + 1
//! ```
//!
//! 6 a weight is one multiplication and one addition forwards and two of each backwards; looking up an embedding is none.
//! Attention's `12 n s L i` counts every pair of positions, also those that a causal mask hides.
//!
//! Source: Chowdhery et al. 2022, "`PaLM`", appendix B, as nanoGPT and llm.c count too; utilisation (MFU) is by this count, so
//! that it compares with theirs. [`Flops::hidden`] is the part of it that a mask makes void, so that what is needed is told
//! beside what is usually counted.

mod layers;
mod memory;
#[cfg(test)]
mod tests;

use ssl_data::batch::{Attend, Batch, Grid};

use self::layers::Parts;
pub use self::memory::Held;
use crate::config::{ModelConfig, Word2VecConfig};

/// A batch, as costs depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows, or texts.
    pub rows: u64,
    /// Positions of a row.
    pub tokens: u64,
    /// Positions of a row's source, where rows are written from one.
    pub source: u64,
    /// Positions of all rows whose target counts.
    pub targets: u64,
    /// Whether positions look back only.
    pub causal: bool,
    /// Whether each row has a mask of its own.
    pub masked: bool,
    /// Whether the rows are texts, each of which is read twice.
    pub texts: bool,
}

impl Size {
    /// Of a batch in host memory.
    #[must_use]
    pub fn of(batch: &Batch<Grid>) -> Self {
        let extent = |grid: &Grid| (grid.shape()[0] as u64, grid.shape().get(1).map_or(1, |&t| t as u64));
        let counted = |grid: &Grid| match grid {
            Grid::Reals { data, .. } => data.iter().filter(|weight| **weight != 0.0).count() as u64,
            Grid::Ids { data, .. } => data.len() as u64,
        };
        match batch {
            Batch::Texts(texts) => {
                let (rows, tokens) = extent(&texts.ids);
                Self { rows, tokens, masked: true, texts: true, ..Self::default() }
            }
            Batch::Rows(rows) | Batch::Pair(_, rows) => {
                let (count, tokens) = extent(&rows.inputs);
                let source = if let Batch::Pair(source, _) = batch { extent(&source.ids).1 } else { 0 };
                Self {
                    rows: count,
                    tokens,
                    source,
                    targets: counted(&rows.weights),
                    causal: matches!(rows.attend, Attend::Causal),
                    masked: rows.documents.is_some() || matches!(rows.attend, Attend::Prefix(_)),
                    texts: false,
                }
            }
        }
    }

    /// Positions read and written, over all rows.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.rows * (self.tokens + self.source)
    }
}

/// Floating-point operations of training on one batch, forwards and backwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flops {
    /// Of products with weights.
    pub weights: u64,
    /// Of attention, over all pairs of positions.
    pub attention: u64,
    /// Of these, over pairs that a causal mask or a window hides.
    pub hidden: u64,
}

impl Flops {
    /// As they are usually counted: attention in full.
    #[must_use]
    pub fn usual(&self) -> u64 {
        self.weights + self.attention
    }

    /// What is needed: without the pairs that are hidden.
    #[must_use]
    pub fn needed(&self) -> u64 {
        self.usual() - self.hidden
    }
}

impl ModelConfig {
    /// Operations of training on a batch of `size` over `vocab` ids.
    #[must_use]
    pub fn flops(&self, vocab: u32, size: &Size) -> Flops {
        if let Self::Word2vec(config) = self {
            return Flops { weights: words(config, u64::from(vocab)) * size.rows * size.tokens, ..Flops::default() };
        }
        let parts = Parts::of(self, u64::from(vocab), size);
        let mut flops = Flops { weights: 6 * parts.weights(), ..Flops::default() };
        for (stack, load) in &parts.stacks {
            let (attention, hidden) = stack.attention(load);
            flops.attention += attention;
            flops.hidden += hidden;
        }
        flops
    }

    /// The most that one pass over a batch of `size` holds beside weights and their gradients, in bytes; a number of the
    /// model's type has `bytes`. 0 for a model that moves its own weights.
    #[must_use]
    pub fn held(&self, vocab: u32, size: &Size, bytes: u64) -> Held {
        if self.is_self_taught() { Held::default() } else { Held::of(&Parts::of(self, u64::from(vocab), size), bytes) }
    }
}

/// Operations on one word.
fn words(c: &Word2VecConfig, vocab: u64) -> u64 {
    let rows = if c.hierarchical { u64::from(vocab.max(2).ilog2()) } else { u64::from(c.negatives) + 1 };
    let (around, d) = (u64::from(c.window) + 1, u64::from(c.width));
    if c.cbow { 6 * d * rows + 2 * d * around } else { 6 * d * rows * around }
}
