//! ROUGE: how much of a reference a summary holds, in runs of words (ROUGE-N) or in order (ROUGE-L, ROUGE-Lsum).
//!
//! With m matches, `P = m / units of the summary`, `R = m / units of the reference`, `F1 = 2 P R / (P + R)`; for ROUGE-N units are
//! runs of N words, matched as often as both have them; for ROUGE-L, words, and m is the longest common subsequence. ROUGE-Lsum
//! unites, for each sentence (a line) of the reference, its longest common subsequences with all sentences of the summary.
//! A corpus has the mean over its examples.
//!
//! Source: Lin 2004, "ROUGE: a package for automatic evaluation of summaries", sections 2 and 3; words (runs of a-z and 0-9 in
//! lower case, not stemmed), ties and several references (the best F1 counts) as Google's `rouge-score`. Words of other scripts
//! are no words there, nor here.

use std::collections::HashMap;

use crate::bootstrap::equal;
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::metric::text::{counts, shared};

/// Which ROUGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rouge {
    /// Runs of so many words; 0 counts as 1.
    N(usize),
    /// The longest common subsequence of the texts.
    L,
    /// That of sentences, which are lines.
    LSum,
}

/// The score of one example.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// The share of the summary that is in the reference.
    pub precision: f64,
    /// The share of the reference that is in the summary.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// The means over examples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Of the precision.
    pub precision: Estimate,
    /// Of the recall.
    pub recall: Estimate,
    /// Of F1, which is what is reported.
    pub f1: Estimate,
}

impl Scores {
    /// The means over examples; not a number of none.
    #[must_use]
    pub fn over(examples: &[Score]) -> Self {
        let mean = |part: fn(&Score) -> f64| Estimate::mean(&examples.iter().map(part).collect::<Vec<_>>());
        Self { precision: mean(|one| one.precision), recall: mean(|one| one.recall), f1: mean(|one| one.f1) }
    }
}

/// Scores each summary against its references, one or more.
///
/// # Errors
/// Without an example, with unequal numbers of summaries and lists of references, or with an empty list.
pub fn rouge<S: AsRef<str>>(kind: Rouge, summaries: &[S], references: &[Vec<S>]) -> Result<Vec<Score>> {
    equal("summaries", summaries.len(), "lists of references", references.len())?;
    if summaries.is_empty() {
        return Err(Error::Empty);
    }
    let example = |(at, (summary, references)): (usize, (&S, &Vec<S>))| {
        let scores = references.iter().map(|reference| pair(kind, summary.as_ref(), reference.as_ref()));
        scores.reduce(|best, next| if next.f1 > best.f1 { next } else { best }).ok_or(Error::NoReference { at })
    };
    summaries.iter().zip(references).enumerate().map(example).collect()
}

fn pair(kind: Rouge, summary: &str, reference: &str) -> Score {
    if kind == Rouge::LSum {
        return by_sentence(summary, reference);
    }
    let (ours, theirs) = (words(summary), words(reference));
    if let Rouge::N(n) = kind {
        let n = n.max(1);
        let runs = |words: &[String]| (words.len() + 1).saturating_sub(n);
        return score(shared(&counts(ours.windows(n)), &counts(theirs.windows(n))), runs(&ours), runs(&theirs));
    }
    score(subsequence(&theirs, &ours).len() as u64, ours.len(), theirs.len())
}

fn by_sentence(summary: &str, reference: &str) -> Score {
    let sentences = |text: &str| text.split('\n').map(words).collect::<Vec<_>>();
    let (ours, theirs) = (sentences(summary), sentences(reference));
    // A word matches no more often than each side has it.
    let left = |sentences: &[Vec<String>]| -> HashMap<String, u64> { counts(sentences.iter().flatten().cloned()) };
    let (mut left_ours, mut left_theirs) = (left(&ours), left(&theirs));
    let mut hits = 0;
    for sentence in &theirs {
        let mut united: Vec<usize> = ours.iter().flat_map(|one| subsequence(sentence, one)).collect();
        united.sort_unstable();
        united.dedup();
        for word in united.into_iter().map(|at| &sentence[at]) {
            if let (Some(one @ 1..), Some(other @ 1..)) = (left_ours.get_mut(word), left_theirs.get_mut(word)) {
                hits += 1;
                *one -= 1;
                *other -= 1;
            }
        }
    }
    let all = |sentences: &[Vec<String>]| sentences.iter().map(Vec::len).sum();
    score(hits, all(&ours), all(&theirs))
}

fn score(hits: u64, ours: usize, theirs: usize) -> Score {
    let (precision, recall) = (hits as f64 / ours.max(1) as f64, hits as f64 / theirs.max(1) as f64);
    let f1 = if hits == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
    Score { precision, recall, f1 }
}

fn words(text: &str) -> Vec<String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.to_lowercase().split(|c| !inside(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Places in `reference` of one of the longest common subsequences, from the last to the first: of several that which
/// `rouge-score` finds, since their union depends on it.
fn subsequence(reference: &[String], candidate: &[String]) -> Vec<usize> {
    let (rows, width) = (reference.len(), candidate.len() + 1);
    let mut table = vec![0_u32; (rows + 1) * width];
    for i in 1..=rows {
        for j in 1..width {
            table[i * width + j] = if reference[i - 1] == candidate[j - 1] {
                table[(i - 1) * width + j - 1] + 1
            } else {
                table[(i - 1) * width + j].max(table[i * width + j - 1])
            };
        }
    }
    let (mut i, mut j) = (rows, candidate.len());
    let mut places = Vec::new();
    while i > 0 && j > 0 {
        if reference[i - 1] == candidate[j - 1] {
            places.push(i - 1);
            (i, j) = (i - 1, j - 1);
        } else if table[i * width + j - 1] > table[(i - 1) * width + j] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
    places
}
