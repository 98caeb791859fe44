//! Answers in words: exact match, and F1 of the words that an answer and a reference share.
//!
//! Both compare normalised texts: lower case, without ASCII punctuation and the articles a, an, the, spaces as one. With s
//! words shared, `F1 = 2 s / (words of the answer + words of the reference)`. Of several references the best counts.
//!
//! Source: Rajpurkar et al. 2016, section 6.1, `evaluate-v1.1.py`; Rajpurkar, Jia and Liang 2018, `evaluate-v2.0.py`. The scripts
//! differ where a side is empty after normalisation: v1.1 gives an F1 of 0, v2.0 an F1 of 1 if both are; and v2.0 takes
//! a question without references, or with empty ones only, to be answered by an empty text. Its thresholds over the
//! probability of no answer are not here: a caller that has such a probability gives an empty text.
//!
//! Python's `\w` leaves out the vowel signs of Indic scripts, which Rust takes for letters; it matters where an article touches one.

use crate::bootstrap::equal;
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::metric::text::{counts, punctuation, shared, words};

/// Which script's rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Every question has an answer.
    V1,
    /// A question may have none.
    V2,
}

/// The score of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// 1 where a reference is met exactly, else 0.
    pub exact: f64,
    /// The largest F1 over the references.
    pub f1: f64,
    /// Whether the question has an answer.
    pub answerable: bool,
}

/// Exact match and F1 over questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// The share of answers that are a reference.
    pub exact: Estimate,
    /// The mean of F1.
    pub f1: Estimate,
}

impl Scores {
    /// The means over answers; nothing where there is none.
    #[must_use]
    pub fn over<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Option<Self> {
        let (exact, f1): (Vec<f64>, Vec<f64>) = answers.into_iter().map(|answer| (answer.exact, answer.f1)).unzip();
        (!f1.is_empty()).then(|| Self { exact: Estimate::mean(&exact), f1: Estimate::mean(&f1) })
    }
}

/// Scores each answer against the references of its question; take [`Scores::over`] all, or those that are answerable or not.
///
/// # Errors
/// Without an answer, with unequal numbers of answers and lists of references, or, in v1.1, with an empty list.
pub fn answers<S: AsRef<str>>(version: Version, answers: &[S], references: &[Vec<S>]) -> Result<Vec<Answer>> {
    each(answers, references, |at, answer, references| {
        let answerable = !references.is_empty();
        let mut golds: Vec<String> = references.iter().map(|gold| normalise(gold.as_ref())).collect();
        if version == Version::V2 {
            golds.retain(|gold| !gold.is_empty());
            if golds.is_empty() {
                golds.push(String::new());
            }
        }
        let answer = normalise(answer.as_ref());
        let exact = if golds.contains(&answer) { 1.0 } else { 0.0 };
        let f1 = golds.iter().map(|gold| f1(version, &answer, gold)).reduce(f64::max).ok_or(Error::NoReference { at })?;
        Ok(Answer { exact, f1, answerable })
    })
}

/// Scores the answers one by one, after the checks that every kind of answer needs.
pub(super) fn each<S>(
    answers: &[S],
    references: &[Vec<S>],
    score: impl Fn(usize, &S, &[S]) -> Result<Answer>,
) -> Result<Vec<Answer>> {
    equal("answers", answers.len(), "lists of references", references.len())?;
    if answers.is_empty() {
        return Err(Error::Empty);
    }
    answers.iter().zip(references).enumerate().map(|(at, (answer, references))| score(at, answer, references)).collect()
}

/// A text as the scripts compare it.
#[must_use]
pub fn normalise(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|&c| !punctuation(c)).collect();
    let mut bare = String::with_capacity(text.len());
    // A run of letters and digits is what stands between two of the expression's word boundaries.
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let inside = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != inside).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        bare.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    words(&bare).collect::<Vec<_>>().join(" ")
}

fn f1(version: Version, answer: &str, gold: &str) -> f64 {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (words(answer).collect(), words(gold).collect());
    if version == Version::V2 && (ours.is_empty() || theirs.is_empty()) {
        return if ours == theirs { 1.0 } else { 0.0 };
    }
    let all = (ours.len() + theirs.len()).max(1);
    2.0 * shared(&counts(ours), &counts(theirs)) as f64 / all as f64
}
