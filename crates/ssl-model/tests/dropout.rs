//! Dropout: alone in its file, because libtorch has one generator for the whole process.

use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_model::config::{BertConfig, ElectraConfig, GptConfig, ModelConfig, ModernbertConfig, T5Config};
use ssl_model::params::{Params, Precision};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

fn built(config: &ModelConfig) -> Box<dyn Model> {
    config.build(50, &mut Params::new(Device::Cpu, Precision::Fp32, Some(1)))
}

fn check(config: &ModelConfig, batch: &Batch<Tensor>) {
    let model = built(config);
    let loss = |pass, seed| {
        tch::manual_seed(seed);
        model.loss(batch, pass).total.double_value(&[])
    };
    assert_eq!(loss(Pass::Eval, 1), loss(Pass::Eval, 2), "{}", config.name());
    assert_eq!(loss(Pass::Train, 1), loss(Pass::Train, 1), "{}", config.name());
    assert_ne!(loss(Pass::Train, 1), loss(Pass::Train, 2), "{}", config.name());
}

#[test]
fn dropout_acts_in_training_only_and_follows_the_seed() {
    let gpt = GptConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, dropout: 0.3, ..GptConfig::default() };
    let bert = BertConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..BertConfig::default() };
    let modern = ModernbertConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..ModernbertConfig::default() };
    let electra = ElectraConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..ElectraConfig::default() };
    let still = ModelConfig::Electra(ElectraConfig { dropout: 0.0, ..electra.clone() });
    let ids = Tensor::arange(32, (Kind::Int64, Device::Cpu)).view([2, 16]);
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let rows = || Rows::new(ids.copy(), &ids + 1, ones(&[2, 16]), ones(&[2]) * 16.0, ids.remainder(16));
    check(&ModelConfig::Gpt(gpt), &Batch::Rows(rows()));
    let encoders = [
        ModelConfig::Bert(bert),
        ModelConfig::Modernbert(ModernbertConfig { dropout: 0.1, ..modern }),
        ModelConfig::Electra(electra),
    ];
    for config in &encoders {
        check(config, &Batch::Rows(Rows { attend: Attend::Both, ..rows() }));
        // Two texts that share all tokens but one, which are hard to tell apart.
        let near = ids.remainder(16) + ids.eq(20).to_kind(Kind::Int64) * 20;
        check(config, &Batch::Texts(Source { present: near.ones_like(), ids: near }));
    }
    let t5 = T5Config { layers: 2, heads: 2, head_width: 8, width: 32, feed_forward_width: 64, ..T5Config::default() };
    let source = Source { ids: ids.copy(), present: ids.ones_like() };
    check(&ModelConfig::T5(t5), &Batch::Pair(source, rows()));
    // Without dropout a generator's words are still drawn.
    check(&still, &Batch::Rows(Rows { attend: Attend::Both, ..rows() }));
}
