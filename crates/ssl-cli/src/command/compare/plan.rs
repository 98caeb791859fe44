//! What a comparison will run: every arm with its steps, so that all cost the same, and every task.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::config::DataConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::prepare::prepare;
use ssl_data::task::{Encoder, Reader, TaskKind};
use ssl_data::vocab::Vocab;
use ssl_model::config::ModelConfig;

use crate::adapt::FinetuneConfig;
use crate::adapted::reader_of;
use crate::assemble::{CORPUS, Session, computed, home};
use crate::budget::Budget;
use crate::compare::{CompareConfig, Part};
use crate::outcome::Refusal;
use crate::progress::words;
use crate::run::RunConfig;

/// All that a comparison runs.
pub(super) struct Plan {
    pub(super) arms: Vec<Planned>,
    pub(super) tasks: Vec<(String, Task)>,
    pub(super) manifest: Manifest,
}

/// One pretraining.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) arm: String,
    pub(super) family: Option<String>,
    pub(super) seed: u64,
    pub(super) dir: PathBuf,
    /// The run file in full.
    pub(super) file: PathBuf,
    pub(super) model: ModelConfig,
    reader: Reader,
    pub(super) params: u64,
    /// Steps; absent where minutes decide.
    pub(super) steps: Option<u64>,
    /// Operations of all steps.
    pub(super) flops: Option<f64>,
    /// Passes over the text.
    pub(super) epochs: Option<f64>,
    /// Whether the text was read as often as allowed before the budget was spent.
    pub(super) capped: bool,
}

/// One task that every arm is adapted to.
pub(super) struct Task {
    pub(super) file: PathBuf,
    kind: TaskKind,
    vocab: Vocab,
}

impl Plan {
    /// Prepares the corpus and fixes every arm's steps.
    pub(super) fn make(session: &Session, config: &CompareConfig, out: &Path) -> Result<Self> {
        let mut runs = Vec::new();
        for (name, part) in &config.arms {
            runs.push((name, part, load(part, &config.data)?));
        }
        let data = shared(&config.data, runs.iter().map(|(_, _, run)| run));
        let corpus = out.join(CORPUS);
        std::fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
        let manifest = prepare(&data, &corpus, &*session.progress)?;
        session.progress.finish();
        let vocab = Vocab::load(&corpus.join(ssl_data::manifest::TOKENIZER))?;
        let tokens = Corpus::open(&corpus, SplitName::Train)?.tokens();
        let mut arms = Vec::new();
        for (name, part, run) in runs {
            for &seed in &config.seeds {
                let of = Arm { name, part, seed, tokens };
                arms.push(of.plan(session, config, &run, &data, &vocab, out)?);
            }
        }
        let mut tasks = Vec::new();
        for (name, part) in &config.tasks {
            // The model is named when there is one.
            let set: Vec<String> = part.set.iter().cloned().chain(["train.from=\"-\"".to_owned()]).collect();
            let loaded = FinetuneConfig::load(&part.file, &set)?;
            let file = out.join(format!("task-{name}.toml"));
            write(&file, &loaded.resolved)?;
            tasks.push((name.clone(), Task { file, kind: loaded.value.task.kind.clone(), vocab: vocab.clone() }));
        }
        Ok(Self { arms, tasks, manifest })
    }

    /// The plan in a few lines.
    pub(super) fn describe(&self) -> String {
        let mut lines = Vec::new();
        for arm in &self.arms {
            let steps = arm.steps.map_or_else(|| "as many steps as fit".into(), |steps| format!("{} steps", words::count(steps)));
            let flops = arm.flops.map_or_else(String::new, |flops| format!(", {} operations", words::scaled(flops)));
            let epochs = arm.epochs.map_or_else(String::new, |epochs| format!(", {epochs:.2} epochs"));
            let capped = if arm.capped { " (as often as the text may be read; the rest of the budget is not spent)" } else { "" };
            let params = words::scaled(arm.params as f64);
            lines.push(format!("{}: {params} parameters, {steps}{flops}{epochs}{capped}", arm.label()));
        }
        lines.join("\n")
    }

    /// For `--json`.
    pub(super) fn json(&self) -> Value {
        let arm = |arm: &Planned| {
            json!({
                "arm": arm.arm, "seed": arm.seed, "params": arm.params, "steps": arm.steps, "flops": arm.flops, "epochs": arm.epochs,
                "capped": arm.capped,
            })
        };
        json!({ "plan": self.arms.iter().map(arm).collect::<Vec<_>>() })
    }
}

