//! Which documents are kept for validation: a rule of the seed and each document's text, not of its place or name, so
//! that a document stays on its side when others come or go.

use serde::{Deserialize, Serialize};

use crate::corpus::SplitName;
use crate::dedup::TextHash;
use crate::rng;

/// How the documents of one corpus are divided.
///
/// A document whose hash, as a share of all hashes, is below the fraction goes to validation. Where that leaves a side of
/// two or more documents empty, the document nearest to the border changes sides. A single document is cut: its end is
/// the validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Division {
    seed: u64,
    below: u64,
    /// The document that changes sides, by its place.
    moved: Option<u64>,
    /// Where the only document is cut, in bytes.
    pub(super) cut: Option<u64>,
}

impl Division {
    fn key(&self, text: TextHash) -> u64 {
        rng::hash(self.seed, text.0 as u64, (text.0 >> 64) as u64)
    }

    /// The side of the document at place `index`; one that is cut counts as training here.
    pub(super) fn side(&self, index: u64, text: TextHash) -> SplitName {
        if (self.key(text) < self.below) == (self.moved == Some(index)) { SplitName::Train } else { SplitName::Validation }
    }
}

/// Sees every document once, in order, and then knows the division.
#[derive(Debug)]
pub(super) struct Divider {
    division: Division,
    fraction: f64,
    pub(super) documents: u64,
    validation: u64,
    train_bytes: u64,
    pub(super) bytes: u64,
    /// Key, place and bytes of the documents at both ends of the keys.
    lowest: Option<(u64, u64, u64)>,
    highest: Option<(u64, u64, u64)>,
}

impl Divider {
    pub(super) fn new(seed: u64, fraction: f64) -> Self {
        // 2^64 times the fraction; the cast saturates.
        let below = (fraction * 2.0_f64.powi(64)) as u64;
        let division = Division { seed, below, moved: None, cut: None };
        Self { division, fraction, documents: 0, validation: 0, train_bytes: 0, bytes: 0, lowest: None, highest: None }
    }

    pub(super) fn add(&mut self, text: &str, hash: TextHash) {
        let (index, bytes) = (self.documents, text.len() as u64);
        let entry = (self.division.key(hash), index, bytes);
        if index == 0 {
            self.division.cut = cut(text, self.fraction);
        }
        match self.division.side(index, hash) {
            SplitName::Train => self.train_bytes += bytes,
            SplitName::Validation => self.validation += 1,
        }
        self.documents += 1;
        self.bytes += bytes;
        self.lowest = self.lowest.min(Some(entry)).or(Some(entry));
        self.highest = self.highest.max(Some(entry));
    }

    /// The division, and the bytes of the side that is trained on.
    pub(super) fn finish(mut self) -> (Division, u64) {
        let division = &mut self.division;
        if self.documents != 1 {
            division.cut = None;
        }
        if self.documents == 1 {
            division.below = 0;
            self.train_bytes = division.cut.unwrap_or(self.bytes);
        } else if self.fraction > 0.0 && self.validation == 0 {
            if let Some((_, index, bytes)) = self.lowest {
                division.moved = Some(index);
                self.train_bytes -= bytes;
            }
        } else if self.validation == self.documents
            && let Some((_, index, bytes)) = self.highest
        {
            division.moved = Some(index);
            self.train_bytes += bytes;
        }
        (self.division, self.train_bytes)
    }
}

/// Where a single document is cut: behind the last line that ends within the training share, unless that would more than
/// double the validation; then between two characters. `None` where a side would be empty.
fn cut(text: &str, fraction: f64) -> Option<u64> {
    if fraction <= 0.0 || text.is_empty() {
        return None;
    }
    let share = ((text.len() as f64) * (1.0 - fraction)) as usize;
    let most = text.floor_char_boundary(share.min(text.len() - 1));
    let least = most.saturating_sub(text.len() - most);
    let line = text[..most].rfind('\n').map(|at| at + 1).filter(|&at| at >= least);
    Some(line.unwrap_or(most) as u64).filter(|&at| at > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divide(texts: &[String], seed: u64, fraction: f64) -> (Vec<SplitName>, Division, u64) {
        let mut divider = Divider::new(seed, fraction);
        for text in texts {
            divider.add(text, TextHash::of(text));
        }
        let (division, train_bytes) = divider.finish();
        let side = |(index, text): (usize, &String)| division.side(index as u64, TextHash::of(text));
        (texts.iter().enumerate().map(side).collect(), division, train_bytes)
    }

    #[test]
    fn a_single_document_is_cut_at_a_line_or_between_characters() {
        let text = "abcdefgh\nijkl\nmnop\n";
        assert_eq!(cut(text, 0.2), Some(14));
        assert_eq!(cut(text, 0.5), Some(9));
        assert_eq!(cut("中文字", 0.5), Some(3));
        assert_eq!(cut("ab", 0.01), Some(1));
        assert_eq!(cut("ab", 1e-300), Some(1));
        // The only line end is far before the share.
        assert_eq!(cut("a\nbcdefghijklmnopqrstuvw", 0.1), Some(21));
        for (text, fraction) in [("", 0.5), ("a", 0.5), ("中", 0.9), ("abc", 0.0)] {
            assert_eq!(cut(text, fraction), None, "{text}");
        }
    }

    proptest! {
        /// Two documents and a fraction above 0 are enough for both sides, whatever the texts.
        #[test]
        fn no_side_is_empty(texts in proptest::collection::vec("[ab]{1,3}", 2..40), seed: u64, fraction in prop_oneof![Just(1e-12), Just(0.999_999), 0.001..0.999]) {
            let (sides, division, train_bytes) = divide(&texts, seed, fraction);
            prop_assert!(sides.contains(&SplitName::Train) && sides.contains(&SplitName::Validation));
            prop_assert_eq!(division.cut, None);
            let train = texts.iter().zip(&sides).filter(|(_, side)| **side == SplitName::Train).map(|(text, _)| text.len() as u64).sum::<u64>();
            prop_assert_eq!(train_bytes, train);
        }

        /// A document's side does not depend on the others, as long as the rule of empty sides is not called on.
        #[test]
        fn sides_stay_when_documents_come(texts in proptest::collection::hash_set("[a-z]{1,8}", 60..90), seed: u64) {
            let texts: Vec<String> = texts.into_iter().collect();
            let (all, whole, _) = divide(&texts, seed, 0.5);
            let (half, part, _) = divide(&texts[..40], seed, 0.5);
            prop_assume!(whole.moved.is_none() && part.moved.is_none());
            prop_assert_eq!(&all[..40], &half[..]);
        }
    }

    #[test]
    fn the_share_is_about_the_fraction() {
        let texts: Vec<String> = (0..20_000).map(|number| format!("document {number}")).collect();
        let (sides, _, _) = divide(&texts, 7, 0.05);
        let kept = sides.iter().filter(|side| **side == SplitName::Validation).count();
        assert!((900..1100).contains(&kept), "{kept} of 20000");
        let (none, _, train_bytes) = divide(&texts, 7, 0.0);
        assert!(none.iter().all(|side| *side == SplitName::Train));
        assert_eq!(train_bytes, texts.iter().map(|text| text.len() as u64).sum::<u64>());
    }
}
