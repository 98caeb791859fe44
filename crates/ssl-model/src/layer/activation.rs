//! What stands between the two maps of a feed-forward.

use serde::{Deserialize, Serialize};
use ssl_torch::kernels;
use tch::Tensor;

use super::whole;

/// The Gaussian error linear unit, `x Phi(x)`. Source: Hendrycks and Gimpel 2016, section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// By the error function.
    Gelu,
    /// By a hyperbolic tangent, as GPT-2 was trained.
    GeluTanh,
}

impl Activation {
    fn kernel(self) -> kernels::Activation {
        match self {
            Self::Gelu => kernels::Activation::Gelu,
            Self::GeluTanh => kernels::Activation::GeluTanh,
        }
    }

    /// Element by element.
    pub fn forward(self, x: &Tensor) -> Tensor {
        whole(self.kernel().of(x))
    }

    /// `f(gate) * up`, both `[.., n]`.
    pub fn gate(self, gate: &Tensor, up: &Tensor) -> Tensor {
        whole(self.kernel().gate(gate, up))
    }
}

/// `gate / (1 + e^-gate) * up`, both `[.., n]`. Source: Shazeer 2020, equation 6.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    whole(kernels::Activation::Silu.gate(gate, up))
}
