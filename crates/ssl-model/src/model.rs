//! What every model does: a loss on a batch, logits, and one token after another from a cache.

use ssl_data::batch::{Batch, Rows};
use tch::{Kind, Tensor};

/// Whether chance (dropout) acts in a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// As in training.
    Train,
    /// As in use.
    Eval,
}

/// A loss as a sum and a count, never a mean, so that steps, shards and devices add up exactly.
#[derive(Debug)]
pub struct Loss {
    /// Weighted nats of the whole batch: `[]`, f64, differentiable once.
    pub total: Tensor,
    /// Unweighted nats of each target: `[b, t]`, f32, without gradient.
    pub nats: Tensor,
    /// What each target counts: `[b, t]`, f32.
    pub weights: Tensor,
}

impl Loss {
    /// Weighted nats and weight of each row, in f64.
    ///
    /// # Shapes
    /// Both as long as the batch has rows.
    #[must_use]
    pub fn rows(&self) -> Vec<(f64, f64)> {
        let weights = self.weights.to_kind(Kind::Double);
        let nats = (self.nats.to_kind(Kind::Double) * &weights).sum_dim_intlist(1, false, Kind::Double);
        let weights = weights.sum_dim_intlist(1, false, Kind::Double);
        let read = |tensor: &Tensor| -> Vec<f64> { tensor.try_into().unwrap_or_default() };
        read(&nats).into_iter().zip(read(&weights)).collect()
    }
}

/// Keys and values of the tokens read so far, a layer each.
#[derive(Debug, Default)]
pub struct Cache {
    /// Per layer: keys and values, `[b, heads, tokens, head width]`.
    pub layers: Vec<Option<(Tensor, Tensor)>>,
    /// Tokens read.
    pub tokens: i64,
}

impl Cache {
    /// An empty cache of a model with `layers` layers.
    #[must_use]
    pub fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| None).collect(), tokens: 0 }
    }

    /// Adds a layer's new keys and values and returns all of them so far.
    pub(crate) fn extend(&mut self, layer: usize, k: Tensor, v: Tensor) -> (Tensor, Tensor) {
        let (k, v) = match self.layers[layer].take() {
            Some((old_k, old_v)) => (Tensor::cat(&[old_k, k], 2), Tensor::cat(&[old_v, v], 2)),
            None => (k, v),
        };
        self.layers[layer] = Some((k.shallow_clone(), v.shallow_clone()));
        (k, v)
    }
}

/// A language model. Operations panic on faults, as `tch` does; callers stand behind [`ssl_torch::guard`].
pub trait Model: Send {
    /// The loss on a batch.
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss;

    /// Logits of every position in fp32, `[b, t, v]`.
    fn logits(&self, rows: &Rows<Tensor>) -> Tensor;

    /// Reads `tokens_bs` after what the cache holds; returns the logits of the last position in fp32, `[b, v]`.
    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor;

    /// An empty cache for [`Model::next`].
    fn cache(&self) -> Cache;

    /// Floating-point operations of training on one token in windows of `length`: 6 a weight of each matrix product
    /// (the embedding look-up left out, the output head counted) and `12 layers width length` for attention.
    fn flops(&self, length: u64) -> u64;

    /// The most tokens it reads at once.
    fn context(&self) -> usize;
}
