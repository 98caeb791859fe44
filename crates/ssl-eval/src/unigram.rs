//! What a guess without any context scores on an objective's targets: the least that a model must beat.
//!
//! Each target is predicted by its own share of the training targets, one added to every count (Laplace's rule).

use ssl_data::batch::{Batch, Grid, Rows};
use ssl_data::objective::Objective;
use ssl_data::sampler::Sampler;

use crate::bits_per_byte::of_rows;
use crate::error::Result;

/// Rows collated at once, and the targets after which shares are known well enough.
const ROWS: u64 = 64;
const TARGETS: f64 = 2e6;

/// What a guess by frequency comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Mean nats of the targets.
    pub nats: f64,
    /// The share of all positions that are targets.
    pub share: f64,
    /// How often a word drawn by frequency is the very one that stood there.
    pub hits: f64,
}

impl Guess {
    /// Nats of telling, of every position, whether its word was put there by such draws, knowing only how often that is.
    #[must_use]
    pub fn replaced_nats(&self) -> f64 {
        let replaced = self.share * (1.0 - self.hits);
        [replaced, 1.0 - replaced].into_iter().filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum()
    }
}

/// Scores the validation's targets by the shares of the training's; `None` where there are no targets.
///
/// # Errors
/// When a corpus cannot be read.
pub fn unigram(training: &Sampler, measured: &Sampler, objective: &dyn Objective, vocab: u32) -> Result<Option<Guess>> {
    let mut counts = vec![1.0; vocab as usize];
    let epoch = training.epoch_len();
    let count = &mut |target: usize, weight| counts[target] += weight;
    walk(training.streams(), objective, epoch, &|sample| training.window(sample), &|s| training.rng(s), count)?;
    let all: f64 = counts.iter().sum();
    let (mut nats, mut targets) = (0.0, 0.0);
    let pass = measured.in_order_len();
    let score = &mut |target: usize, weight: f64| {
        nats += weight * (all / counts[target]).ln();
        targets += 1.0;
    };
    let (divisor, positions) = walk(measured.streams(), objective, pass, &|i| measured.in_order(i), &|s| measured.rng(s), score)?;
    let hits = counts.iter().map(|count| (count / all).powi(2)).sum();
    Ok((targets > 0.0 && divisor > 0.0).then(|| Guess { nats: nats / divisor, share: targets / positions, hits }))
}

/// Hands every weighted target of up to `windows` windows to `each`; returns what their loss is divided by, and all positions.
fn walk(
    streams: Option<u64>,
    objective: &dyn Objective,
    windows: u64,
    window: &dyn Fn(u64) -> ssl_data::Result<ssl_data::batch::Window>,
    rng: &dyn Fn(u64) -> ssl_data::rng::Rng,
    each: &mut dyn FnMut(usize, f64),
) -> Result<(f64, f64)> {
    let step = streams.unwrap_or(ROWS);
    let (mut at, mut targets, mut divisor, mut positions) = (0, 0.0, 0.0, 0.0);
    while at < windows && targets < TARGETS {
        let end = (at + step).min(windows);
        let of_rows = of_rows(at..end, windows, objective.windows_per_row());
        let cut = of_rows.iter().map(|&index| window(index)).collect::<ssl_data::Result<Vec<_>>>()?;
        let mut rngs: Vec<_> = of_rows.iter().map(|&index| rng(index)).collect();
        let batch = objective.collate(&cut, &mut rngs);
        let (Batch::Rows(rows) | Batch::Pair(_, rows)) = &batch else { return Ok((0.0, 0.0)) };
        for (target, weight) in weighted(rows) {
            targets += 1.0;
            each(target, weight);
        }
        divisor += batch.count();
        positions += rows.targets.shape().iter().product::<i64>() as f64;
        at = end;
    }
    Ok((divisor, positions))
}

fn weighted(rows: &Rows<Grid>) -> impl Iterator<Item = (usize, f64)> {
    let (Grid::Ids { data: targets, .. }, Grid::Reals { data: weights, .. }) = (&rows.targets, &rows.weights) else {
        unreachable!("targets are ids and weights are reals")
    };
    let pairs = targets.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    pairs.map(|(&target, &weight)| (target as usize, f64::from(weight)))
}
