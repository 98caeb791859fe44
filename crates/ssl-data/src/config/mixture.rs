//! Several sources in one corpus, and how much of each is trained on when.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DataConfig, Fault, PairsConfig, WindowConfig};
use crate::source::shown;

/// Paths of a configuration without named sources that are told apart; those behind them are one part.
const TOLD_APART: usize = 64;

/// `[data.sources.NAME]`. Weights and epochs say what is drawn in training; another weight does not touch the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceConfig {
    /// Files, folders and globs, as `data.paths`.
    pub paths: Vec<PathBuf>,
    /// Its share of the windows trained on, as a part of the sum of all weights; 0 leaves it out. Absent, its share of the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Its windows are drawn at most this many times; what others there are then share its place. Absent, without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_epochs: Option<f64>,
}

/// One entry of `[[data.curriculum]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phase {
    /// The first sample that is drawn so, counted over the whole run: a step takes `train.batch-rows` of them. Samples and not shares
    /// of the run, so that a run that is made longer has the same beginning.
    pub from_sample: u64,
    /// Weights of sources by name; those that are not named keep theirs.
    pub weights: BTreeMap<String, f64>,
}

impl DataConfig {
    /// What is told apart in counts: the named sources in order, or else the paths, as they may be told.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, &[PathBuf])> {
        if !self.sources.is_empty() {
            return self.sources.iter().map(|(name, source)| (name.clone(), &source.paths[..])).collect();
        }
        let (first, rest) = self.paths.split_at(self.paths.len().min(TOLD_APART));
        let mut parts: Vec<_> = first.iter().map(|path| (shown(path), std::slice::from_ref(path))).collect();
        if !rest.is_empty() {
            parts.push((format!("{} more paths", rest.len()), rest));
        }
        parts
    }

    /// The faults of sources and curriculum.
    pub(super) fn mixture_faults(&self, faults: &mut Vec<Fault>) {
        let mut fault = |path: &str, message: String, hint: &str| faults.push(Fault::new(&format!("data.{path}"), message, hint));
        if !self.sources.is_empty() && !self.paths.is_empty() {
            fault("paths", "there are sources too".into(), "give the paths a source of their own");
        }
        if !self.sources.is_empty() && matches!(self.pairs, Some(PairsConfig::Files { .. })) {
            let message = "other sides in files of their own belong to no source".into();
            fault("pairs.files", message, "use pairs.tab or pairs.field, or paths without sources");
        }
        if self.sources.len() > 1 && matches!(self.windows, WindowConfig::Streams { .. }) {
            let message = "streams go on where they ended, so their windows cannot be drawn by weight".into();
            fault("windows.streams", message, "use windows.packed, or one source");
        }
        let fine = |weight: f64| weight.is_finite() && weight >= 0.0;
        for (name, source) in &self.sources {
            if name.is_empty() || name.chars().any(char::is_control) {
                fault("sources", format!("{name:?} is no name"), "letters, digits and hyphens do well");
            }
            if source.paths.is_empty() {
                fault(&format!("sources.{name}.paths"), "there is nothing to read".into(), "name files, folders or globs");
            }
            if let Some(weight) = source.weight.filter(|&weight| !fine(weight)) {
                fault(&format!("sources.{name}.weight"), format!("{weight} is no weight"), "0 or more; only proportions count");
            }
            if let Some(epochs) = source.max_epochs.filter(|&epochs| !(epochs.is_finite() && epochs > 0.0)) {
                let hint = "weight = 0 leaves a source out, no max-epochs repeats it without end";
                fault(&format!("sources.{name}.max-epochs"), format!("{epochs} is no number of epochs"), hint);
            }
        }
        let weighted = self.sources.values().filter(|source| source.weight.is_some()).count();
        if weighted > 0 && weighted < self.sources.len() {
            fault("sources", "some have a weight and some do not".into(), "give each a weight, or none");
        }
        if weighted > 0 && self.sources.values().all(|source| source.weight == Some(0.0)) {
            fault("sources", "all weights are 0".into(), "give one of them a weight");
        }
        if !self.curriculum.is_empty() && weighted == 0 {
            fault("curriculum", "there are no sources with weights".into(), "give the sources in [data.sources] weights");
        }
        let mut before = 0;
        let mut weights: BTreeMap<&str, f64> =
            self.sources.iter().map(|(name, source)| (name.as_str(), source.weight.unwrap_or(0.0))).collect();
        for (at, phase) in self.curriculum.iter().enumerate() {
            if phase.from_sample <= before {
                let message = format!("phase {} begins at sample {}, not behind {before}", at + 1, phase.from_sample);
                fault("curriculum", message, "in order; the weights of the sources hold from sample 0");
            }
            before = phase.from_sample;
            for (name, &weight) in &phase.weights {
                match weights.get_mut(name.as_str()) {
                    None => fault("curriculum", format!("there is no source {name:?}"), "name one of [data.sources]"),
                    Some(_) if !fine(weight) => fault("curriculum", format!("{weight} is no weight"), "0 or more"),
                    Some(old) => *old = weight,
                }
            }
            if weights.values().all(|&weight| weight == 0.0) {
                fault("curriculum", format!("all weights are 0 in phase {}", at + 1), "give one of them a weight");
            }
        }
    }
}
