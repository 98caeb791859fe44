//! What every model does: a loss on a batch, logits, and one token after another from a cache.

use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::layer::one_by_one;
pub use crate::layer::{Cache, Piece};

/// Whether chance (dropout) acts in a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// As in training.
    Train,
    /// As in training, with the inner values of each block computed again for its gradient instead of kept.
    Recompute,
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
    /// What each row divides the loss by: `[b]`, f32.
    pub counts: Tensor,
}

impl Loss {
    /// Weighted nats and count of each row, in f64.
    ///
    /// # Shapes
    /// Both as long as the batch has rows.
    #[must_use]
    pub fn rows(&self) -> Vec<(f64, f64)> {
        let weights = self.weights.to_kind(Kind::Double);
        let nats = (self.nats.to_kind(Kind::Double) * &weights).sum_dim_intlist(1, false, Kind::Double);
        let counts = self.counts.to_kind(Kind::Double);
        let read = |tensor: &Tensor| -> Vec<f64> { tensor.try_into().unwrap_or_default() };
        read(&nats).into_iter().zip(read(&counts)).collect()
    }
}

/// A model. Operations panic on faults, as `tch` does; callers stand behind [`ssl_torch::guard`].
pub trait Model: Send {
    /// The loss on a batch, of a form that [`crate::config::ModelConfig::reads`].
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss;

    /// The last hidden state of every position in fp32, `[b, t, d]`: of the encoder where there are two stacks. Differentiable.
    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor;

    /// Logits of every position that is predicted, in fp32, `[b, t, v]`.
    fn logits(&self, batch: &Batch<Tensor>) -> Tensor;

    /// The part that writes one token after another, where there is one.
    fn decoder(&self) -> Option<&dyn Decode> {
        None
    }

    /// The state carried from batch to batch of training: tensors that a resumed run must have again, `[layers, b, ...]`
    /// each, row r of which belongs to row r of the batch.
    fn carried(&self) -> Vec<Tensor> {
        Vec::new()
    }

    /// Takes back what [`Model::carried`] gave.
    fn carry(&self, _state: Vec<Tensor>) {}

    /// The part that moves its own weights, of a model that does not learn by backpropagation.
    fn self_taught(&self) -> Option<&dyn SelfTaught> {
        None
    }

    /// Whether a training pass is the same operations whatever a batch of one form holds, and reads nothing back from the device,
    /// so that it can be recorded there and replayed.
    fn steady(&self) -> bool {
        false
    }

    /// The most tokens it reads at once.
    fn context(&self) -> usize;
}

/// Learns without an optimizer: by moving its weights while it reads.
pub trait SelfTaught {
    /// Takes how often each id occurs in the text to learn from, before the first step; ids with 0 are read over.
    ///
    /// # Panics
    /// When there are not as many as ids.
    fn count(&self, counts: &[u64]);

    /// One step at a learning rate; `draws` decides all chance. Returns nats and what they are divided by, each prediction's
    /// before its own move.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    fn learn(&self, batch: &Batch<Tensor>, lr: f64, draws: u64) -> ssl_torch::Result<(f64, f64)>;

    /// The nats of the best guess that knows how often words occur and nothing of those around them.
    fn by_frequency(&self) -> f64;
}

/// Writes one token after another.
pub trait Decode {
    /// What has been read before the first token: nothing, or the source of a model with an encoder.
    fn cache(&self, source: Option<&Source<Tensor>>) -> Cache;

    /// Reads `tokens_bs` after what the cache holds; returns the logits of the last position in fp32, `[b, v]`.
    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor;

    /// Reads on in several texts at once, a piece of each; returns the logits of the wanted positions in fp32, `[n, v]`, piece
    /// after piece. When it panics, no text has been read on in.
    fn step(&self, pieces: &mut [Piece<'_>], device: Device) -> Tensor {
        one_by_one(pieces, |tokens, cache| self.next(tokens, cache), device)
    }

    /// Ids that it knows.
    fn vocab(&self) -> usize;

    /// The id that a text begins with, of a decoder that writes from a source.
    fn start(&self) -> Option<u32> {
        None
    }

    /// What stands behind the token that is drawn next, as a model that foretells several sees it from the last of the `kept` tokens that
    /// were read last and stay; nothing, of any other. To be asked after every step of a text or never.
    fn draft(&self, _cache: &mut Cache, _kept: i64) -> Vec<u32> {
        Vec::new()
    }

    /// Whether it is a state that it carries along: no text is too long, and none can be cut back.
    fn carries(&self) -> bool {
        false
    }
}

/// The rows of a batch whose form the caller has checked.
pub(crate) fn rows<'a>(batch: &'a Batch<Tensor>, model: &str) -> &'a Rows<Tensor> {
    match batch {
        Batch::Rows(rows) => rows,
        Batch::Pair(..) | Batch::Texts(_) => panic!("{model} reads rows"),
    }
}
