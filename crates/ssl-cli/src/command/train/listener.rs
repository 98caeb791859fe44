//! What listens to a run: records, progress, validation, samples.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use ssl_data::objective::Objective;
use ssl_data::sampler::Sampler;
use ssl_data::vocab::Vocab;
use ssl_eval::bits_per_byte::validate;
use ssl_eval::sample::{Sampling, Want};
use ssl_model::Model;
use ssl_train::checkpoint::Checkpoint;
use ssl_train::report::{Metrics, Record, TensorBoard};
use ssl_train::state::TrainState;
use ssl_train::trainer::{Flow, Hook, HookError, StepReport};
use tch::{Device, Kind};

use super::report::Measured;
use crate::age;
use crate::assemble::{CORPUS, Session};
use crate::budget::Budget;
use crate::energy::{Energy, POWERCAP};
use crate::matrix::matrix_rate;
use crate::progress::StepLine;
use crate::run::RunConfig;
use crate::signal;
use crate::write::Writer;

/// Listens to one run.
pub(super) struct Listener<'a> {
    session: &'a Session,
    config: &'a RunConfig,
    measured: Option<&'a Sampler>,
    judge: &'a dyn Objective,
    vocab: Vocab,
    device: Device,
    metrics: Metrics,
    board: TensorBoard,
    /// The record of this step while its validation is under way.
    pending: Option<Record>,
    /// The last validation's bits per byte, shown until the next.
    bits: Option<f64>,
    flops_per_step: f64,
    kind: Kind,
    /// The matrix rate of the machine, measured once the first step is done, so that nothing waits for it.
    peak_flops: Option<f64>,
    /// Seconds from the process's start to the end of its first step.
    first_step: Option<f64>,
    energy: Energy,
    joules: Option<f64>,
    clock: Clock,
}

/// Speed since the last record, and over the whole run.
struct Clock {
    since: Instant,
    tokens: u64,
    /// The step of the last record, and the one that this part of the run began after.
    step: u64,
    first: u64,
    begin: (f64, u64),
    now: (f64, u64),
    steps: u64,
    /// Seconds of validation, which is not training, before `now`, and since.
    paused: f64,
    since_now: f64,
}

impl<'a> Listener<'a> {
    /// Opens the run's records after the step it goes on from.
    #[expect(clippy::too_many_arguments, reason = "it listens to everything there is")]
    pub(super) fn new(
        session: &'a Session,
        config: &'a RunConfig,
        dir: &Path,
        budget: &Budget,
        measured: Option<&'a Sampler>,
        judge: &'a dyn Objective,
        state: &TrainState,
        resumed_from: Option<u64>,
    ) -> Result<Self> {
        let device = state.params.device();
        let log = dir.join("metrics.jsonl");
        // The record of a step whose validation was cut short is written again, whole.
        let pending = if state.progress.unmeasured { Some(record_of(&log, state)) } else { None };
        let kept = resumed_from.map(|step| step - u64::from(pending.is_some()));
        Ok(Self {
            session,
            config,
            measured,
            judge,
            vocab: Vocab::load(&dir.join(CORPUS).join(ssl_data::manifest::TOKENIZER))?,
            device,
            metrics: Metrics::open(&log, kept)?,
            board: TensorBoard::open(dir, kept)?,
            pending,
            bits: None,
            flops_per_step: budget.flops.usual() as f64,
            kind: state.params.precision().kind(),
            peak_flops: None,
            first_step: None,
            energy: Energy::open(Path::new(POWERCAP)),
            joules: None,
            clock: Clock {
                since: Instant::now(),
                tokens: state.progress.tokens,
                step: state.progress.step,
                first: state.progress.step,
                steps: 0,
                begin: (state.progress.seconds, state.progress.tokens),
                now: (state.progress.seconds, state.progress.tokens),
                paused: 0.0,
                since_now: 0.0,
            },
        })
    }

