//! Weights of eight bits, for use alone: of each output the weight of the largest magnitude becomes 127, and what the others are of it
//! is rounded.
//!
//! `W ≈ s q`, `s = max |W| / 127` an output. Source: Dettmers, Lewis, Belkada and Zettlemoyer 2022, "`LLM.int8()`: 8-bit matrix
//! multiplication for transformers at scale", section 2 (absmax).
//!
//! Differs: only weights are rounded. What they meet stays as it is, and sums are fp32.

use tch::{Kind, Tensor};

/// The bytes of a scale.
const SCALE: i64 = 4;
/// Outputs that are given back their width at once, so that no whole matrix is.
const PIECE: i64 = 4096;

/// `[out, in]` as int8 `[out, in + 4]`, where the last four bytes of a row are its scale.
pub fn quantised(weight_oi: &Tensor) -> Tensor {
    let weight = weight_oi.to_kind(Kind::Float);
    // A row of nothing keeps a scale to divide by.
    let scales = (weight.abs().amax([1], true) / 127.0).clamp_min(1e-30);
    let whole = (weight / &scales).round().clamp(-127.0, 127.0).to_kind(Kind::Int8);
    Tensor::cat(&[whole, scales.contiguous().view_dtype(Kind::Int8)], 1)
}

/// Such rows as fp32, `[n, in + 4]` to `[n, in]`.
pub(super) fn restored(rows: &Tensor) -> Tensor {
    let width = rows.size()[1] - SCALE;
    // Bytes of their own: among the others they may stand where no fp32 begins.
    let scales = Tensor::empty([rows.size()[0], SCALE], (Kind::Int8, rows.device()));
    scales.shallow_clone().copy_(&rows.narrow(1, width, SCALE));
    let scales = scales.view_dtype(Kind::Float);
    rows.narrow(1, 0, width).to_kind(Kind::Float) * scales
}

/// `x Wᵀ` of many rows.
pub(super) fn product(x: &Tensor, rows: &Tensor) -> Tensor {
    let outputs = rows.size()[0];
    let pieces = (0..outputs).step_by(PIECE as usize).map(|at| {
        let weight = restored(&rows.narrow(0, at, PIECE.min(outputs - at))).to_kind(x.kind());
        x.linear(&weight, None::<&Tensor>)
    });
    Tensor::cat(&pieces.collect::<Vec<_>>(), -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn each_weight_is_off_by_half_a_step_at_most() {
        let at = Tensor::arange(40 * 33, (Kind::Float, Device::Cpu));
        let weight: Tensor = ((at * 12.9898).sin() * 3.0).reshape([40, 33]);
        let weight = Tensor::cat(&[weight, Tensor::zeros([1, 33], (Kind::Float, Device::Cpu))], 0);
        let rows = quantised(&weight);
        assert_eq!((rows.size(), rows.kind()), (vec![41, 37], Kind::Int8));
        // One row stands where its bytes may not be aligned.
        assert_eq!(restored(&rows.narrow(0, 3, 1)), restored(&rows).narrow(0, 3, 1));
        let step = weight.abs().amax([1], true) / 127.0;
        let off = (restored(&rows) - &weight).abs();
        assert_eq!(off.gt_tensor(&(step * 0.5001)).sum(Kind::Int64).int64_value(&[]), 0);
        let x = (Tensor::arange(20 * 33, (Kind::Float, Device::Cpu)) * 0.7).cos().reshape([20, 33]);
        let far = (product(&x, &rows) - x.matmul(&restored(&rows).tr())).abs().max().double_value(&[]);
        assert!(far < 1e-4, "{far}");
    }
}
