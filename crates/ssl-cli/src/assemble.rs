//! The one place that knows every crate by name: from arguments and files to the parts that work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use ssl_data::config::WindowConfig;
use ssl_data::corpus::Corpus;
use ssl_data::manifest::TOKENIZER;
use ssl_data::objective::{Form, MaskedConfig, ObjectiveConfig, TranslationConfig};
use ssl_data::sampler::Sampler;
use ssl_data::vocab::{PAD, Vocab};
use ssl_model::Model;
use ssl_model::config::ModelConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, CONFIG, WEIGHTS};
use ssl_torch::{Choice, Runtime};
use ssl_train::checkpoint::Checkpoint;

use crate::args::{Common, Device};
use crate::diagnose;
use crate::outcome::Refusal;
use crate::progress::{Progress, Style};
use crate::run::RunConfig;

/// The folder of checkpoints in a run folder.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The folder of the corpus in a run folder.
pub(crate) const CORPUS: &str = "corpus";
/// The run file as it was written, in run folders and checkpoints.
pub(crate) const RUN: &str = "run.toml";
/// The run with overrides and defaults, in run folders and checkpoints.
pub(crate) const RESOLVED: &str = "resolved.toml";

/// Where an exported `config.json` says what a model was trained for.
pub(crate) const OBJECTIVE: &str = "ssl_objective";

/// What every verb works with.
pub(crate) struct Session {
    /// The voice on stderr.
    pub(crate) progress: Arc<Progress>,
    device: Device,
    threads: Option<usize>,
    /// Which of the processes of this machine.
    local: usize,
}

impl Session {
    /// By the flags that every verb takes.
    pub(crate) fn new(common: &Common) -> Self {
        let style = if common.quiet { Style::Quiet } else { Style::for_stderr() };
        Self {
            progress: Arc::new(Progress::new(style)),
            device: common.device,
            threads: common.threads.map(usize::from),
            local: 0,
        }
    }

    /// The same for one rank of several: only the one that leads has a voice, and each process of a machine has its own GPU.
    pub(crate) fn rank(&self, leads: bool, local: usize) -> Self {
        let progress = if leads { Arc::clone(&self.progress) } else { Arc::new(Progress::new(Style::Quiet)) };
        Self { progress, device: self.device, threads: self.threads, local }
    }

    /// Starts libtorch; before anything else that touches it.
    pub(crate) fn runtime(&self) -> Result<Runtime> {
        let choice = match self.device {
            Device::Auto => Choice::Auto { nth: self.local },
            Device::Cpu => Choice::Cpu,
            Device::Cuda(n) => Choice::Cuda(n),
        };
        Ok(Runtime::start(choice, self.threads)?)
    }
}

/// The windows of a validation: those of training, in order.
pub(crate) fn windows(corpus: &Corpus, windows: &WindowConfig, length: usize) -> Result<Sampler> {
    Ok(Sampler::new(corpus, windows, length, 0)?)
}

/// Where a model lives: on the device that was chosen, or on the CPU if it knows no other.
pub(crate) fn home(config: &ModelConfig, runtime: &Runtime) -> tch::Device {
    if config.is_self_taught() { tch::Device::Cpu } else { runtime.device() }
}

/// What a run computes in on `device`: what it asks for, or fp32 where the device has no bf16 arithmetic.
pub(crate) fn precision(session: &Session, device: tch::Device, asked: Precision) -> Precision {
    let computed = computed(device, asked);
    if computed != asked {
        session.progress.say("this processor has no bf16 arithmetic: computing in fp32, with the same weights kept");
    }
    computed
}

/// The same without a word.
pub(crate) fn computed(device: tch::Device, asked: Precision) -> Precision {
    if asked == Precision::Bf16 && !ssl_torch::computes_bf16(device) { Precision::Fp32 } else { asked }
}

/// Whether a loss is that of predicting tokens, so that its exponential is a perplexity.
pub(crate) fn predicts_tokens(objective: &ObjectiveConfig, model: &ModelConfig) -> bool {
    !matches!(objective.form(), Form::Texts | Form::Words) && !matches!(model, ModelConfig::Electra(_))
}

/// A trained model, ready to use.
pub(crate) struct Opened {
    /// The model.
    pub(crate) model: Box<dyn Model>,
    /// Its weights.
    pub(crate) params: Params,
    /// Its shape.
    pub(crate) config: ModelConfig,
    /// Ids.
    pub(crate) vocab_size: u32,
    /// Its tokenizer; absent in a folder without one.
    vocab: Option<Vocab>,
    /// The folder it was read from.
    pub(crate) dir: PathBuf,
    /// The run it was trained by, where it came from one.
    pub(crate) run: Option<RunConfig>,
    /// What it was trained for, where that is known.
    objective: Option<ObjectiveConfig>,
}

