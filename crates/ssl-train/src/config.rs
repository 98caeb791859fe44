//! The `[optim]` and `[train]` sections of a run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_model::params::Precision;

pub use crate::parallel::{ParallelConfig, Shard};
pub use crate::schedule::ScheduleConfig;

/// How the run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Optimizer steps; give this, `minutes`, or both for whichever ends first.
    pub steps: Option<u64>,
    /// Wall minutes: the speed of the first ten seconds decides how many steps fit, and that number is kept from then on.
    pub minutes: Option<f64>,
    /// A model whose weights this one begins with, where names and shapes agree: a run, a checkpoint or a model folder.
    pub from: Option<PathBuf>,
    /// Rows in one forward pass.
    pub batch_rows: u32,
    /// Forward passes in one step.
    #[serde(default = "one")]
    pub accumulate: u32,
    /// What the model computes in. A device without bf16 arithmetic computes in fp32 and says so.
    #[serde(default)]
    pub precision: Precision,
    /// Whether the inner values of each block are computed again for its gradient instead of kept (activation
    /// checkpointing): the same bits for far less memory and one more forward pass. Source: Chen et al. 2016.
    #[serde(default)]
    pub recompute: bool,
    /// Gradients longer than this are scaled to it. Source: Pascanu et al. 2013, algorithm 1.
    pub clip_norm: Option<f64>,
    /// Seeds initial weights and dropout.
    #[serde(default)]
    pub seed: u64,
    /// Steps between two records.
    #[serde(default = "ten")]
    pub log_every_steps: u64,
    /// Steps between two checkpoints; the last step always has one.
    #[serde(default = "five_hundred")]
    pub save_every_steps: u64,
    /// The newest checkpoints kept, besides the best.
    #[serde(default = "two")]
    pub keep_checkpoints: u32,
    /// Validations without a better loss after which the run ends; absent never ends early.
    pub patience_evals: Option<u32>,
    /// How ranks work together, where the run is launched as several.
    #[serde(default)]
    pub parallel: ParallelConfig,
}

const fn one() -> u32 {
    1
}

const fn two() -> u32 {
    2
}

const fn ten() -> u64 {
    10
}

const fn five_hundred() -> u64 {
    500
}

/// One optimizer, named by its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum OptimConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam; decay, where given, is L2.
    Adam(AdamConfig),
    /// Adam with decoupled decay.
    Adamw(AdamConfig),
    /// Muon for the matrices of hidden layers, `AdamW` for the rest.
    Muon(MuonConfig),
}

/// Stochastic gradient descent with momentum. Source: Sutskever et al. 2013, in PyTorch's form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SgdConfig {
    /// Peak learning rate.
    pub lr: f64,
    /// Share of the last move that is kept.
    #[serde(default)]
    pub momentum: f64,
    /// Whether the gradient is taken after the momentum's move.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 decay of matrices and tables.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Adam. Source: Kingma and Ba 2015, whose values are the defaults; Loshchilov and Hutter 2019 for the decoupled decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdamConfig {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Keeps the division finite.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Decay of matrices and tables; gains and biases never decay.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Muon. Source: Jordan 2024, whose values are the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MuonConfig {
    /// Peak learning rate of matrices; 0.02 is the source's.
    pub lr: f64,
    /// Share of the mean of gradients that is kept.
    #[serde(default = "muon_momentum")]
    pub momentum: f64,
    /// Whether the gradient is taken after the momentum's move.
    #[serde(default = "yes")]
    pub nesterov: bool,
    /// Newton-Schulz steps towards an orthogonal move.
    #[serde(default = "five")]
    pub newton_schulz_steps: u32,
    /// Decoupled decay of matrices.
    #[serde(default)]
    pub weight_decay: f64,
    /// What moves embeddings, heads, gains and biases, at a learning rate of its own on the same schedule.
    pub adamw: AdamConfig,
}

const fn muon_momentum() -> f64 {
    0.95
}

const fn yes() -> bool {
    true
}

const fn five() -> u32 {
    5
}

const fn beta1() -> f64 {
    0.9
}

const fn beta2() -> f64 {
    0.999
}

const fn eps() -> f64 {
    1e-8
}

