//! What listens to a fine-tuning: records, progress, and the task's score on its validation examples.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use ssl_data::task::{Example, Task};
use ssl_eval::adapted::Asked;
use ssl_model::Model;
use ssl_train::checkpoint::Checkpoint;
use ssl_train::report::{Metrics, Record};
use ssl_train::state::TrainState;
use ssl_train::trainer::{Flow, Hook, HookError, StepReport};

use super::learner::Data;
use crate::adapt::FinetuneConfig;
use crate::assemble::Session;
use crate::progress::StepLine;
use crate::signal;

/// Listens to one seed's run.
pub(super) struct Listener<'a> {
    session: &'a Session,
    config: &'a FinetuneConfig,
    data: &'a Data,
    judged: &'a dyn Model,
    labels: &'a [String],
    validation: &'a [Example],
    metrics: Metrics,
    /// The record of a step while its validation is under way.
    pending: Option<Record>,
    every_steps: u64,
    since: (Instant, u64),
}

impl<'a> Listener<'a> {
    /// Opens the run's records after the step it goes on from.
    pub(super) fn new(
        session: &'a Session,
        config: &'a FinetuneConfig,
        dir: &Path,
        data: &'a Data,
        judged: &'a dyn Model,
        task: &'a Task,
        state: &TrainState,
    ) -> Result<Self> {
        let step = state.progress.step;
        // The record of a step whose validation was cut short is written again, whole.
        let pending = state.progress.unmeasured.then(|| Record { step, ..Record::default() });
        let kept = (step > 0).then(|| step - u64::from(pending.is_some()));
        let a_step = u64::from(config.train.batch_rows) * u64::from(config.train.accumulate);
        Ok(Self {
            session,
            config,
            data,
            judged,
            labels: &task.labels,
            validation: &task.validation.examples,
            metrics: Metrics::open(&dir.join("metrics.jsonl"), kept)?,
            pending,
            every_steps: config.adapt.every_steps.unwrap_or_else(|| data.units().div_ceil(a_step).max(1)),
            since: (Instant::now(), state.progress.tokens),
        })
    }

    fn log(&mut self, record: &Record) {
        self.metrics.log(record);
    }
}

impl Hook for Listener<'_> {
    fn step(&mut self, report: &StepReport, logged: bool) -> Result<Flow, HookError> {
        let flow = if signal::requested() { Flow::Stop } else { Flow::Continue };
        let last = report.planned_steps == Some(report.step);
        let due = self.eval_every().is_some_and(|every| last || report.step.is_multiple_of(every));
        if logged || due {
            let speed = (report.tokens - self.since.1) as f64 / self.since.0.elapsed().as_secs_f64().max(1e-9);
            self.since = (Instant::now(), report.tokens);
            let record = Record {
                step: report.step,
                tokens: report.tokens,
                loss: report.loss,
                lr: report.lr,
                grad_norm: report.grad_norm,
                tokens_per_second: speed,
                rss_mib: ssl_torch::memory::resident_mib().unwrap_or(f64::NAN),
                seconds: report.seconds,
                ..Record::default()
            };
            let steps = report.planned_steps.unwrap_or(0);
            self.session.progress.step(&StepLine {
                step: report.step,
                steps,
                loss: report.loss,
                bpb: None,
                norm: report.grad_norm,
                lr: report.lr,
                tokens_per_second: speed,
                mfu: None,
                eta_seconds: steps.saturating_sub(report.step) as f64 * report.seconds / report.step.max(1) as f64,
            });
            if due && flow == Flow::Continue { self.pending = Some(record) } else { self.log(&record) }
        }
        Ok(flow)
    }

    fn eval_every(&self) -> Option<u64> {
        (!self.validation.is_empty()).then_some(self.every_steps)
    }

    fn validate(&mut self, _model: &dyn Model, report: &StepReport) -> Result<Option<f64>, HookError> {
        let Some(mut record) = self.pending.take() else { return Ok(None) };
        let asked = Asked {
            model: self.judged,
            encoder: &self.data.encoder,
            kind: &self.config.task.kind,
            labels: self.labels,
            device: self.data.device,
        };
        let found = match asked.judge(self.validation, &|_| signal::requested()) {
            Err(ssl_eval::Error::Stopped) => {
                self.log(&record);
                return Ok(None);
            }
            found => found?,
        };
        if let Some(score) = found.scores.first() {
            let (metric, value) = (score.metric, score.interval.estimate.value);
            record.score = Some(value);
            self.session.progress.say(&format!("step {}  {metric} {value:.4}", report.step));
        }
        self.log(&record);
        self.since.0 = Instant::now();
        Ok(Some(found.loss()))
    }

    fn saved(&mut self, _checkpoint: &Checkpoint) {}

    fn save_failed(&mut self, fault: &ssl_train::Error) {
        self.session.progress.say(&format!("warning: {fault}; training goes on, the next checkpoint will be tried"));
    }
}
