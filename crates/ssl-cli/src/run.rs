//! A run: one TOML file that says what to train, on what, how.

use std::path::Path;

use serde::{Deserialize, Serialize};
use ssl_data::config::{DataConfig, Fault};
use ssl_eval::config::EvalConfig;
use ssl_model::config::ModelConfig;
use ssl_train::config::{OptimConfig, ScheduleConfig, TrainConfig};

use crate::diagnose::{self, Diagnosis, Loaded};

/// The sections of a run file; each crate owns its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RunConfig {
    /// Which text, and how it is prepared.
    pub(crate) data: DataConfig,
    /// What is learned from it.
    pub(crate) objective: ObjectiveConfig,
    /// What learns.
    pub(crate) model: ModelConfig,
    /// How parameters move.
    pub(crate) optim: OptimConfig,
    /// How far, over time.
    pub(crate) schedule: ScheduleConfig,
    /// How long, and in what batches.
    pub(crate) train: TrainConfig,
    /// When and how it is measured.
    pub(crate) eval: EvalConfig,
}

/// What is learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum ObjectiveConfig {
    /// Every token from those before it. Source: Bengio et al. 2003; Radford et al. 2018.
    Causal {},
}

impl RunConfig {
    /// Reads a run file and checks every section.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, overrides, Self::validate)
    }

    /// Every fault of meaning, none where the run can start.
    pub(crate) fn validate(&self) -> Vec<Fault> {
        let sections = [
            self.data.validate(),
            self.model.validate(),
            self.optim.validate(),
            self.schedule.validate(),
            self.train.validate(),
            self.eval.validate(),
        ];
        sections.into_iter().flatten().collect()
    }
}
