//! `ssl finetune`: adapt a pretrained model to a task, judge it, and go on from where an earlier run of the same command stopped.

mod learner;
mod listener;
mod outcome;
mod rates;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use ssl_data::task::Task;
use ssl_train::config::TrainConfig;
use ssl_train::optim;
use ssl_train::recording::Recording;
use ssl_train::state::TrainState;
use ssl_train::trainer::{Stopped, Trainer};

use self::learner::Learner;
use self::listener::Listener;
use self::outcome::Found;
use crate::adapt::FinetuneConfig;
use crate::args::FinetuneArgs;
use crate::assemble::{Session, resolve};
use crate::command::prepare::run_dir;
use crate::command::train::start::{self, Start};
use crate::diagnose::Loaded;
use crate::outcome::{Outcome, REQUEUE};
use crate::signal;

/// Adapts a model once for each seed.
pub(crate) fn run(session: &Session, args: &FinetuneArgs) -> Result<Outcome> {
    let wall = Instant::now();
    let loaded = FinetuneConfig::load(&args.run.file, &args.run.overrides)?;
    let config = &loaded.value;
    let out = run_dir(args.out.as_ref(), &args.run);
    signal::listen("saving a checkpoint")?;
    let from = config.train.from.as_deref().unwrap_or(Path::new(""));
    // A slip here should not cost the reading of the examples.
    let from = resolve(session, from)?;
    let task = Task::load(&config.task)?;
    session.progress.say(&outcome::describe(&task));
    let seeds = config.seeds();
    let mut found = Vec::new();
    for &seed in &seeds {
        let dir = if seeds.len() == 1 { out.clone() } else { out.join(format!("seed-{seed}")) };
        if let Some(one) = once(session, args, &loaded, &task, &from, &dir, seed)? {
            found.push(one);
        } else {
            let json = serde_json::json!({ "run_dir": out, "stopped_because": "stopped by a signal" });
            return Ok(Outcome { json, human: "stopped; the same command goes on".into(), code: REQUEUE });
        }
    }
    outcome::write(&out, &config.task.name, &task, &found, wall.elapsed().as_secs_f64())
}

/// One seed's run; nothing where it was asked to stop.
fn once(
    session: &Session,
    args: &FinetuneArgs,
    loaded: &Loaded<FinetuneConfig>,
    task: &Task,
    from: &Path,
    dir: &Path,
    seed: u64,
) -> Result<Option<Found>> {
    let wall = Instant::now();
    let config = &loaded.value;
    let start = Start::open(session, dir, loaded, args.resume, args.allow_config_change)?;
    let Learner { pupil, params, data, steps } = Learner::build(session, config, task, from, seed)?;
    let train = TrainConfig { steps: Some(steps), seed, ..config.train.clone() };
    let optimizer = optim::build(&config.optim, &params);
    let mut state = TrainState::with(params, optimizer);
    start.restore_state(session, &mut state)?;
    let feed = data.feed(u64::from(train.batch_rows), state.progress.sample, seed)?;
    let mut listener = Listener::new(session, config, dir, &data, pupil.judged(), task, &state)?;
    let mut trainer = Trainer {
        model: pupil.trained(),
        feed,
        state: &mut state,
        config: &train,
        peak_lr: config.optim.lr(),
        schedule: &config.schedule,
        saving: Some(start.saving_of(data.companions(loaded)?)),
        ranks: None,
        recording: Recording::default(),
    };
    let stopped = trainer.fit(&mut listener)?;
    session.progress.finish();
    if stopped == Stopped::Asked {
        return Ok(None);
    }
    let checkpoint: PathBuf = start::best(dir, &state).0;
    outcome::judge_best(session, config, task, &data, pupil.judged(), &state, &checkpoint, (dir, seed), wall).map(Some)
}