impl TrainConfig {
    /// Every fault of meaning. Paths begin with `train.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |fine: bool, key: &str, message: String, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("train.{key}"), message, hint));
            }
        };
        check(
            self.steps.is_some() || self.minutes.is_some(),
            "steps",
            "neither steps nor minutes say when to end".into(),
            "give steps = 2000, or minutes = 5",
        );
        check(self.steps != Some(0), "steps", "no steps are asked for".into(), "give at least 1");
        let minutes = self.minutes.unwrap_or(1.0);
        check(minutes > 0.0 && minutes.is_finite(), "minutes", format!("{minutes} minutes"), "give a time above 0");
        check((1..=1 << 20).contains(&self.batch_rows), "batch-rows", format!("{} rows", self.batch_rows), "give at least 1");
        check(
            (1..=1 << 20).contains(&self.accumulate),
            "accumulate",
            format!("{} passes a step", self.accumulate),
            "1 is one pass a step",
        );
        check(
            self.clip_norm.is_none_or(|norm| norm > 0.0 && norm.is_finite()),
            "clip-norm",
            "a length above 0 was expected".into(),
            "1.0 is common; leave it out for none",
        );
        check(self.log_every_steps > 0, "log-every-steps", "0 never comes".into(), "10 is the default");
        check(self.save_every_steps > 0, "save-every-steps", "0 never comes".into(), "500 is the default");
        check(
            self.keep_checkpoints > 0,
            "keep-checkpoints",
            "0 would keep nothing to resume from".into(),
            "2 survives a damaged last one",
        );
        check(
            self.patience_evals != Some(0),
            "patience-evals",
            "0 ends before the first validation".into(),
            "leave it out for no early stop",
        );
        faults.extend(self.parallel.validate());
        faults
    }
}

impl OptimConfig {
    /// The peak learning rate.
    #[must_use]
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(config) => config.lr,
            Self::Adam(config) | Self::Adamw(config) => config.lr,
            Self::Muon(config) => config.lr,
        }
    }

    /// Numbers it keeps for each weight, in fp32.
    #[must_use]
    pub fn moments(&self) -> u64 {
        match self {
            Self::Sgd(_) => 1,
            Self::Adam(_) | Self::Adamw(_) | Self::Muon(_) => 2,
        }
    }

    /// Every fault of meaning. Paths begin with `optim.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let name = match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::Adamw(_) => "adamw",
            Self::Muon(_) => "muon",
        };
        let mut check = |fine: bool, key: &str, value: f64, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("optim.{name}.{key}"), format!("{value} is out of range"), hint));
            }
        };
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        check(positive(self.lr()), "lr", self.lr(), "3e-4 is a common start");
        match self {
            Self::Sgd(c) => {
                check(share(c.momentum), "momentum", c.momentum, "0.9 is common");
                check(!c.nesterov || c.momentum > 0.0, "nesterov", c.momentum, "it needs a momentum");
                check(c.weight_decay >= 0.0 && c.weight_decay.is_finite(), "weight-decay", c.weight_decay, "0 is none");
            }
            Self::Adam(c) | Self::Adamw(c) => c.check("", &mut check),
            Self::Muon(c) => {
                check(share(c.momentum), "momentum", c.momentum, "0.95 is the source's");
                check(!c.nesterov || c.momentum > 0.0, "nesterov", c.momentum, "it needs a momentum");
                let steps = c.newton_schulz_steps;
                check((1..=20).contains(&steps), "newton-schulz-steps", f64::from(steps), "5 is the source's");
                check(c.weight_decay >= 0.0 && c.weight_decay.is_finite(), "weight-decay", c.weight_decay, "0 is none");
                check(positive(c.adamw.lr), "adamw.lr", c.adamw.lr, "3e-4 is a common start");
                c.adamw.check("adamw.", &mut check);
            }
        }
        faults
    }
}

impl AdamConfig {
    /// Tells of every value that is out of range, by its key behind `place`.
    fn check(&self, place: &str, check: &mut dyn FnMut(bool, &str, f64, &str)) {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let mut check = |fine, key: &str, value, hint: &str| check(fine, &format!("{place}{key}"), value, hint);
        check(share(self.beta1), "beta1", self.beta1, "0.9 is the paper's");
        check(share(self.beta2), "beta2", self.beta2, "0.999 is the paper's, 0.95 common for language models");
        check(positive(self.eps), "eps", self.eps, "1e-8 is the paper's");
        let decay = self.weight_decay;
        check(decay >= 0.0 && decay.is_finite(), "weight-decay", decay, "0.1 is common for language models");
    }
}
