//! Normalisation over the last axis.

use ssl_torch::kernels::{Centre, Norm};
use tch::Tensor;

use super::whole;
use crate::init::Init;
use crate::params::Params;

/// `y = (x - mean) / sqrt(var + eps) * g + b`. Source: Ba, Kiros and Hinton 2016.
#[derive(Debug)]
pub struct LayerNorm {
    gain: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl LayerNorm {
    /// Over `width` features, with a bias where `bias` says so.
    pub fn new(params: &mut Params, name: &str, width: i64, bias: bool, eps: f64) -> Self {
        let gain = params.add(format!("{name}.weight"), &[width], Init::Ones);
        let bias = bias.then(|| params.add(format!("{name}.bias"), &[width], Init::Zeros));
        Self { gain, bias, eps }
    }

    fn norm(&self) -> Norm<'_> {
        Norm { centre: Centre::Mean, gain: &self.gain, bias: self.bias.as_ref(), eps: self.eps }
    }

    /// `[.., d]` to `[.., d]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        whole(self.norm().of(x))
    }

    /// The stream as it goes on, and its norm for a branch.
    pub fn beside(&self, h: &Tensor) -> (Tensor, Tensor) {
        whole(self.norm().beside(h))
    }

    /// The stream with a branch added, and its norm.
    pub fn after(&self, h: &Tensor, branch: &Tensor) -> (Tensor, Tensor) {
        whole(self.norm().after(h, branch))
    }
}

/// `y = x / sqrt(mean(x²) + eps) * g`. Source: Zhang and Sennrich 2019, equation 4.
#[derive(Debug)]
pub struct RmsNorm {
    gain: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Over `width` features.
    pub fn new(params: &mut Params, name: &str, width: i64, eps: f64) -> Self {
        Self { gain: params.add(format!("{name}.weight"), &[width], Init::Ones), eps }
    }

    fn norm(&self) -> Norm<'_> {
        Norm { centre: Centre::Origin, gain: &self.gain, bias: None, eps: self.eps }
    }

    /// `[.., d]` to `[.., d]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        whole(self.norm().of(x))
    }

    /// The stream as it goes on, and its norm for a branch.
    pub fn beside(&self, h: &Tensor) -> (Tensor, Tensor) {
        whole(self.norm().beside(h))
    }

    /// The stream with a branch added, and its norm.
    pub fn after(&self, h: &Tensor, branch: &Tensor) -> (Tensor, Tensor) {
        whole(self.norm().after(h, branch))
    }
}
