//! `ssl bench`: training steps on made-up tokens, for speed alone.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use ssl_data::batch::Window;
use ssl_data::config::TokenizerConfig;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::rng::Rng;
use ssl_data::vocab::{TO, Vocab};
use ssl_model::params::{Params, Precision};
use ssl_train::feed::Feed;
use ssl_train::state::TrainState;
use ssl_train::trainer::Trainer;

use crate::args::{BenchArgs, Dtype};
use crate::assemble::{Session, home, precision};
use crate::outcome::Outcome;
use crate::run::RunConfig;

/// Steps before the clock starts.
const WARM_UP: u64 = 3;
/// Rounds, of which the fastest counts: whatever else a machine does only ever slows it.
const ROUNDS: u64 = 3;
/// What a vocabulary of words of a few million tokens counts as.
const WORDS: u32 = 32_768;
/// What a character vocabulary of English prose counts as.
const CHARACTERS: u32 = 65;

/// Times the steps of a run's model, batch and optimizer.
pub(crate) fn run(session: &Session, args: &BenchArgs) -> Result<Outcome> {
    let loaded = RunConfig::load(&args.run.file, &args.run.overrides)?;
    let config = &loaded.value;
    let runtime = session.runtime()?;
    let mut train = config.train.clone();
    train.precision =
        args.dtype.map_or(train.precision, |dtype| if dtype == Dtype::Bf16 { Precision::Bf16 } else { Precision::Fp32 });
    let device = home(&config.model, &runtime);
    train.precision = precision(session, device, train.precision);
    let vocab = match &config.data.tokenizer {
        TokenizerConfig::ByteBpe(v) | TokenizerConfig::Wordpiece(v) | TokenizerConfig::Unigram(v) => v.vocab_tokens,
        TokenizerConfig::Word(words) => words.max_words.unwrap_or(WORDS),
        TokenizerConfig::Char {} => CHARACTERS + config.objective.special_tokens().len() as u32,
        TokenizerConfig::File { path } => Vocab::load(path)?.size(),
    };
    let length = config.model.context_tokens() as usize;
    let mut params = Params::new(device, train.precision, Some(train.seed));
    let model = ssl_torch::guard(|| config.model.build(vocab, &mut params))?;
    let letters = letters(vocab, &config.objective)?;
    let objective = config.objective.build(&config.data.windows, length, &letters)?;
    let samples = u64::from(train.batch_rows) * objective.windows_per_row() as u64;
    let windows: Vec<Window> =
        (0..samples).map(|sample| made_up(sample, objective.window(), vocab, letters.special(TO).ok())).collect();
    let mut rngs: Vec<Rng> = (0..samples).map(|sample| Rng::at(0, 1, sample)).collect();
    let batch = objective.collate(&windows, &mut rngs);
    if let Some(pupil) = model.self_taught() {
        let mut counts = vec![0; vocab as usize];
        windows.iter().flat_map(|window| &window.tokens).for_each(|&token| counts[token as usize] += 1);
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
    };
    for _ in 0..WARM_UP {
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
    let tokens = (train.batch_rows as usize * length * train.accumulate as usize) as f64;
    let speed = tokens / best;
    let rate = speed * model.flops(length as u64) as f64 / 1e9;
    let peak = ssl_torch::memory::peak_mib();
    let dtype = if train.precision == Precision::Bf16 { "bf16" } else { "fp32" };
    let shape = args.run.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let json = json!({
        "program": format!("ssl {}", env!("CARGO_PKG_VERSION")), "shape": shape, "dtype": dtype, "tokens_per_second": speed,
        "ms_per_step": best * 1e3, "gflop_per_second": rate, "peak_rss_mib": peak, "peak_device_mib": null,
        "params": state.params.count(), "vocab": vocab, "loss": loss,
    });
    let memory = peak.map_or_else(String::new, |mib| format!(", peak {mib:.0} MiB"));
    let human = format!("{shape} {dtype}: {speed:.0} tokens/s, {:.2} ms/step, {rate:.0} GFLOP/s{memory}", best * 1e3);
    Ok(Outcome { json, human, code: 0 })
}

/// A vocabulary of so many ids, one a letter.
fn letters(vocab: u32, objective: &ObjectiveConfig) -> Result<Vocab> {
    let specials = objective.special_tokens();
    // The separator and the unknown have ids of their own.
    let letters = ('\u{4e00}'..).take((vocab as usize).saturating_sub(specials.len() + 2)).collect();
    Ok(Vocab::train(std::iter::once(letters), &TokenizerConfig::Char {}, &specials)?)
}

/// A window of chance, with what stands between two sides in its middle.
fn made_up(row: u64, length: usize, vocab: u32, middle: Option<u32>) -> Window {
    let mut rng = Rng::at(0, 0, row);
    let mut tokens: Vec<u32> = (0..=length).map(|_| rng.below(u64::from(vocab)) as u32).collect();
    if let Some(middle) = middle {
        tokens[length / 2] = middle;
    }
    Window { tokens, document: vec![0; length + 1], fresh: 0, continues: false }
}
