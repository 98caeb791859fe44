//! What a prepared corpus is: `manifest.json`, written last, so that a folder without it is no corpus.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clean::Reason;
use crate::error::{Error, Result};

/// The file's name inside a corpus folder.
pub const MANIFEST: &str = "manifest.json";
/// The tokenizer's name inside a corpus folder.
pub const TOKENIZER: &str = "tokenizer.json";
/// The cleaned validation documents, one after another: the text that `Split::bytes` counts, for general compressors to try.
pub const VALIDATION_TEXT: &str = "validation.txt";

/// The version of the corpus folder's layout that this code writes and reads.
pub const VERSION: u32 = 1;

/// The record of one preparation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout's version, [`VERSION`].
    pub version: u32,
    /// A hash of the inputs (names, sizes, content) and of the configuration.
    pub fingerprint: String,
    /// Bytes of one stored token: 2 or 4.
    pub token_bytes: u8,
    /// Ids are below this.
    pub vocab_size: u32,
    /// The id between documents.
    pub separator: u32,
    /// What is trained on.
    pub train: Split,
    /// What is only measured.
    pub validation: Split,
    /// Input files read.
    pub files: u64,
    /// Documents dropped, by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// The first few places of each reason, as `path:line`.
    pub examples: BTreeMap<Reason, Vec<String>>,
    /// Characters and bytes mended in documents that were kept, by what was mended.
    pub repaired: BTreeMap<String, u64>,
    /// How long each stage took, in order.
    pub stages: Vec<Stage>,
}

/// The counts and files of one split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Documents.
    pub documents: u64,
    /// Tokens, separators included.
    pub tokens: u64,
    /// Bytes of the cleaned text in UTF-8.
    pub bytes: u64,
    /// The shards' file names, in order.
    pub shards: Vec<String>,
}

/// One stage of the preparation, as measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What was done.
    pub name: String,
    /// Wall seconds.
    pub seconds: f64,
    /// Bytes of text that went in.
    pub bytes: u64,
    /// Documents that went in.
    pub documents: u64,
}

impl Manifest {
    /// Reads the manifest of the corpus in `dir`.
    ///
    /// # Errors
    /// When there is none, it is not a manifest, or it is of another version.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|source| Error::Manifest { path: path.clone(), source })?;
        if manifest.version != VERSION {
            return Err(Error::ManifestVersion { path, found: manifest.version, expect: VERSION });
        }
        Ok(manifest)
    }

    /// Writes the manifest into `dir`, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).map_err(|source| Error::Manifest { path: path.clone(), source })?;
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|fault| fault.error)?;
            fs::File::open(dir)?.sync_all()
        };
        write().map_err(|source| Error::io("write", &path, source))
    }

    /// Documents read: those kept and those dropped.
    #[must_use]
    pub fn documents_read(&self) -> u64 {
        self.train.documents + self.validation.documents + self.dropped.values().sum::<u64>()
    }
}
