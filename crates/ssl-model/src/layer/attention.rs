//! Scaled dot-product attention, and who may look at whom.
//!
//! `softmax(q kᵀ / sqrt(e) + mask) v`. Source: Vaswani et al. 2017, equation 1.

use ssl_data::batch::{Attend, Rows};
use ssl_torch::kernels;
use tch::{Device, Kind, Tensor};

use super::{watch, whole};

/// Which keys each query may see, made once a batch and shared by all layers.
#[derive(Debug)]
pub enum Mask {
    /// Those at or before it.
    Causal,
    /// All.
    All,
    /// Where this is true; it has or stretches to `[b, h, t, s]`.
    Some(Tensor),
}

impl Mask {
    /// The mask of a batch: causal or not, and inside documents where the batch names them.
    #[must_use]
    pub fn of(rows: &Rows<Tensor>) -> Self {
        match (&rows.documents, &rows.attend) {
            (None, Attend::Causal) => Self::Causal,
            (None, Attend::Both) => Self::All,
            (documents, attend) => {
                let (_, t) = rows.inputs.size2().unwrap_or_default();
                let every = Tensor::ones([1, t, t], (Kind::Bool, rows.inputs.device()));
                let seen = match attend {
                    Attend::Both => every,
                    Attend::Causal => every.tril(0),
                    Attend::Prefix(prefix) => {
                        let at = Tensor::arange(t, (Kind::Int64, rows.inputs.device()));
                        let inside = at.unsqueeze(0).lt_tensor(&prefix.unsqueeze(1));
                        every.tril(0).logical_or(&inside.unsqueeze(1))
                    }
                };
                let same = documents.as_ref().map(|documents| documents.unsqueeze(2).eq_tensor(&documents.unsqueeze(1)));
                Self::Some(same.map_or_else(|| seen.shallow_clone(), |same| same.logical_and(&seen)).unsqueeze(1))
            }
        }
    }
}

impl Mask {
    /// Whether the fused kernel can be used, and if so whether it is causal: on the CPU and on CUDA, without dropout, when who sees
    /// whom needs no table.
    fn fused(&self, t: i64, dropout: f64, device: Device) -> Option<bool> {
        match self {
            _ if !matches!(device, Device::Cpu | Device::Cuda(_)) || dropout > 0.0 => None,
            Self::Causal => Some(t > 1),
            Self::All => Some(false),
            Self::Some(_) => None,
        }
    }

    /// A second handle to the same mask.
    #[must_use]
    pub fn share(&self) -> Self {
        match self {
            Self::Causal => Self::Causal,
            Self::All => Self::All,
            Self::Some(seen) => Self::Some(seen.shallow_clone()),
        }
    }

    /// The same mask over `t` positions, and no farther than `reach` to either side.
    ///
    /// Source: Beltagy et al. 2020, section 3.1 (sliding window).
    #[must_use]
    pub fn within(&self, reach: i64, t: i64, device: Device) -> Self {
        let at = Tensor::arange(t, (Kind::Int64, device));
        let near = (at.unsqueeze(1) - at.unsqueeze(0)).abs().le(reach);
        match self {
            Self::All => Self::Some(near.unsqueeze(0).unsqueeze(0)),
            Self::Causal => Self::Some(near.tril(0).unsqueeze(0).unsqueeze(0)),
            Self::Some(seen) => Self::Some(seen.logical_and(&near)),
        }
    }
}

/// Attention over heads.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Heads of the queries.
    pub heads: i64,
    /// Heads of keys and values; each serves `heads / kv_heads` of the queries. Source: Ainslie et al. 2023.
    pub kv_heads: i64,
}

impl Attention {
    /// `[b, t, heads * e]` to `[b, heads, t, e]`, without a copy.
    pub fn split(x_btd: &Tensor, heads: i64) -> Tensor {
        let (b, t, _) = x_btd.size3().unwrap_or_default();
        x_btd.view([b, t, heads, -1]).transpose(1, 2)
    }

    /// `q_bhte`, `k_bgse`, `v_bgse` to `[b, t, heads * e]`; attention weights are dropped with probability `dropout`.
    pub fn forward(self, q_bhte: &Tensor, k_bgse: &Tensor, v_bgse: &Tensor, mask: &Mask, dropout: f64) -> Tensor {
        let out = self.attend(q_bhte, k_bgse, v_bgse, mask, dropout);
        watch::note(&out, || (self.weights(q_bhte, k_bgse, mask), self.repeat(v_bgse)));
        out
    }