    /// Tokens a second over this part of the run, validation aside.
    pub(super) fn tokens_per_second(&self) -> f64 {
        let Clock { begin, now, paused, .. } = &self.clock;
        (now.1 - begin.1) as f64 / (now.0 - begin.0 - paused).max(1e-9)
    }

    /// The share of the machine's matrix rate that this part of the run came to, validation aside.
    pub(super) fn mfu(&self) -> Option<f64> {
        let Clock { begin, now, paused, steps, .. } = &self.clock;
        Some(self.share(*steps, (now.0 - begin.0 - paused).max(1e-9))?).filter(|_| *steps > 0)
    }

    /// The share of the machine's matrix rate that so many steps in so many seconds amount to.
    fn share(&self, steps: u64, seconds: f64) -> Option<f64> {
        Some(steps as f64 * self.flops_per_step / seconds / self.peak_flops?)
    }

    /// What was measured beside the training itself.
    pub(super) fn measured(&mut self) -> Measured {
        self.joules = self.energy.joules();
        Measured { peak_flops: self.peak_flops, first_step: self.first_step, joules: self.joules }
    }

    /// After the first step: how long it took to come there, and what the machine could do.
    fn begin(&mut self) -> Result<(), HookError> {
        let start = Instant::now();
        self.first_step = age::seconds();
        self.peak_flops = Some(ssl_torch::guard(|| matrix_rate(self.device, self.kind))?);
        let took = start.elapsed();
        self.clock.since_now += took.as_secs_f64();
        self.clock.since += took;
        Ok(())
    }

    fn log(&mut self, record: &Record) {
        self.metrics.log(record);
        self.board.log(record);
    }

    fn writer<'b>(&'b self, model: &'b dyn Model) -> Writer<'b> {
        Writer { model, objective: &self.config.objective, vocab: &self.vocab, device: self.device, beam: None }
    }

    /// Text drawn now; `None` when a stop cut it short.
    fn sample(&self, model: &dyn Model, step: u64) -> Result<Option<String>, HookError> {
        let eval = &self.config.eval;
        let writer = self.writer(model);
        let prompt = self.vocab.encode(&eval.prompt)?;
        // A document begins after a separator.
        let ids: Vec<u32> = std::iter::once(self.vocab.separator()).chain(prompt.iter().copied()).collect();
        let (before, mut drawn) =
            if writer.goes_on() { (String::new(), prompt) } else { (format!("{} → ", eval.prompt), vec![]) };
        let sampling = Sampling { temperature: eval.temperature, top_p: eval.top_p, seed: step, ..Sampling::default() };
        let mut cut = false;
        writer.write(&ids, u64::from(eval.sample_tokens), &sampling, &mut |id, _| {
            drawn.push(id);
            cut = signal::requested();
            if cut { Want::Enough } else { Want::More }
        })?;
        Ok((!cut).then(|| before + &self.vocab.decode(&drawn)))
    }
}

