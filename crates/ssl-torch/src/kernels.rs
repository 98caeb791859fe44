//! Fused operations with their gradients.

use std::ptr;

use tch::Tensor;

use crate::error::Result;
use crate::ffi::{check, handle, ssl_linear_cross_entropy};

/// Cross-entropy of an output head without holding all logits: `sum_i w_i (log sum_j exp(h_i . e_j) - h_i . e_(y_i))`.
///
/// Returns the weighted total in nats (f64, differentiable with respect to `hidden` and `head`, once) and the unweighted
/// nats of each row (f32, no gradient). Gradients are made on the way forward.
///
/// # Shapes
/// `hidden_nd` `[n, d]` and `head_vd` `[v, d]` in fp32 or bf16; `targets_n` i64; `weights_n` f32; returns `[]` and `[n]`.
///
/// # Errors
/// When shapes, types or a target do not fit.
pub fn linear_cross_entropy(
    hidden_nd: &Tensor,
    head_vd: &Tensor,
    targets_n: &Tensor,
    weights_n: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (mut total, mut nats) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the handles outlive the call; on success both results are new tensors that nothing else owns.
    unsafe {
        check(ssl_linear_cross_entropy(
            handle(hidden_nd),
            handle(head_vd),
            handle(targets_n),
            handle(weights_n),
            &raw mut total,
            &raw mut nats,
        ))?;
        Ok((Tensor::from_ptr(total), Tensor::from_ptr(nats)))
    }
}
