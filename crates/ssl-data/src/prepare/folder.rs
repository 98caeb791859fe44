//! The corpus folder while it is prepared: its lock, the work folder inside it, and the record of finished stages.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::read::Cleaned;
use super::{Watch, stage};
use crate::card::{self, CARD};
use crate::error::{Error, Result};
use crate::manifest::{CONTAMINATION, MANIFEST, Manifest, NEAR_DUPLICATES, Stage, TOKENIZER, VALIDATION_TEXT};

/// Reports that a corpus may have beside its manifest.
const REPORTS: [&str; 2] = [NEAR_DUPLICATES, CONTAMINATION];

/// Held by the process that prepares; never removed, so that two processes never hold two locks of one name.
const LOCK: &str = "prepare.lock";
/// The work folder.
const WORK: &str = "prepare.tmp";
/// The record of finished stages, inside the work folder.
const PROGRESS: &str = "progress.json";
/// The spool of clean documents, inside the work folder.
const SPOOL: &str = "documents";

/// Which stages are behind, and what they found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Finished {
    /// Of the corpus that is being prepared.
    pub(super) fingerprint: String,
    pub(super) cleaned: Option<Cleaned>,
    pub(super) tokenizer: Option<Trained>,
}

/// The tokenizer that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trained {
    /// The BLAKE3 hash of its file.
    pub(super) digest: String,
    pub(super) stage: Stage,
}

/// A corpus folder that this process alone works in.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    work: PathBuf,
    /// Holds the lock until it is closed, however the process ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder and takes its lock; waits while another process has it.
    pub(super) fn lock(dir: &Path, watch: &dyn Watch) -> Result<Self> {
        loop {
            if let Some(folder) = Self::try_lock(dir)? {
                return Ok(folder);
            }
            if watch.stop() {
                return Err(Error::Interrupted { stage: stage::WAIT });
            }
            watch.stage(stage::WAIT, 0, None, 0);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes the folder and takes its lock; `None` while another process has it.
    pub(super) fn try_lock(dir: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(dir).map_err(|source| Error::io("create", dir, source))?;
        let path = dir.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| Error::io("create", &path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { dir: dir.into(), work: dir.join(WORK), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
        }
    }

    /// Whether a run in `dir` is at work, or was broken off.
    pub(super) fn has_work(dir: &Path) -> bool {
        dir.join(WORK).exists()
    }

    /// Where the spool and the tokenizer of the corpus lie that is prepared in `dir`, once they are finished.
    pub(super) fn products(dir: &Path) -> (PathBuf, PathBuf) {
        let work = dir.join(WORK);
        (work.join(SPOOL), work.join(TOKENIZER))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    pub(super) fn spool(&self) -> PathBuf {
        self.work.join(SPOOL)
    }

    pub(super) fn tokenizer(&self) -> PathBuf {
        self.work.join(TOKENIZER)
    }

    /// What an earlier run of the same fingerprint finished; what it left unfinished is removed.
    pub(super) fn resume(&self, fingerprint: &str) -> Result<Finished> {
        let read = fs::read(self.work.join(PROGRESS)).ok().and_then(|text| serde_json::from_slice::<Finished>(&text).ok());
        let mut finished = read.filter(|finished| finished.fingerprint == fingerprint).unwrap_or_default();
        finished.fingerprint = fingerprint.into();
        // A record is believed only with the file that it speaks of.
        let size = fs::metadata(self.spool()).map_or(0, |spool| spool.len());
        finished.cleaned = finished.cleaned.filter(|cleaned| cleaned.spool_bytes == size);
        let digest = self.digest().ok();
        let trained = |trained: &Trained| finished.cleaned.is_some() && Some(&trained.digest) == digest.as_ref();
        finished.tokenizer = finished.tokenizer.clone().filter(trained);
        self.sweep(&finished)?;
        fs::create_dir_all(&self.work).map_err(|source| Error::io("create", &self.work, source))?;
        Ok(finished)
    }

    /// The hash of the trained tokenizer's file.
    pub(super) fn digest(&self) -> Result<String> {
        let path = self.tokenizer();
        let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Writes the record of finished stages, whole or not at all.
    pub(super) fn record(&self, finished: &Finished) -> Result<()> {
        let path = self.work.join(PROGRESS);
        let text = serde_json::to_vec(finished).map_err(|source| Error::Manifest { path: path.clone(), source })?;
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.work)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            sync(&self.work)
        };
        write().map_err(|source| Error::io("write", &path, source))
    }

    /// Removes everything from the work folder that no finished stage needs, and the folder itself if none is finished.
    pub(super) fn sweep(&self, finished: &Finished) -> Result<()> {
        if finished.cleaned.is_none() {
            return self.clear();
        }
        let keep = |name: &OsStr| {
            name == PROGRESS
                || name == SPOOL
                || REPORTS.iter().any(|report| name == *report)
                || finished.tokenizer.is_some() && name == TOKENIZER
        };
        remove(&self.work, |name| !keep(name)).map_err(|source| Error::io("clear", &self.work, source))
    }

    /// Moves the packed corpus out of the work folder, in place of what lay there before. The old manifest goes first and
    /// the new one comes last: at no moment does a manifest speak of other files than its own.
    pub(super) fn commit(&self, manifest: &Manifest) -> Result<()> {
        // Shards, and a manifest that a killed run had not yet given its name.
        let own = |name: &OsStr| {
            let name = name.to_string_lossy();
            (name.starts_with("train-") || name.starts_with("validation-")) && name.ends_with(".tok")
                || name.starts_with(".tmp")
                || name == CARD
                || REPORTS.contains(&name.as_ref())
        };
        let shards = manifest.train.shards.iter().chain(&manifest.validation.shards).map(String::as_str);
        let commit = || -> io::Result<()> {
            remove(&self.dir, |name| name == MANIFEST)?;
            sync(&self.dir)?;
            remove(&self.dir, own)?;
            for name in shards.chain([VALIDATION_TEXT]) {
                fs::rename(self.work.join(name), self.dir.join(name))?;
            }
            // Copies, so that a run killed right here still finds them.
            for name in REPORTS.into_iter().filter(|name| self.work.join(name).exists()) {
                fs::copy(self.work.join(name), self.dir.join(name))?;
                File::open(self.dir.join(name))?.sync_all()?;
            }
            // A copy too, so that a run killed right here still finds its tokenizer.
            fs::copy(self.tokenizer(), self.dir.join(TOKENIZER))?;
            File::open(self.dir.join(TOKENIZER))?.sync_all()?;
            sync(&self.dir)
        };
        commit().map_err(|source| Error::io("write", &self.dir, source))?;
        card::write(manifest, &self.dir)?;
        manifest.save(&self.dir)?;
        self.clear()
    }

    /// Removes the work folder.
    pub(super) fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.work) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("clear", &self.work, source)),
            _ => Ok(()),
        }
    }
}

/// Removes the files of `dir` whose names `unwanted` picks.
fn remove(dir: &Path, unwanted: impl Fn(&OsStr) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if unwanted(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