    fn attend(self, q_bhte: &Tensor, k_bgse: &Tensor, v_bgse: &Tensor, mask: &Mask, dropout: f64) -> Tensor {
        let (_, _, t, e) = q_bhte.size4().unwrap_or_default();
        if let Some(causal) = mask.fused(t, dropout, q_bhte.device()) {
            return whole(kernels::attention(q_bhte, k_bgse, v_bgse, causal, scale(e)));
        }
        let (k, v) = (self.repeat(k_bgse), self.repeat(v_bgse));
        let (given, causal) = match mask {
            Mask::Causal => (None, t > 1),
            Mask::All => (None, false),
            Mask::Some(mask) => (Some(mask), false),
        };
        // Additive in the type of the queries: the fused kernel takes no boolean mask.
        let given = given.map(|mask| {
            let zero = Tensor::zeros_like(&mask.to_kind(q_bhte.kind()));
            zero.masked_fill(&mask.logical_not(), f64::NEG_INFINITY)
        });
        let out = Tensor::scaled_dot_product_attention(q_bhte, &k, &v, given, dropout, causal, None::<f64>, false);
        debug_assert_eq!(out.kind() == Kind::Float, q_bhte.kind() == Kind::Float);
        joined(&out)
    }

    /// The same of the rows that one linear map made: the queries of all heads, then the keys, then the values.
    pub fn packed(self, qkv_btp: &Tensor, mask: &Mask, dropout: f64) -> Tensor {
        let (_, t, p) = qkv_btp.size3().unwrap_or_default();
        let all = self.heads + 2 * self.kv_heads;
        // A watched pass goes by the queries and keys themselves.
        if let Some(causal) = mask.fused(t, dropout, qkv_btp.device()).filter(|_| !watch::is_on()) {
            return whole(kernels::attention_packed(qkv_btp, self.heads, self.kv_heads, causal, scale(p / all)));
        }
        let (q, k, v) = self.parts(qkv_btp);
        self.forward(&q, &k, &v, mask, dropout)
    }

    /// Such rows as queries `[b, h, t, e]`, keys and values `[b, g, t, e]`, without a copy.
    pub(crate) fn parts(self, qkv_btp: &Tensor) -> (Tensor, Tensor, Tensor) {
        let heads_bpte = Self::split(qkv_btp, self.heads + 2 * self.kv_heads);
        let part = |from, heads| heads_bpte.narrow(1, from, heads);
        (part(0, self.heads), part(self.heads, self.kv_heads), part(self.heads + self.kv_heads, self.kv_heads))
    }

    /// The same over scores that are not divided by √e and to which `scores` are added: they have or stretch to
    /// `[b, h, t, s]`, in the type of the queries. Source: Raffel et al. 2020, section 2.1.
    pub fn added(self, q_bhte: &Tensor, k_bhse: &Tensor, v_bhse: &Tensor, scores: &Tensor, dropout: f64) -> Tensor {
        let out = joined(&Tensor::scaled_dot_product_attention(q_bhte, k_bhse, v_bhse, Some(scores), dropout, false, 1.0, false));
        watch::note(&out, || ((products(q_bhte, k_bhse) + scores).softmax(-1, Kind::Float), v_bhse.shallow_clone()));
        out
    }

    /// Each head of keys or values as often as queries share it: `[b, heads, s, e]`.
    fn repeat(self, x_bgse: &Tensor) -> Tensor {
        match self.heads / self.kv_heads {
            1 => x_bgse.shallow_clone(),
            times => x_bgse.repeat_interleave_self_int(times, 1, None::<i64>),
        }
    }

    /// The weights themselves, `[b, h, t, s]` in fp32.
    fn weights(self, q_bhte: &Tensor, k_bgse: &Tensor, mask: &Mask) -> Tensor {
        let (_, _, t, e) = q_bhte.size4().unwrap_or_default();
        let scores = products(q_bhte, &self.repeat(k_bgse)) * scale(e);
        let s = scores.size().last().copied().unwrap_or_default();
        let hidden = match mask {
            Mask::All => return scores.softmax(-1, Kind::Float),
            Mask::Causal => Tensor::ones([t, s], (Kind::Bool, scores.device())).tril(s - t).logical_not(),
            Mask::Some(seen) => seen.logical_not(),
        };
        scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Float)
    }
}

/// Products of queries and keys in fp32, `[b, h, t, s]`.
fn products(q_bhte: &Tensor, k_bhse: &Tensor) -> Tensor {
    q_bhte.to_kind(Kind::Float).matmul(&k_bhse.to_kind(Kind::Float).transpose(-1, -2))
}

/// What products of queries and keys are multiplied by.
pub(super) fn scale(features: i64) -> f64 {
    1.0 / (features as f64).sqrt()
}

/// `[b, h, t, e]` to `[b, t, h * e]`.
fn joined(x_bhte: &Tensor) -> Tensor {
    let (b, h, t, e) = x_bhte.size4().unwrap_or_default();
    x_bhte.transpose(1, 2).reshape([b, t, h * e])
}
