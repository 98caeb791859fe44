//! A run: one TOML file that says what to train, on what, how.

use std::path::Path;

use serde::{Deserialize, Serialize};
use ssl_data::config::{DataConfig, Fault, TokenizerConfig, WindowConfig};
use ssl_data::objective::ObjectiveConfig;
use ssl_eval::config::EvalConfig;
use ssl_model::config::{ModelConfig, Pooling};
use ssl_model::params::Precision;
use ssl_train::config::{OptimConfig, TrainConfig};
use ssl_train::schedule::ScheduleConfig;

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
    #[serde(default)]
    pub(crate) eval: EvalConfig,
}

impl RunConfig {
    /// Reads a run file and checks every section.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, overrides, Self::validate)
    }

    /// The same for what reads no data, such as a ready run that is only timed: nothing to read is then no fault.
    pub(crate) fn load_without_data(path: &Path, overrides: &[String]) -> Result<Loaded<Self>, Diagnosis> {
        let faults = |run: &Self| run.validate().into_iter().filter(|fault| fault.path != "data.paths").collect();
        diagnose::load(path, overrides, faults)
    }

    /// The same for a run that is launched as `world` ranks.
    ///
    /// # Errors
    /// Every fault at once, with its place.
    pub(crate) fn load_for(path: &Path, overrides: &[String], world: u32) -> Result<Loaded<Self>, Diagnosis> {
        diagnose::load(path, overrides, |run: &Self| {
            let mut faults = run.validate();
            if world > 1 {
                run.check_ranks(world, &mut faults);
            }
            faults
        })
    }

    /// The `[data]` section with the special tokens that the objective needs.
    pub(crate) fn data(&self) -> DataConfig {
        let mut data = self.data.clone();
        let needed = self.objective.special_tokens();
        data.special_tokens.extend(needed.into_iter().filter(|name| !self.data.special_tokens.contains(name)));
        data
    }

    /// Every fault of meaning, none where the run can start.
    pub(crate) fn validate(&self) -> Vec<Fault> {
        let sections = [
            self.data.validate(),
            self.objective.validate(),
            self.model.validate(),
            self.optim.validate(),
            self.schedule.validate(),
            self.train.validate(),
            self.eval.validate(),
            self.validate_together(),
        ];
        sections.into_iter().flatten().collect()
    }

    /// The faults that no section can see alone.
    fn validate_together(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let context = self.model.context_tokens();
        if let WindowConfig::Slide { stride_tokens } = self.data.windows
            && stride_tokens > context
        {
            let message = format!("windows of {context} tokens that move on by {stride_tokens} would leave text unread");
            faults.push(Fault::new("data.windows.slide.stride-tokens", message, format!("give at most {context}")));
        }
        if let WindowConfig::Streams { rows } = self.data.windows
            && rows != self.train.batch_rows
        {
            let message = format!("{rows} streams cannot be read by batches of {}", self.train.batch_rows);
            faults.push(Fault::new(
                "data.windows.streams.rows",
                message,
                format!("give {}, train.batch-rows", self.train.batch_rows),
            ));
        }
        if matches!(self.model, ModelConfig::Lstm(_)) && self.data.windows == (WindowConfig::Isolated {}) {
            let message = "a recurrent model reads past the documents' separators";
            faults.push(Fault::new("data.windows.isolated", message, "take streams, or segments for a document at a time"));
        }
        let (objective, model) = (&self.objective, &self.model);
        if !model.reads(objective.form()) {
            let message = format!("the {} objective makes batches that {} does not read", objective.name(), model.name());
            let hint = "the README says which objectives go with which models";
            faults.push(Fault::new(&format!("model.{}", model.name()), message, hint));
        }
        if *objective == (ObjectiveConfig::Diffusion {}) && matches!(model, ModelConfig::Electra(_)) {
            let message = "an ELECTRA tells words that were replaced from words that were not";
            faults.push(Fault::new("model.electra", message, "give it the masked objective"));
        }
        let asked = matches!(objective, ObjectiveConfig::Masked(masked) if masked.next_sentence);
        let answers = matches!(model, ModelConfig::Bert(bert) if bert.next_sentence);
        if asked != answers {
            let message =
                if asked { "nobody answers whether a sentence follows" } else { "nobody asks whether a sentence follows" };
            let hint = "give objective.masked.next-sentence and model.bert.next-sentence the same value";
            faults.push(Fault::new(&format!("model.{}", model.name()), message, hint));
        }
        if self.train.recompute && !model.recomputes() {
            let message = format!("{} has no blocks to compute again", model.name());
            faults.push(Fault::new("train.recompute", message, "leave it out"));
        }
        self.check_pairs(&mut faults);
        self.check_windows(&mut faults);
        self.check_contrast(&mut faults);
        if model.is_self_taught() {
            self.check_self_taught(&mut faults);
        }
        let (name, warmup) = match self.schedule {
            ScheduleConfig::Constant { warmup_steps } => ("constant", warmup_steps),
            ScheduleConfig::InverseSqrt { warmup_steps } => ("inverse-sqrt", warmup_steps),
            ScheduleConfig::Linear { warmup_steps, .. } => ("linear", warmup_steps),
            ScheduleConfig::Cosine { warmup_steps, .. } => ("cosine", warmup_steps),
            ScheduleConfig::Wsd { warmup_steps, .. } => ("wsd", warmup_steps),
        };
        if let Some(steps) = self.train.steps
            && warmup > steps
        {
            let message = format!("a run of {steps} steps ends within a warm-up of {warmup}");
            faults.push(Fault::new(&format!("schedule.{name}.warmup-steps"), message, "a few percent of the steps are common"));
        }
        faults
    }
}

