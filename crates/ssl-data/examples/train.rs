//! Trains byte-level BPE on the documents of a JSONL file and says how long that took, as one JSON object.
//!
//! ```text
//! train DOCUMENTS.jsonl TOKENIZER.json IDS
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use sha2::{Digest, Sha256};
use ssl_data::config::TokenizerConfig;
use ssl_data::vocab::Vocab;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [documents, path, ids] = &args[..] else { return Err("train DOCUMENTS.jsonl TOKENIZER.json IDS".into()) };
    let mut texts = Vec::new();
    for line in std::fs::read_to_string(documents)?.lines() {
        texts.push(serde_json::from_str::<Value>(line)?["text"].as_str().ok_or("no text")?.to_owned());
    }
    let (documents, bytes) = (texts.len(), texts.iter().map(String::len).sum::<usize>());
    let config: TokenizerConfig = serde_json::from_str(&format!(r#"{{"byte-bpe": {{"vocab-tokens": {ids}}}}}"#))?;

    let start = Instant::now();
    let vocab = Vocab::train(texts.into_iter(), &config, &[])?;
    let seconds = start.elapsed().as_secs_f64();

    vocab.save(Path::new(path))?;
    // Tells vocabularies apart: the ids of all tokens.
    let mut hash = Sha256::new();
    for id in 0..vocab.size() {
        hash.update(format!("{} {id}\n", vocab.token(id).unwrap_or_default()));
    }
    let report = serde_json::json!({
        "documents": documents,
        "bytes": bytes,
        "seconds": seconds,
        "vocabulary": format!("{:x}", hash.finalize()),
    });
    println!("{report}");
    Ok(())
}
