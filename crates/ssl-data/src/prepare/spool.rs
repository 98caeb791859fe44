//! Clean documents on the disk between two stages, so that memory does not grow with the corpus.
//!
//! ```text
//! for each document   16 bytes  the hash of its text
//!                      8 bytes  its length
//!                               its text
//! ```
//!
//! The hash is checked whenever a document is read.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::division::{Divider, Division};
use crate::corpus::SplitName;
use crate::dedup::TextHash;
use crate::error::{Error, Result};

/// Bytes between memory and disk.
const BUFFER: usize = 1 << 20;

/// Bytes between two marks, at first.
const SPACING: u64 = 64 << 10;
/// Most marks while they stand nearer than [`FAR`]; of more, every second is forgotten and the next are set twice as far apart.
const MARKS: usize = 1 << 14;
/// Bytes between two marks, at most: those of a unit of encoding, of which there are then more than `MARKS`.
const FAR: u64 = 64 << 20;

/// A place between two documents of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Documents before it.
    pub(super) document: u64,
}

/// Writes the spool.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    end: Mark,
    marks: Vec<Mark>,
    spacing: u64,
    far: u64,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|source| Error::io("create", path, source))?;
        Ok(Self {
            path: path.into(),
            file: BufWriter::with_capacity(BUFFER, file),
            end: Mark::default(),
            marks: Vec::new(),
            spacing: SPACING,
            far: FAR,
        })
    }

    pub(super) fn push(&mut self, text: &str, hash: TextHash) -> Result<()> {
        let length = text.len() as u64;
        if self.marks.last().is_none_or(|last| self.end.offset - last.offset >= self.spacing) {
            if self.marks.len() >= MARKS && self.spacing < self.far {
                let mut number = 0;
                self.marks.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.spacing *= 2;
            }
            self.marks.push(self.end);
        }
        let write = |file: &mut BufWriter<File>| {
            file.write_all(&hash.0.to_le_bytes())?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).map_err(|source| Error::io("write", &self.path, source))?;
        self.end.offset += 24 + length;
        self.end.document += 1;
        Ok(())
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.end.offset
    }

    /// Brings everything to the disk; gives the file's size and its marks, the first at its beginning.
    pub(super) fn finish(self) -> Result<(u64, Vec<Mark>)> {
        let io = |source| Error::io("write", &self.path, source);
        let file = self.file.into_inner().map_err(|fault| io(fault.into_error()))?;
        file.sync_all().map_err(io)?;
        Ok((self.end.offset, self.marks))
    }
}

/// A document, or a part of the only one, with its side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) split: SplitName,
    pub(super) text: String,
}

/// Reads the spool in order.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    division: Division,
    size: u64,
    left: u64,
    documents: u64,
    /// The end of the document that was cut.
    end: Option<String>,
}

impl Reader {
    /// Opens a spool of `size` bytes.
    pub(super) fn open(path: &Path, size: u64, division: Division) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        Ok(Self {
            path: path.into(),
            file: BufReader::with_capacity(BUFFER, file),
            division,
            size,
            left: size,
            documents: 0,
            end: None,
        })
    }

    /// Opens the part of a spool that begins at `from` and has `to` bytes before its end.
    pub(super) fn part(path: &Path, from: Mark, to: u64, division: Division) -> Result<Self> {
        let mut reader = Self::open(path, to, division)?;
        reader.file.seek(SeekFrom::Start(from.offset)).map_err(|source| Error::io("read", path, source))?;
        reader.left = to.saturating_sub(from.offset);
        reader.documents = from.document;
        Ok(reader)
    }

    /// The next document and its hash.
    fn record(&mut self) -> io::Result<(TextHash, String)> {
        let fault = |what: &str| io::Error::new(ErrorKind::InvalidData, what);
        let (mut hash, mut length) = ([0; 16], [0; 8]);
        self.file.read_exact(&mut hash)?;
        self.file.read_exact(&mut length)?;
        let (hash, length) = (TextHash(u128::from_le_bytes(hash)), u64::from_le_bytes(length));
        self.left =
            self.left.checked_sub(24).and_then(|left| left.checked_sub(length)).ok_or_else(|| fault("a length is wrong"))?;
        let mut text = vec![0; length as usize];
        self.file.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| fault("a text is not UTF-8"))?;
        if TextHash::of(&text) != hash {
            return Err(fault("a text does not match its hash"));
        }
        Ok((hash, text))
    }

    fn document(&mut self) -> io::Result<Part> {
        let (hash, mut text) = self.record()?;
        let split = self.division.side(self.documents, hash);
        self.documents += 1;
        if let Some(at) = self.division.cut.filter(|&at| text.is_char_boundary(at as usize)) {
            self.end = Some(text.split_off(at as usize));
        }
        Ok(Part { split, text })
    }
}

