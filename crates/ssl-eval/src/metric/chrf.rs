//! chrF: how many runs of characters a text shares with its reference; chrF++ adds runs of words.
//!
//! `chrF = 100 (1 + β²) P R / (β² P + R)` with β = 2, where P and R are means over runs of 1 to 6 characters (and of 1 and 2
//! words) of the share of the hypothesis' runs that are in the reference, and the reverse, over the corpus. Orders of which
//! either side has no run are left out. Of several references that with the best score of the sentence counts.
//!
//! Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; Popović 2017, "chrF++"; spaces,
//! punctuation and orders as sacrebleu's defaults (Post 2018).

use crate::bootstrap::{Bootstrap, Interval, equal};
use crate::error::{Error, Result};
use crate::metric::text::{counts, punctuation, shared, words};

/// Runs of characters count up to this length.
const CHARACTERS: usize = 6;
/// Runs of words count up to this length in chrF++.
const WORDS: usize = 2;
const BETA: f64 = 2.0;

/// Which runs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// chrF: of characters.
    Characters,
    /// chrF++: of characters and of words.
    CharactersAndWords,
}

/// What a sentence adds: of each order the runs of both sides and those shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([Order; CHARACTERS + WORDS]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Order {
    hypothesis: u64,
    reference: u64,
    shared: u64,
}

/// The score of a corpus in percent, with its error bar; each hypothesis has one or more references.
///
/// # Errors
/// Those of [`count`] and [`Bootstrap::interval`].
pub fn chrf<S: AsRef<str>>(runs: Runs, hypotheses: &[S], references: &[Vec<S>], how: &Bootstrap) -> Result<Interval> {
    how.interval(&count(runs, hypotheses, references)?, score)
}

/// What each sentence adds; what [`Bootstrap::compare`] takes.
///
/// # Errors
/// With unequal numbers of hypotheses and lists of references, or with an empty list.
pub fn count<S: AsRef<str>>(runs: Runs, hypotheses: &[S], references: &[Vec<S>]) -> Result<Vec<Counts>> {
    equal("hypotheses", hypotheses.len(), "lists of references", references.len())?;
    let sentence = |(at, (hypothesis, references)): (usize, (&S, &Vec<S>))| {
        let ours = Text::new(hypothesis.as_ref());
        let best = references
            .iter()
            .map(|reference| ours.against(&Text::new(reference.as_ref()), runs))
            .reduce(|best, next| if score(&[&next]) > score(&[&best]) { next } else { best });
        best.ok_or(Error::NoReference { at })
    };
    hypotheses.iter().zip(references).enumerate().map(sentence).collect()
}

/// The score of sentences in percent.
#[must_use]
pub fn score(sentences: &[&Counts]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in 0..CHARACTERS + WORDS {
        let sum = |part: fn(&Order) -> u64| sentences.iter().map(|one| part(&one.0[order])).sum::<u64>() as f64;
        let (hypothesis, reference) = (sum(|one| one.hypothesis), sum(|one| one.reference));
        if hypothesis > 0.0 && reference > 0.0 {
            let shared = sum(|one| one.shared);
            precision += shared / hypothesis;
            recall += shared / reference;
            orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let factor = BETA * BETA;
    100.0 * (1.0 + factor) * precision * recall / ((factor * precision + recall) * orders)
}

struct Text<'a> {
    characters: Vec<char>,
    words: Vec<&'a str>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self { characters: words(text).flat_map(str::chars).collect(), words: words(text).flat_map(apart).collect() }
    }

    fn against(&self, reference: &Text<'_>, runs: Runs) -> Counts {
        let mut found = Counts::default();
        for n in 1..=CHARACTERS {
            found.0[n - 1] = order(&self.characters, &reference.characters, n);
        }
        if runs == Runs::CharactersAndWords {
            for n in 1..=WORDS {
                found.0[CHARACTERS + n - 1] = order(&self.words, &reference.words, n);
            }
        }
        found
    }
}

fn order<T: std::hash::Hash + Eq>(hypothesis: &[T], reference: &[T], n: usize) -> Order {
    let runs = |tokens: &[T]| (tokens.len() + 1).saturating_sub(n) as u64;
    // A sentence whose reference is too short for a run adds none of its own.
    if runs(reference) == 0 {
        return Order::default();
    }
    let shared = shared(&counts(hypothesis.windows(n)), &counts(reference.windows(n)));
    Order { hypothesis: runs(hypothesis), reference: runs(reference), shared }
}

/// A word, with one mark set apart: that at its end, or else that at its beginning.
fn apart(word: &str) -> impl Iterator<Item = &str> {
    let mut chars = word.chars();
    let (first, last) = (chars.next(), chars.next_back());
    let cut = match (first, last) {
        (Some(_), Some(last)) if punctuation(last) => word.len() - 1,
        (Some(first), Some(_)) if punctuation(first) => 1,
        _ => word.len(),
    };
    let (left, right) = word.split_at(cut);
    [left, right].into_iter().filter(|part| !part.is_empty())
}
