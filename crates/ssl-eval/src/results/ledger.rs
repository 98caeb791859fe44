//! What an evaluation has done, example by example, in a file from which it goes on after a stop.
//!
//! A line is written in one piece and only at the end, so that a process which dies leaves at most its last line torn; that line
//! is dropped when the file is opened again, and its example done again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a record is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// A hash of the task with all that its prompts depend on.
    pub task: String,
    /// A hash of the model's weights.
    pub model: String,
    /// The example's place in the task.
    pub doc: u64,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Record<K, T> {
    #[serde(flatten)]
    key: K,
    value: T,
}

/// An open ledger of values of one type, locked against other processes.
#[derive(Debug)]
pub struct Ledger<T> {
    path: PathBuf,
    file: File,
    done: HashMap<Key, T>,
}

impl<T: Serialize + DeserializeOwned> Ledger<T> {
    /// Opens a ledger, or begins one. A torn last line is cut off.
    ///
    /// # Errors
    /// When the disk refuses, another process has it open, or a line is no record of one.
    pub fn open(path: &Path) -> Result<Self> {
        let fault = |what, source| Error::File { what, path: path.into(), source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|source| fault("opened", source))?;
        file.try_lock().map_err(|refused| match refused {
            TryLockError::Error(source) => fault("locked", source),
            TryLockError::WouldBlock => fault("locked", std::io::Error::other("another process writes it")),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| fault("read", source))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut done = HashMap::new();
        for (at, line) in bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate() {
            let read = serde_json::from_slice::<Record<Key, T>>(line);
            let record = read.map_err(|reason| Error::Ledger { path: path.into(), line: at + 1, reason: reason.to_string() })?;
            done.insert(record.key, record.value);
        }
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(|source| fault("cut", source))?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(|source| fault("read", source))?;
        Ok(Self { path: path.into(), file, done })
    }

    /// What was recorded of an example.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&T> {
        self.done.get(key)
    }

    /// Examples recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Records an example; a second record of it counts instead of the first.
    ///
    /// # Errors
    /// When the disk refuses, and when the value would not be read back, as a number that is not finite is not.
    pub fn record(&mut self, key: Key, value: T) -> Result<()> {
        let lost = |reason: serde_json::Error| Error::Record { doc: key.doc, reason: reason.to_string() };
        let mut line = serde_json::to_vec(&Record { key: &key, value: &value }).map_err(lost)?;
        serde_json::from_slice::<Record<Key, T>>(&line).map_err(lost)?;
        line.push(b'\n');
        let fault = |source| Error::File { what: "written", path: self.path.clone(), source };
        let end = self.file.stream_position().map_err(fault)?;
        if let Err(source) = self.file.write_all(&line) {
            // What a full disk took of the line would spoil the next one.
            let _ = self.file.set_len(end);
            let _ = self.file.seek(SeekFrom::Start(end));
            return Err(fault(source));
        }
        self.done.insert(key, value);
        Ok(())
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| Error::File { what: "written", path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(doc: u64) -> Key {
        Key { task: "boxes \"é\"\n".into(), model: "ab".into(), doc }
    }

    #[test]
    fn cut_at_any_byte_it_keeps_whole_lines_and_goes_on_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let values = [0.1, -3.5e-7, 12.0];
        let fill = |path: &Path| -> usize {
            let mut ledger = Ledger::<f64>::open(path).unwrap();
            let before = ledger.len();
            for (doc, value) in values.into_iter().enumerate() {
                if ledger.get(&key(doc as u64)).is_none() {
                    ledger.record(key(doc as u64), value).unwrap();
                }
                assert_eq!(ledger.get(&key(doc as u64)), Some(&value));
            }
            ledger.sync().unwrap();
            before
        };
        assert_eq!(fill(&path), 0);
        let whole = std::fs::read(&path).unwrap();
        let count = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count() - 1;
        assert_eq!(count(&whole), 3);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let lines = count(&whole[..cut]);
            assert_eq!(fill(&path), lines, "cut at {cut}");
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
        assert_eq!(fill(&path), 3);
    }

    #[test]
    fn other_tasks_and_models_are_other_records_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let mut ledger = Ledger::<Vec<u64>>::open(&path).unwrap();
        assert!(ledger.is_empty());
        ledger.record(key(1), vec![1]).unwrap();
        ledger.record(key(1), vec![2]).unwrap();
        for other in [Key { task: "b".into(), ..key(1) }, Key { model: "b".into(), ..key(1) }, key(2)] {
            assert_eq!(ledger.get(&other), None);
        }
        assert!(matches!(Ledger::<Vec<u64>>::open(&path), Err(Error::File { what: "locked", .. })), "it is open already");
        drop(ledger);
        let ledger = Ledger::<Vec<u64>>::open(&path).unwrap();
        assert_eq!((ledger.len(), ledger.get(&key(1))), (1, Some(&vec![2])));
    }

    #[test]
    fn what_is_no_record_is_named_and_what_cannot_be_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let mut ledger = Ledger::<f64>::open(&path).unwrap();
        ledger.record(key(0), 1.0).unwrap();
        assert!(matches!(ledger.record(key(1), f64::NAN), Err(Error::Record { doc: 1, .. })));
        drop(ledger);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&good[..], b"\0\0\0\n", &good[..]].concat()).unwrap();
        assert!(matches!(Ledger::<f64>::open(&path), Err(Error::Ledger { line: 2, .. })));
    }
}