impl Opened {
    /// What it was trained for; a folder of transformers is taken for what its kind of model is used for.
    pub(crate) fn objective(&self) -> ObjectiveConfig {
        let reads = |form| self.config.reads(form);
        let usual = || match () {
            () if reads(Form::Causal) => ObjectiveConfig::Causal {},
            () if reads(Form::Pair) => ObjectiveConfig::Translation(TranslationConfig::default()),
            () if reads(Form::Both) => ObjectiveConfig::Masked(MaskedConfig::default()),
            () if reads(Form::Texts) => ObjectiveConfig::Contrastive {},
            () => ObjectiveConfig::Neighbours {},
        };
        self.objective.clone().unwrap_or_else(usual)
    }

    /// The tokenizer.
    pub(crate) fn vocab(&self) -> Result<&Vocab> {
        let missing = || {
            Refusal::input(
                format!("{} has no {TOKENIZER}", self.dir.display()),
                "put the model's tokenizer.json beside its weights",
            )
        };
        self.vocab.as_ref().ok_or_else(missing)
    }
}

/// Reads the model at `path`: a run folder (its best checkpoint), a checkpoint, or a Hugging Face folder. In fp32.
pub(crate) fn open(session: &Session, path: &Path) -> Result<Opened> {
    let dir = resolve(session, path)?;
    let runtime = session.runtime()?;
    let run = trained_by(&dir)?;
    let (config, vocab_size) = weights::read_config(&dir.join(CONFIG))?;
    // A checkpoint of ours knows more than config.json can say, such as a model without biases.
    let mut config = run.as_ref().map_or(config, |run| run.model.clone());
    let mut params = Params::new(home(&config, &runtime), Precision::Fp32, None);
    let model = ssl_torch::guard(|| config.build(vocab_size, &mut params))?;
    weights::load(&dir.join(WEIGHTS), &params)?;
    let tokenizer = dir.join(TOKENIZER);
    let vocab = tokenizer.exists().then(|| Vocab::load(&tokenizer)).transpose()?;
    if let Some(vocab) = vocab.as_ref().filter(|vocab| vocab.size() > vocab_size) {
        let message = format!("{} has {} ids, the model only {vocab_size}", tokenizer.display(), vocab.size());
        return Err(Refusal::input(message, "the tokenizer belongs to another model"));
    }
    if let Some(Ok(pad)) = vocab.as_ref().map(|vocab| vocab.special(PAD)) {
        config.starts_with(pad);
    }
    let objective = match &run {
        Some(run) => Some(run.objective.clone()),
        None => exported(&dir.join(CONFIG))?,
    };
    Ok(Opened { model, params, config, vocab_size, vocab, dir, run, objective })
}

/// The objective that an export of ours wrote into `config.json`.
fn exported(path: &Path) -> Result<Option<ObjectiveConfig>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let json: Value = serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
    let bad = |fault| Refusal::input(format!("{}: {OBJECTIVE}: {fault}", path.display()), "export the model again");
    json.get(OBJECTIVE).map(|objective| ObjectiveConfig::deserialize(objective).map_err(bad)).transpose()
}

/// The folder that holds the weights meant by `path`.
pub(crate) fn resolve(session: &Session, path: &Path) -> Result<PathBuf> {
    let root = path.join(CHECKPOINTS);
    if root.is_dir() {
        let (latest, passed) = Checkpoint::latest(&root)?;
        for fault in passed {
            session.progress.say(&format!("warning: {fault}; the one before is used"));
        }
        let latest = latest.ok_or(ssl_train::Error::NoCheckpoint { dir: root.clone() })?;
        let best = latest.progress()?.best.at.map(|(step, _)| root.join(format!("{step:08}")));
        return Ok(best.and_then(|dir| Checkpoint::open(&dir).ok()).unwrap_or(latest).dir);
    }
    // A checkpoint without DONE was never finished, which opening it says.
    if ["DONE", "state.json"].iter().any(|name| path.join(name).exists()) {
        return Ok(Checkpoint::open(path)?.dir);
    }
    if path.join(CONFIG).exists() {
        return Ok(path.to_owned());
    }
    let message = format!("{} holds no model", path.display());
    Err(Refusal::input(
        message,
        "name a run folder, a checkpoint folder, or a Hugging Face folder with config.json and model.safetensors",
    ))
}

/// The run of a checkpoint of ours.
fn trained_by(dir: &Path) -> Result<Option<RunConfig>> {
    let path = dir.join(RESOLVED);
    if !path.exists() {
        return Ok(None);
    }
    let loaded = diagnose::load::<RunConfig>(&path, &[], |_| Vec::new());
    Ok(Some(loaded.with_context(|| format!("in {}", path.display()))?.value))
}
