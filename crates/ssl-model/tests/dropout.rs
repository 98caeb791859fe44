//! Dropout: alone in its file, because libtorch has one generator for the whole process.

use ssl_data::batch::{Batch, Rows};
use ssl_model::Pass;
use ssl_model::config::{GptConfig, ModelConfig};
use ssl_model::params::{Params, Precision};
use tch::{Device, Kind, Tensor};

#[test]
fn dropout_acts_in_training_only_and_follows_the_seed() {
    let config = GptConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, dropout: 0.3, ..GptConfig::default() };
    let model = ModelConfig::Gpt(config).build(50, &mut Params::new(Device::Cpu, Precision::Fp32, Some(1)));
    let ids = Tensor::arange(32, (Kind::Int64, Device::Cpu)).view([2, 16]);
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let (targets, positions) = (&ids + 1, ids.remainder(16));
    let batch = Batch::Rows(Rows::new(ids, targets, ones(&[2, 16]), ones(&[2]) * 16.0, positions));
    let loss = |pass, seed| {
        tch::manual_seed(seed);
        model.loss(&batch, pass).total.double_value(&[])
    };
    assert_eq!(loss(Pass::Eval, 1), loss(Pass::Eval, 2));
    assert_eq!(loss(Pass::Train, 1), loss(Pass::Train, 1));
    assert_ne!(loss(Pass::Train, 1), loss(Pass::Train, 2));
}
