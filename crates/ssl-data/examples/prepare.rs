//! Prepares a corpus and says how long each stage took and how much memory that needed at most, as one JSON object:
//! `cargo run --release --example prepare -- [OPTIONS] PATH... FOLDER`
//!
//! Paths are files, folders or globs; the folder gets shards, `tokenizer.json`, `card.html` and `manifest.json`.
//!
//! ```text
//! --vocab TOKENS    ids of the vocabulary, 8192 unless said
//! --data FILE       a JSON object like [data]; paths are then those given, if any
//! --task I/N        the part of one of N processes that share the folder
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::fs;
use std::path::Path;

use ssl_data::config::DataConfig;
use ssl_data::prepare::{Silent, Task, prepare, prepare_task};

const USAGE: &str = "usage: prepare [--vocab TOKENS] [--data FILE] [--task I/N] PATH... FOLDER";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut vocab, mut data, mut task, mut paths) = (8192, None, None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--vocab" => vocab = arguments.next().ok_or(USAGE)?.parse()?,
            "--data" => data = Some(fs::read(arguments.next().ok_or(USAGE)?)?),
            "--task" => {
                let text = arguments.next().ok_or(USAGE)?;
                let (index, count) = text.split_once('/').ok_or(USAGE)?;
                task = Some(Task::new(index.parse()?, count.parse()?).ok_or(USAGE)?);
            }
            _ => paths.push(argument),
        }
    }
    let folder = paths.pop().ok_or(USAGE)?;
    let mut config: serde_json::Value = match data {
        Some(text) => serde_json::from_slice(&text)?,
        None => serde_json::json!({ "tokenizer": { "byte-bpe": { "vocab-tokens": vocab } } }),
    };
    if !paths.is_empty() {
        config["paths"] = paths.into();
    }
    let config: DataConfig = serde_json::from_value(config)?;
    if let Some(fault) = config.validate().first() {
        return Err(format!("{}: {}; {}", fault.path, fault.message, fault.hint).into());
    }
    let into = Path::new(&folder);
    let manifest = match task {
        Some(task) => prepare_task(&config, into, task, &Silent)?,
        None => prepare(&config, into, &Silent)?,
    };
    let report = serde_json::json!({
        "stages": manifest.stages,
        "train": manifest.train,
        "validation": manifest.validation,
        "dropped": manifest.dropped,
        "repaired": manifest.repaired,
        "curation": manifest.curation,
        "peak-resident-mib": peak_mib(),
    });
    println!("{report}");
    Ok(())
}

/// The most memory that this process ever had in use, where the system says so.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? >> 10)
}
