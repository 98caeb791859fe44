//! Signatures of documents by which near copies are found.
//!
//! A document is the set of its runs of `ngram-words` words. Of two sets A and B, the smallest values under a random order of
//! all runs are equal with probability s = |A ∩ B| / |A ∪ B|, their similarity. A signature holds the smallest values under
//! `buckets` x `hashes-per-bucket` orders; two documents are called near copies where all values of at least one bucket are equal:
//!
//! ```text
//! p(s) = 1 - (1 - s^hashes)^buckets
//! ```
//!
//! This S-curve is steepest near s* = (1 / buckets)^(1 / hashes). With the defaults, 14 buckets of 8 hashes, s* = 0.72, and
//!
//! | similarity | 0.5 | 0.6 | 0.7 | 0.75 | 0.8 | 0.85 | 0.9 |
//! |---|---|---|---|---|---|---|---|
//! | found | 5 % | 21 % | 56 % | 77 % | 92 % | 99 % | 99.9 % |
//!
//! More hashes in a bucket move the step to the right and drop fewer documents that differ; more buckets move it to the left.
//! Nearness is then taken to hold along chains: a document near to a near copy is in the same cluster.
//!
//! Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman 2014, "Mining of Massive
//! Datasets", section 3.4; the defaults are those of datatrove 0.10 and of `FineWeb` (Penedo et al. 2024, section 3.4). Differs: words are
//! told apart by white space and signs alone, without a tokenizer, and each character of a script without spaces is a word;
//! the orders are multiplications modulo 2^32 of 32-bit hashes, so that a vector unit does four or eight at once.

use serde::{Deserialize, Serialize};
use unicode_normalization::char::{decompose_canonical, is_combining_mark};
use xxhash_rust::xxh3::xxh3_64;

use crate::filter::classes::{SIGN, UNSPACED, classes};
use crate::rng::{self, mix};

/// `[data.dedup.near]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NearConfig {
    /// Words of a run. Documents of fewer words are compared with none.
    pub ngram_words: usize,
    /// Buckets; one that agrees is enough.
    pub buckets: usize,
    /// Hashes of a bucket; all must agree.
    pub hashes_per_bucket: usize,
    /// Draws the orders.
    pub seed: u64,
}

impl Default for NearConfig {
    fn default() -> Self {
        Self { ngram_words: 5, buckets: 14, hashes_per_bucket: 8, seed: 1 }
    }
}

impl NearConfig {
    /// The similarity near which the curve is steepest: pairs well above it are found, pairs well below are not.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        (1.0 / self.buckets as f64).powf(1.0 / self.hashes_per_bucket as f64)
    }

    /// The share of pairs of this similarity that are found.
    #[must_use]
    pub fn found(&self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powi(self.hashes_per_bucket as i32)).powi(self.buckets as i32)
    }
}

/// Orders computed side by side.
const LANES: usize = 16;
/// Runs gathered before they are compared.
const BLOCK: usize = 512;

/// Computes signatures.
#[derive(Debug, Clone)]
pub struct MinHash {
    config: NearConfig,
    /// An order is x -> a x + b modulo 2^32, a odd.
    orders: Vec<([u32; LANES], [u32; LANES])>,
}

impl MinHash {
    /// The orders of a configuration.
    #[must_use]
    pub fn new(config: &NearConfig) -> Self {
        let hashes = config.buckets * config.hashes_per_bucket;
        let draw = |index: usize| rng::hash(config.seed, 0x6d69_6e68, index as u64);
        let orders = (0..hashes.div_ceil(LANES)).map(|block| {
            let word = |lane: usize| draw(block * LANES + lane);
            (std::array::from_fn(|lane| word(lane) as u32 | 1), std::array::from_fn(|lane| (word(lane) >> 32) as u32))
        });
        Self { config: config.clone(), orders: orders.collect() }
    }

    /// One key a bucket, never 0; none for a text of fewer words than a run has.
    #[must_use]
    pub fn keys(&self, text: &str) -> Option<Vec<u64>> {
        let mut least = vec![[u32::MAX; LANES]; self.orders.len()];
        let mut block = Vec::with_capacity(BLOCK);
        let mut any = false;
        runs(text, self.config.ngram_words, Numbers::Alike, &mut |run| {
            any = true;
            block.push((run >> 32) as u32);
            if block.len() == BLOCK {
                self.lower(&mut least, &block);
                block.clear();
            }
        });
        self.lower(&mut least, &block);
        any.then(|| {
            let bytes: Vec<u8> = least.as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect();
            let buckets = bytes.chunks_exact(4 * self.config.hashes_per_bucket).take(self.config.buckets);
            buckets.map(|bucket| xxh3_64(bucket).max(1)).collect()
        })
    }

    /// Lowers each order's least value by those of `runs`.
    fn lower(&self, least: &mut [[u32; LANES]], runs: &[u32]) {
        for ((factor, offset), least) in self.orders.iter().zip(least) {
            let mut now = *least;
            for &run in runs {
                for lane in 0..LANES {
                    now[lane] = now[lane].min(factor[lane].wrapping_mul(run).wrapping_add(offset[lane]));
                }
            }
            *least = now;
        }
    }
}

/// Whether numbers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All numbers are one: copies of a page differ in dates and counts.
    Alike,
    /// By their digits.
    Apart,
}

