//! Precision, recall and F1 from counts, and their averages over classes.
//!
//! `P = hits / predicted`, `R = hits / actual`, `F1 = 2 hits / (predicted + actual)`, each 0 where it divides by 0.
//!
//! Source: van Rijsbergen 1979, "Information retrieval", chapter 7; averages as scikit-learn and seqeval name them.

use serde::{Deserialize, Serialize};

/// Counts of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Predicted and right.
    pub hits: u64,
    /// Predicted.
    pub predicted: u64,
    /// In the references.
    pub actual: u64,
}

/// How the scores of classes become one. Classes that are neither predicted nor in the references do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// The score of the sums of counts.
    Micro,
    /// The mean of the classes' scores.
    Macro,
    /// The mean weighted by how often a class is in the references.
    Weighted,
    /// The score of one class, by its number.
    Class(usize),
}

/// What is asked of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The share of what was predicted that is right.
    Precision,
    /// The share of the references that was predicted.
    Recall,
    /// The harmonic mean of both.
    F1,
}

impl Tally {
    /// One score of these counts.
    #[must_use]
    pub fn score(self, measure: Measure) -> f64 {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        match measure {
            Measure::Precision => share(self.hits, self.predicted),
            Measure::Recall => share(self.hits, self.actual),
            Measure::F1 => share(2 * self.hits, self.predicted + self.actual),
        }
    }

    /// Adds the counts of other examples.
    pub fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.predicted += other.predicted;
        self.actual += other.actual;
    }
}

/// The score of all classes; 0 where none occurs.
pub(super) fn score(tallies: &[Tally], measure: Measure, average: Average) -> f64 {
    let weighted = |weight: fn(&Tally) -> f64| {
        let sum: f64 = tallies.iter().map(weight).sum();
        if sum == 0.0 {
            return 0.0;
        }
        tallies.iter().map(|tally| weight(tally) * tally.score(measure)).sum::<f64>() / sum
    };
    match average {
        Average::Micro => {
            let mut sum = Tally::default();
            for &tally in tallies {
                sum.add(tally);
            }
            sum.score(measure)
        }
        Average::Macro => weighted(|tally| if tally.predicted + tally.actual > 0 { 1.0 } else { 0.0 }),
        Average::Weighted => weighted(|tally| tally.actual as f64),
        Average::Class(class) => tallies.get(class).map_or(0.0, |tally| tally.score(measure)),
    }
}
