//! `ssl train`: prepare, train, measure, report; or go on from where an earlier run of the same command stopped.

mod follower;
mod listener;
mod meeting;
mod report;
pub(crate) mod start;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::{Manifest, TOKENIZER, VALIDATION_TEXT};
use ssl_data::objective::{Form, Objective};
use ssl_data::prepare::prepare;
use ssl_data::sampler::Sampler;
use ssl_data::vocab::Vocab;
use ssl_eval::bits_per_byte::{Validation, validate};
use ssl_eval::unigram::unigram;
use ssl_model::Model;
use ssl_model::config::ModelConfig;
use ssl_model::weights::{self, WEIGHTS};
use ssl_torch::group::Seat;
use ssl_train::checkpoint::Checkpoint;
use ssl_train::feed::Feed;
use ssl_train::optim;
use ssl_train::parallel::Ranks;
use ssl_train::recording::Recording;
use ssl_train::state::TrainState;
use ssl_train::trainer::{Hook, Stopped, Trainer};

use self::follower::Follower;
use self::listener::Listener;
use self::meeting::Meeting;
use self::start::Start;
use crate::args::TrainArgs;
use crate::assemble::{CORPUS, Session, home, precision, predicts_tokens, resolve, windows};
use crate::budget::Budget;
use crate::command::prepare::run_dir;
use crate::launch::Launch;
use crate::outcome::{Outcome, REQUEUE};
use crate::page::Score;
use crate::run::RunConfig;
use crate::{compress, signal};

/// The seat of a process that trains alone.
const ALONE: Seat = Seat { rank: 0, world: 1 };

