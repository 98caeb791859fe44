//! A comparison: one TOML file that says which paradigms meet on which data, at what cost, and by which tasks they are judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssl_data::config::{DataConfig, Fault};

use crate::diagnose::{self, Diagnosis, Loaded};

/// The sections of a comparison's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CompareConfig {
    /// The corpus and the tokenizer, the same for all; how it is cut into windows is each run file's own affair.
    pub(crate) data: DataConfig,
    /// What each may cost.
    pub(crate) budget: BudgetConfig,
    /// Each is pretrained, and adapted, once for each of these.
    #[serde(default = "one_seed")]
    pub(crate) seeds: Vec<u64>,
    /// What is compared, by name: a paradigm, or a size of one.
    pub(crate) arms: BTreeMap<String, Part>,
    /// What each is adapted to, by name.
    #[serde(default)]
    pub(crate) tasks: BTreeMap<String, Part>,
}

/// What one pretraining may cost: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BudgetConfig {
    /// Operations, counted over each model's own batches.
    pub(crate) flops: Option<f64>,
    /// Wall minutes.
    pub(crate) minutes: Option<f64>,
    /// No text is read more often than this, whatever is left of the budget: what costs little would else read it a thousand times.
    #[serde(default = "many")]
    pub(crate) max_epochs: f64,
}

/// A run file, or a fine-tuning's, and what is changed in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Part {
    /// The file, relative to the working directory.
    pub(crate) file: PathBuf,
    /// Keys and values, as `--set` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) set: Vec<String>,
    /// Arms of one family differ by size alone, and are what a size is recommended from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<String>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

const fn many() -> f64 {
    20.0
}

impl CompareConfig {
    /// Reads a comparison's file and checks it.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, overrides, Self::validate)
    }

    fn validate(&self) -> Vec<Fault> {
        let mut faults = self.data.validate();
        let mut check = |fine: bool, path: &str, message: &str, hint: &str| {
            if !fine {
                faults.push(Fault::new(path, message, hint));
            }
        };
        let BudgetConfig { flops, minutes, max_epochs } = &self.budget;
        let one = flops.is_some() != minutes.is_some();
        check(one, "budget", "either flops or minutes make arms equal", "give one of them, such as flops = 1e14");
        let fine = |n: &Option<f64>| n.is_none_or(|n| n > 0.0 && n.is_finite());
        check(fine(flops), "budget.flops", "a number above 0 was expected", "1e14 is about ten minutes of two cores");
        check(fine(minutes), "budget.minutes", "a number above 0 was expected", "5 is a start");
        check(*max_epochs > 0.0, "budget.max-epochs", "a number above 0 was expected", "20 is the default");
        check(!self.arms.is_empty(), "arms", "nothing is compared", "name a run file under [arms.NAME]");
        check(!self.seeds.is_empty(), "seeds", "without a seed nothing runs", "leave it out for [1]");
        for (kind, parts) in [("arms", &self.arms), ("tasks", &self.tasks)] {
            for name in parts.keys() {
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                    && !name.starts_with('.')
                    && !name.is_empty();
                let hint = "letters, digits, - and _ name a folder";
                check(plain, &format!("{kind}.{name}"), "the name cannot be that of a folder", hint);
            }
        }
        faults
    }
}
