//! What listens on every rank but the first: signals, and the validations that all ranks make together.

use ssl_data::objective::Objective;
use ssl_data::sampler::Sampler;
use ssl_eval::bits_per_byte::validate;
use ssl_model::Model;
use ssl_train::checkpoint::Checkpoint;
use ssl_train::trainer::{Flow, Hook, HookError, StepReport};
use tch::Device;

use crate::run::RunConfig;
use crate::signal;

/// Says and writes nothing.
pub(super) struct Follower<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) measured: Option<&'a Sampler>,
    pub(super) judge: &'a dyn Objective,
    pub(super) device: Device,
}

impl Hook for Follower<'_> {
    fn step(&mut self, _report: &StepReport, _logged: bool) -> Result<Flow, HookError> {
        Ok(if signal::requested() { Flow::Stop } else { Flow::Continue })
    }

    fn eval_every(&self) -> Option<u64> {
        self.measured.map(|_| self.config.eval.every_steps)
    }

    fn validate(&mut self, model: &dyn Model, _report: &StepReport) -> Result<Option<f64>, HookError> {
        let Some(measured) = self.measured else { return Ok(None) };
        let rows = u64::from(self.config.train.batch_rows);
        let most = self.config.eval.max_tokens;
        match validate(model, measured, self.judge, rows, self.device, most, &|_| signal::requested()) {
            Err(ssl_eval::Error::Stopped) => Ok(None),
            found => Ok(Some(found?.nats_per_token.value)),
        }
    }

    fn saved(&mut self, _checkpoint: &Checkpoint) {}

    fn save_failed(&mut self, _fault: &ssl_train::Error) {}
}
