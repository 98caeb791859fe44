//! What a fine-tuning learns with: the model that is adapted, its head, and its examples as rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use ssl_data::batch::{Batch, Grid};
use ssl_data::manifest::TOKENIZER;
use ssl_data::sampler::shuffled;
use ssl_data::task::{Encoded, Encoder, Task, TaskKind};
use ssl_model::Model;
use ssl_model::dpo::Dpo;
use ssl_model::head::Headed;
use ssl_model::params::Params;
use ssl_model::weights::{self, CONFIG, WEIGHTS, write_config};
use ssl_train::checkpoint::Companion;
use ssl_train::feed::{self, Feed};
use tch::Device;

use super::rates;
use crate::adapt::FinetuneConfig;
use crate::adapted::{FINETUNE, LABELS, head, reader};
use crate::assemble::{RESOLVED, RUN, Session, Shape, home, precision};
use crate::diagnose::Loaded;
use crate::outcome::Refusal;

/// A model about to be adapted, and what it is adapted to.
pub(super) struct Learner {
    pub(super) pupil: Pupil,
    pub(super) params: Params,
    pub(super) data: Data,
    /// Optimizer steps in all.
    pub(super) steps: u64,
}

/// What learns.
pub(super) enum Pupil {
    /// The model itself, with its head where the task has one.
    Plain(Box<dyn Model>),
    /// A model beside the one that it began as.
    Preferring(Dpo),
}

impl Pupil {
    /// What is trained.
    pub(super) fn trained(&self) -> &dyn Model {
        match self {
            Self::Plain(model) => model.as_ref(),
            Self::Preferring(dpo) => dpo,
        }
    }

    /// What is judged.
    pub(super) fn judged(&self) -> &dyn Model {
        match self {
            Self::Plain(model) => model.as_ref(),
            Self::Preferring(dpo) => dpo.policy(),
        }
    }
}

/// The examples as rows, and what every checkpoint carries of them.
pub(super) struct Data {
    pub(super) encoder: Encoder,
    /// Rows that belong together: one, or the two of a preference.
    units: Arc<Vec<Vec<Encoded>>>,
    /// Whether two rows make one example.
    pairs: bool,
    pub(super) device: Device,
    from: PathBuf,
    labels: Vec<String>,
    config_json: Vec<u8>,
}

impl Learner {
    /// Reads the model at `from`, adds what the task needs, and turns its examples into rows.
    pub(super) fn build(session: &Session, config: &FinetuneConfig, task: &Task, from: &Path, seed: u64) -> Result<Self> {
        let shape = Shape::read(from)?;
        let runtime = session.runtime()?;
        let device = home(&shape.config, &runtime);
        let precision = precision(session, device, config.train.precision);
        let mut params = Params::new(device, precision, Some(seed));
        params.adapt(config.adapt.lora.clone());
        let base = ssl_torch::guard(|| shape.config.build(shape.vocab_size, &mut params))?;
        params.adapt(None);
        let own = params.list().len();
        if !config.adapt.random_weights {
            let fit = weights::adopt(&from.join(WEIGHTS), &params)?;
            let expected = params.list().iter().filter(|param| !rates::is_adapter(&param.name)).count();
            if fit < expected {
                let message = format!("{} has {fit} of the model's {expected} weights", from.display());
                return Err(Refusal::input(message, "the folder is damaged, or holds another model than its config.json says"));
            }
        }
        let vocab = shape.needed_vocab(from)?;
        let length = config.adapt.row_tokens.map_or(base.context(), |most| base.context().min(most as usize));
        let reader = reader(&shape);
        let encoder = Encoder::new(&vocab, length, reader, &config.task.kind)?.weighing(task);
        let pupil = pupil(config, &shape, base, task, &mut params, from)?;
        rates::set(&mut params, &config.adapt, own);
        let units = units(&encoder, task, &config.task.kind)?;
        let first: Vec<&Encoded> = units.iter().take(2).flatten().collect();
        let batch = feed::upload(encoder.collate(&first), device)?;
        rates::keep_unread(&mut params, pupil.trained(), &batch)?;
        let steps = steps(config, units.len() as u64);
        let data = Data {
            encoder,
            units: Arc::new(units),
            pairs: matches!(config.task.kind, TaskKind::Preference(_)),
            device,
            from: from.into(),
            labels: task.labels.clone(),
            config_json: config_json(from, &shape, &vocab)?,
        };
        Ok(Self { pupil, params, data, steps })
    }
}

