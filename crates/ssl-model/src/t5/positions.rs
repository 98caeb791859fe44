//! Relative positions: a number for each bucket of distances and each head, added to the scores of attention.
//!
//! Source: Raffel et al. 2020, section 2.1.

use tch::{Device, Kind, Tensor};

use crate::layer::embedding;

/// A score no position has: out of sight, and still finite, so that a row that sees nothing is no fault.
pub(super) const UNSEEN: f64 = -1e9;

/// The bucket of each distance from `-reach` to `reach`, key minus query: i64, `[2 reach + 1]`. Half of `count` are for one
/// distance each, the others grow with its logarithm; a causal stack has all of them for the past.
pub fn buckets(count: u32, reach: u32, causal: bool) -> Tensor {
    let (count, reach) = (i64::from(count), i64::from(reach));
    let at = Tensor::arange_start(-reach, reach + 1, (Kind::Int64, Device::Cpu));
    let (side, far, count) =
        if causal { (at.zeros_like(), -at.clamp_max(0), count) } else { (at.gt(0) * (count / 2), at.abs(), count / 2) };
    let exact = count / 2;
    // In fp32 and in this order, as the published models were trained: a bucket's edge is a matter of rounding.
    let logarithm = (far.clamp_min(1).to_kind(Kind::Float) / exact as f64).log();
    let grown = logarithm / (reach as f64 / exact as f64).ln() * (count - exact) as f64;
    let large = (grown.to_kind(Kind::Int64) + exact).clamp_max(count - 1);
    far.where_self(&far.lt(exact), &large) + side
}

/// What the positions of a stack add to its scores.
#[derive(Debug)]
pub(super) struct Positions {
    pub(super) table_nh: Tensor,
    pub(super) buckets: Tensor,
    pub(super) reach: i64,
    pub(super) causal: bool,
}

impl Positions {
    /// For queries at `from..to` and keys at `0..to`, `[1, h, t, s]`.
    pub(super) fn scores(&self, from: i64, to: i64) -> Tensor {
        let at = Tensor::arange(to, (Kind::Int64, self.buckets.device()));
        let distance = at.unsqueeze(0) - at.narrow(0, from, to - from).unsqueeze(1);
        let buckets = self.buckets.take(&(distance.clamp(-self.reach, self.reach) + self.reach));
        let scores = embedding(&self.table_nh, &buckets).permute([2, 0, 1]).contiguous().unsqueeze(0);
        if self.causal { scores.masked_fill(&distance.gt(0), UNSEEN) } else { scores }
    }
}
