//! Multinomial logistic regression on standardised features, under an L2 penalty.
//!
//! ```text
//! p(c | x) = softmax(W z + b)_c                z = (x - mean) / deviation, over the training examples
//! least over W, b of  sum of -log p(label | x) + strength / 2 |W|²
//! ```
//!
//! With two classes the penalty is on the difference of the two rows of `W`, which is then that of a plain logistic regression. The
//! sums are scikit-learn's, whose `C` is `1 / strength`; `b` is not penalised.
//!
//! Source: Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", section 4.4.

use ssl_data::rng::hash;

use super::lbfgs::minimise;
use super::{check, check_widths, dot, each, greatest, threads};
use crate::error::Result;

/// The strengths tried, the strongest first: a weaker penalty's search begins where a stronger one's ended.
pub const STRENGTHS: [f64; 7] = [1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4];
/// The strength where there are too few examples to try any: scikit-learn's.
const DEFAULT: f64 = 1.0;
/// Parts of the examples whose sums are taken apart, whatever the threads.
const PARTS: usize = 16;
/// No part of the gradient of the mean loss is greater at the end.
const TOLERANCE: f64 = 1e-8;
/// Steps of a search.
const STEPS: usize = 1000;
/// Keeps the division of the examples apart from other uses of a seed.
const STREAM: u64 = 0x7072_6f62_6500_0000;

/// A fitted probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    scaler: Scaler,
    classes: usize,
    /// `[classes, features + 1]`, the intercept last.
    rows: Vec<f64>,
    /// The strength of the penalty.
    pub strength: f64,
    /// Whether the search came to its end.
    pub converged: bool,
}

/// Moves features to a mean of 0 and a deviation of 1.
#[derive(Debug, Clone, PartialEq)]
struct Scaler {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scaler {
    fn new(features: &[&Vec<f32>]) -> Self {
        let (n, width) = (features.len() as f64, features.first().map_or(0, |one| one.len()));
        let mut mean = vec![0.0; width];
        for one in features {
            mean.iter_mut().zip(*one).for_each(|(mean, &x)| *mean += f64::from(x) / n);
        }
        let mut variance = vec![0.0; width];
        for one in features {
            variance.iter_mut().zip(*one).zip(&mean).for_each(|((sum, &x), mean)| *sum += (f64::from(x) - mean).powi(2) / n);
        }
        // A feature that never changes has nothing but rounding to be divided by.
        let deviation = variance.iter().zip(&mean).map(|(variance, mean)| {
            let deviation = variance.sqrt();
            if deviation <= 1e-7 * mean.abs() || deviation == 0.0 { 1.0 } else { deviation }
        });
        Self { deviation: deviation.collect(), mean }
    }

    /// The features in a row each, and a 1 after them.
    fn apply(&self, features: &[&Vec<f32>]) -> Vec<f64> {
        let scaled = |one: &Vec<f32>| {
            let parts = one.iter().zip(&self.mean).zip(&self.deviation);
            parts.map(|((&x, mean), deviation)| (f64::from(x) - mean) / deviation).chain([1.0]).collect::<Vec<_>>()
        };
        features.iter().flat_map(|one| scaled(one)).collect()
    }
}

/// How many of the examples held out a probe gets right, and their nats.
type Score<'a> = dyn Fn(&Logistic) -> (usize, f64) + 'a;

impl Logistic {
    /// Fits a probe to features `[n][d]` and their labels, below `classes`.
    ///
    /// # Errors
    /// Without an example, when lengths differ, when a label is no class, or when a feature is not finite.
    pub fn fit(features: &[Vec<f32>], labels: &[usize], classes: usize, strength: f64) -> Result<Self> {
        let width = check(features, labels, classes)?;
        let threads = threads(features.len() * width * classes);
        Ok(Self::on(&features.iter().collect::<Vec<_>>(), labels, classes, &[strength], threads, None).0)
    }

    /// Fits a probe whose strength is the one of [`STRENGTHS`] that answers best for a tenth of the examples held out: by accuracy,
    /// then by nats, then the stronger. Which examples these are is a function of the seed.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_chosen(features: &[Vec<f32>], labels: &[usize], classes: usize, seed: u64) -> Result<Self> {
        let width = check(features, labels, classes)?;
        let threads = threads(features.len() * width * classes);
        Ok(Self::chosen(features, labels, classes, seed, threads))
    }

