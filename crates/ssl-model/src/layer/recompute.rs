//! Blocks whose inner values may be computed twice instead of kept: activation checkpointing.
//!
//! Source: Chen et al. 2016, arXiv 1604.06174, with one segment a block.

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ssl_torch::checkpoint;
use tch::Tensor;

use crate::model::Pass;

/// A block of a stack. It is shared with the graph of a pass that will run it again.
#[derive(Debug)]
pub struct Recompute<B>(Arc<Mutex<B>>);

impl<B: Send + 'static> Recompute<B> {
    /// Around `block`.
    pub fn new(block: B) -> Self {
        Self(Arc::new(Mutex::new(block)))
    }

    /// The block itself, to be run without recomputation.
    pub fn block(&self) -> MutexGuard<'_, B> {
        open(&self.0)
    }

    /// `f` of the block and `inputs`: run as it stands, or, in [`Pass::Recompute`], once now and once for its gradient.
    ///
    /// Everything that `f` reads and that depends on a weight is among the inputs, the block's own weights apart.
    pub fn run<I: Borrow<Tensor>>(
        &self,
        pass: Pass,
        inputs: &[I],
        f: impl Fn(&B, &[Tensor]) -> Tensor + Send + 'static,
    ) -> Tensor {
        let inputs: Vec<Tensor> = inputs.iter().map(|input| input.borrow().shallow_clone()).collect();
        if pass != Pass::Recompute {
            return f(&self.block(), &inputs);
        }
        let block = Arc::clone(&self.0);
        checkpoint(&inputs, move |inputs| f(&open(&block), inputs)).unwrap_or_else(|fault| panic!("{fault}"))
    }
}

/// A block is only read, so a panic while it was held has left it whole.
fn open<B>(block: &Mutex<B>) -> MutexGuard<'_, B> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
