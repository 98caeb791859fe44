//! Encodes files on all cores and says how fast: `cargo run --release --example encode -- TOKENIZER.json [--lines] FILE...`
//!
//! Each file is one text, or with `--lines` each of its lines, or with `--documents` the field `text` of each; files may be
//! compressed with gzip. The hash is the SHA-256 of all ids as little-endian u32, to compare with another program's:
//! `fixtures/bench/encode_peer.py`.
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use ssl_data::vocab::Vocab;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let tokenizer = arguments.next().ok_or("usage: encode TOKENIZER.json [--lines] FILE...")?;
    let lines = arguments.next_if(|argument| argument == "--lines").is_some();
    let documents = arguments.next_if(|argument| argument == "--documents").is_some();
    let vocab = Vocab::load(Path::new(&tokenizer))?;
    let mut files = arguments.map(|path| read(Path::new(&path))).collect::<io::Result<Vec<_>>>()?;
    if documents {
        let text = |line: &str| Ok(serde_json::from_str::<Value>(line)?["text"].as_str().ok_or("no text")?.to_owned());
        files = files.iter().flat_map(|file| file.lines().map(text)).collect::<Result<_, Box<dyn std::error::Error>>>()?;
    }
    let texts: Vec<&str> =
        if lines { files.iter().flat_map(|file| file.split('\n')).collect() } else { files.iter().map(String::as_str).collect() };
    let bytes: usize = texts.iter().map(|text| text.len()).sum();

    let start = Instant::now();
    let ids = vocab.encode_batch(&texts)?;
    let seconds = start.elapsed().as_secs_f64();

    let mut hash = Sha256::new();
    for id in ids.iter().flatten() {
        hash.update(id.to_le_bytes());
    }
    let report = serde_json::json!({
        "program": "ssl-data",
        "bytes": bytes,
        "tokens": ids.iter().map(Vec::len).sum::<usize>(),
        "seconds": seconds,
        "mb_per_second": bytes as f64 / 1e6 / seconds,
        "ids": format!("{:x}", hash.finalize()),
    });
    println!("{report}");
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text)?;
    } else {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}
