//! Fused operations with their gradients.

use std::ptr;

use tch::Tensor;

use crate::error::Result;
use crate::ffi::{check, handle, ssl_attention, ssl_attention_packed, ssl_linear_cross_entropy};

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

/// Scaled dot-product attention on the CPU, `softmax(scale q kᵀ) v`, without the scores of all queries at once.
///
/// Each head of keys and values serves `h / g` heads of queries. `causal` hides from each query the keys after it, and there
/// are then as many keys as queries. Products are fp32. Differentiable once.
///
/// # Shapes
/// `q_bhte` `[b, h, t, e]`, `k_bgse` and `v_bgse` `[b, g, s, e]`, all fp32 or all bf16, in any order of axes but the last;
/// returns `[b, t, h e]`.
///
/// Source: Vaswani et al. 2017, equation 1; backward by recomputation, Dao et al. 2022, appendix B.2.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn attention(q_bhte: &Tensor, k_bgse: &Tensor, v_bgse: &Tensor, causal: bool, scale: f64) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: the handles outlive the call; on success the result is a new tensor that nothing else owns.
    unsafe {
        check(ssl_attention(handle(q_bhte), handle(k_bgse), handle(v_bgse), i32::from(causal), scale, &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// [`attention`] of rows that hold the queries of all heads, then the keys, then the values, as one linear map makes them;
/// their gradient is one tensor too.
///
/// # Shapes
/// `qkv_btp` `[b, t, (heads + 2 kv_heads) e]`, fp32 or bf16; returns `[b, t, heads e]`.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn attention_packed(qkv_btp: &Tensor, heads: i64, kv_heads: i64, causal: bool, scale: f64) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: as above.
    unsafe {
        check(ssl_attention_packed(handle(qkv_btp), heads, kv_heads, i32::from(causal), scale, &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}
