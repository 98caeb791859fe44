//! What a prepared corpus is: `manifest.json`, written last, so that a folder without it is no corpus.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clean::Reason;
use crate::composition::Composition;
use crate::decontaminate::Overlap;
use crate::dedup::NearConfig;
use crate::error::{Error, Result};

/// The file's name inside a corpus folder.
pub const MANIFEST: &str = "manifest.json";
/// The tokenizer's name inside a corpus folder.
pub const TOKENIZER: &str = "tokenizer.json";
/// The cleaned validation documents, one after another: the text that `Split::bytes` counts, for general compressors to try.
pub const VALIDATION_TEXT: &str = "validation.txt";

/// Which documents were near copies of which, where that was looked for: one JSON object a line, in the order of the input, with the
/// `cluster`'s number, the `document`'s place, and whether it was `kept`.
pub const NEAR_DUPLICATES: &str = "near-duplicates.jsonl";

/// Which items of evaluation sets were met where, if they were looked for: one JSON object a line, in the order of the input, with the
/// `set`, the `item`'s place and the `document`'s, for the first three documents of each item.
pub const CONTAMINATION: &str = "contamination.jsonl";

/// The version of the corpus folder's layout that this code writes and reads.
pub const VERSION: u32 = 1;

/// The record of one preparation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout's version, [`VERSION`].
    pub version: u32,
    /// A hash of the inputs (names, sizes, content) and of the configuration.
    pub fingerprint: String,
    /// The parts of that hash, for telling what differs between two corpora; empty in a corpus that was prepared before they were kept.
    #[serde(default)]
    pub fingerprints: Fingerprints,
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
    /// What filters, scrubbing and comparison found.
    #[serde(default, skip_serializing_if = "Curation::is_empty")]
    pub curation: Curation,
    /// What the corpus is made of; nothing in a corpus that was prepared before this was counted.
    #[serde(default)]
    pub composition: Composition,
    /// How long each stage took, in order.
    pub stages: Vec<Stage>,
}

/// BLAKE3 hashes in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of the inputs: names, sizes and content, in order.
    pub inputs: String,
    /// Of the configuration, as far as it touches the corpus, and of the files that it names.
    pub config: String,
    /// Of `tokenizer.json`.
    pub tokenizer: String,
}

/// What was found in documents that were kept, and what was compared to keep them; counts and places, and never what was found of
/// personal data. Of a document that is kept everything counts, what stood in a passage that was cut from it too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curation {
    /// Documents by language, where languages are told: codes of ISO 639-3, `und` for none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub languages: BTreeMap<String, u64>,
    /// Lines taken out by rules of `data.filter`, by rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed_lines: BTreeMap<String, u64>,
    /// Personal data and secrets taken out, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scrubbed: crate::scrub::Counts,
    /// What of evaluation sets was met in documents that were read, by set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contamination: BTreeMap<String, Overlap>,
    /// Clusters of near copies, where they were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<NearCopies>,
    /// Paragraphs of earlier documents that were cut, where they were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paragraphs: Option<Cuts>,
    /// Runs of text that stood before and were cut, where they were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substrings: Option<Cuts>,
}

impl Curation {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The clusters of near copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NearCopies {
    /// Clusters of two documents or more.
    pub clusters: u64,
    /// Documents that were dropped for the first of their cluster.
    pub copies: u64,
    /// Documents of the largest cluster.
    pub largest: u64,
    /// What they were found by; nothing in a corpus that was prepared before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<NearConfig>,
}

/// Passages that were cut out of documents because they stood before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cuts {
    /// Passages; those that touch are one.
    pub passages: u64,
    /// Bytes of all passages.
    pub bytes: u64,
    /// Documents that lost some.
    pub documents: u64,
    /// Documents that were dropped because too little was left.
    pub dropped: u64,
    /// The first few.
    pub examples: Vec<Passage>,
}

/// A passage that was cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The place of the document.
    pub document: String,
    /// Its length.
    pub bytes: u64,
    /// How it begins.
    pub begins: String,
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

    /// Documents that were kept. The only one of a corpus is one, though each split has a part of it.
    #[must_use]
    pub fn documents_kept(&self) -> u64 {
        let counted: u64 = self.composition.lengths.iter().sum();
        if counted > 0 { counted } else { self.train.documents + self.validation.documents }
    }

    /// Records read: the documents that were kept and what was dropped.
    #[must_use]
    pub fn documents_read(&self) -> u64 {
        self.documents_kept() + self.dropped.values().sum::<u64>()
    }
}
