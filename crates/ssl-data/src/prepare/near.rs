//! Near copies within the first stage: keys are spooled while documents are read, compared afterwards, and the documents are then
//! written again without the copies.
//!
//! On the disk a document costs 8 bytes a bucket; in memory 4 bytes, beside a table of fixed size.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::draft::{self, Draft};
use super::{Watch, stage};
use crate::dedup::clusters::{Clusters, TABLE};
use crate::error::{Error, Result};
use crate::manifest::{NEAR_DUPLICATES, NearCopies};

/// Documents between two questions whether to stop.
const ASK: u64 = 1 << 12;

/// The keys of all documents so far.
pub(super) struct Keys {
    dir: PathBuf,
    buckets: Vec<(PathBuf, BufWriter<File>)>,
    documents: u32,
}

fn create(path: PathBuf) -> Result<(PathBuf, BufWriter<File>)> {
    let file = File::create(&path).map_err(|source| Error::io("create", &path, source))?;
    Ok((path, BufWriter::with_capacity(1 << 16, file)))
}

impl Keys {
    /// For documents of so many keys, in files within `dir`.
    pub(super) fn create(dir: &Path, buckets: usize) -> Result<Self> {
        let bucket = |number| create(dir.join(format!("bucket-{number:03}")));
        Ok(Self { dir: dir.into(), buckets: (0..buckets).map(bucket).collect::<Result<_>>()?, documents: 0 })
    }

    /// Adds a document; one without keys is like none.
    pub(super) fn push(&mut self, keys: Option<&[u64]>) -> Result<()> {
        if self.documents == u32::MAX {
            return Err(Error::TooManyDocuments { limit: u64::from(u32::MAX) });
        }
        self.documents += 1;
        for (bucket, (path, file)) in self.buckets.iter_mut().enumerate() {
            let key = keys.map_or(0, |keys| keys[bucket]);
            file.write_all(&key.to_le_bytes()).map_err(|source| Error::io("write", path, source))?;
        }
        Ok(())
    }

    /// Finds the clusters of the documents of `draft`, writes the first of each to `into`, and tells the places of the others to `drop`,
    /// in the order of the input. Writes the report of clusters, and removes the keys.
    pub(super) fn resolve(
        mut self,
        draft: &Draft,
        into: &mut draft::Writer,
        watch: &dyn Watch,
        mut drop: impl FnMut(&str),
    ) -> Result<NearCopies> {
        let mut clusters = Clusters::new(self.documents);
        let total = self.buckets.len() as u64;
        for (number, (path, mut file)) in self.buckets.drain(..).enumerate() {
            watch.stage(stage::NEAR, number as u64, Some(total), u64::from(self.documents));
            file.flush().map_err(|source| Error::io("write", &path, source))?;
            clusters.join_equal(|| read_keys(&path, u64::from(self.documents), watch), TABLE)?;
            fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        let sizes = clusters.sizes();
        let (path, mut report) = create(self.dir.join(NEAR_DUPLICATES))?;
        for (index, entry) in (0..).zip(draft.read(watch, stage::NEAR)?) {
            let entry = entry?;
            let first = clusters.first(index);
            if sizes[first as usize] > 1 {
                let line = serde_json::json!({ "cluster": first, "document": entry.about.place, "kept": first == index });
                writeln!(report, "{line}").map_err(|source| Error::io("write", &path, source))?;
            }
            if first == index {
                into.push(&entry.text, entry.hash, &entry.about)?;
            } else {
                drop(&entry.about.place);
            }
        }
        let finish = |file: BufWriter<File>| file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all();
        finish(report).map_err(|source| Error::io("write", &path, source))?;
        Ok(clusters.counts())
    }
}

/// The keys of one bucket in the order of the documents.
fn read_keys(path: &Path, documents: u64, watch: &dyn Watch) -> Result<impl Iterator<Item = Result<u64>>> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    Ok((0..documents).map(move |document| {
        if document % ASK == 0 && watch.stop() {
            return Err(Error::Interrupted { stage: stage::NEAR });
        }
        let mut key = [0; 8];
        file.read_exact(&mut key).map_err(|source| Error::io("read", path, source))?;
        Ok(u64::from_le_bytes(key))
    }))
}
