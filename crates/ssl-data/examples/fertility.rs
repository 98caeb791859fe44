//! Compares vocabularies on texts, by source and by language.
//!
//! ```text
//! fertility TOKENIZER.json[,OTHER.json...] PATH...     a path is a file of text, plain or in gzip, or a folder of them
//! ```
//!
//! The last folder of a file's path is its source; its language is told by the text of each block of a thousand lines.
#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ssl_data::filter::identify;
use ssl_data::vocab::{Vocab, fertility};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [names, paths @ ..] = &args[..] else { return Err("fertility TOKENIZER.json[,OTHER.json...] PATH...".into()) };
    let vocabs = names.split(',').map(|name| Ok((name, Vocab::load(Path::new(name))?))).collect::<ssl_data::Result<Vec<_>>>()?;
    let mut files = Vec::new();
    for path in paths {
        list(Path::new(path), &mut files)?;
    }
    let mut texts = Vec::new();
    for file in &files {
        let source = file.parent().and_then(Path::file_name).map_or_else(String::new, |name| name.to_string_lossy().into());
        let text = read(file)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for block in lines.chunks(1000).map(<[&str]>::concat) {
            texts.push((source.clone(), identify(&block).0, block));
        }
    }
    let by_source: Vec<(&str, &str)> = texts.iter().map(|(source, _, text)| (source.as_str(), text.as_str())).collect();
    let by_language: Vec<(&str, &str)> = texts.iter().map(|(_, language, text)| (*language, text.as_str())).collect();
    println!("{:24} {:32} {:>12} {:>11} {:>11} {:>9}", "group", "tokenizer", "bytes", "tokens/word", "bytes/token", "unknown");
    for groups in [&by_source, &by_language] {
        let counts = vocabs.iter().map(|(name, vocab)| Ok((*name, fertility::measure(vocab, groups)?)));
        let counts = counts.collect::<ssl_data::Result<Vec<_>>>()?;
        for group in counts.first().map(|(_, counts)| counts.keys()).into_iter().flatten() {
            for (name, counts) in &counts {
                let count = &counts[group];
                let (words, bytes) = (count.tokens_per_word(), count.bytes_per_token());
                println!("{group:24} {name:32} {:12} {words:11.3} {bytes:11.3} {:9}", count.bytes, count.unknown);
            }
        }
    }
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
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
