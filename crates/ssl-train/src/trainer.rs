//! The loop: batches in, weights out, with everything that listens told in order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ssl_data::batch::Batch;
use ssl_data::rng;
use ssl_model::params::Params;
use ssl_model::{Model, Pass, SelfTaught};
use ssl_torch::group::Seat;
use ssl_torch::trace::range;
use ssl_torch::{guard, optimizer};
use tch::{Kind, Tensor};

use crate::checkpoint::{self, Checkpoint, Companion};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::feed::{self, Feed};
use crate::parallel::{Ranks, Reduction};
use crate::recording::Recording;
use crate::schedule::{Schedule, ScheduleConfig};
use crate::state::{Progress, TrainState};

/// Keeps the draws of dropout apart from the other uses of a run's seed.
const DROPOUT: u64 = 0x6472_6f70_6f75_7400;
/// And so those of the ranks that do not have the first row.
const ROWS: u64 = 0x726f_7773_0000_0000;
/// And so the draws of models that move their own weights.
const OWN_STEP: u64 = 0x6f77_6e20_7374_6570;
/// How long speed is measured before a run of so many minutes fixes its number of steps.
const CALIBRATION: Duration = Duration::from_secs(10);

/// One step, as it went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps in all, once they are known.
    pub planned_steps: Option<u64>,
    /// Targets trained on so far.
    pub tokens: u64,
    /// The weighted mean loss of the whole step, nats per target.
    pub loss: f64,
    /// The learning rate used.
    pub lr: f64,
    /// The gradient's length before clipping, of the mean loss; not a number where there is no gradient.
    pub grad_norm: f64,
    /// Wall seconds of training so far.
    pub seconds: f64,
}

impl StepReport {
    /// The step that a resumed run stands at, as far as its checkpoint tells.
    fn again(progress: &Progress) -> Self {
        Self {
            step: progress.step,
            planned_steps: progress.planned_steps,
            tokens: progress.tokens,
            loss: progress.last_loss.unwrap_or(f64::NAN),
            lr: f64::NAN,
            grad_norm: f64::NAN,
            seconds: progress.seconds,
        }
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Another step.
    Continue,
    /// Save and end.
    Stop,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// All steps are done.
    Finished,
    /// Validation stopped improving.
    Patience,
    /// A listener asked: a signal, say.
    Asked,
}

/// What a hook may fail with.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Listens to a run; it sees the model and cannot alter the step.
pub trait Hook {
    /// After every step; `logged` where a record is due.
    ///
    /// # Errors
    /// Ends the run.
    fn step(&mut self, report: &StepReport, logged: bool) -> std::result::Result<Flow, HookError>;

    /// Steps between two validations; `None` never validates.
    fn eval_every(&self) -> Option<u64>;

    /// The validation loss now, nats per token; `None` when it was asked to stop. Also after the last step, and before the
    /// first of a resumed run whose last validation was cut short.
    ///
    /// # Errors
    /// Ends the run.
    fn validate(&mut self, model: &dyn Model, report: &StepReport) -> std::result::Result<Option<f64>, HookError>;

    /// After a checkpoint was written.
    fn saved(&mut self, checkpoint: &Checkpoint);

    /// A checkpoint could not be written; the run goes on and tries again at the next.
    fn save_failed(&mut self, fault: &Error);
}

/// Where and with what companions a run saves.
#[derive(Debug)]
pub struct Saving {
    /// The folder of checkpoints.
    pub root: PathBuf,
    /// The hash of the configuration.
    pub config_hash: String,
    /// Files that travel along.
    pub companions: Vec<Companion>,
}

/// A run.
pub struct Trainer<'a> {
    /// The model; its leaves are those of `state.params`.
    pub model: &'a dyn Model,
    /// Where batches come from, standing at `state.progress.sample`.
    pub feed: Feed,
    /// What must survive.
    pub state: &'a mut TrainState,
    /// How the run goes.
    pub config: &'a TrainConfig,
    /// The peak learning rate.
    pub peak_lr: f64,
    /// Its course.
    pub schedule: &'a ScheduleConfig,
    /// Where checkpoints go; `None` keeps none.
    pub saving: Option<Saving>,
    /// The other processes that train the same model, each of which has its part of the feed; `None` trains alone.
    pub ranks: Option<&'a Ranks>,
    /// The passes so far, where they are recorded; begins empty.
    pub recording: Recording,
}

