//! A number with its error bar.

use serde::{Deserialize, Serialize};

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error; not a number where one observation allows none.
    pub stderr: f64,
    /// Observations.
    pub n: u64,
}

impl Estimate {
    /// The same in another unit.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, stderr: self.stderr * factor.abs(), n: self.n }
    }

    /// The mean of independent observations; not a number of none.
    ///
    /// `stderr² = sum (y - mean)² / (n (n - 1))`.
    #[must_use]
    pub fn mean(observations: &[f64]) -> Self {
        let n = observations.len() as f64;
        let value = observations.iter().sum::<f64>() / n;
        let squares: f64 = observations.iter().map(|y| (y - value).powi(2)).sum();
        Self { value, stderr: (squares / (n * (n - 1.0))).sqrt(), n: observations.len() as u64 }
    }

    /// The ratio of two sums over independent observations `(y, x)`, `sum y / sum x`.
    ///
    /// `stderr² = n / (n - 1) * sum (y - r x)² / (sum x)²`. Source: Cochran 1977, "Sampling techniques", section 2.11.
    #[must_use]
    pub fn ratio(observations: &[(f64, f64)]) -> Self {
        let n = observations.len() as f64;
        let (y, x) = observations.iter().fold((0.0, 0.0), |(sum_y, sum_x), (y, x)| (sum_y + y, sum_x + x));
        let value = y / x;
        let squares: f64 = observations.iter().map(|(y, x)| (y - value * x).powi(2)).sum();
        Self { value, stderr: (n / (n - 1.0) * squares).sqrt() / x, n: observations.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_equal_weights_the_ratio_is_a_mean_and_its_standard_error() {
        let ys = [1.0, 2.0, 4.0, 9.0];
        let found = Estimate::ratio(&ys.map(|y| (y, 1.0)));
        let variance = ys.iter().map(|y| (y - 4.0_f64).powi(2)).sum::<f64>() / 3.0;
        assert!((found.value - 4.0).abs() < 1e-12);
        assert!((found.stderr - (variance / 4.0).sqrt()).abs() < 1e-12);
        assert!(Estimate::ratio(&[(1.0, 2.0)]).stderr.is_nan());
        let mean = Estimate::mean(&ys);
        assert!((mean.value - found.value).abs() < 1e-12 && (mean.stderr - found.stderr).abs() < 1e-12 && mean.n == 4);
        assert!(Estimate::mean(&[1.0]).stderr.is_nan() && Estimate::mean(&[]).value.is_nan());
    }
}
