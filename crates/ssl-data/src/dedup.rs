//! Keeps the first of equal documents, and of near copies where that is asked for.
//!
//! Equal documents are compared by 128 bits of a cryptographic hash of their clean text: among 10^12 documents the chance of
//! one false match is below 10^-14, and nobody can write a document that pushes out another. Memory grows by 16 bytes a
//! document, and the table's room to grow.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::config::Fault;

pub mod clusters;
pub mod minhash;

pub use minhash::{MinHash, NearConfig};

/// `[data.dedup]`: which documents are taken for copies beside equal ones, which `data.clean.dedup` speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DedupConfig {
    /// Near copies: documents that share most of their runs of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<NearConfig>,
}

impl DedupConfig {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every fault of meaning; paths begin with `data.dedup.`.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        let Some(near) = &self.near else { return };
        let sizes = [
            ("ngram-words", near.ngram_words, 256, "5 is the default"),
            ("buckets", near.buckets, 256, "14 is the default"),
            ("hashes-per-bucket", near.hashes_per_bucket, 64, "8 is the default"),
        ];
        for (name, value, most, hint) in sizes {
            if !(1..=most).contains(&value) {
                faults.push(Fault::new(&format!("data.dedup.near.{name}"), format!("{value} is outside 1..={most}"), hint));
            }
        }
    }
}

/// Identifies a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub u128);

impl TextHash {
    /// The first half of the text's BLAKE3 hash.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
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
