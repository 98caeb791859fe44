//! Everything that must survive a crash. All else is derivable from it and the run's configuration.

use serde::{Deserialize, Serialize};
use ssl_model::params::Params;
use tch::Tensor;

use crate::config::OptimConfig;
use crate::optim::{self, Optimizer};
use crate::stop::Best;

/// The state of a run between two steps. Randomness and data order are functions of the seed and these counts.
pub struct TrainState {
    /// The counts.
    pub progress: Progress,
    /// The weights.
    pub params: Params,
    /// The optimizer, with its moments.
    pub optimizer: Box<dyn Optimizer>,
    /// What the model carries from batch to batch, as [`ssl_model::Model::carried`] gives it.
    pub carry: Vec<Tensor>,
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Targets trained on.
    pub tokens: u64,
    /// The next sample.
    pub sample: u64,
    /// Steps in all, once they are known.
    pub planned_steps: Option<u64>,
    /// Whether a limit in minutes has been turned into steps.
    pub calibrated: bool,
    /// Wall seconds spent training, over all parts of the run.
    pub seconds: f64,
    /// The loss of the last step, nats per target.
    pub last_loss: Option<f64>,
    /// The best validation.
    pub best: Best,
    /// Whether the validation due at this step was cut short by a stop; a resumed run makes it first.
    #[serde(default)]
    pub unmeasured: bool,
}

impl TrainState {
    /// The state before the first step.
    #[must_use]
    pub fn new(params: Params, optim: &OptimConfig) -> Self {
        let optimizer = optim::build(optim, &params);
        Self::with(params, optimizer)
    }

    /// The same with an optimizer at rest, such as one of several ranks.
    #[must_use]
    pub fn with(params: Params, optimizer: Box<dyn Optimizer>) -> Self {
        Self { progress: Progress::default(), params, optimizer, carry: Vec::new() }
    }

    /// The optimizer's state and what is carried, by name: all that must survive besides weights and counts.
    #[must_use]
    pub fn memory(&self) -> Vec<(String, Tensor)> {
        let mut memory = self.optimizer.state(&self.params.moved());
        memory.extend(self.carry.iter().enumerate().map(|(i, carried)| (carry(i), carried.shallow_clone())));
        memory
    }
}

/// The name of a carried tensor.
pub(crate) fn carry(i: usize) -> String {
    format!("carry.{i}")
}
