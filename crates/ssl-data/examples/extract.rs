//! Takes the main text out of pages of HTML, on one thread: `extract FILE.html[.gz]...` writes one JSON object a page, with its
//! name and text, and says how many pages a second that makes.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use ssl_data::{encoding, extract};

fn main() -> Result<(), Box<dyn Error>> {
    let mut pages = Vec::new();
    for path in std::env::args().skip(1) {
        let mut bytes = fs::read(&path)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let packed = std::mem::take(&mut bytes);
            MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes)?;
        }
        pages.push((path, bytes));
    }
    let begin = Instant::now();
    let texts: Vec<String> =
        pages.iter().map(|(_, bytes)| extract::main_text(&encoding::decode_html(bytes, None).text)).collect();
    let seconds = begin.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    for ((name, _), text) in pages.iter().zip(&texts) {
        writeln!(out, "{}", serde_json::json!({ "name": name, "text": text }))?;
    }
    writeln!(std::io::stderr(), "{:.0} pages/s", pages.len() as f64 / seconds)?;
    Ok(())
}
