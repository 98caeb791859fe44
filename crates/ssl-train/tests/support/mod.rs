//! A small run: a character model over the hand-written English of `fixtures/corpus`.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use ssl_data::config::{DataConfig, WindowConfig};
use ssl_data::corpus::Corpus;
use ssl_data::corpus::SplitName;
use ssl_data::objective::Causal;
use ssl_data::objective::causal::Reach;
use ssl_data::prepare::{Silent, prepare};
use ssl_data::sampler::Sampler;
use ssl_model::Model;
use ssl_model::config::{GptConfig, LstmConfig, ModelConfig};
use ssl_model::params::{Params, Precision};
use ssl_torch::{Choice, Runtime};
use ssl_train::checkpoint::Checkpoint;
use ssl_train::config::{AdamConfig, OptimConfig, ScheduleConfig, TrainConfig};
use ssl_train::error::Error;
use ssl_train::feed::Feed;
use ssl_train::recording::Recording;
use ssl_train::state::TrainState;
use ssl_train::trainer::{Flow, Hook, HookError, Saving, StepReport, Stopped, Trainer};
use tch::Tensor;

const CONTEXT: usize = 16;

/// libtorch draws from one generator a process, so runs that are compared bit for bit take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What a run is made of.
pub(crate) struct Setup {
    pub(crate) model: ModelConfig,
    pub(crate) windows: WindowConfig,
    pub(crate) train: TrainConfig,
    pub(crate) optim: OptimConfig,
}

impl Setup {
    pub(crate) fn new(precision: Precision) -> Self {
        let train = json!({
            "steps": 40, "batch-rows": 3, "accumulate": 2, "clip-norm": 0.5, "seed": 7,
            "log-every-steps": 1, "save-every-steps": 5, "keep-checkpoints": 3,
        });
        let model =
            GptConfig { layers: 2, heads: 2, width: 24, context_tokens: CONTEXT as u32, dropout: 0.2, ..GptConfig::default() };
        let optim = AdamConfig { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
        let train = TrainConfig { precision, ..serde_json::from_value(train).expect("a train section") };
        let windows = WindowConfig::default();
        Self { model: ModelConfig::Gpt(model), windows, train, optim: OptimConfig::Adamw(optim) }
    }

    /// The same with a recurrent model, which reads its text in streams.
    pub(crate) fn recurrent() -> Self {
        let model = LstmConfig { layers: 2, width: 24, context_tokens: CONTEXT as u32, dropout: 0.2, ..LstmConfig::default() };
        let setup = Self::new(Precision::Fp32);
        let windows = WindowConfig::Streams { rows: setup.train.batch_rows };
        Self { model: ModelConfig::Lstm(model), windows, ..setup }
    }

    /// The state before the first step, and the model on it.
    pub(crate) fn begin(&self, vocab: u32) -> (Box<dyn Model>, TrainState) {
        let runtime = Runtime::start(Choice::Cpu, None).expect("libtorch");
        let mut params = Params::new(runtime.device(), self.train.precision, Some(self.train.seed));
        let model = self.model.build(vocab, &mut params);
        (model, TrainState::new(params, &self.optim))
    }

    /// Trains `state` on, saving below `root`, until `listener` or the plan ends it.
    pub(crate) fn fit(
        &self,
        model: &dyn Model,
        state: &mut TrainState,
        corpus: &Corpus,
        root: &Path,
        listener: &mut Listener,
    ) -> Result<Stopped, Error> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let sampler = Sampler::new(corpus, &self.windows, CONTEXT, 3).expect("a sampler");
        let objective = Box::new(Causal::new(CONTEXT, corpus.separator(), Reach::from(&self.windows)));
        let feed = Feed::start(sampler, objective, u64::from(self.train.batch_rows), state.progress.sample).expect("a feed");
        let mut trainer = Trainer {
            model,
            feed,
            state,
            config: &self.train,
            peak_lr: self.optim.lr(),
            schedule: &ScheduleConfig::Cosine { warmup_steps: 4, final_share: 0.1 },
            saving: Some(Saving {
                root: root.into(),
                config_hash: "hash".into(),
                companions: vec![("run.toml", b"verbatim".to_vec())],
            }),
            ranks: None,
            recording: Recording::default(),
        };
        trainer.fit(listener)
    }
}

/// Keeps what a run reports; fails at a step, as a kill would, where told to.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) reports: Vec<StepReport>,
    pub(crate) saved: Vec<u64>,
    pub(crate) die_at: Option<u64>,
    /// What each validation is to return.
    pub(crate) losses: Vec<f64>,
}

impl Hook for Listener {
    fn step(&mut self, report: &StepReport, _: bool) -> Result<Flow, HookError> {
        if self.die_at == Some(report.step) {
            return Err("killed".into());
        }
        self.reports.push(*report);
        Ok(Flow::Continue)
    }

    fn eval_every(&self) -> Option<u64> {
        (!self.losses.is_empty()).then_some(2)
    }

    fn validate(&mut self, _: &dyn Model, report: &StepReport) -> Result<Option<f64>, HookError> {
        Ok(self.losses.get(report.step as usize / 2 - 1).copied())
    }

    fn saved(&mut self, checkpoint: &Checkpoint) {
        self.saved.push(checkpoint.step);
    }

    fn save_failed(&mut self, fault: &Error) {
        panic!("{fault}");
    }
}

/// The training half of a small corpus prepared into `dir`.
pub(crate) fn corpus(dir: &Path) -> Corpus {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/corpus/english");
    let config: DataConfig =
        serde_json::from_value(json!({ "paths": [text], "tokenizer": { "char": {} } })).expect("a data section");
    prepare(&config, dir, &Silent).expect("a corpus");
    Corpus::open(dir, SplitName::Train).expect("shards")
}

/// Every weight, moment and count, bit for bit.
pub(crate) fn bits(state: &TrainState) -> Vec<(String, Vec<u8>)> {
    let bytes = |tensor: &Tensor| {
        let values: Vec<f64> = tensor.to_kind(tch::Kind::Double).reshape([-1]).try_into().expect("numbers");
        values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
    };
    let weights = state.params.list().iter().map(|param| (param.name.clone(), bytes(&param.master)));
    let moments = state.optimizer.state(&state.params);
    let carried = state.carry.iter().map(|tensor| ("carry".to_owned(), bytes(tensor)));
    weights.chain(moments.iter().map(|(name, tensor)| (name.clone(), bytes(tensor)))).chain(carried).collect()
}
