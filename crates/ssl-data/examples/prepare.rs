//! Turns text into a corpus and says how fast: `cargo run --release --example prepare -- [--vocab 8192] PATH... FOLDER`
//!
//! Paths are files, folders or globs; the folder gets shards, `tokenizer.json` and `manifest.json`.
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::path::Path;

use ssl_data::config::DataConfig;
use ssl_data::prepare::{Silent, prepare};

const USAGE: &str = "usage: prepare [--vocab TOKENS] PATH... FOLDER";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut vocab = 8192;
    if arguments.next_if(|argument| argument == "--vocab").is_some() {
        vocab = arguments.next().ok_or(USAGE)?.parse()?;
    }
    let mut paths: Vec<String> = arguments.collect();
    let folder = paths.pop().filter(|_| !paths.is_empty()).ok_or(USAGE)?;

    let config: DataConfig = serde_json::from_value(serde_json::json!({
        "paths": paths,
        "tokenizer": { "byte-bpe": { "vocab-tokens": vocab } },
    }))?;
    let manifest = prepare(&config, Path::new(&folder), &Silent)?;

    for stage in &manifest.stages {
        let (megabytes, seconds) = (stage.bytes as f64 / 1e6, stage.seconds);
        let speed = megabytes / seconds.max(1e-9);
        println!("{:16} {megabytes:9.3} MB in {seconds:6.2} s, {speed:6.1} MB/s, {} documents", stage.name, stage.documents);
    }
    for (name, split) in [("train", &manifest.train), ("validation", &manifest.validation)] {
        let ratio = split.bytes as f64 / split.tokens.max(1) as f64;
        println!(
            "{name:16} {} documents, {} bytes, {} tokens, {ratio:.2} bytes a token",
            split.documents, split.bytes, split.tokens
        );
    }
    for (reason, count) in &manifest.dropped {
        println!("dropped          {count} {reason}, first {}", manifest.examples[reason][0]);
    }
    for (what, count) in &manifest.repaired {
        println!("repaired         {count} {what}");
    }
    println!("A run that was prepared before shows the stages of that time; remove {folder} to measure again.");
    Ok(())
}
