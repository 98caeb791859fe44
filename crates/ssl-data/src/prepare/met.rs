//! Which items of evaluation sets were met in which documents: counts for the manifest, places for the report beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use crate::decontaminate::{Index, Overlap, Tally};
use crate::document::Origin;
use crate::error::{Error, Result};
use crate::manifest::CONTAMINATION;

/// Documents told of each item.
const TOLD: u32 = 3;

/// The report while documents are read.
#[derive(Debug)]
pub(super) struct Met<'a> {
    index: &'a Index,
    tally: Tally<'a>,
    path: PathBuf,
    file: BufWriter<File>,
}

impl<'a> Met<'a> {
    /// Begins the report in `dir`.
    pub(super) fn create(dir: &Path, index: &'a Index) -> Result<Self> {
        let path = dir.join(CONTAMINATION);
        let file = File::create(&path).map_err(|source| Error::io("create", &path, source))?;
        Ok(Self { index, tally: Tally::new(index), path, file: BufWriter::new(file) })
    }

    /// Adds the items of the document from `origin`.
    pub(super) fn add(&mut self, items: &[u32], origin: &Origin) -> Result<()> {
        for item in self.tally.add(items, TOLD) {
            let set = &self.index.sets[item.set as usize];
            let line = serde_json::json!({ "set": set, "item": item.place, "document": origin.to_string() });
            writeln!(self.file, "{line}").map_err(|source| Error::io("write", &self.path, source))?;
        }
        Ok(())
    }

    /// Brings the report to the disk.
    pub(super) fn finish(self) -> Result<BTreeMap<String, Overlap>> {
        let io = |source| Error::io("write", &self.path, source);
        self.file.into_inner().map_err(IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(io)?;
        Ok(self.tally.finish())
    }
}
