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
use ssl_model::head::Headed;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, CONFIG, WEIGHTS};
use ssl_torch::{Choice, Runtime};
use ssl_train::checkpoint::Checkpoint;

use crate::adapt::FinetuneConfig;
use crate::adapted::Adapted;
use crate::args::{Common, Device, Weights};
use crate::diagnose;
use crate::outcome::Refusal;
use crate::progress::{Progress, Style};
use crate::run::RunConfig;

/// The folder of checkpoints in a run folder.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The folder of the corpus in a run folder.
pub(crate) const CORPUS: &str = "corpus";
/// What the corpus of a checkpoint was, in the checkpoint.
pub(crate) const FINGERPRINT: &str = "corpus.fingerprint";
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

    /// The flags that give another process the same session.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        match self.device {
            Device::Auto => {}
            Device::Cpu => flags.extend(["--device".to_owned(), "cpu".to_owned()]),
            Device::Cuda(n) => flags.extend(["--device".to_owned(), format!("cuda:{n}")]),
        }
        if let Some(threads) = self.threads {
            flags.extend(["--threads".to_owned(), threads.to_string()]);
        }
        if self.progress.is_quiet() {
            flags.push("--quiet".to_owned());
        }
        flags
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

/// What a folder says of the model in it, before its weights are read.
pub(crate) struct Shape {
    /// The model.
    pub(crate) config: ModelConfig,
    /// Ids.
    pub(crate) vocab_size: u32,
    /// The run it was trained by, where it came from one.
    pub(crate) run: Option<RunConfig>,
    /// What it was trained for, where that is known.
    objective: Option<ObjectiveConfig>,
}

impl Shape {
    /// Reads it from a model folder.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let run = trained_by(dir)?;
        let (config, vocab_size) = weights::read_config(&dir.join(CONFIG))?;
        // A checkpoint of ours knows more than config.json can say, such as a model without biases.
        let config = run.as_ref().map_or(config, |run| run.model.clone());
        let objective = match &run {
            Some(run) => Some(run.objective.clone()),
            None => exported(&dir.join(CONFIG))?,
        };
        Ok(Self { config, vocab_size, run, objective })
    }

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

    /// The tokenizer beside it, where there is one.
    fn vocab(&self, dir: &Path) -> Result<Option<Vocab>> {
        let tokenizer = dir.join(TOKENIZER);
        let vocab = tokenizer.exists().then(|| Vocab::load(&tokenizer)).transpose()?;
        if let Some(vocab) = vocab.as_ref().filter(|vocab| vocab.size() > self.vocab_size) {
            let message = format!("{} has {} ids, the model only {}", tokenizer.display(), vocab.size(), self.vocab_size);
            return Err(Refusal::input(message, "the tokenizer belongs to another model"));
        }
        Ok(vocab)
    }

    /// The same, which must be there.
    pub(crate) fn needed_vocab(&self, dir: &Path) -> Result<Vocab> {
        self.vocab(dir)?.ok_or_else(|| no_tokenizer(dir))
    }
}

fn no_tokenizer(dir: &Path) -> anyhow::Error {
    Refusal::input(format!("{} has no {TOKENIZER}", dir.display()), "put the model's tokenizer.json beside its weights")
}

/// A trained model, ready to use.
pub(crate) struct Opened {
    /// The model, with the head of the task that it was adapted to.
    pub(crate) model: Box<dyn Model>,
    /// Its weights.
    pub(crate) params: Params,
    /// What its folder says of it.
    pub(crate) shape: Shape,
    /// Its tokenizer; absent in a folder without one.
    vocab: Option<Vocab>,
    /// The folder it was read from.
    pub(crate) dir: PathBuf,
    /// What it was adapted to, where it was.
    pub(crate) adapted: Option<Adapted>,
}

impl Opened {
    /// What it was trained for.
    pub(crate) fn objective(&self) -> ObjectiveConfig {
        self.shape.objective()
    }

    /// The tokenizer.
    pub(crate) fn vocab(&self) -> Result<&Vocab> {
        self.vocab.as_ref().ok_or_else(|| no_tokenizer(&self.dir))
    }
}

/// Reads the model at `path`: a run folder (its best checkpoint), a checkpoint, or a Hugging Face folder. In fp32.
pub(crate) fn open(session: &Session, path: &Path) -> Result<Opened> {
    open_in(session, path, None, Weights::Fp32)
}

/// The model at `path` for use alone, its weights held as `weights` says; a folder of transformers with a head is taken for a model that
/// was adapted as `task` says.
pub(crate) fn open_for_use(session: &Session, path: &Path, task: Option<&FinetuneConfig>, weights: Weights) -> Result<Opened> {
    let mut opened = open_in(session, path, task, weights)?;
    let Opened { params, shape, .. } = &mut opened;
    match weights {
        Weights::Fp32 | Weights::Bf16 => ssl_torch::guard(|| params.settle())?,
        Weights::Int8 if params.device() != tch::Device::Cpu || !shape.config.quantises() => {
            let message = format!("{} does not compute with weights of eight bits on this device", shape.config.name());
            return Err(Refusal::input(message, "--weights int8 is for gpt, llama, multi-token, t5 and transformer, on the CPU"));
        }
        Weights::Int8 => ssl_torch::guard(|| params.quantise(shape.vocab_size))?,
    }
    Ok(opened)
}

fn open_in(session: &Session, path: &Path, task: Option<&FinetuneConfig>, weights: Weights) -> Result<Opened> {
    let dir = resolve(session, path)?;
    let runtime = session.runtime()?;
    let mut shape = Shape::read(&dir)?;
    let adapted = match (Adapted::read(&dir)?, task) {
        (None, Some(task)) => Some(Adapted::foreign(&dir, task)?),
        (adapted, _) => adapted,
    };
    let home = home(&shape.config, &runtime);
    let computed = if weights == Weights::Bf16 { precision(session, home, Precision::Bf16) } else { Precision::Fp32 };
    let mut params = Params::new(home, computed, None);
    params.adapt(adapted.as_ref().and_then(|adapted| adapted.config.adapt.lora.clone()));
    let model = ssl_torch::guard(|| {
        let base = shape.config.build(shape.vocab_size, &mut params);
        params.adapt(None);
        match adapted.as_ref().and_then(Adapted::head) {
            Some(head) => Box::new(Headed::new(base, &shape.config, &head, 0.0, &mut params)),
            None => base,
        }
    })?;
    // transformers keeps no head of pretraining beside another.
    let spare = |name: &str| adapted.as_ref().is_some_and(|adapted| adapted.foreign && is_of_pretraining(name));
    weights::load_but(&dir.join(WEIGHTS), &params, &spare)?;
    let vocab = shape.vocab(&dir)?;
    if let Some(Ok(pad)) = vocab.as_ref().map(|vocab| vocab.special(PAD)) {
        shape.config.starts_with(pad);
    }
    Ok(Opened { model, params, shape, vocab, dir, adapted })
}

/// Whether a weight is of the head that pretraining predicts tokens with.
fn is_of_pretraining(name: &str) -> bool {
    ["cls.", "lm_head."].iter().any(|head| name.starts_with(head))
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
