//! The vote of the nearest training examples, by the cosine of their features.
//!
//! Source: Wu, Xiong, Yu and Lin 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4 (a
//! neighbour's vote weighs `exp(cosine / 0.07)`); k = 20 as in Caron et al. 2021, "DINO", section 4.

use std::cmp::Ordering;

use super::{check, check_widths, dot, each, greatest, threads};
use crate::error::Result;

/// How neighbours vote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vote {
    /// How many vote.
    pub neighbours: usize,
    /// A vote weighs `exp(cosine / temperature)`; without it all weigh the same.
    pub temperature: Option<f64>,
}

impl Default for Vote {
    fn default() -> Self {
        Self { neighbours: 20, temperature: Some(0.07) }
    }
}

impl Vote {
    /// The class of each of `asked`, by the training examples `features` with their `labels` below `classes`.
    ///
    /// Of equally near examples the earlier vote, of classes with equal votes the first wins. A vector of zeros is as near to all.
    ///
    /// # Errors
    /// Without an example, when lengths differ, when a label is no class, or when a feature is not finite.
    pub fn predict(self, features: &[Vec<f32>], labels: &[usize], classes: usize, asked: &[Vec<f32>]) -> Result<Vec<usize>> {
        let width = check(features, labels, classes)?;
        check_widths(asked, width)?;
        Ok(self.on(features, labels, classes, asked, threads(features.len() * width * asked.len())))
    }

    fn on(self, features: &[Vec<f32>], labels: &[usize], classes: usize, asked: &[Vec<f32>], threads: usize) -> Vec<usize> {
        let known: Vec<Vec<f64>> = features.iter().map(|one| unit(one)).collect();
        let of = |at: usize| {
            let one = unit(&asked[at]);
            let mut near: Vec<(f64, usize)> = known.iter().enumerate().map(|(at, known)| (dot(known, &one), at)).collect();
            let nearer = |a: &(f64, usize), b: &(f64, usize)| -> Ordering { b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)) };
            let k = self.neighbours.clamp(1, near.len());
            if k < near.len() {
                near.select_nth_unstable_by(k - 1, nearer);
                near.truncate(k);
            }
            // Votes are summed in one order, whatever the selection left.
            near.sort_unstable_by(nearer);
            let mut votes = vec![0.0; classes];
            for (cosine, at) in near {
                votes[labels[at]] += self.temperature.map_or(1.0, |temperature| (cosine / temperature).exp());
            }
            greatest(&votes)
        };
        each(asked.len(), threads, &of)
    }
}

/// The vector at a length of 1.
fn unit(features: &[f32]) -> Vec<f64> {
    let wide: Vec<f64> = features.iter().map(|&x| f64::from(x)).collect();
    let length = dot(&wide, &wide).sqrt();
    if length > 0.0 { wide.iter().map(|x| x / length).collect() } else { wide }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_votes_weigh_more_where_they_are_weighted() {
        // Along one axis, whatever the length; two examples of class 1 at 30 degrees, one of class 0 at 5.
        let at = |degrees: f32, length: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            vec![length * cos, length * sin]
        };
        let (features, labels) = ([at(5.0, 0.1), at(30.0, 7.0), at(-30.0, 1.0), at(180.0, 1.0)], [0, 1, 1, 2]);
        let vote = |neighbours, temperature| {
            Vote { neighbours, temperature }.predict(&features, &labels, 3, &[at(0.0, 40.0)]).unwrap()[0]
        };
        assert_eq!((vote(3, None), vote(3, Some(0.07)), vote(1, None), vote(100, None)), (1, 0, 0, 1));
        // Of two that are as near the earlier one votes; with one vote each the first class wins.
        let two = [at(10.0, 1.0), at(10.0, 1.0)];
        assert_eq!(Vote { neighbours: 1, temperature: None }.predict(&two, &[1, 0], 2, &two).unwrap(), [1, 1]);
        assert_eq!(Vote::default().predict(&two, &[1, 0], 2, &two).unwrap(), [0, 0]);
    }

    #[test]
    fn threads_change_nothing() {
        let mut rng = ssl_data::rng::Rng::at(1, 0, 0);
        let mut draw =
            |n: usize| -> Vec<Vec<f32>> { (0..n).map(|_| (0..9).map(|_| rng.unit() as f32 - 0.5).collect()).collect() };
        let (features, asked) = (draw(90), draw(31));
        let labels: Vec<usize> = (0..90).map(|at| at % 4).collect();
        let one = Vote::default().on(&features, &labels, 4, &asked, 1);
        assert!([2, 5, 31].iter().all(|&threads| Vote::default().on(&features, &labels, 4, &asked, threads) == one));
        assert!((0..4).all(|class| one.contains(&class)), "all classes are found: {one:?}");
    }
}