    fn chosen(features: &[Vec<f32>], labels: &[usize], classes: usize, seed: u64, threads: usize) -> Self {
        let mut order: Vec<usize> = (0..features.len()).collect();
        order.sort_by_key(|&at| (hash(seed, STREAM, at as u64), at));
        let (out, kept) = order.split_at(features.len() / 10);
        let mut strength = DEFAULT;
        if !out.is_empty() {
            let pick =
                |at: &[usize]| -> (Vec<&Vec<f32>>, Vec<usize>) { at.iter().map(|&at| (&features[at], labels[at])).unzip() };
            let ((kept, kept_labels), (out, out_labels)) = (pick(kept), pick(out));
            let score = |probe: &Self| {
                let probabilities = probe.probabilities_of(&out);
                let right = probabilities.iter().zip(&out_labels).filter(|(p, label)| greatest(p) == **label).count();
                let nats: f64 = probabilities.iter().zip(&out_labels).map(|(p, &label)| -p[label].ln()).sum();
                (right, nats)
            };
            let (_, scores) = Self::on(&kept, &kept_labels, classes, &STRENGTHS, threads, Some(&score));
            let mut best: Option<(usize, f64)> = None;
            for ((right, nats), tried) in scores.into_iter().zip(STRENGTHS) {
                if best.is_none_or(|(most, least)| right > most || (right == most && nats < least)) {
                    (best, strength) = (Some((right, nats)), tried);
                }
            }
        }
        Self::on(&features.iter().collect::<Vec<_>>(), labels, classes, &[strength], threads, None).0
    }

    /// Fits under each strength in turn, the last of which is returned, and scores each.
    fn on(
        features: &[&Vec<f32>],
        labels: &[usize],
        classes: usize,
        strengths: &[f64],
        threads: usize,
        score: Option<&Score<'_>>,
    ) -> (Self, Vec<(usize, f64)>) {
        let scaler = Scaler::new(features);
        let problem = Problem { examples: scaler.apply(features), labels, classes, width: scaler.mean.len() + 1, threads };
        let rows = vec![0.0; classes * problem.width];
        let mut probe = Self { scaler, classes, rows, strength: DEFAULT, converged: false };
        let mut scores = Vec::new();
        for &strength in strengths {
            let penalty = if classes == 2 { 2.0 * strength } else { strength };
            let found = minimise(
                std::mem::take(&mut probe.rows),
                &|rows, gradient| problem.loss(rows, penalty, gradient),
                TOLERANCE,
                STEPS,
            );
            (probe.rows, probe.converged, probe.strength) = (found.at, found.converged, strength);
            scores.extend(score.map(|score| score(&probe)));
        }
        (probe, scores)
    }

    /// Weights of a class over the standardised features, and its intercept.
    ///
    /// # Panics
    /// When there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> (&[f64], f64) {
        let width = self.scaler.mean.len() + 1;
        let row = &self.rows[class * width..(class + 1) * width];
        (&row[..width - 1], row[width - 1])
    }

    /// The likeliest class of each feature vector, the first of equal ones.
    ///
    /// # Errors
    /// When a vector has not as many features as those fitted, or one is not finite.
    pub fn predict(&self, features: &[Vec<f32>]) -> Result<Vec<usize>> {
        Ok(self.probabilities(features)?.iter().map(|p| greatest(p)).collect())
    }

    /// The probability of each class, for each feature vector: `[n][classes]`.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn probabilities(&self, features: &[Vec<f32>]) -> Result<Vec<Vec<f64>>> {
        check_widths(features, self.scaler.mean.len())?;
        Ok(self.probabilities_of(&features.iter().collect::<Vec<_>>()))
    }

    fn probabilities_of(&self, features: &[&Vec<f32>]) -> Vec<Vec<f64>> {
        let width = self.scaler.mean.len() + 1;
        let mut p = vec![0.0; self.classes];
        let of = |x: &[f64]| {
            softmax(&self.rows, x, &mut p);
            p.clone()
        };
        self.scaler.apply(features).chunks_exact(width).map(of).collect()
    }
}

/// Examples and what they are.
struct Problem<'a> {
    /// `[n, width]`, the last of each row 1.
    examples: Vec<f64>,
    labels: &'a [usize],
    classes: usize,
    width: usize,
    threads: usize,
}

impl Problem<'_> {
    /// The mean loss with its share of the penalty, and the gradient.
    fn loss(&self, rows: &[f64], penalty: f64, gradient: &mut [f64]) -> f64 {
        let n = self.labels.len();
        let part = |part: usize| {
            let (mut nats, mut gradient, mut p) = (0.0, vec![0.0; rows.len()], vec![0.0; self.classes]);
            for at in n * part / PARTS..n * (part + 1) / PARTS {
                let (x, label) = (&self.examples[at * self.width..(at + 1) * self.width], self.labels[at]);
                nats -= softmax(rows, x, &mut p)[label];
                p[label] -= 1.0;
                for (row, &p) in gradient.chunks_exact_mut(self.width).zip(&p) {
                    row.iter_mut().zip(x).for_each(|(sum, x)| *sum += p * x);
                }
            }
            (nats, gradient)
        };
        gradient.fill(0.0);
        let mut value = 0.0;
        for (nats, part) in each(PARTS, self.threads.min(PARTS), &part) {
            value += nats;
            gradient.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
        }
        for (row, gradient) in rows.chunks_exact(self.width).zip(gradient.chunks_exact_mut(self.width)) {
            let (weights, last) = (&row[..self.width - 1], self.width - 1);
            value += penalty / 2.0 * dot(weights, weights);
            gradient[..last].iter_mut().zip(weights).for_each(|(sum, weight)| *sum += penalty * weight);
        }
        for part in gradient {
            *part /= n as f64;
        }
        value / n as f64
    }
}