/// The model with what the task adds to it.
fn pupil(
    config: &FinetuneConfig,
    shape: &Shape,
    base: Box<dyn Model>,
    task: &Task,
    params: &mut Params,
    from: &Path,
) -> Result<Pupil> {
    if let Some(head) = head(&config.task.kind, task.labels.len(), config.adapt.pool) {
        let dropout = config.adapt.dropout;
        let headed = ssl_torch::guard(|| Headed::new(base, &shape.config, &head, dropout, params))?;
        return Ok(Pupil::Plain(Box::new(headed)));
    }
    if base.decoder().is_none() {
        let message = format!("a {} does not write, which this task asks for", shape.config.name());
        return Err(Refusal::usage(message, "adapt a GPT, a Llama, an LSTM, a T5 or a translation model"));
    }
    if !matches!(config.task.kind, TaskKind::Preference(_)) {
        return Ok(Pupil::Plain(base));
    }
    let mut still = Params::new(params.device(), params.precision(), None);
    let reference = ssl_torch::guard(|| shape.config.build(shape.vocab_size, &mut still))?;
    weights::adopt(&from.join(WEIGHTS), &still)?;
    still.set_rates(|_| 0.0);
    Ok(Pupil::Preferring(Dpo::new(base, reference, config.adapt.beta)))
}

/// The rows of all training examples, those of one that belong together side by side.
fn units(encoder: &Encoder, task: &Task, kind: &TaskKind) -> Result<Vec<Vec<Encoded>>> {
    let mut units = Vec::with_capacity(task.train.examples.len());
    for (at, example) in task.train.examples.iter().enumerate() {
        let rows = encoder.encode(example, at)?;
        if matches!(kind, TaskKind::Preference(_)) {
            units.push(rows);
        } else {
            units.extend(rows.into_iter().map(|row| vec![row]));
        }
    }
    Ok(units)
}

/// Optimizer steps: as configured, or so many that every row is seen in every epoch.
fn steps(config: &FinetuneConfig, units: u64) -> u64 {
    let a_step = u64::from(config.train.batch_rows) * u64::from(config.train.accumulate);
    let of_epochs = |epochs: f64| ((units as f64 * epochs / a_step as f64).ceil() as u64).max(1);
    config.adapt.epochs.map_or_else(|| config.train.steps.unwrap_or(1), of_epochs)
}

/// The model's own `config.json`, as a checkpoint of ours writes it.
fn config_json(from: &Path, shape: &Shape, vocab: &ssl_data::vocab::Vocab) -> Result<Vec<u8>> {
    let scratch = tempfile::NamedTempFile::new()?;
    write_config(scratch.path(), &shape.config, shape.vocab_size, Some(vocab.separator()))?;
    std::fs::read(scratch.path()).with_context(|| format!("cannot copy {}", from.join(CONFIG).display()))
}

/// The same batch, whose loss is divided by its pairs.
fn by_pairs(mut batch: Batch<Grid>) -> Batch<Grid> {
    if let Batch::Rows(rows) | Batch::Pair(_, rows) = &mut batch {
        let n = rows.counts.shape()[0] as usize;
        rows.counts = Grid::column((0..n).map(|row| if row % 2 == 0 { 1.0 } else { 0.0 }).collect());
    }
    batch
}

impl Data {
    /// Batches without end: every unit once an epoch, in an order that is a function of (seed, epoch).
    pub(super) fn feed(&self, rows: u64, from: u64, seed: u64) -> Result<Feed> {
        let (units, encoder, pairs) = (Arc::clone(&self.units), self.encoder.clone(), self.pairs);
        let make = move |first: u64| -> ssl_data::Result<Batch<Grid>> {
            let n = units.len() as u64;
            let unit = |sample: u64| units.get(shuffled(n, seed, sample) as usize).into_iter().flatten();
            let rows: Vec<&Encoded> = (first..first + rows).flat_map(unit).collect();
            let batch = encoder.collate(&rows);
            Ok(if pairs { by_pairs(batch) } else { batch })
        };
        Ok(Feed::made(rows, from, make)?)
    }

    /// Rows that belong together, in all.
    pub(super) fn units(&self) -> u64 {
        self.units.len() as u64
    }

    /// The files that make a checkpoint a model of its own: those of the model that was adapted, and what it was adapted to.
    pub(super) fn companions(&self, loaded: &Loaded<FinetuneConfig>) -> Result<Vec<Companion>> {
        let mut companions = vec![
            (CONFIG, self.config_json.clone()),
            (FINETUNE, loaded.resolved.clone().into_bytes()),
            (LABELS, serde_json::to_vec_pretty(&self.labels)?),
        ];
        for name in [TOKENIZER, RUN, RESOLVED] {
            let path = self.from.join(name);
            if path.exists() {
                companions.push((name, std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?));
            }
        }
        Ok(companions)
    }
}
