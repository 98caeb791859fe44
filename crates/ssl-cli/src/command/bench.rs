//! `ssl bench`: training steps on made-up tokens, for speed alone.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use ssl_model::params::{Params, Precision};
use ssl_torch::trace::{Trace, range};
use ssl_train::feed::Feed;
use ssl_train::recording::Recording;
use ssl_train::state::TrainState;
use ssl_train::trainer::Trainer;

use crate::age;
use crate::args::{BenchArgs, Dtype};
use crate::assemble::{Session, home, precision};
use crate::budget::Budget;
use crate::made_up::{self, MadeUp};
use crate::matrix::matrix_rate;
use crate::outcome::Outcome;
use crate::run::RunConfig;

/// Steps before the clock starts.
const WARM_UP: u64 = 3;
/// Rounds, of which the fastest counts: whatever else a machine does only ever slows it.
const ROUNDS: u64 = 3;
/// Steps in a trace: one after the other shows what lies between them.
const TRACED: u64 = 2;

/// Times the steps of a run's model, batch and optimizer.
pub(crate) fn run(session: &Session, args: &BenchArgs) -> Result<Outcome> {
    let loaded = RunConfig::load_without_data(&args.run.file, &args.run.overrides)?;
    let config = &loaded.value;
    let runtime = session.runtime()?;
    let mut train = config.train.clone();
    train.precision =
        args.dtype.map_or(train.precision, |dtype| if dtype == Dtype::Bf16 { Precision::Bf16 } else { Precision::Fp32 });
    let device = home(&config.model, &runtime);
    train.precision = precision(session, device, train.precision);
    let vocab = made_up::vocab_size(config)?;
    let budget = Budget::of(config, vocab, train.precision, device)?;
    let length = config.model.context_tokens() as usize;
    let base = ssl_torch::memory::resident_mib();
    let mut params = Params::new(device, train.precision, Some(train.seed));
    let model = ssl_torch::guard(|| config.model.build(vocab, &mut params))?;
    let MadeUp { batch, counts } = made_up::batch(config, vocab)?;
    if let Some(pupil) = model.self_taught() {
        pupil.count(&counts);
    }
    let mut state = TrainState::new(params, &config.optim);
    let mut trainer = Trainer {
        model: model.as_ref(),
        feed: Feed::repeat(batch)?,
        state: &mut state,
        config: &train,
        peak_lr: config.optim.lr(),
        schedule: &config.schedule,
        saving: None,
        ranks: None,
        recording: Recording::default(),
    };
    trainer.step()?;
    let first_step = age::seconds();
    for _ in 1..WARM_UP {
        trainer.step()?;
    }
    let mut best = f64::INFINITY;
    let mut loss = f64::NAN;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..args.steps {
            loss = trainer.step()?.loss;
        }
        best = best.min(start.elapsed().as_secs_f64() / args.steps as f64);
    }
    if let Some(path) = &args.trace {
        let trace = Trace::start(device)?;
        for _ in 0..TRACED {
            range("step", || trainer.step())?;
        }
        trace.save(path)?;
    }
    let tokens = (train.batch_rows as usize * length * train.accumulate as usize) as f64;
    let speed = tokens / best;
    let peak = ssl_torch::memory::peak_mib();
    let peak_device = ssl_torch::memory::device(device)?.map(|memory| memory.peak as f64 / f64::from(1 << 20));
    let operations = budget.flops.usual() as f64 / best;
    let matrix = ssl_torch::guard(|| matrix_rate(device, train.precision.kind()))?;
    let rate = operations / 1e9;
    let dtype = if train.precision == Precision::Bf16 { "bf16" } else { "fp32" };
    let shape = args.run.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let json = json!({
        "program": format!("ssl {}", env!("CARGO_PKG_VERSION")), "shape": shape, "dtype": dtype, "tokens_per_second": speed,
        "ms_per_step": best * 1e3, "gflop_per_second": rate, "peak_rss_mib": peak, "peak_device_mib": peak_device,
        "params": state.params.count(), "vocab": vocab, "loss": loss, "mfu": operations / matrix, "peak_flops": matrix,
        "base_rss_mib": base, "first_step_seconds": first_step, "costs": budget.json(config),
    });
    let memory = peak.map_or_else(String::new, |mib| format!(", peak {mib:.0} MiB"));
    let human = format!("{shape} {dtype}: {speed:.0} tokens/s, {:.2} ms/step, {rate:.0} GFLOP/s{memory}", best * 1e3);
    Ok(Outcome { json, human, code: 0 })
}