impl Trainer<'_> {
    /// Trains to the end of the plan, until patience is at its end, or until the hook says stop; the last state is saved.
    ///
    /// # Errors
    /// When a step fails; the checkpoint before it stays. When the last state cannot be saved.
    pub fn fit(&mut self, hook: &mut dyn Hook) -> Result<Stopped> {
        let start = Instant::now();
        let before = self.state.progress;
        if let Some(ranks) = self.ranks {
            self.state.carry = self.state.carry.iter().map(|whole| ranks.own_rows(whole)).collect();
        }
        self.model.carry(self.state.carry.iter().map(Tensor::shallow_clone).collect());
        let mut saved = (before.step > 0).then_some(before.step);
        // A run whose patience is at its end is done, however often it is started again.
        let done = before.best.exhausted(self.config.patience_evals);
        let mut stopped = if done { Stopped::Patience } else { Stopped::Finished };
        if before.unmeasured && hook.eval_every().is_some() {
            match self.measure(hook, &StepReport::again(&before))? {
                (_, Some(Stopped::Asked)) => return Ok(Stopped::Asked),
                (_, Some(why)) => stopped = why,
                (_, None) => {}
            }
            // What is known of the best has changed.
            saved = None;
        }
        while stopped == Stopped::Finished {
            let elapsed = start.elapsed();
            self.plan(elapsed, before.step)?;
            if self.state.progress.planned_steps.is_some_and(|steps| self.state.progress.step >= steps) {
                break;
            }
            let mut report = self.step()?;
            report.seconds = before.seconds + start.elapsed().as_secs_f64();
            self.state.progress.seconds = report.seconds;
            let step = report.step;
            let last = report.planned_steps == Some(step);
            let failed = |source| Error::Hook { step, source };
            let flow = hook.step(&report, last || step.is_multiple_of(self.config.log_every_steps)).map_err(failed)?;
            if self.any(flow == Flow::Stop)? {
                stopped = Stopped::Asked;
            }
            let mut save = step.is_multiple_of(self.config.save_every_steps);
            let due = hook.eval_every().is_some_and(|every| last || step.is_multiple_of(every));
            self.state.progress.unmeasured = due;
            if due && stopped == Stopped::Finished {
                let (best, ended) = self.measure(hook, &report)?;
                save |= best;
                stopped = ended.unwrap_or(stopped);
            }
            if save && !last && stopped == Stopped::Finished {
                let memory = self.memory()?;
                match self.save(memory, hook) {
                    Ok(()) => saved = Some(step),
                    Err(fault) => hook.save_failed(&fault),
                }
            }
        }
        // Where rank 0 could not save, it alone is without the last state, and tries again.
        if self.any(saved != Some(self.state.progress.step))? {
            let memory = self.memory()?;
            let done = self.save(memory, hook);
            // Nobody leaves before the state is durable.
            if self.any(done.is_err())? {
                done?;
                return Err(Error::Ranks { reason: "rank 0 could not write the last checkpoint".into() });
            }
        }
        Ok(stopped)
    }

    /// One validation: whether it is the best so far, and why the run ends with it, where it does.
    fn measure(&mut self, hook: &mut dyn Hook, report: &StepReport) -> Result<(bool, Option<Stopped>)> {
        let failed = |source| Error::Hook { step: report.step, source };
        let mut loss = hook.validate(self.model, report).map_err(failed)?;
        if let Some(ranks) = self.ranks {
            // What one rank was asked to cut short counts for none.
            let cut = self.any(loss.is_none())?;
            let [first] = ranks.told([loss.unwrap_or(f64::NAN)])?;
            loss = (!cut).then_some(first);
        }
        let Some(loss) = loss else { return Ok((false, Some(Stopped::Asked))) };
        let progress = &mut self.state.progress;
        progress.unmeasured = false;
        let best = progress.best.update(report.step, loss);
        Ok((best, progress.best.exhausted(self.config.patience_evals).then_some(Stopped::Patience)))
    }

    /// One optimizer step over all its micro-batches.
    ///
    /// # Errors
    /// When data cannot be read, an operation fails, or loss or gradient are not finite; weights are then as before.
    pub fn step(&mut self) -> Result<StepReport> {
        if let Some(pupil) = self.model.self_taught() {
            if self.ranks.is_some() {
                return Err(Error::Ranks { reason: "a model that moves its own weights trains in one process".into() });
            }
            return self.own_step(pupil);
        }
        let Progress { step, .. } = self.state.progress;
        let fault = |source| Error::Step { step: step + 1, source };
        let moved = self.state.params.moved();
        let leaves: Vec<Tensor> = moved.list().iter().map(|param| param.leaf.shallow_clone()).collect();
        optimizer::drop_grads(&leaves)?;
        let (mut nats, mut weight, mut sums) = (0.0, 0.0, Vec::new());
        let passes = u64::from(self.config.accumulate);
        let first = self.state.progress.sample;
        let mut reduction = self.ranks.map(Reduction::new);
        let mut not_finite = None;
        for pass in 0..passes {
            let micro = self.feed.take()?;
            weight += micro.batch.count();
            let batch = feed::upload(micro.batch, self.state.params.device()).map_err(fault)?;
            let last = pass + 1 == passes;
            // What is recorded has no hooks; there the sums begin after the pass.
            let hooks = reduction.as_ref().filter(|_| !Recording::serves(self.model, &self.state.params));
            let hooks = hooks.map(|reduction| reduction.listen(&leaves, last)).transpose()?;
            match self.forward_backward(&moved, &batch, micro.first, micro.samples, pass) {
                Ok(found) => nats += found,
                // The other ranks wait for gradients, so it is told when they have them.
                Err(fault @ Error::NonFinite { value, .. }) if self.ranks.is_some() => {
                    nats = value;
                    not_finite.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
            }
            drop(hooks);
            if let Some(reduction) = &mut reduction {
                reduction.add(&gradients(&moved)?, last)?;
                optimizer::drop_grads(&leaves)?;
            } else if passes > 1 {
                if sums.is_empty() {
                    sums = gradients(&moved)?.iter().map(|grad| grad.to_kind(Kind::Float).copy()).collect();
                } else {
                    optimizer::accumulate(&sums, &gradients(&moved)?)?;
                }
                optimizer::drop_grads(&leaves)?;
            }
            self.state.progress.sample += micro.samples * self.ranks.map_or(1, |ranks| u64::from(ranks.seat().world));
        }
        let grads = match reduction {
            Some(reduction) => reduction.finish()?,
            None if sums.is_empty() => gradients(&moved)?,
            None => sums,
        };
        if let Some(ranks) = self.ranks {
            [nats, weight] = ranks.sum([nats, weight])?;
            if !nats.is_finite() {
                self.state.progress.sample = first;
                let elsewhere = Error::NonFinite { step: step + 1, what: "loss of another rank", value: nats, sample: first };
                return Err(not_finite.unwrap_or(elsewhere));
            }
        }
        // Gradients are those of the summed nats; one factor makes them those of the mean, clipped.
        let mean = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        let norm = match self.ranks {
            Some(ranks) => ranks.norm(&grads)?,
            None => optimizer::norm(&grads).map_err(fault)?,
        } * mean;
        if !norm.is_finite() {
            self.state.progress.sample = first;
            return Err(Error::NonFinite { step: step + 1, what: "gradient's length", value: norm, sample: first });
        }
        let lr = self.lr();
        let TrainState { optimizer, carry, .. } = &mut *self.state;
        range("optimizer", || optimizer.step(&moved, &grads, lr, mean * clip(norm, self.config.clip_norm)))?;
        *carry = self.model.carried();
        Ok(self.count(weight, nats * mean, lr, norm))
    }

    /// One step of a model that moves its own weights. A loss that is not finite is told when they have moved already; the
    /// checkpoint before stays.
    fn own_step(&mut self, pupil: &dyn SelfTaught) -> Result<StepReport> {
        let Progress { step, .. } = self.state.progress;
        let fault = |source| Error::Step { step: step + 1, source };
        let micro = self.feed.take()?;
        let words = micro.batch.count();
        let batch = feed::upload(micro.batch, self.state.params.device()).map_err(fault)?;
        let lr = self.lr();
        let (nats, predictions) = pupil.learn(&batch, lr, rng::hash(self.config.seed, OWN_STEP, step)).map_err(fault)?;
        if !nats.is_finite() {
            return Err(Error::NonFinite { step: step + 1, what: "loss", value: nats, sample: micro.first });
        }
        self.state.progress.sample += micro.samples;
        Ok(self.count(words, if predictions > 0.0 { nats / predictions } else { 0.0 }, lr, f64::NAN))
    }

    /// The learning rate of the next step.
    fn lr(&self) -> f64 {
        let Progress { step, planned_steps, .. } = self.state.progress;
        self.peak_lr * Schedule::new(self.schedule, planned_steps.unwrap_or(u64::MAX)).share(step)
    }

    /// Counts a step that is done.
    fn count(&mut self, targets: f64, loss: f64, lr: f64, grad_norm: f64) -> StepReport {
        let progress = &mut self.state.progress;
        progress.step += 1;
        progress.tokens += targets as u64;
        progress.last_loss = Some(loss);
        let Progress { step, planned_steps, tokens, seconds, .. } = *progress;
        StepReport { step, planned_steps, tokens, loss, lr, grad_norm, seconds }
    }

    /// Weighted nats of one micro-batch; its gradients are on the leaves of `moved`.
    fn forward_backward(&mut self, moved: &Params, batch: &Batch<Tensor>, first: u64, samples: u64, pass: u64) -> Result<f64> {
        let Progress { step, .. } = self.state.progress;
        let mut draws = rng::hash(self.config.seed, DROPOUT, step * u64::from(self.config.accumulate) + pass);
        if let Some(Seat { rank: rank @ 1.., world }) = self.ranks.map(Ranks::seat) {
            draws = rng::hash(draws, ROWS, u64::from(rank * (self.config.batch_rows / world)));
        }
        let way = if self.config.recompute { Pass::Recompute } else { Pass::Train };
        let fault = |source| Error::Step { step: step + 1, source };
        guard(|| tch::manual_seed(draws as i64)).map_err(fault)?;
        let loss = self.recording.pass(self.model, moved, batch, way).map_err(fault)?;
        let nats = guard(|| loss.total.double_value(&[])).map_err(fault)?;
        if nats.is_finite() {
            return Ok(nats);
        }
        let rows = loss.rows();
        let row = rows.iter().position(|(nats, _)| !nats.is_finite()).unwrap_or(0) as u64;
        let sample = first + row * (samples / rows.len().max(1) as u64);
        Err(Error::NonFinite { step: step + 1, what: "loss", value: nats, sample })
    }

    /// Fixes the number of steps: as configured, or fewer where the speed of the first ones says that minutes end sooner.
    /// The speed is that of rank 0.
    fn plan(&mut self, elapsed: Duration, from: u64) -> Result<()> {
        let progress = &mut self.state.progress;
        let done = progress.step - from;
        if progress.planned_steps.is_none() {
            progress.planned_steps = self.config.steps;
        }
        let Some(seconds) = self.config.minutes.map(|minutes| minutes * 60.0).filter(|_| !progress.calibrated && done > 0) else {
            return Ok(());
        };
        let [elapsed, spent] = match self.ranks {
            Some(ranks) => ranks.told([elapsed.as_secs_f64(), progress.seconds])?,
            None => [elapsed.as_secs_f64(), progress.seconds],
        };
        if elapsed >= CALIBRATION.as_secs_f64() || elapsed >= seconds {
            let left = (seconds - spent).max(0.0);
            let fit = progress.step + (left / (elapsed / done as f64)) as u64;
            progress.planned_steps = Some(progress.planned_steps.map_or(fit, |steps| steps.min(fit)));
            progress.calibrated = true;
        }
        Ok(())
    }

    /// Whether something holds on any rank.
    fn any(&self, here: bool) -> Result<bool> {
        let Some(ranks) = self.ranks else { return Ok(here) };
        let [there] = ranks.sum([f64::from(u8::from(here))])?;
        Ok(there > 0.0)
    }

    /// What a checkpoint stores beside weights and counts; nothing where another rank writes it.
    fn memory(&self) -> Result<Option<Vec<(String, Tensor)>>> {
        match self.ranks {
            Some(ranks) => ranks.memory(self.state),
            None => Ok(Some(self.state.memory())),
        }
    }

    fn save(&self, memory: Option<Vec<(String, Tensor)>>, hook: &mut dyn Hook) -> Result<()> {
        let (Some(saving), Some(memory)) = (&self.saving, memory) else { return Ok(()) };
        let saved = Checkpoint::write(&saving.root, self.state, &memory, &saving.config_hash, &saving.companions)?;
        hook.saved(&saved);
        let best = self.state.progress.best.at.map(|(step, _)| step);
        checkpoint::rotate(&saving.root, self.config.keep_checkpoints, best)
    }
}

/// What gradients of length `norm` are multiplied by so that they are no longer than `max`, in PyTorch's form.
#[must_use]
pub fn clip(norm: f64, max: Option<f64>) -> f64 {
    max.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

/// The gradients on all leaves of the weights that move.
fn gradients(params: &Params) -> Result<Vec<Tensor>> {
    let grad = |param: &ssl_model::params::Param| {
        let grad = param.leaf.grad();
        if grad.defined() { Ok(grad.contiguous()) } else { Err(Error::NoGradient { name: param.name.clone() }) }
    };
    params.list().iter().map(grad).collect()
}
