//! Error bars by drawing examples anew, and whether two systems differ on the same examples.
//!
//! A score is a function of what its examples add (counts, lengths, ranks), worked out once, so that a resample costs a sum.
//! Draw k of resample b is a function of (seed, b, k). The score of all examples does not depend on their order; its error bar
//! does, as a draw does on its seed.
//!
//! Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapters 6 (the standard error), 13 (percentiles) and
//! 16 (the test); Koehn 2004 (two systems on the same resamples); Noreen 1989 and Riezler and Maxwell 2005 (approximate
//! randomization); quantiles between two draws are interpolated (Hyndman and Fan 1996, definition 7).

use serde::{Deserialize, Serialize};
use ssl_data::rng::Rng;

use crate::error::{Error, Result};
use crate::estimate::Estimate;

/// Keeps these draws apart from other uses of a seed.
const STREAM: u64 = 0x626f_6f74_0000_0000;
const SWAPS: u64 = 0x7377_6170_0000_0000;

/// How examples are drawn anew.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Sets of examples drawn.
    pub resamples: u64,
    /// The share of resamples between the bounds.
    pub level: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

/// A value between its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value over all examples and its standard error over resamples.
    pub estimate: Estimate,
    /// The lower bound; not a number where one example allows none.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Interval {
    /// The same in another unit; `factor` is not negative.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { estimate: self.estimate.times(factor), low: self.low * factor, high: self.high * factor }
    }
}

/// Two systems on the same examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The score of the one.
    pub ours: f64,
    /// The score of the other.
    pub theirs: f64,
    /// The first less the second, on the same resamples.
    pub difference: Interval,
    /// How often resamples, moved to a mean of 0, differ as much as the systems do.
    pub p_bootstrap: f64,
    /// How often the systems differ as much when chance decides for each example which output is whose.
    pub p_permutation: f64,
}

impl Bootstrap {
    /// The error bar of a score; resamples on which it is not a number are left out.
    ///
    /// # Errors
    /// Without an example, with fewer than two resamples, or at a level that is not between 0 and 1.
    pub fn interval<S>(&self, examples: &[S], score: impl Fn(&[&S]) -> f64) -> Result<Interval> {
        self.check(examples.len())?;
        let value = score(&examples.iter().collect::<Vec<_>>());
        let drawn = self.draws(examples.len(), |drawn| score(&drawn.iter().map(|&at| &examples[at]).collect::<Vec<_>>()));
        Ok(self.bounds(value, examples.len(), drawn))
    }

    /// Compares two systems by what their outputs for the same examples add to the score.
    ///
    /// Both p are two-sided and at least `1 / (resamples + 1)`; not a number where the score is none.
    ///
    /// # Errors
    /// As [`Bootstrap::interval`], and where there are not as many examples of the one as of the other.
    pub fn compare<S>(&self, ours: &[S], theirs: &[S], score: impl Fn(&[&S]) -> f64) -> Result<Comparison> {
        equal("outputs of one system", ours.len(), "of the other", theirs.len())?;
        self.check(ours.len())?;
        let pick = |from: &[usize], of: &[S]| score(&from.iter().map(|&at| &of[at]).collect::<Vec<_>>());
        let all: Vec<usize> = (0..ours.len()).collect();
        let (first, second) = (pick(&all, ours), pick(&all, theirs));
        let difference = first - second;

        let drawn = self.draws(ours.len(), |drawn| pick(drawn, ours) - pick(drawn, theirs));
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let moved: Vec<f64> = drawn.iter().map(|one| one - mean).collect();

        let swapped = (0..self.resamples).map(|resample| {
            let mut rng = Rng::at(self.seed, SWAPS, resample);
            let (a, b): (Vec<&S>, Vec<&S>) = ours
                .iter()
                .zip(theirs)
                .map(|(ours, theirs)| if rng.below(2) == 0 { (ours, theirs) } else { (theirs, ours) })
                .unzip();
            score(&a) - score(&b)
        });
        let swapped: Vec<f64> = swapped.filter(|one| one.is_finite()).collect();
        Ok(Comparison {
            ours: first,
            theirs: second,
            difference: self.bounds(difference, ours.len(), drawn),
            p_bootstrap: beyond(&moved, difference),
            p_permutation: beyond(&swapped, difference),
        })
    }

    fn check(&self, examples: usize) -> Result<()> {
        if examples == 0 {
            return Err(Error::Empty);
        }
        if self.resamples < 2 || !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::Bootstrap { resamples: self.resamples, level: self.level });
        }
        Ok(())
    }

    /// The scores of all resamples on which there is one.
    fn draws(&self, examples: usize, score: impl Fn(&[usize]) -> f64) -> Vec<f64> {
        let mut drawn = vec![0; examples];
        let scores = (0..self.resamples).map(|resample| {
            let mut rng = Rng::at(self.seed, STREAM, resample);
            for at in &mut drawn {
                *at = rng.below(examples as u64) as usize;
            }
            score(&drawn)
        });
        scores.filter(|score| score.is_finite()).collect()
    }

    fn bounds(&self, value: f64, examples: usize, mut drawn: Vec<f64>) -> Interval {
        let n = examples as u64;
        if examples < 2 || drawn.len() < 2 {
            return Interval { estimate: Estimate { value, stderr: f64::NAN, n }, low: f64::NAN, high: f64::NAN };
        }
        drawn.sort_by(f64::total_cmp);
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let squares: f64 = drawn.iter().map(|one| (one - mean).powi(2)).sum();
        let stderr = (squares / (drawn.len() - 1) as f64).sqrt();
        let tail = (1.0 - self.level) / 2.0;
        Interval { estimate: Estimate { value, stderr, n }, low: quantile(&drawn, tail), high: quantile(&drawn, 1.0 - tail) }
    }
}

