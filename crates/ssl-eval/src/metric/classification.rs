//! Classes predicted against true ones: accuracy, precision, recall, F1, Matthews' correlation, the confusion matrix.
//!
//! With c of n right, and class k true `t_k` and predicted `p_k` times,
//! `MCC = (c n - sum p_k t_k) / sqrt((n² - sum p_k²) (n² - sum t_k²))`, 0 where it divides by 0.
//!
//! Source: Matthews 1975; Gorodkin 2004 (more than two classes). Averages and divisions by 0 are scikit-learn's defaults.

use std::collections::HashMap;

use crate::bootstrap::{Bootstrap, Interval, equal};
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::metric::tally::{self, Average, Measure, Tally};

/// An example: the true class and the predicted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// The true class.
    pub truth: usize,
    /// The predicted class.
    pub predicted: usize,
}

/// Examples of `classes` classes, numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    classes: usize,
    guesses: Vec<Guess>,
}

impl Classified {
    /// Of numbered classes, one true and one predicted an example.
    ///
    /// # Errors
    /// Without an example, with unequal numbers of both, or with a class that is not below `classes`.
    pub fn new(classes: usize, truth: &[usize], predicted: &[usize]) -> Result<Self> {
        let find = |what, at, label: usize| {
            let known = label < classes;
            if known { Ok(label) } else { Err(Error::Label { what, at, label: label.to_string(), classes }) }
        };
        Self::of(classes, truth, predicted, find)
    }

    /// Of named classes, which are numbered as `names` orders them; of a name that comes twice the first counts.
    ///
    /// # Errors
    /// Without an example, with unequal numbers of both, or with a label that is not among `names`.
    pub fn named<S: AsRef<str>>(names: &[S], truth: &[S], predicted: &[S]) -> Result<Self> {
        let mut index = HashMap::with_capacity(names.len());
        for (class, name) in names.iter().enumerate() {
            index.entry(name.as_ref()).or_insert(class);
        }
        let find = |what, at, label: &S| {
            let label = label.as_ref();
            index.get(label).copied().ok_or_else(|| Error::Label { what, at, label: label.to_owned(), classes: names.len() })
        };
        Self::of(names.len(), &truth.iter().collect::<Vec<_>>(), &predicted.iter().collect::<Vec<_>>(), find)
    }

    fn of<T: Copy>(
        classes: usize,
        truth: &[T],
        predicted: &[T],
        find: impl Fn(&'static str, usize, T) -> Result<usize>,
    ) -> Result<Self> {
        equal("predicted classes", predicted.len(), "true ones", truth.len())?;
        if truth.is_empty() {
            return Err(Error::Empty);
        }
        let both = truth.iter().zip(predicted).enumerate();
        let guess = |(at, (&truth, &predicted))| {
            Ok(Guess { truth: find("true class", at, truth)?, predicted: find("predicted class", at, predicted)? })
        };
        Ok(Self { classes, guesses: both.map(guess).collect::<Result<_>>()? })
    }

    /// All examples; what [`Bootstrap::compare`] takes.
    #[must_use]
    pub fn examples(&self) -> &[Guess] {
        &self.guesses
    }

    /// The share that is right.
    #[must_use]
    pub fn accuracy(&self) -> Estimate {
        let right = |guess: &Guess| if guess.truth == guess.predicted { 1.0 } else { 0.0 };
        Estimate::mean(&self.guesses.iter().map(right).collect::<Vec<_>>())
    }

    /// How often class `row` was taken for class `column`, `[k, k]`.
    #[must_use]
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let mut matrix = vec![vec![0; self.classes]; self.classes];
        self.guesses.iter().for_each(|guess| matrix[guess.truth][guess.predicted] += 1);
        matrix
    }

    /// The counts of every class, `[k]`.
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        count(self.classes, self.guesses.iter())
    }

    /// Precision, recall or F1, with its error bar.
    ///
    /// # Errors
    /// For a class there is not, and those of [`Bootstrap::interval`].
    pub fn score(&self, measure: Measure, average: Average, how: &Bootstrap) -> Result<Interval> {
        if let Average::Class(class) = average
            && class >= self.classes
        {
            return Err(Error::Class { class, classes: self.classes });
        }
        how.interval(&self.guesses, scorer(self.classes, measure, average))
    }

    /// Matthews' correlation, with its error bar: 1 for all right, 0 for guesses that know nothing.
    ///
    /// # Errors
    /// Those of [`Bootstrap::interval`].
    pub fn matthews(&self, how: &Bootstrap) -> Result<Interval> {
        how.interval(&self.guesses, matthews(self.classes))
    }
}

/// Precision, recall or F1 as a function of examples of `classes` classes.
pub fn scorer(classes: usize, measure: Measure, average: Average) -> impl Fn(&[&Guess]) -> f64 {
    move |guesses| tally::score(&count(classes, guesses.iter().copied()), measure, average)
}

/// Matthews' correlation as a function of examples of `classes` classes.
pub fn matthews(classes: usize) -> impl Fn(&[&Guess]) -> f64 {
    move |guesses| {
        let tallies = count(classes, guesses.iter().copied());
        let sum = |part: fn(&Tally) -> f64| tallies.iter().map(part).sum::<f64>();
        let (n, hits) = (guesses.len() as f64, sum(|class| class.hits as f64));
        let chance = sum(|class| class.predicted as f64 * class.actual as f64);
        let spread = |squares: f64| n * n - squares;
        let (ours, theirs) =
            (spread(sum(|class| (class.predicted as f64).powi(2))), spread(sum(|class| (class.actual as f64).powi(2))));
        if ours * theirs == 0.0 { 0.0 } else { (hits * n - chance) / (ours * theirs).sqrt() }
    }
}

fn count<'a>(classes: usize, guesses: impl Iterator<Item = &'a Guess>) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); classes];
    for guess in guesses {
        tallies[guess.truth].actual += 1;
        tallies[guess.predicted].predicted += 1;
        tallies[guess.truth].hits += u64::from(guess.truth == guess.predicted);
    }
    tallies
}
