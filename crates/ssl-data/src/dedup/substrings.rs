//! Runs of text that stood before, in an earlier document or earlier in the same one.
//!
//! Two editions of one book differ in how their lines are broken and in the quotation marks and dashes of their typesetters: byte for
//! byte they share a third of what they share letter for letter. So white space, quotation marks, dashes and underscores do not count,
//! neither for what is equal nor for how long it is; every other byte does.
//!
//! A suffix array finds all repeats and needs many times the corpus in memory. Here a text is known by *anchors*: of every `w` windows
//! of `n` counted bytes that follow each other, the one with the least hash. Which windows are chosen depends on their bytes and those
//! around them alone, so that a run of n + w - 1 bytes or more has an anchor in common with its copy, wherever both stand; w is
//! n / 2 + 1. An anchor that was met before is compared byte for byte with where it was met first, and followed up to n bytes to both
//! sides for as long as the bytes are equal. So
//!
//! - nothing is taken for a repeat that is none, and no repeat is shorter than n = `min-bytes`;
//! - of every repeat of 1.5 n bytes or more all is found, but for what may lie beyond its outermost anchors: less than n / 2 bytes on
//!   each side, where the first occurrence of that anchor goes on differently;
//! - of shorter repeats some are found, and none where one of the two is spread over more than twice as much white space.
//!
//! One position in about n / 4 is an anchor, and a few n bytes are compared for each: the work is linear in the bytes, whatever they
//! are. The memory for anchors does not grow with the corpus, as they are divided by their keys on the disk.
//!
//! Sources: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", section 4.1, for what is removed; Schleimer,
//! Wilkerson and Aiken 2003, "Winnowing", for the anchors. Differs: the first occurrence stays, where Lee et al. remove all; bytes
//! are counted, where they count 50 tokens; they compare every byte.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::counted::Counted;
use crate::rng::{hash, mix};

/// `[data.dedup.substrings]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SubstringConfig {
    /// Shorter runs stay; white space, quotation marks and dashes do not count. 200 bytes of English are about the 50 tokens of Lee
    /// et al.
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
    /// The anchors of `text` in order: what identifies each, and where its `min_bytes` counted bytes lie. None in a shorter text.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(u64, Range<usize>)> {
        let length = self.min_bytes.max(1);
        let (compared, weights) = (length / 2 + 1, &*WEIGHTS);
        let leaving = (1..length).fold(1_u64, |power, _| power.wrapping_mul(FACTOR));
        // The bytes that come into the window, and those that go.
        let (mut new, mut old) = (Counted::of(text.as_bytes()), Counted::of(text.as_bytes()));
        let mut sum = new.by_ref().take(length - 1).fold(0_u64, |sum, (_, byte)| step(sum, weights[usize::from(byte)]));
        let mut anchors = Anchors { found: Vec::with_capacity(text.len() / (compared / 2).max(1)), last: None };
        // Of those compared, each window that no later one is less than: the least stands in front.
        let mut least: VecDeque<Window> = VecDeque::with_capacity(compared + 1);
        let mut windows = 0;
        for ((end, entering), (start, left)) in new.zip(&mut old) {
            sum = step(sum, weights[usize::from(entering)]);
            let window = Window { key: mix(sum), at: windows, place: start..end + 1 };
            sum = sum.wrapping_sub(leaving.wrapping_mul(weights[usize::from(left)]));
            windows += 1;
            while least.back().is_some_and(|other| other.key > window.key) {
                least.pop_back();
            }
            least.push_back(window);
            if windows < compared {
                continue;
            }
            // An anchor stays one for as long as no window is less: of a run of equal windows few are anchors.
            if let Some((known, at)) = anchors.last
                && at + compared >= windows
                && least.front().is_some_and(|front| front.key == known)
            {
                continue;
            }
            while least.front().is_some_and(|front| front.at + compared < windows) {
                least.pop_front();
            }
            anchors.push(&least);
        }
        // A text with fewer windows than are compared has one anchor.
        if windows < compared {
            anchors.push(&least);
        }
        anchors.found
    }
}

/// So many bytes that follow each other.
struct Window {
    key: u64,
    /// How many windows are before it.
    at: usize,
    place: Range<usize>,
}

/// What was chosen.
struct Anchors {
    found: Vec<(u64, Range<usize>)>,
    /// The key and the number of the last.
    last: Option<(u64, usize)>,
}

impl Anchors {
    /// Adds the least window, of equal ones the last, which stays for longest.
    fn push(&mut self, least: &VecDeque<Window>) {
        let Some(front) = least.front() else { return };
        let window = least.iter().take_while(|other| other.key == front.key).last().unwrap_or(front);
        if self.last.is_none_or(|(_, at)| at < window.at) {
            // The least of many numbers is none that is uniform; mixed again it is.
            self.found.push((mix(window.key), window.place.clone()));
            self.last = Some((window.key, window.at));
        }
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
        let anchors = config.find(&"=".repeat(10_000));
        assert!(anchors.len() < 220, "{}", anchors.len());
        assert!(anchors.iter().all(|(key, _)| *key == anchors[0].0));
        assert!(config.find(&"=".repeat(99)).is_empty());
        assert_eq!(config.find(&"=".repeat(100)), [(anchors[0].0, 0..100)]);
        assert!(config.find(&"- ".repeat(10_000)).is_empty());
    }

    #[test]
    fn typesetting_makes_no_other_anchor() {
        let config = SubstringConfig { min_bytes: 40 };
        let keys = |text: &str| config.find(text).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        let one =
            "“Call me Ishmael.” Some years ago—never mind how long precisely—having little\nor no money in my purse, and nothing";
        let other = "\"Call me Ishmael.\" Some years ago--never mind how long\n   precisely--having little or no money in my purse,\nand nothing";
        assert_eq!(keys(one), keys(other));
        assert!(keys(one).len() > 1);
        assert_ne!(keys(one), keys(&one.replace("never", "Never")));
        for (_, place) in config.find(other) {
            assert_eq!(Counted::of(other[place].as_bytes()).count(), 40);
        }
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