/// Trains, in this process alone or as one of several.
pub(crate) fn run(session: &Session, args: &TrainArgs) -> Result<Outcome> {
    match Launch::from_environment()? {
        None => train(session, args, None),
        Some(launch) => {
            let seat = launch.seat;
            // Every rank speaks into the same terminal.
            let session = session.rank(seat.rank == 0, launch.local);
            train(&session, args, Some(launch)).map_err(|fault| meeting::signed(fault, seat))
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a run from beginning to end, in order")]
fn train(session: &Session, args: &TrainArgs, launch: Option<Launch>) -> Result<Outcome> {
    let wall = Instant::now();
    let world = launch.as_ref().map_or(1, |launch| launch.seat.world);
    let loaded = RunConfig::load_for(&args.run.file, &args.run.overrides, world)?;
    let config = &loaded.value;
    let dir = run_dir(args.out.as_ref(), &args.run);
    signal::listen("saving a checkpoint")?;
    let meeting = launch.map(|launch| Meeting::open(launch, &config.train.parallel)).transpose()?;
    let begun = meeting.as_ref().filter(|meeting| !meeting.leads()).map(|meeting| meeting.begun(&loaded)).transpose()?;
    let start = match begun {
        Some(step) => Start::follow(&dir, &loaded, step)?,
        None => Start::open(session, &dir, &loaded, args.resume, args.allow_config_change)?,
    };
    if let Some(from) = config.train.from.as_ref().filter(|from| !from.is_file()) {
        // A slip here should not cost the preparation.
        resolve(session, from)?;
    }

    // Rank 0 prepares, and it alone has this.
    let manifest = begun.is_none().then(|| corpus_of(session, config, &dir)).transpose()?;
    let runtime = session.runtime()?;
    let group = meeting.map(|meeting| meeting.join(&loaded, start.step())).transpose()?;
    let corpus = Corpus::open(&dir.join(CORPUS), SplitName::Train)?;
    let held_out = Corpus::open(&dir.join(CORPUS), SplitName::Validation)?;
    let length = config.model.context_tokens() as usize;
    let device = home(&config.model, &runtime);
    let precision = precision(session, device, config.train.precision);
    let budget = Budget::of(config, corpus.vocab_size(), precision, device)?;
    session.progress.say(&budget.line());
    if let Some(warning) = budget.weigh(config.objective.form())? {
        session.progress.say(&warning);
    }
    let mut params = ssl_model::params::Params::new(device, precision, Some(config.train.seed));
    let model = ssl_torch::guard(|| config.model.build(corpus.vocab_size(), &mut params))?;
    let ranks = group.map(|group| Ranks::new(group, &config.train.parallel, &params)).transpose()?;
    let optimizer = match &ranks {
        Some(ranks) => ranks.optimizer(&config.optim, &params),
        None => optim::build(&config.optim, &params),
    };
    let mut state = TrainState::with(params, optimizer);
    let resumed_from = start.restore(session, &corpus, &mut state)?;
    if let (None, Some(from)) = (resumed_from, &config.train.from) {
        start::begin_from(session, from, &state, &dir)?;
    }

    let vocab = Vocab::load(&dir.join(CORPUS).join(TOKENIZER))?;
    if let Some(pupil) = model.self_taught() {
        start::count(pupil, &corpus, &vocab)?;
    }
    let make = || config.objective.build(&config.data.windows, length, &vocab);
    let judge = make()?;
    let sampler = Sampler::mixed(&corpus, &config.data, judge.window())?;
    // Without a single document to measure on, the run trains all the same and says so.
    let measured = if held_out.documents() > 0 { Some(windows(&held_out, &config.data.windows, judge.window())?) } else { None };
    if measured.is_none() {
        session.progress.say("warning: no document was held out, so nothing will be measured");
    }
    let rows = u64::from(config.train.batch_rows);
    let drawn = sampler.clone();
    let seat = ranks.as_ref().map_or(ALONE, Ranks::seat);
    let feed = Feed::part(sampler, make()?, rows, state.progress.sample, seat)?;
    let listen = || Listener::new(session, config, &dir, &budget, measured.as_ref(), judge.as_ref(), &state, resumed_from);
    let mut listener = manifest.is_some().then(listen).transpose()?;
    let mut follower = Follower { config, measured: measured.as_ref(), judge: judge.as_ref(), device };
    let hook: &mut dyn Hook = match &mut listener {
        Some(listener) => listener,
        None => &mut follower,
    };
    let mut trainer = Trainer {
        model: model.as_ref(),
        feed,
        state: &mut state,
        config: &config.train,
        peak_lr: config.optim.lr(),
        schedule: &config.schedule,
        saving: start.saving(config, &corpus)?,
        ranks: ranks.as_ref(),
        recording: Recording::default(),
    };
    let stopped = trainer.fit(hook).map_err(|fault| start::explain(fault, &corpus, config, &dir))?;
    session.progress.finish();
    let code = if stopped == Stopped::Asked { REQUEUE } else { 0 };
    let (Some(manifest), Some(mut listener)) = (manifest, listener) else {
        return Ok(Outcome { json: serde_json::Value::Null, human: String::new(), code });
    };

    let (checkpoint, step) = start::best(&dir, &state);
    let validation = match (&measured, stopped) {
        (Some(measured), Stopped::Finished | Stopped::Patience) => {
            Some(measure_best(session, model.as_ref(), &state, (&checkpoint, step), measured, judge.as_ref(), rows)?)
        }
        _ => None,
    };
    let mut score = score(&dir, validation.as_ref())?;
    score.perplexity = score.loss.filter(|_| predicts_tokens(&config.objective, &config.model)).map(f64::exp);
    if let Some(measured) = measured.as_ref().filter(|_| validation.is_some()) {
        score.unigram = by_frequency(config, model.as_ref(), &corpus, measured, judge.as_ref())?;
    }
    let why = describe(stopped);
    let beside = listener.measured();
    report::write(&dir, &loaded, &manifest, &state, &runtime, score, why, &drawn, &budget, beside)?;
    let json = json!({
        "run_dir": dir, "checkpoint": checkpoint, "params": state.params.count(),
        "steps": state.progress.step, "tokens": state.progress.tokens, "train_loss": state.progress.last_loss,
        "val_loss": score.loss, "val_bpb": score.bits_per_byte, "val_bpb_stderr": score.stderr, "val_step": step,
        "unigram_loss": score.unigram, "gzip_bpb": score.gzip, "xz_bpb": score.xz,
        "tokens_per_second": listener.tokens_per_second(), "mfu": listener.mfu(), "peak_flops": beside.peak_flops,
        "costs": budget.json(config), "first_step_seconds": beside.first_step,
        "energy_joules": beside.joules, "energy_wh": beside.joules.map(|joules| joules / 3600.0),
        "peak_rss_mib": ssl_torch::memory::peak_mib(), "wall_seconds": wall.elapsed().as_secs_f64(),
        "source_epochs": drawn.epochs(state.progress.sample).into_iter().collect::<BTreeMap<_, _>>(),
        "resumed_from": resumed_from, "stopped_because": why,
    });
    Ok(Outcome { json, human: summary(&dir, why, &state, &score), code })
}

/// The corpus of a run, prepared as far as it was not.
fn corpus_of(session: &Session, config: &RunConfig, dir: &Path) -> Result<Manifest> {
    std::fs::create_dir_all(dir.join(CORPUS)).map_err(|source| io("create", dir, source))?;
    let manifest = prepare(&config.data(), &dir.join(CORPUS), &*session.progress)?;
    session.progress.finish();
    Ok(manifest)
}

/// Nats a target of a guess by frequency alone.
fn by_frequency(
    config: &RunConfig,
    model: &dyn Model,
    corpus: &Corpus,
    measured: &Sampler,
    judge: &dyn Objective,
) -> Result<Option<f64>> {
    if let Some(pupil) = model.self_taught() {
        return Ok(Some(pupil.by_frequency()));
    }
    if config.objective.form() == Form::Texts {
        return Ok(Some(any_of(u64::from(config.train.batch_rows), measured.in_order_len())));
    }
    let training = Sampler::mixed(corpus, &config.data, judge.window())?;
    let guess = unigram(&training, measured, judge, corpus.vocab_size())?;
    // The loss of an ELECTRA is that of its generator and, of every token, that of telling what was replaced.
    let weight = if let ModelConfig::Electra(electra) = &config.model { electra.discriminator_weight } else { 0.0 };
    Ok(guess.map(|guess| guess.nats + weight * guess.replaced_nats()))
}

/// Nats of a guess at one of the batch's texts, over `texts` of them in batches of `rows`.
fn any_of(rows: u64, texts: u64) -> f64 {
    let rest = texts % rows;
    let nats = |n: u64| n as f64 * (n.max(1) as f64).ln();
    ((texts / rows) as f64 * nats(rows) + nats(rest)) / texts.max(1) as f64
}

/// The whole validation split under the best weights; the state's own weights are put back.
fn measure_best(
    session: &Session,
    model: &dyn Model,
    state: &TrainState,
    (checkpoint, step): (&Path, u64),
    measured: &Sampler,
    judge: &dyn Objective,
    rows: u64,
) -> Result<Validation> {
    session.progress.say("measuring the whole validation split");
    if step != state.progress.step {
        weights::load(&checkpoint.join(WEIGHTS), &state.params)?;
    }
    let stop = |share| {
        session.progress.share("measuring", share);
        signal::requested()
    };
    let found = validate(model, measured, judge, rows, state.params.device(), None, &stop)?;
    session.progress.finish();
    if step != state.progress.step {
        let last = Checkpoint::open(&checkpoint.with_file_name(format!("{:08}", state.progress.step)))?;
        weights::load(&last.dir.join(WEIGHTS), &state.params)?;
    }
    Ok(found)
}

/// The model's bits beside those of general compressors on the same text.
fn score(dir: &Path, validation: Option<&Validation>) -> Result<Score> {
    let Some(found) = validation else { return Ok(Score::default()) };
    let loss = Some(found.nats_per_token.value);
    let Some(bits) = found.bits_per_byte else { return Ok(Score { loss, ..Score::default() }) };
    let text = dir.join(CORPUS).join(VALIDATION_TEXT);
    let read = || format!("cannot compress {}", text.display());
    Ok(Score {
        loss,
        perplexity: None,
        unigram: None,
        bits_per_byte: Some(bits.value),
        stderr: Some(bits.stderr).filter(|stderr| stderr.is_finite()),
        gzip: compress::gzip9_bits_per_byte(&text).with_context(read)?,
        xz: compress::xz9_bits_per_byte(&text).with_context(read)?,
    })
}

fn describe(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Finished => "all steps done",
        Stopped::Patience => "validation stopped improving",
        Stopped::Asked => "stopped by a signal",
    }
}

fn summary(dir: &Path, why: &str, state: &TrainState, score: &Score) -> String {
    let mut lines = vec![format!("{why} after {} steps, {} tokens", state.progress.step, state.progress.tokens)];
    if let Some(loss) = score.loss {
        let beside = |name: &str, number: Option<f64>| number.map_or_else(String::new, |n| format!(", {name} {n:.3}"));
        lines.push(format!("validation {loss:.4} nats a target{}", beside("by frequency alone", score.unigram)));
        if let Some(bits) = score.bits_per_byte {
            lines.push(format!("{bits:.3} bits a byte{}{}", beside("gzip -9", score.gzip), beside("xz -9", score.xz)));
        }
    }
    lines.push(format!("report {}", dir.join("report.html").display()));
    lines.join("\n")
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> ssl_train::Error {
    ssl_train::Error::Io { action, path: path.into(), source }
}
