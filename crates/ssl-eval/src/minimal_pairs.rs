//! Minimal pairs: of two texts that differ in little, the good one should be likelier.
//!
//! Source: Warstadt et al. 2020, "`BLiMP`: the benchmark of linguistic minimal pairs for English", section 4 (whole-sentence
//! likelihoods, not normalised by length).
//!
//! Differs: equal likelihoods count one half, so that a model that knows nothing gets 0.5 and not 0.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::likelihood::{Scored, Scorer};

/// Two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The one that should be likelier.
    pub good: String,
    /// The other.
    pub bad: String,
}

/// What a model says of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Of the good text.
    pub good: Scored,
    /// Of the bad one.
    pub bad: Scored,
}

impl Judged {
    /// 1 where the good text is likelier, 0.5 where both are alike, else 0.
    #[must_use]
    pub fn credit(&self) -> f64 {
        match self.good.nats.partial_cmp(&self.bad.nats) {
            Some(std::cmp::Ordering::Less) => 1.0,
            Some(std::cmp::Ordering::Equal) => 0.5,
            _ => 0.0,
        }
    }
}

/// The share of pairs that a model orders right.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// The share.
    pub acc: Estimate,
    /// Of each pair.
    pub judged: Vec<Judged>,
}

/// Judges every pair.
///
/// # Errors
/// Without a pair, and when scoring fails.
pub fn judge(scorer: &Scorer<'_>, pairs: &[Pair], stop: &dyn Fn(f64) -> bool) -> Result<Pairs> {
    if pairs.is_empty() {
        return Err(Error::Empty);
    }
    let texts: Vec<&str> = pairs.iter().flat_map(|pair| [pair.good.as_str(), &pair.bad]).collect();
    let scored = scorer.text_nats(&texts, stop)?;
    let judged: Vec<Judged> = scored.chunks_exact(2).map(|pair| Judged { good: pair[0], bad: pair[1] }).collect();
    let credits: Vec<f64> = judged.iter().map(Judged::credit).collect();
    Ok(Pairs { acc: Estimate::mean(&credits), judged })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelier_text_wins_and_equals_share() {
        let of = |nats| Scored { nats, tokens: 1, bytes: 1, greedy: false };
        let credit = |good, bad| Judged { good: of(good), bad: of(bad) }.credit();
        assert_eq!([credit(1.0, 2.0), credit(2.0, 1.0), credit(2.0, 2.0)], [1.0, 0.0, 0.5]);
    }
}