/// The share of scores, with the one that was found, that lie as far from 0.
fn beyond(scores: &[f64], found: f64) -> f64 {
    if scores.is_empty() || !found.is_finite() {
        return f64::NAN;
    }
    // Sums of the same numbers in another order differ in their last bits.
    let far = found.abs() - 1e-12 * found.abs().max(1.0);
    (scores.iter().filter(|score| score.abs() >= far).count() + 1) as f64 / (scores.len() + 1) as f64
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// Refuses two lists of unequal length.
pub(crate) fn equal(left_name: &'static str, left: usize, right_name: &'static str, right: usize) -> Result<()> {
    if left == right { Ok(()) } else { Err(Error::Unequal { left_name, left, right_name, right }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[&f64]) -> f64 {
        values.iter().copied().sum::<f64>() / values.len() as f64
    }

    fn noise(seed: u64, n: usize) -> Vec<f64> {
        let mut rng = Rng::at(seed, 1, 0);
        (0..n).map(|_| rng.unit()).collect()
    }

    #[test]
    fn the_error_of_a_mean_is_the_analytic_one() {
        for (n, seed) in [(30, 1), (200, 2), (2000, 3)] {
            let values = noise(seed, n);
            let expect = Estimate::mean(&values);
            let found = Bootstrap::default().interval(&values, mean).unwrap();
            assert!((found.estimate.value - expect.value).abs() < 1e-12);
            assert!((found.estimate.stderr / expect.stderr - 1.0).abs() < 0.1, "{found:?} for {expect:?}");
            let half = (found.high - found.low) / 2.0 / expect.stderr;
            assert!((half - 1.96).abs() < 0.2, "{half} standard errors");
        }
    }

    #[test]
    fn draws_are_a_function_of_the_seed() {
        let values = noise(4, 50);
        let of = |seed| Bootstrap { seed, resamples: 50, ..Bootstrap::default() }.interval(&values, mean).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn two_systems_are_told_apart_and_one_is_not_from_itself() {
        let how = Bootstrap::default();
        let theirs = noise(5, 200);
        let same = how.compare(&theirs, &theirs, mean).unwrap();
        assert_eq!((same.p_bootstrap, same.p_permutation, same.difference.estimate.value), (1.0, 1.0, 0.0));
        let ours: Vec<f64> = theirs.iter().zip(noise(6, 200)).map(|(one, noise)| one + 0.2 * noise).collect();
        let found = how.compare(&ours, &theirs, mean).unwrap();
        assert!(found.p_bootstrap < 0.002 && found.p_permutation < 0.002 && found.difference.low > 0.0, "{found:?}");
        // Alone their error bars overlap; on the same examples they do not.
        assert!(found.difference.estimate.stderr < how.interval(&ours, mean).unwrap().estimate.stderr / 3.0);
    }

    #[test]
    fn the_permutation_test_finds_the_exact_p() {
        // Of the 2^6 ways to sign these differences 6 have a sum as far from 0 as theirs, 14.
        let (ours, theirs) = ([3.0, 2.0, 1.0, 4.0, 5.0, -1.0], [0.0; 6]);
        let signed = |mask: u32| (0..6).map(|at| if mask >> at & 1 == 1 { ours[at] } else { -ours[at] }).sum::<f64>();
        let exact = (0..64).filter(|&mask| signed(mask).abs() >= 14.0).count() as f64 / 64.0;
        let how = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
        let found = how.compare(&ours, &theirs, mean).unwrap();
        assert!((found.p_permutation - exact).abs() < 0.01, "{} for {exact}", found.p_permutation);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_or_not_a_number() {
        let how = Bootstrap::default();
        assert!(matches!(how.interval(&[], mean), Err(Error::Empty)));
        assert!(matches!(Bootstrap { resamples: 1, ..how }.interval(&[1.0], mean), Err(Error::Bootstrap { .. })));
        assert!(matches!(Bootstrap { level: f64::NAN, ..how }.interval(&[1.0], mean), Err(Error::Bootstrap { .. })));
        assert!(matches!(how.compare(&[1.0], &[], mean), Err(Error::Unequal { .. })));
        let one = how.interval(&[3.0], mean).unwrap();
        assert!(one.estimate.value == 3.0 && one.estimate.stderr.is_nan() && one.low.is_nan());
    }
}
