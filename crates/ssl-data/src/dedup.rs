//! Keeps the first of equal documents, and where that is asked for of near copies, of paragraphs, and of long runs of text.
//!
//! Equal documents are compared by 128 bits of a cryptographic hash of their clean text: among 10^12 documents the chance of
//! one false match is below 10^-14, and nobody can write a document that pushes out another. Memory grows by 16 bytes a
//! document, and the table's room to grow.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::config::Fault;

pub mod clusters;
pub(crate) mod counted;
pub mod minhash;
pub mod paragraphs;
pub mod substrings;

pub use minhash::{MinHash, NearConfig};
pub use paragraphs::ParagraphConfig;
pub use substrings::SubstringConfig;

/// `[data.dedup]`: what is taken for a copy beside equal documents, which `data.clean.dedup` speaks of. Near copies are dropped first,
/// then paragraphs are cut, then runs of text, each from what the one before left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DedupConfig {
    /// Near copies: documents that share most of their runs of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<NearConfig>,
    /// Paragraphs of earlier documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paragraphs: Option<ParagraphConfig>,
    /// Long runs of text that stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substrings: Option<SubstringConfig>,
}

impl DedupConfig {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every fault of meaning; paths begin with `data.dedup.`.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        let mut sizes = Vec::new();
        if let Some(near) = &self.near {
            sizes.extend([
                ("near.ngram-words", near.ngram_words, 1..=256, "5 is the default"),
                ("near.buckets", near.buckets, 1..=256, "14 is the default"),
                ("near.hashes-per-bucket", near.hashes_per_bucket, 1..=64, "8 is the default"),
            ]);
        }
        if let Some(rules) = &self.paragraphs {
            sizes.push(("paragraphs.min-chars", rules.min_chars, 1..=1 << 20, "100 is the default"));
        }
        if let Some(rules) = &self.substrings {
            // Shorter ones are what any two texts of a language share, and every eighth byte would be looked up.
            sizes.push(("substrings.min-bytes", rules.min_bytes, 32..=1 << 20, "200 is the default"));
        }
        for (name, value, range, hint) in sizes {
            if !range.contains(&value) {
                let message = format!("{value} is outside {range:?}");
                faults.push(Fault::new(&format!("data.dedup.{name}"), message, hint));
            }
        }
    }

    /// Whether passages are cut out of documents.
    pub(crate) fn cuts(&self) -> bool {
        self.paragraphs.is_some() || self.substrings.is_some()
    }

    /// Whether documents are compared with each other after all are read.
    pub(crate) fn compares(&self) -> bool {
        self.near.is_some() || self.cuts()
    }
}

/// Identifies a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub u128);

impl TextHash {
    /// The first half of the text's BLAKE3 hash.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self(u128::from_le_bytes(half))
    }
}

/// The texts met so far.
#[derive(Debug, Default)]
pub struct Seen(HashSet<TextHash, BuildHasherDefault<Low>>);

impl Seen {
    /// Whether this is the first document of its text. Asked in the order of the input, the answer depends on nothing else.
    pub fn first(&mut self, text: TextHash) -> bool {
        self.0.insert(text)
    }
}

/// Takes the low half of a hash as it is: it is uniform already.
#[derive(Debug, Default)]
pub(crate) struct Low(u64);

impl Hasher for Low {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().rev().fold(self.0, |word, &byte| word << 8 | u64::from(byte));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_text_is_kept() {
        let mut seen = Seen::default();
        let texts = ["a", "b", "a", "", "b", "a ", ""];
        let kept: Vec<_> = texts.iter().filter(|text| seen.first(TextHash::of(text))).collect();
        assert_eq!(kept, [&"a", &"b", &"", &"a "]);
    }

    #[test]
    fn the_hash_is_what_others_compute() {
        // b3sum of the empty input begins with these 16 bytes.
        assert_eq!(TextHash::of("").0.to_le_bytes(), *b"\xaf\x13\x49\xb9\xf5\xf9\xa1\xa6\xa0\x40\x4d\xea\x36\xdc\xc9\x49");
    }
}