/// Writes the probabilities of all classes to `p`, and returns their logarithms.
fn softmax(rows: &[f64], x: &[f64], p: &mut [f64]) -> Vec<f64> {
    let mut logits: Vec<f64> = rows.chunks_exact(x.len()).map(|row| dot(row, x)).collect();
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let norm = highest + logits.iter().map(|logit| (logit - highest).exp()).sum::<f64>().ln();
    for (p, logit) in p.iter_mut().zip(&mut logits) {
        *logit -= norm;
        *p = logit.exp();
    }
    logits
}

#[cfg(test)]
mod tests {
    use ssl_data::rng::Rng;

    use super::*;
    use crate::error::Error;

    /// Features around one point a class, the last one noise of a large scale and the first the same for all.
    fn examples(n: usize, classes: usize, seed: u64) -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut rng = Rng::at(seed, 0, 0);
        let labels: Vec<usize> = (0..n).map(|at| at % classes).collect();
        let of = |&label: &usize| {
            let near = |at: usize, rng: &mut Rng| f64::from(label == at) + rng.unit() * 1.6;
            let mut one = vec![3.0_f32];
            one.extend((0..classes).map(|at| near(at, &mut rng) as f32));
            one.push((1000.0 * rng.unit()) as f32);
            one
        };
        (labels.iter().map(of).collect(), labels)
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (features, labels) = examples(40, 3, 1);
        let features: Vec<&Vec<f32>> = features.iter().collect();
        let scaler = Scaler::new(&features);
        let problem = Problem { examples: scaler.apply(&features), labels: &labels, classes: 3, width: 6, threads: 1 };
        let mut rng = Rng::at(2, 0, 0);
        let rows: Vec<f64> = (0..18).map(|_| rng.unit() - 0.5).collect();
        let (mut gradient, mut unread) = (vec![0.0; 18], vec![0.0; 18]);
        problem.loss(&rows, 0.7, &mut gradient);
        for at in 0..18 {
            let mut there = |by: f64| {
                let mut rows = rows.clone();
                rows[at] += by;
                problem.loss(&rows, 0.7, &mut unread)
            };
            let slope = (there(1e-5) - there(-1e-5)) / 2e-5;
            assert!((slope - gradient[at]).abs() < 1e-8, "{at}: {slope} for {}", gradient[at]);
        }
    }

    #[test]
    fn threads_change_no_bit_and_the_choice_is_one_of_those_tried() {
        let (features, labels) = examples(300, 4, 3);
        let one = Logistic::chosen(&features, &labels, 4, 5, 1);
        for threads in [2, 3, 16] {
            assert_eq!(Logistic::chosen(&features, &labels, 4, 5, threads), one);
        }
        assert!(STRENGTHS.contains(&one.strength) && one.converged, "{one:?}");
        let (unseen, truth) = examples(300, 4, 4);
        let right = one.predict(&unseen).unwrap().iter().zip(&truth).filter(|(found, truth)| found == truth).count();
        assert!(right > 180, "{right} of 300, where chance finds 75");
    }

    #[test]
    fn a_strength_is_chosen_that_unseen_examples_like() {
        // Three hundred features of noise and sixty examples: a weak penalty learns the noise by heart.
        let (mut features, labels) = examples(120, 2, 6);
        let mut rng = Rng::at(7, 0, 0);
        for one in &mut features {
            one.extend((0..300).map(|_| rng.unit() as f32));
        }
        let chosen = Logistic::fit_chosen(&features, &labels, 2, 1).unwrap();
        assert!(chosen.strength > 1e-3, "{}", chosen.strength);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let two = vec![vec![1.0], vec![2.0]];
        assert!(matches!(Logistic::fit(&[], &[], 2, 1.0), Err(Error::Empty)));
        assert!(matches!(Logistic::fit(&two, &[0], 2, 1.0), Err(Error::Unequal { .. })));
        assert!(matches!(Logistic::fit(&two, &[0, 2], 2, 1.0), Err(Error::Class { class: 2, classes: 2 })));
        assert!(matches!(Logistic::fit(&[vec![1.0], vec![]], &[0, 1], 2, 1.0), Err(Error::Features { at: 1, .. })));
        assert!(matches!(Logistic::fit(&[vec![1.0], vec![f32::NAN]], &[0, 1], 2, 1.0), Err(Error::NotFinite { at: 1, .. })));
        let probe = Logistic::fit(&two, &[0, 1], 2, 1.0).unwrap();
        assert_eq!(probe.predict(&two).unwrap(), [0, 1]);
        assert!(matches!(probe.predict(&[vec![1.0, 2.0]]), Err(Error::Features { .. })));
    }
}
