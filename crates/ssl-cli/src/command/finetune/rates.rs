//! Which weights of a model move, and by what share of the learning rate.

use ssl_data::batch::Batch;
use ssl_model::params::Params;
use ssl_model::{Model, Pass};
use tch::Tensor;

use crate::adapt::{AdaptConfig, BASE};

/// Sets the rates that `adapt` asks for; the weights from `head` on are the task's own.
pub(super) fn set(params: &mut Params, adapt: &AdaptConfig, head: usize) {
    let base: Vec<String> = params.list()[..head].iter().map(|param| param.name.clone()).collect();
    let layers = base.iter().filter_map(|name| layer(name)).max().map_or(0, |last| last + 1);
    let rate = |name: &str| {
        if !base.iter().any(|other| other == name) {
            return 1.0;
        }
        if adapt.lora.is_some() {
            return if is_adapter(name) { 1.0 } else { 0.0 };
        }
        if adapt.freeze.iter().any(|part| part == BASE || name.contains(part.as_str())) {
            return 0.0;
        }
        // What comes before all layers moves least.
        let above = layer(name).map_or_else(|| if is_after(name) { 0 } else { layers + 1 }, |at| layers - at);
        adapt.layer_decay.map_or(1.0, |decay| decay.powi(i32::try_from(above).unwrap_or(i32::MAX)))
    };
    params.set_rates(|param| rate(&param.name));
}

/// Keeps what a loss on `batch` does not reach, such as the head of pretraining: it has no gradient to move by.
pub(super) fn keep_unread(params: &mut Params, model: &dyn Model, batch: &Batch<Tensor>) -> ssl_torch::Result<()> {
    let leaves: Vec<Tensor> = params.moved().list().iter().map(|param| param.leaf.shallow_clone()).collect();
    ssl_torch::guard(|| model.loss(batch, Pass::Train).total.backward())?;
    let rates: Vec<f64> = params
        .list()
        .iter()
        .map(|param| if param.rate > 0.0 && param.leaf.grad().defined() { param.rate } else { 0.0 })
        .collect();
    ssl_torch::optimizer::drop_grads(&leaves)?;
    let names: std::collections::BTreeMap<String, f64> =
        params.list().iter().zip(rates).map(|(param, rate)| (param.name.clone(), rate)).collect();
    params.set_rates(|param| names.get(&param.name).copied().unwrap_or(0.0));
    Ok(())
}

/// Whether a weight is a low-rank adapter's.
pub(super) fn is_adapter(name: &str) -> bool {
    name.contains(".lora_A.") || name.contains(".lora_B.")
}

/// The number of the layer that a weight is in: the first number in its name, or after `_l` in an LSTM's.
fn layer(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok()).or_else(|| name.rsplit_once("_l")?.1.parse().ok())
}

/// Whether a weight outside the layers comes after them.
fn is_after(name: &str) -> bool {
    ["ln_f", "final_layer_norm", "final_norm", "model.norm", "lm_head", "cls."].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use ssl_model::config::{BertConfig, ModelConfig};
    use ssl_model::layer::LoraConfig;
    use ssl_model::params::Precision;

    use super::*;

    fn rates(adapt: &AdaptConfig) -> Vec<(String, f64)> {
        let bert = BertConfig { layers: 2, heads: 2, width: 8, context_tokens: 8, ..BertConfig::default() };
        let mut params = Params::new(tch::Device::Cpu, Precision::Fp32, Some(0));
        params.adapt(adapt.lora.clone());
        let _model = ModelConfig::Bert(bert).build(16, &mut params);
        params.adapt(None);
        let head = params.list().len();
        let _head = params.add("classifier.weight", &[2, 8], ssl_model::init::Init::Zeros);
        set(&mut params, adapt, head);
        params.list().iter().map(|param| (param.name.clone(), param.rate)).collect()
    }

    #[test]
    fn each_layer_moves_slower_than_the_one_above() {
        let found = rates(&AdaptConfig { layer_decay: Some(0.5), ..AdaptConfig::default() });
        let of = |name: &str| found.iter().find(|(other, _)| other.contains(name)).map(|(_, rate)| *rate);
        assert_eq!(of("classifier"), Some(1.0));
        assert_eq!(of("layer.1.attention.self.query.weight"), Some(0.5));
        assert_eq!(of("layer.0.attention.self.query.weight"), Some(0.25));
        assert_eq!(of("word_embeddings"), Some(0.125));
    }

    #[test]
    fn what_is_frozen_stays_and_adapters_alone_move() {
        let frozen = rates(&AdaptConfig { freeze: vec![BASE.into()], ..AdaptConfig::default() });
        assert!(frozen.iter().all(|(name, rate)| (*rate > 0.0) == (name == "classifier.weight")));
        let lora = rates(&AdaptConfig { lora: Some(LoraConfig::default()), ..AdaptConfig::default() });
        assert!(lora.iter().any(|(name, _)| is_adapter(name)));
        assert!(lora.iter().all(|(name, rate)| (*rate > 0.0) == (name == "classifier.weight" || is_adapter(name))));
    }
}
