//! Expected calibration error: how far a model's confidence is from how often it is right.
//!
//! `ECE = sum_b n_b / n |accuracy(b) - confidence(b)|` over 15 bins of equal width, `((b - 1) / 15, b / 15]`.
//!
//! Source: Naeini, Cooper and Hauskrecht 2015 (the score); Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural
//! networks", section 2 and its authors' program (15 bins, closed above). A confidence of 0, which their program passes
//! over and no softmax gives, counts in the first bin.
//!
//! The error is positive in a finite sample of a calibrated model too, and resamples add to it, so the interval of a small
//! error may lie above it.

use crate::bootstrap::{Bootstrap, Interval, equal};
use crate::error::{Error, Result};

/// Bins of equal width.
pub const BINS: usize = 15;

/// A prediction: the probability a model gave it, and whether it was right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Between 0 and 1.
    pub confidence: f64,
    /// Whether it was right.
    pub right: bool,
    bin: usize,
}

/// A bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// Predictions in it.
    pub n: u64,
    /// The sum of their confidences.
    pub confidence: f64,
    /// How many were right.
    pub right: u64,
}

/// Predictions with their confidences.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    predictions: Vec<Prediction>,
}

impl Calibration {
    /// Of the probability of each predicted class, and whether the prediction was right.
    ///
    /// # Errors
    /// Without an example, with unequal numbers of both, or with a confidence that is not between 0 and 1.
    pub fn new(confidences: &[f64], right: &[bool]) -> Result<Self> {
        equal("confidences", confidences.len(), "outcomes", right.len())?;
        if right.is_empty() {
            return Err(Error::Empty);
        }
        let edges: [f64; BINS] = std::array::from_fn(|bin| (bin + 1) as f64 / BINS as f64);
        let prediction = |(at, (&confidence, &right))| {
            if !(0.0..=1.0).contains(&confidence) {
                return Err(Error::Confidence { at, value: confidence });
            }
            Ok(Prediction { confidence, right, bin: edges.partition_point(|&edge| edge < confidence) })
        };
        let predictions = confidences.iter().zip(right).enumerate().map(prediction);
        Ok(Self { predictions: predictions.collect::<Result<_>>()? })
    }

    /// All predictions; what [`Bootstrap::compare`] takes.
    #[must_use]
    pub fn examples(&self) -> &[Prediction] {
        &self.predictions
    }

    /// What a reliability diagram shows.
    #[must_use]
    pub fn bins(&self) -> [Bin; BINS] {
        fill(self.predictions.iter())
    }

    /// The expected calibration error, with its error bar; 0 is best.
    ///
    /// # Errors
    /// Those of [`Bootstrap::interval`].
    pub fn error(&self, how: &Bootstrap) -> Result<Interval> {
        how.interval(&self.predictions, expected_error)
    }
}

/// The expected calibration error of examples.
#[must_use]
pub fn expected_error(predictions: &[&Prediction]) -> f64 {
    let bins = fill(predictions.iter().copied());
    bins.iter().map(|bin| (bin.right as f64 - bin.confidence).abs()).sum::<f64>() / predictions.len() as f64
}

fn fill<'a>(predictions: impl Iterator<Item = &'a Prediction>) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for prediction in predictions {
        let bin = &mut bins[prediction.bin];
        bin.n += 1;
        bin.confidence += prediction.confidence;
        bin.right += u64::from(prediction.right);
    }
    bins
}
