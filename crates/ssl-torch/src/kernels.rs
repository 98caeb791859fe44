//! Fused operations with their gradients.

use std::ptr;

use tch::Tensor;

use crate::error::Result;
use crate::ffi::{
    check, handle, ssl_activation, ssl_attention, ssl_attention_packed, ssl_attention_texts, ssl_linear_cross_entropy,
    ssl_linear_few, ssl_normalise, ssl_rotate,
};

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

/// Scaled dot-product attention, `softmax(scale q kᵀ) v`, without the scores of all queries at once.
///
/// Each head of keys and values serves `h / g` heads of queries. `causal` hides from each query the keys after it, and there
/// are then as many keys as queries. Products add up in fp32; of bf16, where the processor multiplies bf16, their factors are bf16,
/// the weights' too. `scale` is above 0. Differentiable once.
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

/// A text that is read on in, for [`attention_texts`].
#[derive(Debug)]
pub struct Part<'a> {
    /// Tables of keys and of values, `[1, g, room, e]`: what is new is written into them.
    pub tables: &'a (Tensor, Tensor),
    /// Tokens in them.
    pub from: i64,
    /// Tokens that come next; there is room for them.
    pub count: i64,
}

/// [`attention`] of pieces of several texts that stand side by side: keys and values join those of their text, and each query sees
/// what stands before it in its own text. On the CPU; without a gradient.
///
/// # Shapes
/// `q_bhte` `[1, h, t, e]`, `k_bgte` and `v_bgte` `[1, g, t, e]`, `t` the tokens of all pieces; returns `[1, t, h e]`.
///
/// # Errors
/// When shapes, types or devices do not fit, or a table has no room.
pub fn attention_texts(q_bhte: &Tensor, k_bgte: &Tensor, v_bgte: &Tensor, parts: &[Part<'_>], scale: f64) -> Result<Tensor> {
    let keys: Vec<_> = parts.iter().map(|part| handle(&part.tables.0)).collect();
    let values: Vec<_> = parts.iter().map(|part| handle(&part.tables.1)).collect();
    let (from, count): (Vec<i64>, Vec<i64>) = parts.iter().map(|part| (part.from, part.count)).unzip();
    let mut out = ptr::null_mut();
    // SAFETY: the four lists are as long as said, and they and the handles outlive the call; room in the tables is checked before
    // it is written; on success the result is a new tensor that nothing else owns.
    unsafe {
        check(ssl_attention_texts(
            handle(q_bhte),
            handle(k_bgte),
            handle(v_bgte),
            keys.as_ptr(),
            values.as_ptr(),
            from.as_ptr(),
            count.as_ptr(),
            parts.len() as i64,
            scale,
            &raw mut out,
        ))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// `y = x Wᵀ + b` of few rows, for which a matrix product of libtorch is slow, by each of some weights and biases: the weights pass by
/// once, and sums are fp32. On the CPU; without a gradient.
///
/// # Shapes
/// `x` `[.., in]` in fp32 or bf16; a weight `[out, in]` in fp32 or bf16, or `[out, in + 4]` in int8, where the last four bytes of a row
/// are its fp32 scale; a bias `[out]`; returns of each `[.., out]` in the type of `x`.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn linear_few<const N: usize>(x: &Tensor, maps: [(&Tensor, Option<&Tensor>); N]) -> Result<[Tensor; N]> {
    let weights = maps.map(|(weight, _)| handle(weight));
    let biases = maps.map(|(_, bias)| bias.map_or(ptr::null_mut(), handle));
    let mut outs = [ptr::null_mut(); N];
    // SAFETY: the lists are N long, the handles outlive the call, and null stands for what is absent; on success the results are new
    // tensors that nothing else owns.
    unsafe {
        check(ssl_linear_few(handle(x), weights.as_ptr(), biases.as_ptr(), N as i64, outs.as_mut_ptr()))?;
        Ok(outs.map(|out| Tensor::from_ptr(out)))
    }
}

/// Rows of heads turned, each pair `(i, i + e / 2)` of features by the angle of its position: `[x1 cos - x2 sin, x2 cos + x1 sin]`.
/// Differentiable once with respect to `x`; on the CPU.
///
/// # Shapes
/// `x_bhte` `[b, h, t, e]` in fp32 or bf16, features side by side; `cos` and `sin` `[1 or b, 1, t, e]` in its type, their halves alike;
/// returns `[b, h, t, e]`.
///
/// Source: Su et al. 2021, equation 34, in halves instead of neighbours.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn rotate(x_bhte: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: the handles outlive the call; on success the result is a new tensor that nothing else owns.
    unsafe {
        check(ssl_rotate(handle(x_bhte), handle(cos), handle(sin), &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Whether operations of this thread note down what gradients need.
#[must_use]
pub fn wants_gradients() -> bool {
    // SAFETY: it sets a flag of this thread, and sets it back.
    unsafe {
        let before = torch_sys::at_grad_set_enabled(1);
        torch_sys::at_grad_set_enabled(before);
        before != 0
    }
}

/// What a normalisation divides by, and takes away before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// The mean goes, and the deviation is 1. Source: Ba, Kiros and Hinton 2016, equation 3.
    Mean,
    /// Only the root of the mean square is 1. Source: Zhang and Sennrich 2019, equation 4.
    Origin,
}

/// A norm over the last axis: `y = (x - mean) / sqrt(mean((x - mean)²) + eps) * gain + bias`, in fp32 for bf16.
#[derive(Debug)]
pub struct Norm<'a> {
    /// Whether the mean is taken away.
    pub centre: Centre,
    /// `[d]`.
    pub gain: &'a Tensor,
    /// `[d]`.
    pub bias: Option<&'a Tensor>,
    /// Added to the mean square.
    pub eps: f64,
}

impl Norm<'_> {
    /// The norm of `x`, `[.., d]` to `[.., d]`. Differentiable once, as all of these.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.call(x, None, false)?.1)
    }

    /// `x` itself and its norm: as [`Norm::of`], but the gradients of the two are added on the way.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn beside(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.call(x, None, true)
    }

    /// `x + branch`, and the norm of that, in one pass; both `[.., d]` and of one type: nothing is stretched.
    ///
    /// # Errors
    /// When shapes or types do not fit.
    pub fn after(&self, x: &Tensor, branch: &Tensor) -> Result<(Tensor, Tensor)> {
        self.call(x, Some(branch), true)
    }

    fn call(&self, x: &Tensor, branch: Option<&Tensor>, stream: bool) -> Result<(Tensor, Tensor)> {
        let (mut sum, mut y) = (ptr::null_mut(), ptr::null_mut());
        let optional = |tensor: Option<&Tensor>| tensor.map_or(ptr::null_mut(), handle);
        let wanted = if stream { &raw mut sum } else { ptr::null_mut() };
        let centred = i32::from(self.centre == Centre::Mean);
        // SAFETY: the handles outlive the call, and null stands for what is absent; on success the results asked for are new
        // tensors that nothing else owns.
        unsafe {
            check(ssl_normalise(
                handle(x),
                optional(branch),
                handle(self.gain),
                optional(self.bias),
                centred,
                self.eps,
                wanted,
                &raw mut y,
            ))?;
            let sum = if stream { Tensor::from_ptr(sum) } else { Tensor::new() };
            Ok((sum, Tensor::from_ptr(y)))
        }
    }
}

