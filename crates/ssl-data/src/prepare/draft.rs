//! Documents on the disk while they are compared with each other: a spool, and a file beside it with a line of JSON a document.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::curate::Notes;
use super::{Watch, spool};
use crate::clean::Repairs;
use crate::dedup::TextHash;
use crate::error::{Error, Result};

/// Documents between two questions whether to stop.
const ASK: u64 = 1 << 12;

/// A document.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) hash: TextHash,
    pub(super) about: About,
}

/// What is known of a document beside its text, and counts once it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct About {
    /// The part of the configuration that it belongs to.
    pub(super) part: u32,
    /// Where it came from, as it is told.
    pub(super) place: String,
    pub(super) repairs: Repairs,
    pub(super) notes: Notes,
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("about")
}

/// Writes a draft.
pub(super) struct Writer {
    path: PathBuf,
    spool: spool::Writer,
    about: BufWriter<File>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let beside = beside(path);
        let file = File::create(&beside).map_err(|source| Error::io("create", &beside, source))?;
        Ok(Self { path: path.into(), spool: spool::Writer::create(path)?, about: BufWriter::new(file) })
    }

    pub(super) fn push(&mut self, text: &str, hash: TextHash, about: &About) -> Result<()> {
        self.spool.push(text, hash)?;
        let line = serde_json::to_string(about).map_err(|fault| Error::io("write", &beside(&self.path), fault.into()))?;
        writeln!(self.about, "{line}").map_err(|source| Error::io("write", &beside(&self.path), source))
    }

    pub(super) fn finish(mut self) -> Result<Draft> {
        self.about.flush().map_err(|source| Error::io("write", &beside(&self.path), source))?;
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
        let beside = beside(&self.path);
        let mut lines = BufReader::new(File::open(&beside).map_err(|source| Error::io("open", &beside, source))?).lines();
        let records = spool::records(&self.path, self.bytes)?;
        Ok((0_u64..).zip(records).map(move |(index, record)| {
            if index % ASK == 0 && watch.stop() {
                return Err(Error::Interrupted { stage });
            }
            let (hash, text) = record?;
            let line = lines.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()));
            let line = line.map_err(|source| Error::io("read", &beside, source))?;
            let about = serde_json::from_str(&line).map_err(|fault| Error::io("read", &beside, fault.into()))?;
            Ok(Entry { text, hash, about })
        }))
    }

    /// Removes its files.
    pub(super) fn remove(self) -> Result<()> {
        let remove = |path: &Path| fs::remove_file(path).map_err(|source| Error::io("remove", path, source));
        remove(&self.path)?;
        remove(&beside(&self.path))
    }
}
