//! Rotary position embedding: each pair of features of a query or key is turned by an angle that grows with its position.
//!
//! `[x1, x2] -> [x1 cos - x2 sin, x2 cos + x1 sin]` with the angle `position * base^(-2i/e)`, where `x1` and `x2` are
//! the halves of a head (Hugging Face's layout; the paper pairs neighbours, which is the same up to a permutation).
//!
//! Source: Su et al. 2021, arXiv 2104.09864, equation 34.

use ssl_torch::kernels;
use tch::{Device, Kind, Tensor};

use super::whole;

/// Angles for every position and pair of features.
#[derive(Debug)]
pub struct Rotary {
    cos_pe: Tensor,
    sin_pe: Tensor,
}

impl Rotary {
    /// For heads of `width` features, positions below `context`, and the given base; computed in fp32, kept in `kind`.
    #[must_use]
    pub fn new(width: i64, context: i64, base: f64, kind: Kind, device: Device) -> Self {
        let exponents = Tensor::arange_start_step(0, width, 2, (Kind::Float, device)) / (width as f64);
        let rates = Tensor::from(base as f32).to_device(device).pow(&exponents).reciprocal();
        let angles = Tensor::arange(context, (Kind::Float, device)).unsqueeze(1) * rates.unsqueeze(0);
        let angles = Tensor::cat(&[&angles, &angles], 1);
        Self { cos_pe: angles.cos().to_kind(kind), sin_pe: angles.sin().to_kind(kind) }
    }

    /// The factors of `positions_bt`, shaped `[b, 1, t, e]` to meet heads.
    pub fn at(&self, positions_bt: &Tensor) -> (Tensor, Tensor) {
        let pick = |table: &Tensor| Tensor::embedding(table, positions_bt, -1, false, false).unsqueeze(1);
        (pick(&self.cos_pe), pick(&self.sin_pe))
    }

    /// Turns `x_bhte` by factors from [`Rotary::at`].
    pub fn turn(x_bhte: &Tensor, (cos, sin): &(Tensor, Tensor)) -> Tensor {
        if x_bhte.device() == Device::Cpu && matches!(x_bhte.kind(), Kind::Float | Kind::BFloat16) && cos.kind() == x_bhte.kind()
        {
            return whole(kernels::rotate(x_bhte, cos, sin));
        }
        let halves = x_bhte.chunk(2, -1);
        let turned = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
        x_bhte * cos + turned * sin
    }
}
