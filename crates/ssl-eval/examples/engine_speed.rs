//! Times greedy generation of several texts at once from a model folder, beside other programs.
//!
//! `engine_speed FOLDER fp32|bf16|int8 TEXTS PROMPT_TOKENS TOKENS [REQUESTS|drafts]` writes TEXTS at once, one JSON document on stdout.
//! With `drafts` a model that foretells several tokens drafts them. With REQUESTS so many go through in all, and the document says how much
//! memory the process held after each tenth.

#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use ssl_data::rng::Rng;
use ssl_eval::engine::{Engine, Event, Limits, Request};
use ssl_eval::sample::{Sampling, Want};
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, CONFIG, WEIGHTS};
use ssl_torch::{Choice, Runtime};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tokens that Python draws too: a linear congruence, so that both programs read the same.
fn prompt(text: u64, tokens: usize, vocab: u32) -> Vec<u32> {
    (0..tokens as u64).map(|at| ((text * 7919 + at * 104_729 + 17) % u64::from(vocab)) as u32).collect()
}

/// Bytes that the process holds in memory.
fn held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Seconds to the first token of all texts, and to the last of all; and what the first text says.
fn timed(engine: &Engine, prompts: &[Vec<u32>], tokens: usize) -> Result<(f64, f64, Vec<u32>)> {
    let begun = Instant::now();
    let (send, events) = mpsc::channel();
    for (text, prompt) in prompts.iter().enumerate() {
        let send = send.clone();
        let request = Request { prompt: prompt.clone(), max_tokens: tokens, sampling: Sampling::greedy(), ..Request::default() };
        let sink = move |event| if send.send((text, event, Instant::now())).is_ok() { Want::More } else { Want::Enough };
        engine.submit(request, Box::new(sink))?.detach();
    }
    drop(send);
    let (mut first, mut said) = (vec![0.0; prompts.len()], Vec::new());
    for (text, event, at) in events {
        if let Event::Token(token) = event {
            if first[text] == 0.0 {
                first[text] = (at - begun).as_secs_f64();
            }
            if text == 0 {
                said.push(token.id);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok((first.into_iter().fold(0.0, f64::max), seconds, said))
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, precision, texts, prompt_tokens, tokens]: &[String; 5] =
        args.get(..5).and_then(|args| args.try_into().ok()).ok_or("five arguments")?;
    let [texts, prompt_tokens, tokens]: [usize; 3] = [texts.parse()?, prompt_tokens.parse()?, tokens.parse()?];
    let (precision, whole) = (if precision == "bf16" { Precision::Bf16 } else { Precision::Fp32 }, precision == "int8");
    let device = Runtime::start(Choice::Cpu, None)?.device();
    let (config, vocab) = weights::read_config(&Path::new(folder).join(CONFIG))?;
    let mut params = Params::new(device, precision, None);
    let model = config.build(vocab, &mut params);
    weights::load(&Path::new(folder).join(WEIGHTS), &params)?;
    if whole {
        params.quantise(vocab);
    } else {
        params.settle();
    }
    let drafts = args.get(5).is_some_and(|arg| arg == "drafts");
    let engine = Engine::start(model, device, Limits { rows: texts, kept_tokens: 0, drafts, ..Limits::default() });
    let prompts: Vec<Vec<u32>> = (0..texts as u64).map(|text| prompt(text, prompt_tokens, vocab)).collect();
    timed(&engine, &prompts, 8)?;
    if let (Some(requests), false) = (args.get(5), drafts) {
        let rounds = requests.parse::<usize>()?.div_ceil(texts);
        let mut held_mib = Vec::new();
        for round in 0..rounds {
            let varied: Vec<Vec<u32>> = (0..texts as u64)
                .map(|text| prompt(text, 1 + Rng::at(1, round as u64, text).word() as usize % prompt_tokens, vocab))
                .collect();
            timed(&engine, &varied, 1 + round % tokens)?;
            if (round + 1) % (rounds / 10).max(1) == 0 {
                held_mib.push(held() >> 20);
            }
        }
        let state = engine.state();
        println!("{}", serde_json::json!({ "requests": rounds * texts, "held_mib": held_mib, "written": state.written_tokens }));
        return Ok(());
    }
    let mut best = (f64::INFINITY, f64::INFINITY, Vec::new());
    for _ in 0..3 {
        let (first, seconds, said) = timed(&engine, &prompts, tokens)?;
        best = (best.0.min(first), best.1.min(seconds), said);
    }
    let written = (texts * tokens) as f64;
    println!("{}", serde_json::json!({ "tokens_per_second": written / best.1, "first_token_seconds": best.0, "said": best.2 }));
    Ok(())
}
