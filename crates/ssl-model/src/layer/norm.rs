//! Normalisation over the last axis.

use tch::Tensor;

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

    /// `[.., d]` to `[.., d]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.gain.size(), Some(&self.gain), self.bias.as_ref(), self.eps, false)
    }
}

/// `y = x / sqrt(mean(x²) + eps) * g`, the division in fp32. Source: Zhang and Sennrich 2019, equation 4.
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

    /// `[.., d]` to `[.., d]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.rms_norm(self.gain.size(), Some(&self.gain), self.eps)
    }
}
