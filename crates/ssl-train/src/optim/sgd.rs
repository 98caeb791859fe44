//! Stochastic gradient descent with momentum.
//!
//! `m = momentum m + g`, `w = w - lr m`, or `w - lr (g + momentum m)` in Nesterov's form; `g + decay w` for `g`.
//!
//! Source: Sutskever, Martens, Dahl and Hinton 2013, section 2, with the learning rate outside the velocity as in PyTorch.

use std::collections::BTreeMap;

use ssl_model::params::Params;
use ssl_torch::optimizer::{self, Lists};
use tch::Tensor;

use super::{Optimizer, decays, named, recall, weights, zeros};
use crate::config::SgdConfig;
use crate::error::Result;

pub(super) struct Sgd {
    config: SgdConfig,
    velocities: Vec<Tensor>,
    decay: Vec<f64>,
}

impl Sgd {
    pub(super) fn new(config: &SgdConfig, params: &Params) -> Self {
        Self { velocities: zeros(params), decay: decays(params, config.weight_decay), config: config.clone() }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        let (masters, leaves) = weights(params);
        let SgdConfig { momentum, nesterov, .. } = self.config;
        let lists = Lists { params: &masters, leaves: &leaves, grads };
        optimizer::sgd(&lists, &self.velocities, &self.decay, &optimizer::Sgd { lr, momentum, nesterov, scale })?;
        Ok(())
    }

    fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        named("velocity", params, &self.velocities)
    }

    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
        recall("velocity", params, &self.velocities, state)
    }
}
