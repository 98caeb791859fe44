//! Runs of bytes that stood before, in an earlier document or earlier in the same one.
//!
//! A suffix array finds all of them and needs many times the corpus in memory. Here a text is known by *anchors*: of every `w` windows of
//! `n` bytes that follow each other, the one with the least hash. Which windows are chosen depends on their bytes and those around them
//! alone, so that a run of n + w - 1 bytes or more has an anchor in common with its copy, wherever both stand; w is n / 2 + 1. An anchor
//! that was met before is compared byte for byte with where it was met first, and followed up to n bytes to both sides for as long as
//! the bytes are equal. So
//!
//! - nothing is taken for a repeat that is none, and no repeat is shorter than n = `min-bytes`;
//! - of every repeat of 1.5 n bytes or more all is found, but for what may lie beyond its outermost anchors: less than n / 2 bytes on
//!   each side, where the first occurrence of that anchor goes on differently;
//! - of shorter repeats some are found.
//!
//! One position in about n / 4 is an anchor, and no more than 3 n bytes are compared for each: the work is linear in the bytes, whatever
//! they are. The memory for anchors does not grow with the corpus, as they are looked for range by range of their keys.
//!
//! Sources: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", section 4.1, for what is removed; Schleimer,
//! Wilkerson and Aiken 2003, "Winnowing", for the anchors. Differs: the first occurrence stays, where Lee et al. remove all; bytes
//! are counted, where they count 50 tokens.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::rng::{hash, mix};

/// `[data.dedup.substrings]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SubstringConfig {
    /// Shorter runs stay. 200 bytes of English are about the 50 tokens of Lee et al.
    pub min_bytes: usize,
}

impl Default for SubstringConfig {
    fn default() -> Self {
        Self { min_bytes: 200 }
    }
}

/// Odd, so that no bit of a byte is lost as it moves through the sum.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// What each byte counts.
static WEIGHTS: LazyLock<[u64; 256]> = LazyLock::new(|| std::array::from_fn(|byte| hash(0, 0x616e_6368, byte as u64)));

impl SubstringConfig {
    /// The anchors of `text` in order: what identifies each, and where its `min_bytes` bytes lie. None in a shorter text.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(u64, Range<usize>)> {
        let (bytes, length) = (text.as_bytes(), self.min_bytes.max(1));
        let windows = (bytes.len() + 1).saturating_sub(length);
        // A text with fewer windows than are compared has one anchor.
        let compared = (length / 2 + 1).min(windows);
        let weights = &*WEIGHTS;
        let leaving = (0..length).fold(1_u64, |power, _| power.wrapping_mul(FACTOR));
        let mut sum = bytes.iter().take(length - 1).fold(0_u64, |sum, &byte| step(sum, weights[usize::from(byte)]));
        let mut last: Option<(u64, usize)> = None;
        let mut anchors = Vec::with_capacity(windows / (compared / 2).max(1));
        // Of those compared, each window that no later one is less than: the least stands in front.
        let mut least: VecDeque<(u64, usize)> = VecDeque::with_capacity(compared + 1);
        for at in 0..windows {
            sum = step(sum, weights[usize::from(bytes[at + length - 1])]);
            if at > 0 {
                sum = sum.wrapping_sub(leaving.wrapping_mul(weights[usize::from(bytes[at - 1])]));
            }
            let key = mix(sum);
            while least.back().is_some_and(|&(other, _)| other > key) {
                least.pop_back();
            }
            least.push_back((key, at));
            if at + 1 < compared {
                continue;
            }
            // An anchor stays one for as long as no window is less: of a run of equal windows few are anchors.
            if let Some((known, place)) = last
                && place + compared > at
                && least.front().is_some_and(|&(key, _)| key == known)
            {
                continue;
            }
            while least.front().is_some_and(|&(_, place)| place + compared <= at) {
                least.pop_front();
            }
            // Of equal ones the last, which stays for longest.
            let Some(&(key, _)) = least.front() else { continue };
            let place = least.iter().take_while(|other| other.0 == key).last().map_or(at, |other| other.1);
            if last.is_none_or(|(_, last)| last < place) {
                // The least of many numbers is none that is uniform; mixed again it is.
                anchors.push((mix(key), place..place + length));
                last = Some((key, place));
            }
        }
        anchors
    }
}

const fn step(sum: u64, weight: u64) -> u64 {
    sum.wrapping_mul(FACTOR).wrapping_add(weight)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_of_one_letter_has_few_anchors() {
        let config = SubstringConfig { min_bytes: 100 };
        let anchors = config.find(&"-".repeat(10_000));
        assert!(anchors.len() < 220, "{}", anchors.len());
        assert!(anchors.iter().all(|(key, _)| *key == anchors[0].0));
        assert!(config.find(&"-".repeat(99)).is_empty());
        assert_eq!(config.find(&"-".repeat(100)).len(), 1);
    }

    #[test]
    fn anchors_are_about_one_in_a_quarter_of_their_length() {
        let text: String = (0..40_000_u64).map(|n| char::from(b'a' + (hash(1, 2, n) % 26) as u8)).collect();
        let config = SubstringConfig { min_bytes: 200 };
        let anchors = config.find(&text).len();
        assert!((700..900).contains(&anchors), "{anchors}");
    }

    proptest! {
        /// Whatever stands around it, a run of n + w - 1 bytes has an anchor in common with its copy, at the same place in it.
        #[test]
        fn copies_have_an_anchor_in_common(
            run in "[ab]{30,60}", before in "[abc]{0,50}", behind in "[abc]{0,50}", other in "[abc]{0,50}",
        ) {
            let config = SubstringConfig { min_bytes: 20 };
            let inside = |text: &str, from: usize| -> HashSet<u64> {
                let inside = from..=from + run.len() - 20;
                config.find(text).into_iter().filter(|(_, place)| inside.contains(&place.start)).map(|(key, _)| key).collect()
            };
            let one = inside(&format!("{before}{run}{behind}"), before.len());
            let two = inside(&format!("{other}{run}"), other.len());
            prop_assert!(!one.is_disjoint(&two), "{one:?} {two:?}");
        }

        /// An anchor is known by its bytes.
        #[test]
        fn equal_windows_have_equal_keys(text in "[ab中]{10,200}") {
            let config = SubstringConfig { min_bytes: 12 };
            for (key, place) in config.find(&text) {
                if let Some(window) = text.get(place) {
                    prop_assert_eq!(config.find(window), vec![(key, 0..12)]);
                }
            }
        }
    }
}