impl RunConfig {
    /// Translations need pairs, one in a window, and nothing else takes pairs.
    fn check_pairs(&self, faults: &mut Vec<Fault>) {
        let translates = matches!(self.objective, ObjectiveConfig::Translation(_));
        if translates && self.data.pairs.is_none() {
            let hint = "say where translations are: [data.pairs.files], [data.pairs.tab] or [data.pairs.field]";
            faults.push(Fault::new("objective.translation", "texts have nothing that they could be translated to", hint));
        }
        if translates && self.data.windows != (WindowConfig::Segments {}) {
            let message = "a pair would run into the next one";
            faults.push(Fault::new("objective.translation", message, "give [data.windows.segments], a pair a window"));
        }
        if !translates && self.data.pairs.is_some() {
            let message = format!("the {} objective reads texts, not pairs", self.objective.name());
            faults.push(Fault::new("data.pairs", message, "leave it out, or give [objective.translation]"));
        }
    }

    /// Only causal rows know documents from each other, and go on where rows before them ended.
    fn check_windows(&self, faults: &mut Vec<Fault>) {
        if matches!(self.objective, ObjectiveConfig::Infill(_))
            && matches!(
                self.data.tokenizer,
                TokenizerConfig::Wordpiece(_) | TokenizerConfig::Unigram(_) | TokenizerConfig::Word(_)
            )
        {
            let message = "texts cut anywhere come back as other ids";
            faults.push(Fault::new("objective.infill", message, "take a byte-bpe or char tokenizer"));
        }
        let name = match self.data.windows {
            WindowConfig::Isolated {} => "isolated",
            WindowConfig::Streams { .. } => "streams",
            _ => return,
        };
        if self.objective != (ObjectiveConfig::Causal {}) {
            let message = format!("the {} objective does not read {name} windows", self.objective.name());
            faults.push(Fault::new(&format!("data.windows.{name}"), message, "segments hold one document each"));
        }
    }

    /// Two readings of a text differ by dropout alone; and what is only learned from texts needs texts.
    fn check_contrast(&self, faults: &mut Vec<Fault>) {
        let Some((dropout, pooling)) = self.model.contrastive() else { return };
        let texts = self.objective == (ObjectiveConfig::Contrastive {});
        let path = format!("model.{}", self.model.name());
        if texts && dropout == 0.0 {
            let message = "without dropout both readings of a text are the same";
            faults.push(Fault::new(&path, message, "give dropout = 0.1"));
        }
        if texts && self.train.batch_rows < 2 {
            faults.push(Fault::new("train.batch-rows", "one text has none to be told from", "give 64 or so"));
        }
        if !texts && pooling == Pooling::ClsMlp {
            let message = format!("the {} objective does not train the layer of cls-mlp", self.objective.name());
            faults.push(Fault::new(&path, message, "leave contrastive.pooling out until the contrastive run"));
        }
    }

    /// Ranks share the rows of a batch, and gradients.
    fn check_ranks(&self, world: u32, faults: &mut Vec<Fault>) {
        let rows = self.train.batch_rows;
        if !rows.is_multiple_of(world) {
            let hint = format!("give {}, or start another number of ranks", rows.next_multiple_of(world));
            faults.push(Fault::new("train.batch-rows", format!("{rows} rows cannot be divided among {world} ranks"), hint));
        }
        if self.objective == (ObjectiveConfig::Contrastive {}) {
            let message = "each text is told from all others of its batch, which no rank has";
            faults.push(Fault::new("objective.contrastive", message, "train it in one process"));
        }
        if self.model.is_self_taught() {
            let message = "the model moves its own weights, and leaves no gradients that ranks could add up";
            let path = format!("model.{}", self.model.name());
            faults.push(Fault::new(&path, message, "train it in one process, with as many --threads as there are cores"));
        }
    }