/// A non-linearity, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x Phi(x)`. Source: Hendrycks and Gimpel 2016, section 2.
    Gelu = 0,
    /// The same by a hyperbolic tangent (there, equation 2).
    GeluTanh = 1,
    /// `x / (1 + e^-x)`. Source: Elfwing, Uchibe and Doya 2017.
    Silu = 2,
}

impl Activation {
    /// `f(x)`. Differentiable once; only `x` is kept for it.
    ///
    /// # Errors
    /// When `x` has no axis.
    pub fn of(self, x: &Tensor) -> Result<Tensor> {
        self.call(x, None)
    }

    /// `f(gate) * up`, both `[.., n]` of one type. Differentiable once; only the two are kept for it. Source: Shazeer 2020, equation 5.
    ///
    /// # Errors
    /// When shapes or types do not fit.
    pub fn gate(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        self.call(gate, Some(up))
    }

    fn call(self, x: &Tensor, up: Option<&Tensor>) -> Result<Tensor> {
        let mut out = ptr::null_mut();
        // SAFETY: the handles outlive the call, and null stands for what is absent; on success the result is a new tensor that
        // nothing else owns.
        unsafe {
            check(ssl_activation(handle(x), up.map_or(ptr::null_mut(), handle), self as i32, &raw mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }
}
