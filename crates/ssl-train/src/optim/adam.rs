//! Adam and `AdamW`.
//!
//! ```text
//! m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g²
//! w = w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//! with `g + decay w` for `g` in Adam, and `w (1 - lr decay)` for `w` before the move in `AdamW`.
//!
//! Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.

use std::collections::BTreeMap;

use ssl_model::params::Params;
use ssl_torch::optimizer::{self, Lists};
use tch::Tensor;

use super::{Optimizer, decays, named, recall, weights, zeros};
use crate::config::AdamConfig;
use crate::error::Result;

/// Where decay acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decay {
    /// On the gradient.
    Coupled,
    /// On the weight.
    Decoupled,
}

pub(super) struct Adam {
    config: AdamConfig,
    means: Vec<Tensor>,
    squares: Vec<Tensor>,
    decoupled: Vec<f64>,
    coupled: Vec<f64>,
    steps: i64,
}

impl Adam {
    pub(super) fn new(config: &AdamConfig, decay: Decay, params: &Params) -> Self {
        let of = |kind| decays(params, if decay == kind { config.weight_decay } else { 0.0 });
        Self {
            config: config.clone(),
            means: zeros(params),
            squares: zeros(params),
            decoupled: of(Decay::Decoupled),
            coupled: of(Decay::Coupled),
            steps: 0,
        }
    }
}

impl Optimizer for Adam {
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        let (masters, leaves) = weights(params);
        let AdamConfig { beta1, beta2, eps, .. } = self.config;
        let a = optimizer::Adam { lr, beta1, beta2, eps, step: self.steps + 1, scale };
        let lists = Lists { params: &masters, leaves: &leaves, grads };
        optimizer::adam(&lists, &self.means, &self.squares, &self.decoupled, &self.coupled, &a)?;
        self.steps += 1;
        Ok(())
    }

    fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        let mut state = named("mean", params, &self.means);
        state.extend(named("square", params, &self.squares));
        state.push(("steps".into(), Tensor::from(self.steps)));
        state
    }

    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
        recall("mean", params, &self.means, state)?;
        recall("square", params, &self.squares, state)?;
        self.steps = state.get("steps").filter(|steps| steps.numel() == 1).ok_or("steps")?.int64_value(&[]);
        Ok(())
    }
}