    /// What a model that moves its own weights takes from `[optim]` and `[train]` is a learning rate.
    fn check_self_taught(&self, faults: &mut Vec<Fault>) {
        let mut check = |fine: bool, key: &str, message: &str, hint: &str| {
            if !fine {
                faults.push(Fault::new(key, message, hint));
            }
        };
        let plain = matches!(&self.optim, OptimConfig::Sgd(sgd) if sgd.momentum == 0.0 && sgd.weight_decay == 0.0);
        let name = match self.optim {
            OptimConfig::Sgd(_) => "optim.sgd",
            OptimConfig::Adam(_) => "optim.adam",
            OptimConfig::Adamw(_) => "optim.adamw",
            OptimConfig::Muon(_) => "optim.muon",
        };
        check(plain, name, "the model moves its own weights, by a learning rate alone", "give [optim.sgd] with lr alone");
        let train = &self.train;
        check(train.precision == Precision::Fp32, "train.precision", "the model learns in fp32", "leave precision out");
        check(train.accumulate == 1, "train.accumulate", "there are no gradients to add up", "give more batch-rows instead");
        check(train.clip_norm.is_none(), "train.clip-norm", "there are no gradients to clip", "leave clip-norm out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"
[data]
paths = ["text"]
[data.tokenizer.byte-bpe]
vocab-tokens = 4096
[objective.causal]
[model.gpt]
[optim.adamw]
lr = 3e-4
[schedule.cosine]
warmup-steps = 20
[train]
steps = 100
batch-rows = 8
"#;

    fn told(overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        match diagnose::parse("run.toml", RUN.into(), &overrides, RunConfig::validate) {
            Ok(loaded) => loaded.resolved,
            Err(diagnosis) => diagnosis.to_string(),
        }
    }

    #[test]
    fn small_run_is_enough_and_resolves_to_itself() {
        let resolved = told(&[]);
        let again = diagnose::parse("again", resolved.clone(), &[], RunConfig::validate).expect("a run");
        assert_eq!(again.resolved, resolved);
        assert!(resolved.contains("context-tokens = 1024") && resolved.contains("every-steps = 500"), "{resolved}");
    }

    #[test]
    fn paradigms_that_do_not_go_together_are_refused() {
        let run = |objective: &str| RUN.replace("[objective.causal]", objective);
        let told = |text: String| match diagnose::parse("run.toml", text, &[], RunConfig::validate) {
            Ok(_) => String::new(),
            Err(diagnosis) => diagnosis.to_string(),
        };
        let translation = run("[objective.translation]").replace("[model.gpt]", "[model.transformer]");
        let faults = told(translation.clone());
        assert!(faults.contains("could be translated to") && faults.contains("run into the next one"), "{faults}");
        let pairs = "[data.pairs.tab]\n[data.windows.segments]\n[objective.translation]";
        assert_eq!(told(translation.replace("[objective.translation]", pairs)), "");
        assert!(told(run("[data.pairs.tab]\n[objective.causal]")).contains("reads texts, not pairs"));
        assert!(told(run("[objective.span]")).contains("batches that gpt does not read"));
        assert!(told(run("[objective.masked]\nnext-sentence = true")).contains("nobody answers"));
        let electra = run("[objective.diffusion]").replace("[model.gpt]", "[model.electra]");
        assert!(told(electra).contains("words that were replaced"));
        let words = run("[objective.neighbours]").replace("[model.gpt]", "[model.word2vec]");
        assert!(told(words).contains("moves its own weights"));
        let recurrent = RUN.replace("[model.gpt]", "[model.lstm]") + "recompute = true\n";
        assert!(told(recurrent).contains("lstm has no blocks to compute again"));
    }

    #[test]
    fn sections_are_checked_together() {
        let told = told(&["data.windows.slide.stride-tokens=2000", "train.steps=10", "model.gpt.heads=7"]);
        assert!(told.contains("windows of 1024 tokens that move on by 2000"), "{told}");
        assert!(told.contains("a run of 10 steps ends within a warm-up of 20"), "{told}");
        assert!(told.contains("768 / 7 leaves 5") && told.ends_with("3 faults"), "{told}");
    }
}
