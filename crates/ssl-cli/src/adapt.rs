//! A fine-tuning: one TOML file that says which model is adapted, to what task, how.

use std::path::Path;

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_data::task::{TaskConfig, TaskKind};
use ssl_model::head::Pool;
use ssl_model::layer::LoraConfig;
use ssl_train::config::{OptimConfig, TrainConfig};
use ssl_train::schedule::ScheduleConfig;

use crate::diagnose::{self, Diagnosis, Loaded};

/// The sections of a fine-tuning's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FinetuneConfig {
    /// What is learned, and from which examples.
    pub(crate) task: TaskConfig,
    /// What of the model moves.
    #[serde(default)]
    pub(crate) adapt: AdaptConfig,
    /// How parameters move.
    pub(crate) optim: OptimConfig,
    /// How far, over time.
    pub(crate) schedule: ScheduleConfig,
    /// How long, in what batches, and from which model: `from` must name one.
    pub(crate) train: TrainConfig,
}

/// What of a model moves, and how it is judged meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct AdaptConfig {
    /// Passes over the training examples, in place of `train.steps`.
    pub(crate) epochs: Option<f64>,
    /// One run each, with their mean and spread; empty for `train.seed` alone. A seed draws the head, the order and dropout.
    pub(crate) seeds: Vec<u64>,
    /// Whether the model begins with random weights instead of its own: what pretraining is worth is the difference.
    pub(crate) random_weights: bool,
    /// How a text becomes one vector for its class; the mean of its tokens when absent.
    pub(crate) pool: Option<Pool>,
    /// The share of features dropped before the head in training.
    pub(crate) dropout: f64,
    /// Parts of the names of weights that stay as they are; `base` is everything but the head.
    pub(crate) freeze: Vec<String>,
    /// How much slower each layer learns than the one above it. Source: Howard and Ruder 2018, section 3.2.
    pub(crate) layer_decay: Option<f64>,
    /// Low-rank adapters, which then are all that moves beside the head.
    pub(crate) lora: Option<LoraConfig>,
    /// How far preferences may pull the model from where it began.
    pub(crate) beta: f64,
    /// Steps between two validations; an epoch when absent.
    pub(crate) every_steps: Option<u64>,
    /// The most tokens of a row; the model's context when absent.
    pub(crate) row_tokens: Option<u32>,
}

impl Default for AdaptConfig {
    fn default() -> Self {
        Self {
            epochs: None,
            seeds: Vec::new(),
            random_weights: false,
            pool: None,
            dropout: 0.1,
            freeze: Vec::new(),
            layer_decay: None,
            lora: None,
            beta: 0.1,
            every_steps: None,
            row_tokens: None,
        }
    }
}

/// What `adapt.freeze` calls everything but the head.
pub(crate) const BASE: &str = "base";

impl FinetuneConfig {
    /// Reads a fine-tuning's file and checks every section.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, overrides, Self::validate)
    }

    /// The seeds of its runs.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        if self.adapt.seeds.is_empty() { vec![self.train.seed] } else { self.adapt.seeds.clone() }
    }

    /// Every fault of meaning, none where it can start.
    pub(crate) fn validate(&self) -> Vec<Fault> {
        let mut faults = self.task.validate();
        faults.extend(self.optim.validate());
        faults.extend(self.schedule.validate());
        let train = self.train.validate().into_iter();
        faults.extend(train.filter(|fault| !(fault.path == "train.steps" && self.adapt.epochs.is_some())));
        let mut check = |fine: bool, path: &str, message: &str, hint: &str| {
            if !fine {
                faults.push(Fault::new(path, message, hint));
            }
        };
        let AdaptConfig { epochs, layer_decay, dropout, beta, lora, freeze, .. } = &self.adapt;
        check(self.train.from.is_some(), "train.from", "no model is named that could be adapted", "give a run or a model folder");
        check(self.train.minutes.is_none(), "train.minutes", "examples are counted, not minutes", "give adapt.epochs");
        let both = epochs.is_some() && self.train.steps.is_some();
        check(!both, "adapt.epochs", "steps and epochs both say when to end", "give one of them");
        let fine = epochs.is_none_or(|epochs| epochs > 0.0 && epochs <= 10_000.0);
        check(fine, "adapt.epochs", "a number above 0 and up to 10000 was expected", "3 is common");
        let fine = layer_decay.is_none_or(|decay| decay > 0.0 && decay <= 1.0);
        check(fine, "adapt.layer-decay", "a share above 0 and up to 1 was expected", "0.9 is common");
        check((0.0..1.0).contains(dropout), "adapt.dropout", "a share below 1 was expected", "0.1 is BERT's");
        check(*beta > 0.0 && beta.is_finite(), "adapt.beta", "a number above 0 was expected", "0.1 is common");
        if let Some(lora) = lora {
            check((1..=4096).contains(&lora.rank), "adapt.lora.rank", "a rank from 1 to 4096 was expected", "8 is common");
            check(
                lora.alpha > 0.0 && lora.alpha.is_finite(),
                "adapt.lora.alpha",
                "a number above 0 was expected",
                "16 is common",
            );
            check(freeze.is_empty(), "adapt.freeze", "adapters keep everything else already", "leave it out");
            check(layer_decay.is_none(), "adapt.layer-decay", "adapters are one group", "leave it out");
        }
        let every = self.adapt.every_steps != Some(0);
        check(every, "adapt.every-steps", "0 never comes", "leave it out for once an epoch");
        check(self.adapt.row_tokens != Some(0), "adapt.row-tokens", "rows of 0 tokens hold nothing", "128 is common");
        let learned = matches!(
            self.task.kind,
            TaskKind::Classification(_)
                | TaskKind::Tagging(_)
                | TaskKind::Extraction(_)
                | TaskKind::Writing(_)
                | TaskKind::Chat(_)
                | TaskKind::Preference(_)
        );
        let path = format!("task.kind.{}", self.task.kind.name());
        check(learned, &path, "is judged without being learned", "score it with ssl eval --suite");
        check(!self.task.train.is_empty(), "task.train", "there is nothing to learn from", "name files of examples");
        faults
    }
}