impl Hook for Listener<'_> {
    fn step(&mut self, report: &StepReport, logged: bool) -> Result<Flow, HookError> {
        let flow = if signal::requested() { Flow::Stop } else { Flow::Continue };
        self.clock.paused += std::mem::take(&mut self.clock.since_now);
        self.clock.now = (report.seconds, report.tokens);
        self.clock.steps = report.step - self.clock.first;
        if self.first_step.is_none() && self.peak_flops.is_none() {
            self.begin()?;
        }
        let last = report.planned_steps == Some(report.step);
        let due = self.eval_every().is_some_and(|every| last || report.step.is_multiple_of(every));
        if logged || due {
            let elapsed = self.clock.since.elapsed().as_secs_f64().max(1e-9);
            let speed = (report.tokens - self.clock.tokens) as f64 / elapsed;
            let mfu = self.share(report.step - self.clock.step, elapsed);
            (self.clock.since, self.clock.tokens, self.clock.step) = (Instant::now(), report.tokens, report.step);
            self.joules = self.energy.joules();
            let record = Record {
                step: report.step,
                tokens: report.tokens,
                loss: report.loss,
                lr: report.lr,
                grad_norm: report.grad_norm,
                tokens_per_second: speed,
                mfu,
                rss_mib: ssl_torch::memory::resident_mib().unwrap_or(f64::NAN),
                seconds: report.seconds,
                ..Record::default()
            };
            let left = report.planned_steps.map_or(f64::NAN, |steps| (steps - report.step) as f64);
            let begin = self.clock.begin;
            let rate = (report.tokens - begin.1) as f64 / (report.seconds - begin.0).max(1e-9);
            let tokens_per_step = report.tokens as f64 / report.step as f64;
            self.session.progress.step(&StepLine {
                step: report.step,
                steps: report.planned_steps.unwrap_or(0),
                loss: report.loss,
                bpb: self.bits,
                norm: report.grad_norm,
                lr: report.lr,
                tokens_per_second: speed,
                mfu: record.mfu,
                eta_seconds: left * tokens_per_step / rate,
            });
            if due && flow == Flow::Continue {
                self.pending = Some(record);
            } else {
                self.log(&record);
            }
        }
        Ok(flow)
    }

    fn eval_every(&self) -> Option<u64> {
        self.measured.map(|_| self.config.eval.every_steps)
    }

    fn validate(&mut self, model: &dyn Model, report: &StepReport) -> Result<Option<f64>, HookError> {
        let start = Instant::now();
        let Some(mut record) = self.pending.take() else { return Ok(None) };
        let Some(measured) = self.measured else { return Ok(None) };
        let rows = u64::from(self.config.train.batch_rows);
        let found =
            validate(model, measured, self.judge, rows, self.device, self.config.eval.max_tokens, &|_| signal::requested());
        let found = match found {
            Err(ssl_eval::Error::Stopped) => None,
            found => Some(found?),
        };
        let wanted = self.config.eval.sample_tokens > 0 && self.writer(model).writes();
        let sample = if wanted && found.is_some() { self.sample(model, report.step)? } else { None };
        let Some(found) = found.filter(|_| sample.is_some() || !wanted) else {
            // Cut short: a resumed run measures again, and the same.
            self.log(&record);
            return Ok(None);
        };
        record.val_loss = Some(found.nats_per_token.value);
        record.val_bpb = found.bits_per_byte.map(|bits| bits.value);
        record.val_stderr = found.bits_per_byte.map(|bits| bits.stderr).filter(|stderr| stderr.is_finite());
        record.sample = sample;
        self.bits = record.val_bpb;
        self.log(&record);
        let loss = found.nats_per_token.value;
        let bits = record.val_bpb.map_or_else(String::new, |bits| format!("  {bits:.3} bits a byte"));
        self.session.progress.say(&format!("step {}  validation {loss:.4} nats{bits}", report.step));
        self.clock.since_now += start.elapsed().as_secs_f64();
        self.clock.since = Instant::now();
        Ok(Some(loss))
    }

    fn saved(&mut self, _checkpoint: &Checkpoint) {}

    fn save_failed(&mut self, fault: &ssl_train::Error) {
        self.session.progress.say(&format!("warning: {fault}; training goes on, the next checkpoint will be tried"));
    }
}

/// The record of the step that a resumed run stands at, without its validation.
fn record_of(log: &Path, state: &TrainState) -> Record {
    let progress = &state.progress;
    let logged = Metrics::read(log).unwrap_or_default().into_iter().find(|record| record.step == progress.step);
    logged.unwrap_or_else(|| Record {
        step: progress.step,
        tokens: progress.tokens,
        loss: progress.last_loss.unwrap_or(f64::NAN),
        lr: f64::NAN,
        grad_norm: f64::NAN,
        seconds: progress.seconds,
        ..Record::default()
    })
}
