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

/// Mean nats of the validation's targets under the shares of the training's; `None` where there are no targets.
///
/// # Errors
/// When a corpus cannot be read.
pub fn unigram(training: &Sampler, measured: &Sampler, objective: &dyn Objective, vocab: u32) -> Result<Option<f64>> {
    let mut counts = vec![1.0; vocab as usize];
    let epoch = training.epoch_len();
    walk(
        training.streams(),
        objective,
        epoch,
        &|sample| training.window(sample),
        &|s| training.rng(s),
        &mut |target, weight| {
            counts[target] += weight;
        },
    )?;
    let all: f64 = counts.iter().sum();
    let (mut nats, mut seen) = (0.0, false);
    let pass = measured.in_order_len();
    let divisor =
        walk(measured.streams(), objective, pass, &|i| measured.in_order(i), &|s| measured.rng(s), &mut |target, weight| {
            nats += weight * (all / counts[target]).ln();
            seen = true;
        })?;
    Ok((seen && divisor > 0.0).then(|| nats / divisor))
}

/// Hands every weighted target of up to `windows` windows to `each`; returns what their loss is divided by.
fn walk(
    streams: Option<u64>,
    objective: &dyn Objective,
    windows: u64,
    window: &dyn Fn(u64) -> ssl_data::Result<ssl_data::batch::Window>,
    rng: &dyn Fn(u64) -> ssl_data::rng::Rng,
    each: &mut dyn FnMut(usize, f64),
) -> Result<f64> {
    let step = streams.unwrap_or(ROWS);
    let (mut at, mut targets, mut divisor) = (0, 0.0, 0.0);
    while at < windows && targets < TARGETS {
        let end = (at + step).min(windows);
        let of_rows = of_rows(at..end, windows, objective.windows_per_row());
        let cut = of_rows.iter().map(|&index| window(index)).collect::<ssl_data::Result<Vec<_>>>()?;
        let mut rngs: Vec<_> = of_rows.iter().map(|&index| rng(index)).collect();
        let batch = objective.collate(&cut, &mut rngs);
        let (Batch::Rows(rows) | Batch::Pair(_, rows)) = &batch else { return Ok(0.0) };
        for (target, weight) in weighted(rows) {
            targets += 1.0;
            each(target, weight);
        }
        divisor += batch.count();
        at = end;
    }
    Ok(divisor)
}

fn weighted(rows: &Rows<Grid>) -> impl Iterator<Item = (usize, f64)> {
    let (Grid::Ids { data: targets, .. }, Grid::Reals { data: weights, .. }) = (&rows.targets, &rows.weights) else {
        unreachable!("targets are ids and weights are reals")
    };
    let pairs = targets.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    pairs.map(|(&target, &weight)| (target as usize, f64::from(weight)))
}
