//! Optimizers: from gradients to new weights, with a state that can be saved.

mod adam;
mod layerwise;
mod muon;
mod sgd;

use std::collections::BTreeMap;

use ssl_model::params::Params;
use tch::{Kind, Tensor};

use crate::config::OptimConfig;
use crate::error::Result;

/// A rule that moves weights.
pub trait Optimizer: Send {
    /// One step at learning rate `lr`, with gradients multiplied by `scale` first.
    ///
    /// # Errors
    /// When a gradient does not fit its weight.
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()>;

    /// Everything the next step depends on besides weights and gradients, by name.
    fn state(&self, params: &Params) -> Vec<(String, Tensor)>;

    /// Takes a state back.
    ///
    /// # Errors
    /// The name of the first tensor that is missing or of another shape.
    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String>;
}

/// The optimizer of a configuration, at rest, over the weights that move.
#[must_use]
pub fn build(config: &OptimConfig, params: &Params) -> Box<dyn Optimizer> {
    let moved = params.moved();
    if moved.list().iter().all(|param| param.rate == 1.0) {
        plain(config, &moved)
    } else {
        Box::new(layerwise::Layerwise::new(config, &moved))
    }
}

/// The same for weights that all move alike.
fn plain(config: &OptimConfig, params: &Params) -> Box<dyn Optimizer> {
    match config {
        OptimConfig::Sgd(config) => Box::new(sgd::Sgd::new(config, params)),
        OptimConfig::Adam(config) => Box::new(adam::Adam::new(config, adam::Decay::Coupled, params)),
        OptimConfig::Adamw(config) => Box::new(adam::Adam::new(config, adam::Decay::Decoupled, params)),
        OptimConfig::Muon(config) => Box::new(muon::Muon::new(config, params)),
    }
}

/// A zero for every weight, in fp32.
fn zeros(params: &Params) -> Vec<Tensor> {
    params.list().iter().map(|param| Tensor::zeros(param.master.size(), (Kind::Float, params.device()))).collect()
}

/// The decay of every weight: `decay` for matrices and tables, none for gains and biases.
fn decays(params: &Params, decay: f64) -> Vec<f64> {
    params.list().iter().map(|param| if param.decays() { decay } else { 0.0 }).collect()
}

/// Shallow clones of masters and leaves, as the kernels take them.
fn weights(params: &Params) -> (Vec<Tensor>, Vec<Tensor>) {
    params.list().iter().map(|param| (param.master.shallow_clone(), param.leaf.shallow_clone())).unzip()
}

/// A state's tensors under `kind/name`.
fn named(kind: &str, params: &Params, tensors: &[Tensor]) -> Vec<(String, Tensor)> {
    params.list().iter().zip(tensors).map(|(param, tensor)| (format!("{kind}/{}", param.name), tensor.shallow_clone())).collect()
}

/// Copies tensors back from a state.
fn recall(kind: &str, params: &Params, tensors: &[Tensor], state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
    for (param, tensor) in params.list().iter().zip(tensors) {
        let name = format!("{kind}/{}", param.name);
        let found = state.get(&name).filter(|found| found.size() == tensor.size()).ok_or(name)?;
        tensor.shallow_clone().copy_(found);
    }
    Ok(())
}
