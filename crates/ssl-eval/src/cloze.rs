//! Cloze: a word was taken out of a text, and the model says which.
//!
//! An answer counts where each of its tokens is the likeliest. A model that looks back is asked for a text's last word; one that
//! looks to both sides also for a word in the middle, all of whose tokens are masked at once, so that their number is given away.
//!
//! `perplexity = exp(mean over the answers of -log p)`, per answer and not per token, as the harness counts it.
//!
//! Source: Paperno et al. 2016, "The LAMBADA dataset: word prediction requiring a broad discourse context"; masks in a
//! row: Petroni et al. 2019, "Language models as knowledge bases?", for answers of one token.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::likelihood::{Gap, Scored, Scorer};

/// A text with a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// What stands before.
    pub before: String,
    /// What was taken out, with the space before it where there is one.
    pub answer: String,
    /// What stands after.
    #[serde(default)]
    pub after: String,
}

impl Passage {
    /// A text whose last word is asked for, the space before it included; `None` of a text with fewer than two words.
    ///
    /// Marks at the end belong to the last word, as in LAMBADA, whose texts have none.
    #[must_use]
    pub fn last_word(text: &str) -> Option<Self> {
        let text = text.trim_end();
        let (before, _) = text.rsplit_once(char::is_whitespace)?;
        let before = before.trim_end();
        let passage = || Self { before: before.into(), answer: text[before.len()..].into(), after: String::new() };
        (!before.is_empty()).then(passage)
    }
}

/// How well gaps are filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloze {
    /// The share of answers whose tokens are all the likeliest.
    pub acc: Estimate,
    /// Of an answer; its standard error is that of the mean nats, to first order.
    pub perplexity: Estimate,
    /// Of each answer.
    pub scored: Vec<Scored>,
}

/// Fills every gap, whether or not `scorer` asks for the likeliest tokens itself.
///
/// # Errors
/// Without a passage, where the model cannot read what follows a gap, and when scoring fails.
pub fn fill(scorer: &Scorer<'_>, passages: &[Passage], stop: &dyn Fn(f64) -> bool) -> Result<Cloze> {
    if passages.is_empty() {
        return Err(Error::Empty);
    }
    let gaps: Vec<Gap<'_>> = passages.iter().map(|Passage { before, answer, after }| Gap { before, answer, after }).collect();
    let scored = scorer.clone().with_greedy(true).gaps(&gaps, stop)?;
    let right: Vec<f64> = scored.iter().map(|one| f64::from(one.greedy)).collect();
    let nats = Estimate::mean(&scored.iter().map(|one| one.nats).collect::<Vec<_>>());
    let value = nats.value.exp();
    Ok(Cloze { acc: Estimate::mean(&right), perplexity: Estimate { value, stderr: value * nats.stderr, n: nats.n }, scored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_goes_with_its_space() {
        let found = Passage::last_word("the cat  sat \n").unwrap();
        assert_eq!((found.before.as_str(), found.answer.as_str()), ("the cat", "  sat"));
        assert_eq!(Passage::last_word("one"), None);
        assert_eq!(Passage::last_word(" one"), None);
    }
}
