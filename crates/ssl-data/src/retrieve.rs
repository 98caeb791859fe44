//! Documents that can be asked: cut into passages, kept in a folder, found by their words, and by vectors where there are such.
//!
//! ```
//! use ssl_data::retrieve::{Index, PassageConfig};
//!
//! let dir = tempfile::tempdir()?;
//! std::fs::write(dir.path().join("opening.txt"), "The shop opens at nine.\n\nOn Sundays it is closed.")?;
//! let (index, update) = Index::update(&dir.path().join("index"), &[dir.path().into()], PassageConfig::default(), &|| false)?;
//! assert_eq!((update.documents, update.cut), (1, 1));
//! let (best, _) = index.search("When is the shop closed?", 1)[0];
//! let found = index.passage(best);
//! assert!(found.document.ends_with("opening.txt") && found.bytes == (0..49) && found.text.contains("Sundays"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An index is one file, replaced as a whole: whoever reads it reads the old one or the new one, and a process that is killed leaves no
//! third. What is searched is made of its text in memory when it is opened.

mod bm25;
mod fuse;
mod passage;
mod read;
mod store;
mod terms;
mod vectors;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use bm25::Bm25;
pub use fuse::fuse;
pub use passage::PassageConfig;
pub use vectors::Vectors;

use crate::error::Result;

/// A text that was cut into passages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Where it was read from: the file, and the line or record in it where it is one of many.
    name: String,
    /// The BLAKE3 hash of its text.
    fingerprint: String,
    /// The file that it is of, by its place in the list of files.
    file: u32,
    /// First byte and the one behind the last.
    passages: Vec<Range<usize>>,
    text: String,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Where it lies.
    path: String,
    /// The BLAKE3 hash of its bytes.
    digest: String,
    /// Whether all of it could be read. What could not be is read again, and told again, each time.
    #[serde(default)]
    whole: bool,
}

/// One passage of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage<'a> {
    /// Where its document was read from.
    pub document: &'a str,
    /// Its bytes in the document: of a plain text file those of the unpacked file; of other formats, those of the text read from it.
    pub bytes: Range<usize>,
    /// Its text.
    pub text: &'a str,
}

/// What bringing an index up to date came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Update {
    /// Files that were named.
    pub files: u64,
    /// Documents there are now.
    pub documents: u64,
    /// Documents that were cut now, because they are new or changed.
    pub cut: u64,
    /// Documents of before that are no longer there as they were.
    pub removed: u64,
    /// Files and records that could not be read.
    pub dropped: u64,
    /// The first of them.
    pub first_dropped: Option<String>,
    /// Passages there are now.
    pub passages: u64,
}

/// Documents and their passages, ready to be searched.
#[derive(Debug, Clone, Default)]
pub struct Index {
    config: PassageConfig,
    documents: Vec<Document>,
    /// Document and place in it of each passage.
    passages: Vec<(u32, u32)>,
    words: Bm25,
}

impl Index {
    fn new(config: PassageConfig, documents: Vec<Document>) -> Self {
        let places =
            |(at, document): (usize, &Document)| (0..document.passages.len() as u32).map(move |place| (at as u32, place));
        let passages = documents.iter().enumerate().flat_map(places).collect();
        let mut index = Self { config, documents, passages, words: Bm25::default() };
        index.words = Bm25::new((0..index.len()).map(|at| index.passage(at).text));
        index
    }

    /// Of texts that are passages as they stand, each with its document's name.
    #[must_use]
    pub fn of_passages<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let document = |(name, text): (&str, &str)| Document {
            name: name.to_owned(),
            fingerprint: fingerprint(text),
            file: 0,
            passages: std::iter::once(0..text.len()).collect(),
            text: text.to_owned(),
        };
        Self::new(PassageConfig::default(), texts.into_iter().map(document).collect())
    }

    /// Reads the index in `dir`.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another version.
    pub fn open(dir: &Path) -> Result<Self> {
        let (header, documents) = store::load(dir)?;
        Ok(Self::new(header.passages, documents))
    }

    /// Brings the index in `dir` up to date with what `paths` name (files, folders, globs), and makes it where there is none. A file whose
    /// bytes are those of before is not read again, a document whose text is that of before is not cut again, and what is no longer there
    /// leaves the index. What cannot be read is counted and left out. An index that is damaged is made anew.
    ///
    /// # Errors
    /// When a path gives no file, no document is left, another process writes the index, the disk refuses, or `stop` says so.
    pub fn update(
        dir: &Path,
        paths: &[PathBuf],
        config: PassageConfig,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Self, Update)> {
        let _lock = store::lock(dir)?;
        let before = store::load(dir).ok().filter(|(header, _)| header.passages == config);
        let (old_files, old) = before.map_or_else(Default::default, |(header, documents)| (header.files, documents));
        let read = read::read(dir, paths, config, &old_files, &old, stop)?;
        let mut update = read.update;
        let kept = update.documents - update.cut;
        update.removed = old.len() as u64 - kept;
        if read.files != old_files || read.documents != old {
            store::save(dir, config, &read.files, &read.documents)?;
        }
        let index = Self::new(config, read.documents);
        update.passages = index.len() as u64;
        Ok((index, update))
    }

    /// How documents were cut.
    #[must_use]
    pub fn config(&self) -> PassageConfig {
        self.config
    }

    /// Documents.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents.len()
    }

    /// Passages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passages.is_empty()
    }

    /// A passage by its number, which is below [`Self::len`].
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn passage(&self, at: usize) -> Passage<'_> {
        let (document, place) = self.passages[at];
        let document = &self.documents[document as usize];
        let bytes = document.passages[place as usize].clone();
        Passage { document: &document.name, text: &document.text[bytes.clone()], bytes }
    }

    /// The `most` passages that speak most of what a question asks, by its words, best first, each with its score.
    #[must_use]
    pub fn search(&self, question: &str, most: usize) -> Vec<(usize, f64)> {
        self.words.search(question, most)
    }

    /// The same fused with the passages whose vectors are nearest to the question's: each list gives `depth` passages or `most`.
    #[must_use]
    pub fn search_both(&self, question: &str, vectors: &Vectors, vector: &[f32], most: usize) -> Vec<(usize, f64)> {
        let depth = most.max(DEPTH);
        let number = |found: Vec<(usize, f64)>| found.into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        let mut fused = fuse(&[number(self.search(question, depth)), number(vectors.nearest(self, vector, depth))]);
        fused.truncate(most);
        fused
    }
}

/// How many passages of each list are fused.
const DEPTH: usize = 100;

/// What tells a text from another.
fn fingerprint(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Documents by what they are, to be found again.
type Known<'a> = HashMap<(&'a str, &'a str), &'a Document>;