impl Planned {
    pub(super) fn label(&self) -> String {
        format!("{} seed {}", self.arm, self.seed)
    }
}

impl Task {
    /// Why an arm cannot be asked this, where it cannot.
    pub(super) fn refuses(&self, planned: &Planned) -> Option<String> {
        let length = planned.model.context_tokens() as usize;
        let fault = Encoder::new(&self.vocab, length, planned.reader, &self.kind).err();
        let writes = matches!(self.kind, TaskKind::Writing(_) | TaskKind::Chat(_) | TaskKind::Preference(_));
        let silent = writes && planned.model.is_self_taught();
        fault.map(|fault| fault.to_string()).or_else(|| silent.then(|| "word vectors do not write".to_owned()))
    }
}

/// One arm's part of the file.
struct Arm<'a> {
    name: &'a str,
    part: &'a Part,
    seed: u64,
    /// Tokens of the training split.
    tokens: u64,
}

impl Arm<'_> {
    fn plan(
        &self,
        session: &Session,
        config: &CompareConfig,
        run: &RunConfig,
        data: &DataConfig,
        vocab: &Vocab,
        out: &Path,
    ) -> Result<Planned> {
        let mut run = run.clone();
        run.data = DataConfig { windows: run.data.windows.clone(), ..data.clone() };
        run.train.seed = self.seed;
        let device = home(&run.model, &session.runtime()?);
        let precision = computed(device, run.train.precision);
        let cost = Budget::of(&run, vocab.size(), precision, device)?;
        let per_step = cost.flops.usual() as f64;
        let a_step = cost.positions(&run) as f64;
        // A text shorter than one step is read whole once.
        let most = (config.budget.max_epochs * self.tokens as f64 / a_step).max(1.0);
        let mut capped = false;
        (run.train.steps, run.train.minutes) = match (config.budget.flops, config.budget.minutes) {
            (Some(flops), _) => {
                capped = flops / per_step > most;
                let steps = (flops / per_step).min(most).floor();
                if steps < 1.0 {
                    let message =
                        format!("one step of {} costs {} operations, more than all may", self.name, words::scaled(per_step));
                    return Err(Refusal::usage(message, "raise budget.flops, or give the arm a smaller batch"));
                }
                (Some(steps as u64), None)
            }
            (None, minutes) => ((most.floor() as u64 > 0).then_some(most as u64), minutes),
        };
        let fixed = run.train.steps.filter(|_| config.budget.flops.is_some());
        if let Some(fault) = run.validate().into_iter().next() {
            let message = format!("arm {}: {}: {}", self.name, fault.path, fault.message);
            return Err(Refusal::usage(message, fault.hint));
        }
        let dir = out.join(self.name).join(format!("seed-{}", self.seed));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = dir.join("arm.toml");
        write(&file, &toml::to_string(&run).context("the run cannot be written as TOML")?)?;
        Ok(Planned {
            arm: self.name.to_owned(),
            family: self.part.family.clone(),
            seed: self.seed,
            dir,
            file,
            reader: reader_of(&run.objective),
            model: run.model,
            params: cost.params,
            steps: fixed,
            flops: fixed.map(|steps| steps as f64 * per_step),
            epochs: fixed.map(|steps| steps as f64 * a_step / self.tokens.max(1) as f64),
            capped,
        })
    }
}

/// A run file over the shared data.
fn load(part: &Part, data: &DataConfig) -> Result<RunConfig> {
    let loaded = RunConfig::load_without_data(&part.file, &part.set)?;
    let mut run = loaded.value;
    run.data = DataConfig { windows: run.data.windows.clone(), ..data.clone() };
    Ok(run)
}

/// The shared data with the special tokens of every arm, so that one tokenizer serves all.
fn shared<'a>(data: &DataConfig, runs: impl Iterator<Item = &'a RunConfig>) -> DataConfig {
    let mut special: Vec<String> = data.special_tokens.clone();
    let mut known: BTreeSet<String> = special.iter().cloned().collect();
    for name in runs.flat_map(|run| run.objective.special_tokens()) {
        if known.insert(name.clone()) {
            special.push(name);
        }
    }
    DataConfig { special_tokens: special, ..data.clone() }
}

fn write(path: &Path, text: &str) -> Result<()> {
    // Written only where it differs, so that what depends on it is not done again.
    if std::fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
