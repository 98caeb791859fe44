//! BLEU: how many runs of words a translation shares with its reference.
//!
//! `BLEU = BP exp(1/4 sum_n log p_n)` over the corpus, where `p_n` is the share of the hypotheses' n-grams that their
//! references have, each counted no more often than there, and `BP = exp(1 - r / c)` where the hypotheses are shorter.
//!
//! Source: Papineni et al. 2002, section 2.3; words and smoothing are those of `sacrebleu`'s defaults (Post 2018): the `13a`
//! tokenizer of mteval, and for an n without a match `p_n = 1 / (2^k total)` for the k-th such n.

use std::collections::HashMap;

use ssl_data::rng::Rng;

use crate::estimate::Estimate;

/// The longest runs that count.
const ORDER: usize = 4;
/// Corpora drawn anew for the standard error. Source: Koehn 2004, "Statistical significance tests for machine translation".
const DRAWS: u64 = 200;
const STREAM: u64 = 0x626c_6575_0000_0000;

/// What a sentence adds to the sums: lengths, and of each order the matches and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    hypothesis: u64,
    reference: u64,
    matches: [u64; ORDER],
    all: [u64; ORDER],
}

/// The score of a corpus in percent, with its standard error over sentences drawn anew.
///
/// # Panics
/// When there are not as many references as hypotheses.
#[must_use]
pub fn bleu(hypotheses: &[String], references: &[String]) -> Estimate {
    assert_eq!(hypotheses.len(), references.len(), "each hypothesis has one reference");
    let sentences = counts(hypotheses, references);
    let value = sum(sentences.iter());
    let n = sentences.len() as u64;
    let drawn: Vec<f64> = (0..DRAWS)
        .map(|draw| {
            let mut rng = Rng::at(0, STREAM, draw);
            sum((0..n).map(|_| &sentences[rng.below(n) as usize]))
        })
        .collect();
    let mean = drawn.iter().sum::<f64>() / DRAWS as f64;
    let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
    Estimate { value, stderr: if n > 1 { variance.sqrt() } else { f64::NAN }, n }
}

/// What each sentence adds, for [`Bootstrap::compare`](crate::bootstrap::Bootstrap::compare); as many as the shorter list has.
#[must_use]
pub fn counts(hypotheses: &[String], references: &[String]) -> Vec<Counts> {
    hypotheses.iter().zip(references).map(|(ours, theirs)| count(ours, theirs)).collect()
}

/// The score of sentences in percent.
#[must_use]
pub fn score(sentences: &[&Counts]) -> f64 {
    sum(sentences.iter().copied())
}

fn sum<'a>(sentences: impl Iterator<Item = &'a Counts>) -> f64 {
    let mut sum = Counts::default();
    for one in sentences {
        sum.hypothesis += one.hypothesis;
        sum.reference += one.reference;
        for n in 0..ORDER {
            sum.matches[n] += one.matches[n];
            sum.all[n] += one.all[n];
        }
    }
    // Without a single shared word nothing is smoothed.
    if sum.matches.iter().all(|&matches| matches == 0) || sum.all.contains(&0) {
        return 0.0;
    }
    let mut halved = 1.0;
    let logs = (0..ORDER).map(|n| {
        let precision = if sum.matches[n] == 0 {
            halved *= 2.0;
            1.0 / (halved * sum.all[n] as f64)
        } else {
            sum.matches[n] as f64 / sum.all[n] as f64
        };
        precision.ln()
    });
    let mean = logs.sum::<f64>() / ORDER as f64;
    let short = sum.hypothesis < sum.reference;
    let penalty = if short { 1.0 - sum.reference as f64 / sum.hypothesis as f64 } else { 0.0 };
    100.0 * (mean + penalty).exp()
}

fn count(hypothesis: &str, reference: &str) -> Counts {
    let (ours, theirs) = (words(hypothesis), words(reference));
    let mut counts = Counts { hypothesis: ours.len() as u64, reference: theirs.len() as u64, ..Counts::default() };
    for n in 1..=ORDER {
        let mut left: HashMap<&[String], u64> = HashMap::new();
        theirs.windows(n).for_each(|run| *left.entry(run).or_default() += 1);
        for run in ours.windows(n) {
            counts.all[n - 1] += 1;
            if let Some(left) = left.get_mut(run).filter(|left| **left > 0) {
                *left -= 1;
                counts.matches[n - 1] += 1;
            }
        }
    }
    counts
}

/// The words of mteval's `13a`.
fn words(line: &str) -> Vec<String> {
    let mut text = line.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, plain) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, plain);
    }
    let mark = |c: char| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let mut apart = String::from(" ");
    for c in text.chars() {
        if mark(c) {
            apart.extend([' ', c, ' ']);
        } else {
            apart.push(c);
        }
    }
    apart.push(' ');
    let point = |c: char| matches!(c, '.' | ',');
    let digit = |c: char| c.is_ascii_digit();
    let apart = pairs(&apart, |a, b| !digit(a) && point(b), |a, b| [a, ' ', b, ' ']);
    let apart = pairs(&apart, |a, b| point(a) && !digit(b), |a, b| [' ', a, ' ', b]);
    let apart = pairs(&apart, |a, b| digit(a) && b == '-', |a, b| [a, ' ', b, ' ']);
    apart.split_whitespace().map(str::to_owned).collect()
}

/// Replaces every two characters that `fits`, from left to right, none twice.
fn pairs(text: &str, fits: impl Fn(char, char) -> bool, with: impl Fn(char, char) -> [char; 4]) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(a) = chars.next() {
        match chars.peek().copied().filter(|&b| fits(a, b)) {
            Some(b) => {
                out.extend(with(a, b));
                chars.next();
            }
            None => out.push(a),
        }
    }
    out
}
