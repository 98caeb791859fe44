//! Word vectors in the word2vec formats, as word2vec.c and gensim's `KeyedVectors` read and write them.
//!
//! Both begin with a line `WORDS WIDTH`. Text has a line a word: the word and its numbers, by single spaces. Binary has the word,
//! a space, and its numbers as little-endian 32-bit floats; word2vec.c ends each with a line end, gensim does not, and both
//! are read. Of a word that comes twice the first counts, as in gensim.
//!
//! Reading trusts nothing: the header's promise is held against the file's length before memory is taken.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// More features than any vector has.
const WIDTH: usize = 1 << 16;
/// A longer word is a sign of a damaged file.
const WORD_BYTES: usize = 1 << 14;

/// Words and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The words, most frequent first by custom.
    pub words: Vec<String>,
    /// Features of a vector.
    pub width: usize,
    /// The vectors one after another, `[v, d]`.
    pub numbers: Vec<f32>,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In decimal; to be read by people.
    Text,
    /// As 32-bit floats.
    Binary,
}

impl Vectors {
    /// Reads a file; which form it has cannot be told for certain, so the caller says.
    ///
    /// # Errors
    /// When the file cannot be read, is shorter than its header says, or holds a word that is not UTF-8 or a number that is not
    /// finite.
    pub fn read(path: &Path, form: Form) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::Io { action: "read", path: path.into(), source })?;
        parse(&bytes, form).map_err(|reason| Error::Vectors { path: path.into(), reason })
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses, the numbers do not fit the words, or a word is empty or has white space, which the formats cannot hold.
    pub fn write(&self, path: &Path, form: Form) -> Result<()> {
        let bad = |reason: String| Error::Vectors { path: path.into(), reason };
        if self.width == 0 || self.words.len().checked_mul(self.width) != Some(self.numbers.len()) {
            let (v, n) = (self.words.len(), self.numbers.len());
            return Err(bad(format!("{n} numbers are not {v} vectors of {}", self.width)));
        }
        if let Some(word) = self.words.iter().find(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            return Err(bad(format!("the word {:?} is empty or has white space", shown(word))));
        }
        let partial = path.with_added_extension("partial");
        let io = |source| Error::Io { action: "write", path: path.into(), source };
        let put = || -> std::io::Result<()> {
            let mut out = BufWriter::new(fs::File::create(&partial)?);
            writeln!(out, "{} {}", self.words.len(), self.width)?;
            for (word, vector) in self.words.iter().zip(self.numbers.chunks_exact(self.width)) {
                write!(out, "{word}")?;
                match form {
                    // The shortest decimals that read back as the same float.
                    Form::Text => vector.iter().try_for_each(|x| write!(out, " {x:?}"))?,
                    Form::Binary => {
                        write!(out, " ")?;
                        vector.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?;
                    }
                }
                writeln!(out)?;
            }
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&partial, path)
        };
        put().map_err(io).inspect_err(|_| drop(fs::remove_file(&partial)))
    }

    /// The vector of word number `index`.
    #[must_use]
    pub fn vector(&self, index: usize) -> &[f32] {
        &self.numbers[index * self.width..(index + 1) * self.width]
    }
}

fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