/// The documents of a spool of `size` bytes with their hashes, whole and in order.
pub(super) fn records(path: &Path, size: u64) -> Result<impl Iterator<Item = Result<(TextHash, String)>>> {
    let mut reader = Reader::open(path, size, Divider::new(0, 0.0).finish().0)?;
    Ok(std::iter::from_fn(move || {
        let offset = reader.size - reader.left;
        (reader.left > 0).then(|| {
            reader.record().map_err(|source| {
                reader.left = 0;
                Error::Damaged { path: reader.path.clone(), offset, source }
            })
        })
    }))
}

impl Iterator for Reader {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(text) = self.end.take() {
            return Some(Ok(Part { split: SplitName::Validation, text }));
        }
        if self.left == 0 {
            return None;
        }
        let offset = self.size - self.left;
        Some(self.document().map_err(|source| {
            self.left = 0;
            Error::Damaged { path: self.path.clone(), offset, source }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(texts: &[&str], fraction: f64) -> (tempfile::NamedTempFile, u64, Division) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut writer = Writer::create(file.path()).expect("creates");
        let mut divider = Divider::new(1, fraction);
        for text in texts {
            writer.push(text, TextHash::of(text)).expect("writes");
            divider.add(text, TextHash::of(text));
        }
        (file, writer.finish().expect("finishes").0, divider.finish().0)
    }

    #[test]
    fn documents_come_back_in_order() {
        let texts = ["one", "", "三\n", "four"];
        let (file, size, division) = spool(&texts, 0.5);
        assert_eq!(file.path().metadata().expect("is there").len(), size);
        let parts: Vec<Part> = Reader::open(file.path(), size, division).expect("opens").collect::<Result<_>>().expect("reads");
        assert!(parts.iter().map(|part| part.text.as_str()).eq(texts));
    }

    #[test]
    fn parts_between_marks_are_the_whole() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut writer = Writer::create(file.path()).expect("creates");
        writer.spacing = 30;
        let texts: Vec<String> = (0..3 * MARKS).map(|n| format!("document {n}")).collect();
        for text in &texts {
            writer.push(text, TextHash::of(text)).expect("writes");
        }
        let (size, marks) = writer.finish().expect("finishes");
        assert!((MARKS / 2..=MARKS).contains(&marks.len()) && marks[0] == Mark::default(), "{}", marks.len());
        let division = Divider::new(1, 0.5).finish().0;
        let whole: Vec<Part> = Reader::open(file.path(), size, division).expect("opens").collect::<Result<_>>().expect("reads");
        let mut parts = Vec::new();
        for (at, mark) in marks.iter().enumerate().step_by(1000) {
            let to = marks.get(at + 1000).map_or(size, |mark| mark.offset);
            let part = Reader::part(file.path(), *mark, to, division).expect("opens");
            parts.extend(part.collect::<Result<Vec<Part>>>().expect("reads"));
        }
        assert!(parts == whole && whole.len() == texts.len());
    }

    #[test]
    fn marks_of_a_long_spool_stand_no_farther_apart() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut writer = Writer::create(file.path()).expect("creates");
        (writer.spacing, writer.far) = (25, 100);
        for _ in 0..10 * MARKS {
            writer.push("x", TextHash::of("x")).expect("writes");
        }
        let (size, marks) = writer.finish().expect("finishes");
        assert_eq!(marks.len() as u64, size / 100);
        assert!(marks.windows(2).all(|pair| pair[1].offset - pair[0].offset == 100));
    }

    #[test]
    fn a_single_document_comes_in_two_parts() {
        let (file, size, division) = spool(&["line one\nline two\nrest"], 0.3);
        let parts: Vec<Part> = Reader::open(file.path(), size, division).expect("opens").collect::<Result<_>>().expect("reads");
        let part = |split, text: &str| Part { split, text: text.into() };
        assert_eq!(parts, [part(SplitName::Train, "line one\n"), part(SplitName::Validation, "line two\nrest")]);
    }

    #[test]
    fn a_flipped_byte_or_a_short_file_is_found() {
        let (file, size, division) = spool(&["one", "two"], 0.5);
        let whole = std::fs::read(file.path()).expect("reads");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(file.path(), &bytes).expect("writes");
            let result: Result<Vec<Part>> = Reader::open(file.path(), size, division).expect("opens").collect();
            assert!(matches!(result, Err(Error::Damaged { .. })), "byte {at}: {result:?}");
        }
        std::fs::write(file.path(), &whole[..whole.len() - 1]).expect("writes");
        assert!(Reader::open(file.path(), size, division).expect("opens").last().expect("an item").is_err());
    }
}
