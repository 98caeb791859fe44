//! Learning rates that differ from weight to weight, such as one that falls from layer to layer.
//!
//! Source: Howard and Ruder 2018, "Universal language model fine-tuning for text classification", section 3.2 (discriminative
//! fine-tuning).

use std::collections::BTreeMap;

use ssl_model::params::Params;
use tch::Tensor;

use super::{Optimizer, plain};
use crate::config::OptimConfig;
use crate::error::Result;

/// Any optimizer, one for all weights that move by one share of the learning rate.
pub(super) struct Layerwise {
    groups: Vec<Group>,
}

struct Group {
    rate: f64,
    members: Vec<bool>,
    inner: Box<dyn Optimizer>,
}

impl Layerwise {
    pub(super) fn new(config: &OptimConfig, params: &Params) -> Self {
        let mut rates: Vec<f64> = params.list().iter().map(|param| param.rate).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        rates.dedup();
        let group = |rate: f64| {
            let members: Vec<bool> = params.list().iter().map(|param| param.rate.total_cmp(&rate).is_eq()).collect();
            Group { rate, inner: plain(config, &params.pick(&members)), members }
        };
        Self { groups: rates.into_iter().map(group).collect() }
    }
}

impl Group {
    fn name(&self) -> String {
        format!("rate {}", self.rate)
    }
}

impl Optimizer for Layerwise {
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        for group in &mut self.groups {
            let own = grads.iter().zip(&group.members).filter(|(_, member)| **member).map(|(grad, _)| grad.shallow_clone());
            let own: Vec<Tensor> = own.collect();
            group.inner.step(&params.pick(&group.members), &own, lr * group.rate, scale)?;
        }
        Ok(())
    }

    fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        let of = |group: &Group| {
            let name = group.name();
            let state = group.inner.state(&params.pick(&group.members));
            state.into_iter().map(move |(key, tensor)| (format!("{name}/{key}"), tensor))
        };
        self.groups.iter().flat_map(of).collect()
    }

    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
        for group in &mut self.groups {
            let begin = format!("{}/", group.name());
            let own =
                state.iter().filter_map(|(key, tensor)| Some((key.strip_prefix(&begin)?.to_owned(), tensor.shallow_clone())));
            group.inner.restore(&params.pick(&group.members), &own.collect()).map_err(|key| format!("{begin}{key}"))?;
        }
        Ok(())
    }
}
