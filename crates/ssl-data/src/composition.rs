//! What a corpus is made of: documents, text and tokens by source, by language and by length.
//!
//! Sizes are of everything. What costs time to know (languages, words) is known of a sample that the documents' own texts draw, so it
//! does not depend on threads or on the order of work, and its cost does not grow with the corpus.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::filter::{identify, profile};

/// Documents that a sample has at most, about: enough that a share of a half is known to half of one in a hundred.
const SAMPLE: u64 = 1 << 14;
/// Bytes that a sample has at most, about.
const SAMPLE_BYTES: u64 = 64 << 20;
/// Keeps the draw apart from other uses of the same hash.
const DRAW: u64 = 0x73_61_6d_70_6c_65;

/// What a corpus is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Composition {
    /// The named sources in the order of their names, or the paths in theirs. Each is a run of documents of both splits.
    pub sources: Vec<Source>,
    /// Documents by tokens: element k counts those of 2^k up to 2^(k + 1) - 1, the first those of none and one.
    pub lengths: Vec<u64>,
    /// One document in so many was drawn for the counts by language and of words.
    pub sampled_one_in: u64,
    /// The documents that were drawn, by language: codes of ISO 639-3, `und` for none.
    pub languages: BTreeMap<String, Measure>,
}

/// One source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// Its name, or its path.
    pub name: String,
    /// Files.
    pub files: u64,
    /// Records read, those dropped included.
    pub read: u64,
    /// What is trained on.
    pub train: Size,
    /// What is only measured.
    pub validation: Size,
    /// Its documents that were drawn.
    pub sample: Measure,
}

/// How much of it there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Documents.
    pub documents: u64,
    /// Bytes of the clean text in UTF-8.
    pub bytes: u64,
    /// Tokens, with one separator a document.
    pub tokens: u64,
}

/// What is known of documents that were drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Documents.
    pub documents: u64,
    /// Bytes of their text in UTF-8.
    pub bytes: u64,
    /// Characters.
    pub chars: u64,
    /// Words, as filters count them: where a script sets no spaces, each character.
    pub words: u64,
    /// Tokens, without separators.
    pub tokens: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.bytes += other.bytes;
        self.tokens += other.tokens;
    }
}

impl AddAssign for Measure {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.bytes += other.bytes;
        self.chars += other.chars;
        self.words += other.words;
        self.tokens += other.tokens;
    }
}

impl Source {
    /// Both splits.
    #[must_use]
    pub fn size(&self) -> Size {
        let mut size = self.train;
        size += self.validation;
        size
    }
}

/// Draws the documents that are looked at closely.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// A power of two, so that a larger corpus' sample is a part of the smaller's.
    pub(crate) one_in: u64,
}

impl Draw {
    /// For a corpus of so many documents and bytes.
    pub(crate) fn of(documents: u64, bytes: u64) -> Self {
        Self { one_in: documents.div_ceil(SAMPLE).max(bytes.div_ceil(SAMPLE_BYTES)).next_power_of_two() }
    }

    /// The language and the measure of a document of `tokens` tokens, if it is drawn.
    pub(crate) fn look(self, text: &str, tokens: u64) -> Option<(Cow<'static, str>, Measure)> {
        if xxh3_64_with_seed(text.as_bytes(), DRAW) & (self.one_in - 1) != 0 {
            return None;
        }
        let mut words = 0;
        profile::words(text, &mut |_| words += 1);
        let (bytes, chars) = (text.len() as u64, text.chars().count() as u64);
        Some((identify(text).0.into(), Measure { documents: 1, bytes, chars, words, tokens }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_holds_everything_small_and_a_bounded_part_of_everything_large() {
        assert_eq!([0, 1, SAMPLE, SAMPLE + 1, 5 * SAMPLE].map(|documents| Draw::of(documents, 9).one_in), [1, 1, 1, 2, 8]);
        assert_eq!(Draw::of(9, 3 * SAMPLE_BYTES).one_in, 4);
        let drawn =
            |one_in| (0..4096).filter(|n| Draw { one_in }.look(&format!("document {n}"), 1).is_some()).collect::<Vec<_>>();
        let (fourth, eighth) = (drawn(4), drawn(8));
        assert!((924..1124).contains(&fourth.len()), "{}", fourth.len());
        assert!(eighth.iter().all(|n| fourth.contains(n)) && eighth.len() < fourth.len());
    }

    #[test]
    fn words_of_scripts_without_spaces_are_characters() {
        let (language, measure) = Draw { one_in: 1 }.look("那天早上港口很安静，没有人看见那条船进来。", 9).expect("drawn");
        assert_eq!((&*language, measure.chars, measure.bytes, measure.tokens), ("cmn", 21, 63, 9));
        assert!((19..=21).contains(&measure.words), "{}", measure.words);
        let (_, measure) = Draw { one_in: 1 }.look("The harbour was quiet", 4).expect("drawn");
        assert_eq!(measure.words, 4);
    }
}
