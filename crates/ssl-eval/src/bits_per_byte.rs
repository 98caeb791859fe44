//! Validation loss, per token and per byte of the text.
//!
//! `bits per byte = total nats / (bytes ln 2)`: nats per token depend on the tokenizer, bits per byte do not, and general
//! compressors can be asked for theirs. Source: Gao et al. 2020, "The Pile", section 3.1.

use std::ops::Range;

use ssl_data::batch::{Batch, Grid};
use ssl_data::objective::{Meaning, Objective};
use ssl_data::sampler::Sampler;
use ssl_model::{Model, Pass};
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::estimate::Estimate;

/// A validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// Nats per token; the observations are windows.
    pub nats_per_token: Estimate,
    /// Bits per byte of UTF-8 text; `None` where the loss says nothing about the text as a whole.
    pub bits_per_byte: Option<Estimate>,
    /// Targets scored.
    pub tokens: u64,
    /// Whether every target of the split was scored. Otherwise bytes are counted by the split's mean bytes per token.
    pub whole: bool,
}

/// Scores the windows of `sampler` in order, each target once, up to `max_tokens`. Between batches `stop` is told the share
/// that is done, and asked.
///
/// # Errors
/// When the corpus cannot be read, an operation fails, or `stop` says so.
pub fn validate(
    model: &dyn Model,
    sampler: &Sampler,
    objective: &dyn Objective,
    rows: u64,
    device: Device,
    max_tokens: Option<u64>,
    stop: &dyn Fn(f64) -> bool,
) -> Result<Validation> {
    let rows = sampler.streams().unwrap_or(rows);
    let windows = sampler.in_order_len();
    let mut observations = Vec::new();
    let (mut at, mut tokens) = (0, 0.0);
    while at < windows && max_tokens.is_none_or(|max| tokens < max as f64) {
        let share = (at as f64 / windows as f64).max(max_tokens.map_or(0.0, |max| tokens / max as f64));
        if stop(share) {
            return Err(Error::Stopped);
        }
        let end = (at + rows).min(windows);
        let of_rows = of_rows(at..end, windows, objective.windows_per_row());
        let cut = of_rows.iter().map(|&index| sampler.in_order(index)).collect::<ssl_data::Result<Vec<_>>>()?;
        let mut rngs: Vec<_> = of_rows.iter().map(|&index| sampler.rng(index)).collect();
        let batch = objective.collate(&cut, &mut rngs);
        let scored = ssl_torch::guard(|| tch::no_grad(|| model.loss(&upload(batch, device), Pass::Eval).rows()))?;
        tokens += scored.iter().map(|(_, weight)| weight).sum::<f64>();
        observations.extend(scored);
        at = end;
    }
    let nats_per_token = Estimate::ratio(&observations);
    let corpus = sampler.corpus();
    let tokens_per_byte = corpus.targets() as f64 / corpus.bytes() as f64;
    let bits = nats_per_token.times(tokens_per_byte / std::f64::consts::LN_2);
    Ok(Validation {
        nats_per_token,
        bits_per_byte: (objective.meaning() != Meaning::Task).then_some(bits),
        tokens: tokens as u64,
        whole: at == windows,
    })
}

/// The windows that rows are made of: the row's own, and where there are more, those as far away as can be, so that what
/// stands beside a text is not what follows it.
pub(crate) fn of_rows(rows: Range<u64>, windows: u64, per_row: usize) -> Vec<u64> {
    let per_row = per_row as u64;
    rows.flat_map(|row| (0..per_row).map(move |k| (row + k * (windows / per_row)) % windows)).collect()
}

/// A batch on a device.
pub(crate) fn upload(batch: Batch<Grid>, device: Device) -> Batch<Tensor> {
    let copied = batch.try_map(&mut |grid| {
        let host = match &grid {
            Grid::Ids { data, shape } => Tensor::from_slice(data).view(shape.as_slice()),
            Grid::Reals { data, shape } => Tensor::from_slice(data).view(shape.as_slice()),
        };
        Ok::<_, std::convert::Infallible>(host.to_device(device))
    });
    match copied {
        Ok(batch) => batch,
        Err(never) => match never {},
    }
}