fn parse(bytes: &[u8], form: Form) -> std::result::Result<Vectors, String> {
    let end = bytes.iter().take(64).position(|&byte| byte == b'\n').ok_or("it does not begin with a line `WORDS WIDTH`")?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| "its first line is not text")?;
    let sizes: Vec<usize> = header.split_whitespace().map_while(|size| size.parse().ok()).collect();
    let &[v, width] = &sizes[..] else { return Err(format!("its first line {header:?} is not `WORDS WIDTH`")) };
    if !(1..=WIDTH).contains(&width) {
        return Err(format!("vectors of {width} numbers are outside 1..={WIDTH}"));
    }
    let mut rest = &bytes[end + 1..];
    // The least that a word takes: itself or nothing, a space, and its numbers, of a digit and a space each in text.
    let least = if form == Form::Binary { 1 + 4 * width } else { 2 * width };
    if v.checked_mul(least).is_none_or(|least| least > rest.len() + 1) {
        return Err(format!("{} bytes are too few for {v} vectors of {width}", rest.len()));
    }
    let mut out = Vectors { words: Vec::with_capacity(v), width, numbers: Vec::with_capacity(v * width) };
    let mut known = HashSet::with_capacity(v);
    for index in 0..v {
        let from = out.numbers.len();
        let word = match form {
            Form::Text => line(&mut rest, width, &mut out.numbers),
            Form::Binary => record(&mut rest, width, &mut out.numbers),
        };
        let word = word.map_err(|reason| format!("word {} of {v}: {reason}", index + 1))?;
        if let Some(x) = out.numbers[from..].iter().find(|x| !x.is_finite()) {
            return Err(format!("word {} of {v}, {:?}: {x} is not finite", index + 1, shown(&word)));
        }
        if known.insert(word.clone()) {
            out.words.push(word);
        } else {
            out.numbers.truncate(from);
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> std::result::Result<String, String> {
    if bytes.len() > WORD_BYTES {
        return Err(format!("it has {} bytes", bytes.len()));
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "it is not UTF-8".into())
}

/// Takes one line of text.
fn line(rest: &mut &[u8], width: usize, numbers: &mut Vec<f32>) -> std::result::Result<String, String> {
    if rest.is_empty() {
        return Err("the file ends before it".into());
    }
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let line = rest[..end].trim_ascii_end();
    *rest = rest.get(end + 1..).unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let word = text(parts.next().unwrap_or_default())?;
    let from = numbers.len();
    for part in parts {
        let number = std::str::from_utf8(part).ok().and_then(|part| part.parse().ok());
        numbers.push(number.ok_or_else(|| format!("{:?} is not a number", shown(&String::from_utf8_lossy(part))))?);
        if numbers.len() - from > width {
            break;
        }
    }
    if numbers.len() - from == width { Ok(word) } else { Err(format!("{:?} has not {width} numbers", shown(&word))) }
}

/// Takes one binary record.
fn record(rest: &mut &[u8], width: usize, numbers: &mut Vec<f32>) -> std::result::Result<String, String> {
    let short = || "the file ends before it does".to_owned();
    let begin = rest.iter().position(|&byte| byte != b'\n').unwrap_or(rest.len());
    let bytes = &rest[begin..];
    let space = bytes.iter().take(WORD_BYTES + 1).position(|&byte| byte == b' ');
    let space = space.ok_or_else(|| if bytes.len() > WORD_BYTES { "it has no end".into() } else { short() })?;
    let word = text(&bytes[..space])?;
    let vector = bytes.get(space + 1..space + 1 + 4 * width).ok_or_else(short)?;
    numbers.extend(vector.as_chunks().0.iter().map(|&float| f32::from_le_bytes(float)));
    *rest = &bytes[space + 1 + 4 * width..];
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vectors {
        let numbers = vec![0.1, -2.5e-12, 3.0, f32::MIN_POSITIVE, 16_777_217.0, -0.0];
        Vectors { words: vec!["the".into(), "naïve's".into()], width: 3, numbers }
    }

    #[test]
    fn both_forms_read_back_to_the_bit() {
        let dir = tempfile::tempdir().expect("a folder");
        for form in [Form::Text, Form::Binary] {
            let path = dir.path().join("vectors");
            some().write(&path, form).expect("a file");
            assert_eq!(Vectors::read(&path, form).expect("vectors"), some());
        }
    }

    #[test]
    fn what_gensim_writes_is_read() {
        let text = parse(b"2 2\nking 0.25 -1e-05\nqueen -0.0 3\n", Form::Text).expect("text");
        assert_eq!(text.numbers, [0.25, -1e-5, 0.0, 3.0]);
        // No line ends between records; a word that comes again is passed over.
        let mut bytes = b"3 1\n".to_vec();
        for (word, x) in [("a ", 1.0_f32), ("b ", 2.0), ("a ", 3.0)] {
            bytes.extend(word.as_bytes());
            bytes.extend(x.to_le_bytes());
        }
        let found = parse(&bytes, Form::Binary).expect("binary");
        assert_eq!((found.words, found.numbers), (vec!["a".to_owned(), "b".into()], vec![1.0, 2.0]));
    }

    #[test]
    fn damaged_files_are_refused_before_memory_is_taken() {
        let cases: [(&[u8], Form); 10] = [
            (b"", Form::Text),
            (b"2 2", Form::Text),
            (b"x y\n", Form::Text),
            (b"99999999999999 100\nthe 0.1\n", Form::Binary),
            (b"18446744073709551615 65536\n", Form::Binary),
            (b"1 0\nthe\n", Form::Text),
            (b"1 3\nthe 0.1 0.2\n", Form::Text),
            (b"1 2\nthe 0.1 0.2 0.3\n", Form::Text),
            (b"1 2\nthe 0.1 nan\n", Form::Text),
            (b"1 1\n\xff\xfe 1.0\n", Form::Text),
        ];
        for (bytes, form) in cases {
            assert!(parse(bytes, form).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        let mut infinite = b"1 1\nthe ".to_vec();
        infinite.extend(f32::INFINITY.to_le_bytes());
        assert!(parse(&infinite, Form::Binary).is_err_and(|reason| reason.contains("the")));
        assert!(parse(&infinite[..10], Form::Binary).is_err());
    }

    #[test]
    fn words_that_the_formats_cannot_hold_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for word in ["", "two words", "line\n"] {
            let vectors = Vectors { words: vec![word.into()], width: 1, numbers: vec![1.0] };
            assert!(matches!(vectors.write(&dir.path().join("v"), Form::Text), Err(Error::Vectors { .. })), "{word:?}");
        }
        let short = Vectors { numbers: vec![1.0], ..some() };
        assert!(short.write(&dir.path().join("v"), Form::Binary).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
