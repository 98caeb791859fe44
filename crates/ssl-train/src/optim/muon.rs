//! Muon: moves of matrices made orthogonal, so that every direction of a hidden layer moves as far as any other.
//!
//! ```text
//! m = b m + (1 - b) g        u = b m + (1 - b) g, Nesterov's, or m
//! X = u / |u|                X = 3.4445 X - 4.7750 (X Xᵀ) X + 2.0315 (X Xᵀ)² X        five times
//! W = W (1 - lr decay) - lr sqrt(max(1, outputs / inputs)) X
//! ```
//!
//! The odd polynomial takes every singular value of X to about 1 (Newton-Schulz; it ends between 0.7 and 1.2). It acts on
//! maps between hidden features. Matrices that stack several of them, such as queries, keys and values in one, are moved map
//! by map, as the source advises: one move over all would tie their scales together. Tables, heads, gains and biases are
//! moved by `AdamW`.
//!
//! Source: Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein 2024, "Muon: an optimizer for hidden layers in neural
//! networks", with the scale of their program; the decay is that of Liu et al. 2025, arXiv 2502.16982, equation 4.
//!
//! Differs: the iteration runs in the type that the model computes in, theirs and PyTorch's always in bf16.

use std::collections::BTreeMap;

use ssl_model::params::{Param, Params};
use ssl_torch::guard;
use ssl_torch::optimizer::{self, Lists};
use tch::{Kind, Tensor};

use super::Optimizer;
use crate::config::{AdamConfig, MuonConfig};
use crate::error::Result;

/// Source: Jordan 2024; steep at 0 and near enough to 1 elsewhere.
const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
/// A move shorter than this counts as this long.
const EPS: f64 = 1e-7;

/// What is kept of a weight's gradients.
enum Moments {
    /// The mean of a matrix.
    Matrix(Tensor),
    /// Adam's mean and mean square.
    Adam(Tensor, Tensor),
}

pub(super) struct Muon {
    config: MuonConfig,
    moments: Vec<Moments>,
    steps: i64,
}

impl Muon {
    pub(super) fn new(config: &MuonConfig, params: &Params) -> Self {
        let zeros = |param: &Param| Tensor::zeros(param.master.size(), (Kind::Float, params.device()));
        let moments = |param: &Param| match param.maps {
            Some(_) => Moments::Matrix(zeros(param)),
            None => Moments::Adam(zeros(param), zeros(param)),
        };
        Self { config: config.clone(), moments: params.list().iter().map(moments).collect(), steps: 0 }
    }

    /// Moves one matrix.
    fn move_matrix(&self, param: &Param, mean: &Tensor, grad: &Tensor, lr: f64, scale: f64) {
        let MuonConfig { momentum, nesterov, newton_schulz_steps, weight_decay, .. } = self.config;
        let grad = grad.to_kind(Kind::Float) * scale;
        let mut mean = mean.shallow_clone();
        let _ = mean.lerp_(&grad, 1.0 - momentum);
        let update = if nesterov { grad.lerp(&mean, momentum) } else { mean };
        let mut master = param.master.shallow_clone();
        let _ = master.g_mul_scalar_(1.0 - lr * weight_decay);
        let (count, axis) = param.maps.unwrap_or((1, 0));
        for (part, into) in update.chunk(count, axis).iter().zip(master.chunk(count, axis)) {
            // As [outputs, inputs], whichever way it is stored.
            let turned = |x: &Tensor| if axis == 0 { x.shallow_clone() } else { x.tr() };
            let (part, mut into) = (turned(part), turned(&into));
            let (outputs, inputs) = part.size2().unwrap_or((1, 1));
            let length = lr * (outputs as f64 / inputs as f64).max(1.0).sqrt();
            let moved = orthogonal(&part.to_kind(param.leaf.kind()), newton_schulz_steps);
            let _ = into.g_sub_(&(moved.to_kind(Kind::Float) * length));
        }
        if param.leaf.kind() != Kind::Float {
            param.leaf.shallow_clone().copy_(&master);
        }
    }
}

/// The nearest matrix whose singular values are all alike, about.
fn orthogonal(update: &Tensor, steps: u32) -> Tensor {
    let (a, b, c) = COEFFICIENTS;
    let (rows, columns) = update.size2().unwrap_or_default();
    // The square in the middle is the smaller one.
    let turned = |x: &Tensor| if rows > columns { x.tr() } else { x.shallow_clone() };
    let mut x = turned(update);
    x = &x / x.norm().clamp_min(EPS);
    for _ in 0..steps {
        let square = x.mm(&x.tr());
        let inner = &square * b + square.mm(&square) * c;
        x = &x * a + inner.mm(&x);
    }
    turned(&x)
}

impl Optimizer for Muon {
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        let AdamConfig { beta1, beta2, eps, weight_decay, .. } = self.config.adamw;
        let [mut masters, mut leaves, mut others, mut means, mut squares] = std::array::from_fn(|_| Vec::new());
        let mut decay = Vec::new();
        guard(|| {
            tch::no_grad(|| {
                for ((param, moments), grad) in params.list().iter().zip(&self.moments).zip(grads) {
                    match moments {
                        Moments::Matrix(mean) => self.move_matrix(param, mean, grad, lr, scale),
                        Moments::Adam(mean, square) => {
                            let lists = [&mut masters, &mut leaves, &mut others, &mut means, &mut squares];
                            let tensors = [&param.master, &param.leaf, grad, mean, square];
                            lists.into_iter().zip(tensors).for_each(|(list, tensor)| list.push(tensor.shallow_clone()));
                            decay.push(if param.decays() { weight_decay } else { 0.0 });
                        }
                    }
                }
            });
        })?;
        // One schedule serves both learning rates.
        let lr = self.config.adamw.lr * (lr / self.config.lr);
        let a = optimizer::Adam { lr, beta1, beta2, eps, step: self.steps + 1, scale };
        let lists = Lists { params: &masters, leaves: &leaves, grads: &others };
        optimizer::adam(&lists, &means, &squares, &decay, &vec![0.0; decay.len()], &a)?;
        self.steps += 1;
        Ok(())
    }

    fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        let mut state = vec![("steps".into(), Tensor::from(self.steps))];
        for (param, moments) in params.list().iter().zip(&self.moments) {
            state.extend(named(param, moments).map(|(name, tensor)| (name, tensor.shallow_clone())));
        }
        state
    }

    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
        for (param, moments) in params.list().iter().zip(&self.moments) {
            for (name, tensor) in named(param, moments) {
                let found = state.get(&name).filter(|found| found.size() == tensor.size()).ok_or(name)?;
                tensor.shallow_clone().copy_(found);
            }
        }
        self.steps = state.get("steps").filter(|steps| steps.numel() == 1).ok_or("steps")?.int64_value(&[]);
        Ok(())
    }
}

/// What is kept of a weight, by name.
fn named<'a>(param: &Param, moments: &'a Moments) -> impl Iterator<Item = (String, &'a Tensor)> {
    let kept = match moments {
        Moments::Matrix(mean) => vec![("momentum", mean)],
        Moments::Adam(mean, square) => vec![("mean", mean), ("square", square)],
    };
    let name = param.name.clone();
    kept.into_iter().map(move |(kind, tensor)| (format!("{kind}/{name}"), tensor))
}
