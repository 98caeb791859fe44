//! Encodes files on all cores and says how fast: `cargo run --release --example encode -- TOKENIZER.json FILE...`
//!
//! Each file is one text. The checksum is that of all ids as little-endian u32, to compare with another program's.
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::path::Path;
use std::time::Instant;

use ssl_data::vocab::Vocab;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let tokenizer = arguments.next().ok_or("usage: encode TOKENIZER.json FILE...")?;
    let vocab = Vocab::load(Path::new(&tokenizer))?;
    let texts = arguments.map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();

    let start = Instant::now();
    let ids = vocab.encode_batch(&texts)?;
    let seconds = start.elapsed().as_secs_f64();

    let checksum = blake3::hash(&ids.iter().flatten().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>());
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let speed = bytes as f64 / 1e6 / seconds;
    println!(
        "{}",
        serde_json::json!({ "program": "ssl-data", "bytes": bytes, "tokens": tokens, "seconds": seconds, "mb_per_second": speed, "ids": checksum.to_hex().as_str() })
    );
    Ok(())
}
