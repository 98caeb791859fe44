//! Makes a large corpus out of a small one: documents whose paragraphs are drawn from all texts given.
//!
//! ```text
//! resample OUT.jsonl BYTES SEED PATH...     writes {"text": ...} a line until BYTES are written
//! ```
//!
//! A path is a file or a folder; files may be compressed with gzip, and bytes that are not UTF-8 are replaced. What comes out is a
//! function of the texts, the number and the seed, so that two programs can be given the same gigabytes without keeping them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ssl_data::rng;

/// Shorter pieces are headings and scraps.
const SHORTEST: usize = 80;
/// Longer ones are cut: some files are one line.
const LONGEST: usize = 4000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, bytes, seed, paths @ ..] = &args[..] else { return Err("resample OUT.jsonl BYTES SEED PATH...".into()) };
    let (bytes, seed): (u64, u64) = (bytes.parse()?, seed.parse()?);
    let mut files = Vec::new();
    for path in paths {
        list(Path::new(path), &mut files)?;
    }
    let texts = files.iter().map(|path| read(path)).collect::<io::Result<Vec<String>>>()?;
    let pieces: Vec<&str> = texts.iter().flat_map(|text| paragraphs(text)).collect();
    if pieces.is_empty() {
        return Err("there is no text".into());
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create(out)?);
    let (mut written, mut document) = (0, 0);
    while written < bytes {
        let draw = |salt: u64| rng::hash(seed, document, salt);
        // From one paragraph to sixty-four, short documents more often than long ones.
        let count = 1 + draw(0) % (1 << (1 + draw(1) % 6));
        let drawn = (0..count).map(|n| pieces[rng::below(draw(2 + n), pieces.len() as u64) as usize]);
        let line = serde_json::json!({ "text": drawn.collect::<Vec<_>>().join("\n\n") }).to_string();
        writeln!(file, "{line}")?;
        written += line.len() as u64 + 1;
        document += 1;
    }
    file.flush()?;
    Ok(())
}

/// All files below `path`, in order.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    let mut inner: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    inner.sort();
    inner.iter().try_for_each(|path| list(path, files))
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let packed = std::mem::take(&mut bytes);
        MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    // A text without empty lines has a paragraph a line.
    let border = if text.contains("\n\n") { "\n\n" } else { "\n" };
    let pieces = text.split(border).map(|piece| &piece[..piece.floor_char_boundary(LONGEST)]);
    pieces.map(str::trim).filter(|piece| piece.len() >= SHORTEST)
}
