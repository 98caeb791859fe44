//! Which size a budget deserves: the bottom of a curve through the bits per byte of sizes that cost the same.
//!
//! ```text
//! bits(N) = a + b (log N - log N*)²        at one budget C; N* grows as C^0.5, and so do the tokens that are read
//! ```
//!
//! Source: Hoffmann et al. 2022, "Training compute-optimal large language models", section 3.2 (`IsoFLOP` profiles), and its table 2 for
//! the exponent, which lies between 0.46 and 0.50 there.

use serde_json::{Value, json};

use super::Arm;
use crate::compare::BudgetConfig;
use crate::progress::words;

/// What the sizes of one family say.
pub(super) struct Size {
    family: String,
    /// Sizes and their mean bits per byte, smallest first.
    points: Vec<(f64, f64)>,
    /// The bottom of the curve; absent where it has none between the sizes that were tried.
    best: Option<f64>,
    flops: Option<f64>,
}

/// Looks at every family of at least three sizes.
pub(super) fn recommend(arms: &[Arm], budget: &BudgetConfig) -> Vec<Size> {
    let mut families: Vec<&str> = arms.iter().filter_map(|arm| arm.planned.family.as_deref()).collect();
    families.sort_unstable();
    families.dedup();
    let size = |family: &str| {
        let of: Vec<(f64, f64)> = arms
            .iter()
            .filter(|arm| arm.planned.family.as_deref() == Some(family) && !arm.planned.capped)
            .filter_map(|arm| Some((arm.planned.params as f64, arm.trained["val_bpb"].as_f64()?)))
            .collect();
        let points = means(of);
        (points.len() >= 3).then(|| {
            let best = bottom(&points);
            Size { family: family.to_owned(), best, points, flops: budget.flops }
        })
    };
    families.into_iter().filter_map(size).collect()
}

/// The mean of each size, smallest first.
fn means(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let of = |chunk: &[(f64, f64)]| (chunk[0].0, chunk.iter().map(|point| point.1).sum::<f64>() / chunk.len() as f64);
    points.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()).map(of).collect()
}

/// The bottom of the least-squares parabola in log N, where it opens upwards and its bottom lies between the sizes.
fn bottom(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let centre = points.iter().map(|(size, _)| size.ln()).sum::<f64>() / n;
    let x = |size: f64| size.ln() - centre;
    let sum = |power: i32| points.iter().map(|(size, _)| x(*size).powi(power)).sum::<f64>();
    let by = |power: i32| points.iter().map(|(size, bits)| x(*size).powi(power) * bits).sum::<f64>();
    // Normal equations of c0 + c1 x + c2 x², by Cramer's rule.
    let [s1, s2, s3, s4] = [1, 2, 3, 4].map(sum);
    let [t0, t1, t2] = [0, 1, 2].map(by);
    let det = n * (s2 * s4 - s3 * s3) - s1 * (s1 * s4 - s2 * s3) + s2 * (s1 * s3 - s2 * s2);
    let c1 = (n * (t1 * s4 - s3 * t2) - t0 * (s1 * s4 - s2 * s3) + s2 * (s1 * t2 - t1 * s2)) / det;
    let c2 = (n * (s2 * t2 - t1 * s3) - s1 * (s1 * t2 - t1 * s2) + t0 * (s1 * s3 - s2 * s2)) / det;
    let best = (centre - c1 / (2.0 * c2)).exp();
    let (first, last) = (points.first()?.0, points.last()?.0);
    (c2 > 0.0 && best.is_finite() && (first..=last).contains(&best)).then_some(best)
}

impl Size {
    pub(super) fn words(&self) -> String {
        let Self { family, points, best, flops } = self;
        let tried: Vec<String> =
            points.iter().map(|(size, bits)| format!("{} parameters {bits:.3}", words::scaled(*size))).collect();
        let tried = tried.join(", ");
        match (best, flops) {
            (Some(best), Some(flops)) => format!(
                "size of {family}: about {} parameters for {} operations (bits a byte: {tried}). Ten times the budget deserves about {}, \
                 read over as many more tokens",
                words::scaled(*best),
                words::scaled(*flops),
                words::scaled(best * 10.0_f64.sqrt()),
            ),
            (Some(best), None) => {
                format!("size of {family}: about {} parameters in this time (bits a byte: {tried})", words::scaled(*best))
            }
            (None, _) => {
                let lowest = points.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |point| point.0);
                let side =
                    if points.first().is_some_and(|first| first.0.total_cmp(&lowest).is_eq()) { "smaller" } else { "larger" };
                format!("size of {family}: the best of those tried is at their edge; try {side} ones (bits a byte: {tried})")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "family": self.family, "points": self.points, "best_params": self.best, "flops": self.flops, "words": self.words() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_parabola_is_found() {
        let bits = |size: f64| 1.5 + 0.1 * (size.ln() - 2e6_f64.ln()).powi(2);
        let points = [5e5, 1e6, 3e6, 1e7].map(|size| (size, bits(size)));
        let found = bottom(&points).expect("a bottom");
        assert!((found / 2e6 - 1.0).abs() < 1e-6, "{found}");
        assert_eq!(bottom(&[5e6, 1e7, 3e7].map(|size| (size, bits(size)))), None);
        assert_eq!(bottom(&[(1e6, 3.0), (2e6, 2.0), (4e6, 1.0)]), None);
        assert_eq!(means(vec![(2.0, 1.0), (1.0, 5.0), (2.0, 3.0)]), [(1.0, 5.0), (2.0, 2.0)]);
    }
}
