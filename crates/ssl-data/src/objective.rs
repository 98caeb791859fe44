//! Objectives: how windows of a corpus become a batch, that is, what is predicted from what.

pub mod causal;

pub use causal::Causal;

use crate::batch::{Batch, Grid, Window};
use crate::rng::Rng;

/// Turns windows into one batch; pure, so that a batch is a function of the corpus, the configuration, the seed and the samples.
pub trait Objective: Send + Sync {
    /// Makes a batch with one row a window, in their order.
    ///
    /// Row i draws only from `rngs[i]`, so that it does not depend on its neighbours; an objective without chance reads none.
    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid>;
}
