//! Prepares a corpus and says what became of the text: `cargo run --example prepare -- CORPUS PATH...`
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::path::Path;

use ssl_data::config::DataConfig;
use ssl_data::prepare::{Silent, prepare};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = arguments.next().ok_or("usage: prepare CORPUS PATH...")?;
    let config: DataConfig = serde_json::from_value(serde_json::json!({
        "paths": arguments.collect::<Vec<_>>(),
        "tokenizer": { "byte-bpe": { "vocab-tokens": 4096 } },
    }))?;
    let manifest = prepare(&config, Path::new(&corpus), &Silent)?;
    for stage in &manifest.stages {
        let speed = stage.bytes as f64 / 1e6 / stage.seconds.max(1e-9);
        println!(
            "{:16} {:8.2} s {:12} bytes {:8.1} MB/s {:8} documents",
            stage.name, stage.seconds, stage.bytes, speed, stage.documents
        );
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
    Ok(())
}
