//! Numbers predicted against true ones: mean squared error, Pearson's and Spearman's correlation.
//!
//! `r = sum (x - mean x) (y - mean y) / sqrt(sum (x - mean x)² sum (y - mean y)²)`; Spearman's is that of the ranks, where equal
//! values share the mean of theirs. Where all of one side are equal, or there is but one example, a correlation is not a
//! number, as in scipy.
//!
//! Source: Pearson 1895; Spearman 1904.

use crate::bootstrap::{Bootstrap, Interval, equal};
use crate::error::{Error, Result};
use crate::estimate::Estimate;

/// Predicted and true numbers of the same examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    pairs: Vec<(f64, f64)>,
}

impl Fitted {
    /// Of one predicted and one true number an example.
    ///
    /// # Errors
    /// Without an example, with unequal numbers of both, or with one that is not finite.
    pub fn new(predicted: &[f64], truth: &[f64]) -> Result<Self> {
        equal("predicted values", predicted.len(), "true ones", truth.len())?;
        if truth.is_empty() {
            return Err(Error::Empty);
        }
        for (what, values) in [("predicted value", predicted), ("true value", truth)] {
            if let Some((at, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(Error::NotFinite { what, at, value });
            }
        }
        Ok(Self { pairs: predicted.iter().copied().zip(truth.iter().copied()).collect() })
    }

    /// All examples, predicted and true; what [`Bootstrap::compare`] takes.
    #[must_use]
    pub fn examples(&self) -> &[(f64, f64)] {
        &self.pairs
    }

    /// The mean of squared differences.
    #[must_use]
    pub fn mean_squared_error(&self) -> Estimate {
        Estimate::mean(&self.pairs.iter().map(|(x, y)| (x - y).powi(2)).collect::<Vec<_>>())
    }

    /// Pearson's correlation, with its error bar.
    ///
    /// # Errors
    /// Those of [`Bootstrap::interval`].
    pub fn pearson(&self, how: &Bootstrap) -> Result<Interval> {
        how.interval(&self.pairs, pearson)
    }

    /// Spearman's correlation, with its error bar.
    ///
    /// # Errors
    /// Those of [`Bootstrap::interval`].
    pub fn spearman(&self, how: &Bootstrap) -> Result<Interval> {
        // Sorted once: ranks within a resample follow from how often each place was drawn.
        let (x, y): (Vec<f64>, Vec<f64>) = self.pairs.iter().copied().unzip();
        let (x, y) = (places(&x), places(&y));
        let examples: Vec<(usize, usize)> = x.into_iter().zip(y).collect();
        let rank = |drawn: &[&(usize, usize)], side: fn(&(usize, usize)) -> usize| {
            let mut counts = vec![0_u64; examples.len()];
            for pair in drawn {
                counts[side(pair)] += 1;
            }
            let mut before = 0;
            let means = counts.iter().map(|&count| {
                before += count;
                before as f64 - count as f64 / 2.0
            });
            let means: Vec<f64> = means.collect();
            drawn.iter().map(|pair| means[side(pair)]).collect::<Vec<f64>>()
        };
        how.interval(&examples, |drawn| correlation(&rank(drawn, |pair| pair.0), &rank(drawn, |pair| pair.1)))
    }
}

/// Pearson's correlation of examples.
#[must_use]
pub fn pearson(pairs: &[&(f64, f64)]) -> f64 {
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&&pair| pair).unzip();
    correlation(&x, &y)
}

/// Spearman's correlation of examples.
#[must_use]
pub fn spearman(pairs: &[&(f64, f64)]) -> f64 {
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&&pair| pair).unzip();
    correlation(&ranks(&x), &ranks(&y))
}

/// Pearson's correlation of equally many values.
pub(crate) fn correlation(x: &[f64], y: &[f64]) -> f64 {
    // The mean of equal values may differ from them in its last bits, and the quotient of such rests means nothing.
    let constant = |values: &[f64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if constant(x) || constant(y) {
        return f64::NAN;
    }
    // In units of the largest distance, whose squares neither overflow nor vanish.
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().map(|value| value / values.len() as f64).sum::<f64>();
        let far = values.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
        values.iter().map(|value| (value - mean) / far).collect()
    };
    let (x, y) = (centred(x), centred(y));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt()).clamp(-1.0, 1.0)
}

/// Ranks from 1; equal values share the mean of theirs.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for same in order(values).chunk_by(|&a, &b| values[a] == values[b]) {
        for &index in same {
            ranks[index] = before as f64 + 0.5 + same.len() as f64 / 2.0;
        }
        before += same.len();
    }
    ranks
}

/// The place of each value among the distinct ones, from 0.
fn places(values: &[f64]) -> Vec<usize> {
    let mut places = vec![0; values.len()];
    for (place, same) in order(values).chunk_by(|&a, &b| values[a] == values[b]).enumerate() {
        for &index in same {
            places[index] = place;
        }
    }
    places
}

fn order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_from_counts_are_ranks_from_sorting() {
        let pairs = [(0.3, 2.0), (0.1, 1.0), (0.3, 2.0), (-0.0, 3.0), (0.0, 1.0), (0.3, 4.0)];
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let how = Bootstrap { resamples: 200, ..Bootstrap::default() };
        let found = Fitted::new(&x, &y).unwrap().spearman(&how).unwrap();
        let expect = how.interval(&pairs, spearman).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(found.estimate.value, expect.estimate.value) && near(found.estimate.stderr, expect.estimate.stderr));
        assert!(near(found.low, expect.low) && near(found.high, expect.high));
    }
}
