//! Word similarity: how well the cosines of word vectors rank pairs of words as people rank them.
//!
//! Source: Spearman 1904 (rank correlation); Finkelstein et al. 2002 (`WordSim-353`); Hill, Reichart and Korhonen 2015
//! (`SimLex-999`); Bonett and Wright 2000 (the standard error).

use crate::estimate::Estimate;
use crate::metric::regression::{correlation, ranks};
use crate::table::Table;

/// A pair of words and what people say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// One word.
    pub a: String,
    /// The other.
    pub b: String,
    /// How alike they are; only the order of scores matters.
    pub score: f64,
}

/// How a list of pairs was scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Spearman's rank correlation over the pairs whose words are both known; `n` counts those.
    pub spearman: Estimate,
    /// Pairs asked, known or not.
    pub pairs: u64,
}

/// Reads a list of lines `WORD WORD ... SCORE ...`, by tabs, commas or spaces: the first number counts; other lines, such as a header, are passed over.
#[must_use]
pub fn pairs(text: &str) -> Vec<Pair> {
    let pair = |line: &str| {
        let mut parts = line.split(['\t', ',', ' ']).map(str::trim).filter(|part| !part.is_empty());
        // Some lists have a column between, such as the part of speech.
        let (a, b) = (parts.next()?, parts.next()?);
        let score = parts.find_map(|part| part.parse().ok())?;
        Some(Pair { a: a.into(), b: b.into(), score })
    };
    text.lines().filter_map(pair).collect()
}

/// Scores vectors; a word is looked up as written, and in lower case where that is not known.
///
/// The standard error is that of Fisher's z with the variance `(1 + r²/2) / (n - 3)`, brought back to r; not a number below
/// four pairs.
#[must_use]
pub fn word_similarity(table: &Table<'_>, pairs: &[Pair]) -> Similarity {
    let known = pairs.iter().filter_map(|pair| Some((table.cosine(table.find(&pair.a)?, table.find(&pair.b)?), pair.score)));
    let (cosines, scores): (Vec<f64>, Vec<f64>) = known.unzip();
    let value = spearman(&cosines, &scores);
    let n = cosines.len() as f64;
    let stderr = if n > 3.0 { ((1.0 + value * value / 2.0) / (n - 3.0)).sqrt() * (1.0 - value * value) } else { f64::NAN };
    Similarity { spearman: Estimate { value, stderr, n: cosines.len() as u64 }, pairs: pairs.len() as u64 }
}

/// Pearson's correlation of ranks, where equal values share the mean of their ranks; not a number where all are equal.
///
/// # Panics
/// When the two differ in length.
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "two values a pair");
    correlation(&ranks(x), &ranks(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_scipys() {
        // scipy.stats.spearmanr, version 1.17; the last two have ties on either side.
        let cases: [(&[f64], &[f64], f64); 4] = [
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0], 0.820_782_681_668_123_3),
            (&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0], -1.0),
            (&[0.3, 0.1, 0.3, 0.9, 0.5, 0.3], &[2.0, 1.0, 2.0, 3.0, 1.0, 4.0], 0.281_387_429_766_325_1),
            (&[0.1, 0.1, 0.1, 0.2], &[4.0, 3.0, 2.0, 1.0], -0.774_596_669_241_483_4),
        ];
        for (x, y, expect) in cases {
            assert!((spearman(x, y) - expect).abs() < 1e-12, "{x:?} {y:?}: {}", spearman(x, y));
        }
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn lists_are_read_with_their_headers_and_unknown_words_counted() {
        let list = pairs("word1\tword2\tSimLex999\nold\tnew\t1.58\nTiger cat 7.35\n\ncat,dog,9\nnobody new 3\n");
        assert_eq!(list.len(), 4);
        let words = ["old", "new", "tiger", "cat", "dog"].map(String::from);
        let numbers = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.9, 1.1, 0.8, 1.3];
        let found = word_similarity(&Table::new(&words, &numbers, 2), &list);
        assert_eq!((found.pairs, found.spearman.n), (4, 3));
        // The cosines 0, 0.995 and 0.990 (tiger-cat, cat-dog) against 1.58, 7.35 and 9.
        assert!((found.spearman.value - 0.5).abs() < 1e-12 && found.spearman.stderr.is_nan());
    }
}
