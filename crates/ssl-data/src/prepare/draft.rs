//! Documents and their places on the disk while they are compared with each other: a spool, and a file beside it with a line a document.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Watch, spool};
use crate::dedup::TextHash;
use crate::error::{Error, Result};

/// Documents between two questions whether to stop.
const ASK: u64 = 1 << 12;

/// A document with its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) hash: TextHash,
    /// The part of the configuration that it belongs to.
    pub(super) part: u32,
    /// Where it came from, as it is told.
    pub(super) place: String,
}

fn places(path: &Path) -> PathBuf {
    path.with_extension("places")
}

/// Writes a draft.
pub(super) struct Writer {
    path: PathBuf,
    spool: spool::Writer,
    places: BufWriter<File>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let beside = places(path);
        let file = File::create(&beside).map_err(|source| Error::io("create", &beside, source))?;
        Ok(Self { path: path.into(), spool: spool::Writer::create(path)?, places: BufWriter::new(file) })
    }

    pub(super) fn push(&mut self, text: &str, hash: TextHash, part: u32, place: &str) -> Result<()> {
        self.spool.push(text, hash)?;
        // A line end within a name would part it.
        let line = format!("{part} {}\n", place.replace(['\n', '\r'], " "));
        self.places.write_all(line.as_bytes()).map_err(|source| Error::io("write", &places(&self.path), source))
    }

    pub(super) fn finish(mut self) -> Result<Draft> {
        self.places.flush().map_err(|source| Error::io("write", &places(&self.path), source))?;
        Ok(Draft { bytes: self.spool.finish()?.0, path: self.path })
    }
}

/// A draft that is written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl Draft {
    /// The folder that it lies in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// All documents in order. Asks `watch` now and then whether to stop, in the name of `stage`.
    pub(super) fn read(&self, watch: &dyn Watch, stage: &'static str) -> Result<impl Iterator<Item = Result<Entry>>> {
        let beside = places(&self.path);
        let mut places = BufReader::new(File::open(&beside).map_err(|source| Error::io("open", &beside, source))?);
        let records = spool::records(&self.path, self.bytes)?;
        Ok((0_u64..).zip(records).map(move |(index, record)| {
            if index % ASK == 0 && watch.stop() {
                return Err(Error::Interrupted { stage });
            }
            let (hash, text) = record?;
            let mut line = String::new();
            places.read_line(&mut line).map_err(|source| Error::io("read", &beside, source))?;
            let damaged = || Error::io("read", &beside, ErrorKind::InvalidData.into());
            let (part, place) = line.trim_end_matches('\n').split_once(' ').ok_or_else(damaged)?;
            let part = part.parse().map_err(|_| damaged())?;
            Ok(Entry { text, hash, part, place: place.into() })
        }))
    }

    /// Removes its files.
    pub(super) fn remove(self) -> Result<()> {
        let remove = |path: &Path| fs::remove_file(path).map_err(|source| Error::io("remove", path, source));
        remove(&self.path)?;
        remove(&places(&self.path))
    }
}