/// Calls `each` with a hash of each run of `length` words of `text`, in order. Case, accents, signs and white space are passed over.
pub(crate) fn runs(text: &str, length: usize, numbers: Numbers, each: &mut impl FnMut(u64)) {
    let mut ring = vec![0_u64; length.max(1)];
    let (mut count, mut at) = (0, 0);
    words(text, numbers, &mut |word| {
        ring[at] = word;
        at = if at + 1 == ring.len() { 0 } else { at + 1 };
        count += 1;
        if count >= ring.len() {
            let (late, early) = ring.split_at(at);
            each(early.iter().chain(late).fold(0, |hash, &word| mix(hash ^ word)));
        }
    });
}

/// Calls `each` with a hash of each word.
pub(crate) fn words(text: &str, numbers: Numbers, each: &mut impl FnMut(u64)) {
    let mut word = Vec::with_capacity(64);
    let bytes = text.as_bytes();
    // The last character was a digit: its number is one "0", whatever its length.
    let mut number = false;
    for (at, char) in text.char_indices() {
        let digit = char.is_ascii_digit();
        if digit {
            if numbers == Numbers::Apart {
                word.push(char as u8);
            } else if !number {
                word.push(b'0');
            }
        } else if char.is_ascii_alphabetic() {
            word.push(char.to_ascii_lowercase() as u8);
        } else if number && matches!(char, '.' | ',') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            continue;
        } else if char.is_ascii() {
            end(&mut word, each);
        } else {
            other(char, &mut word, each);
        }
        number = digit;
    }
    end(&mut word, each);
}

fn end(word: &mut Vec<u8>, each: &mut impl FnMut(u64)) {
    if !word.is_empty() {
        each(xxh3_64(word));
        word.clear();
    }
}

/// A character outside ASCII.
fn other(char: char, word: &mut Vec<u8>, each: &mut impl FnMut(u64)) {
    let class = classes(char);
    if class & SIGN != 0 || char.is_whitespace() {
        return end(word, each);
    }
    let mut push = |char: char| {
        if !is_combining_mark(char) {
            word.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    };
    if class & UNSPACED != 0 {
        end(word, each);
        return each(xxh3_64(char.encode_utf8(&mut [0; 4]).as_bytes()));
    }
    for char in char.to_lowercase() {
        decompose_canonical(char, &mut push);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<u64> {
        let mut all = Vec::new();
        words(text, Numbers::Alike, &mut |word| all.push(word));
        all
    }

    #[test]
    fn accidents_of_writing_are_passed_over() {
        assert_eq!(of("The  “Café”, at 3.14 or 1,000;\nDon't!"), of("the cafe at 0 or 0 don t"));
        assert_eq!(of("你好，世界"), of("你 好 世 界"));
        assert_ne!(of("ab c"), of("a bc"));
        assert_ne!(of("a1b"), of("a b"));
        assert!(of(" -- \n").is_empty());
    }

    #[test]
    fn too_short_a_text_has_no_keys() {
        let minhash = MinHash::new(&NearConfig::default());
        assert_eq!(minhash.keys("one two three four"), None);
        assert_eq!(minhash.keys("one two three four five").expect("keys").len(), 14);
    }

    #[test]
    fn the_threshold_follows_from_buckets_and_hashes() {
        let near = |buckets, hashes_per_bucket| NearConfig { buckets, hashes_per_bucket, ..NearConfig::default() };
        let percent = |share: f64| (share * 100.0).round();
        assert_eq!(
            [near(14, 8), near(14, 16), near(28, 8), near(1, 1)].map(|near| percent(near.threshold())),
            [72.0, 85.0, 66.0, 100.0]
        );
        let found = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85].map(|similarity| percent(near(14, 8).found(similarity)));
        assert_eq!(found, [5.0, 21.0, 56.0, 77.0, 92.0, 99.0]);
    }

    /// Two texts that share a known part of their words.
    fn pair(shared: usize, own: usize) -> [String; 2] {
        ["left", "right"].map(|side| {
            let runs =
                (0..shared).map(|n| format!("both{}", letters(n))).chain((0..own).map(|n| format!("{side}{}", letters(n))));
            runs.collect::<Vec<_>>().join(" ")
        })
    }

    /// Digits are passed over, so numbers are spelt in letters.
    fn letters(number: usize) -> String {
        number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    }

    #[test]
    fn pairs_are_found_as_the_curve_says() {
        let config = NearConfig { ngram_words: 1, ..NearConfig::default() };
        for (shared, own) in [(100, 100), (180, 60), (200, 30), (300, 20)] {
            let similarity = shared as f64 / (shared + 2 * own) as f64;
            let trials = 600;
            let mut found = 0;
            for salt in 0..trials {
                let minhash = MinHash::new(&NearConfig { seed: salt as u64, ..config.clone() });
                let [one, other] = pair(shared, own).map(|text| minhash.keys(&text).expect("keys"));
                found += usize::from(one.iter().zip(&other).any(|(one, other)| one == other));
            }
            let expect = config.found(similarity);
            let error = (expect * (1.0 - expect) / trials as f64).sqrt();
            let share = found as f64 / trials as f64;
            assert!((share - expect).abs() < 4.0 * error + 0.002, "{similarity}: {share}, expected {expect} ± {error}");
        }
    }

    proptest! {
        /// Any text has keys or none, and the same ones again.
        #[test]
        fn keys_are_a_function_of_the_text(text in "(\\PC| |\n){0,80}") {
            let minhash = MinHash::new(&NearConfig::default());
            prop_assert_eq!(minhash.keys(&text), minhash.keys(&text));
        }
    }
}
