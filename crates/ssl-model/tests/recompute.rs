//! Recomputation: loss and gradients of every model that has blocks are the same bits with it. Alone in its file, because
//! libtorch has one generator for the whole process.

use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_model::config::{
    BertConfig, ElectraConfig, GptConfig, LlamaConfig, ModelConfig, ModernbertConfig, MultiTokenConfig, T5Config,
    TransformerConfig,
};
use ssl_model::params::{Params, Precision};
use ssl_model::{Model, Pass};
use ssl_torch::{memory, optimizer};
use tch::{Device, Kind, Tensor};

fn rows(attend: Attend<Tensor>) -> Rows<Tensor> {
    let ids = Tensor::arange(32, (Kind::Int64, Device::Cpu)).view([2, 16]);
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    Rows { attend, ..Rows::new(ids.copy(), &ids + 1, ones(&[2, 16]), ones(&[2]) * 16.0, ids.remainder(16)) }
}

fn llama() -> LlamaConfig {
    let shape = serde_json::json!({ "layers": 2, "heads": 4, "kv-heads": 2, "width": 32, "feed-forward-width": 64, "context-tokens": 16 });
    serde_json::from_value(shape).expect("a section")
}

/// A model of every kind, all with dropout where they have any, and a batch of every form it reads.
fn cases() -> Vec<(ModelConfig, Batch<Tensor>)> {
    let gpt = GptConfig { layers: 3, heads: 2, width: 32, context_tokens: 16, dropout: 0.3, ..GptConfig::default() };
    let bert = BertConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, dropout: 0.2, ..BertConfig::default() };
    let modern =
        ModernbertConfig { layers: 4, heads: 2, width: 32, context_tokens: 16, dropout: 0.1, ..ModernbertConfig::default() };
    let electra = ElectraConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..ElectraConfig::default() };
    let t5 = T5Config { layers: 2, heads: 2, head_width: 8, width: 32, feed_forward_width: 64, ..T5Config::default() };
    let transformer = TransformerConfig {
        layers: 2,
        heads: 2,
        width: 32,
        feed_forward_width: 64,
        context_tokens: 16,
        ..TransformerConfig::default()
    };
    let texts = || {
        let near = rows(Attend::Both).inputs.remainder(16);
        Batch::Texts(Source { present: near.ones_like(), ids: near })
    };
    let pair = || {
        let rows = rows(Attend::Causal);
        let present = rows.inputs.remainder(16).lt(12).to_kind(Kind::Int64);
        Batch::Pair(Source { ids: rows.inputs.copy(), present }, rows)
    };
    let documents =
        Rows { documents: Some(rows(Attend::Causal).inputs.remainder(16).ge(7).to_kind(Kind::Int64)), ..rows(Attend::Causal) };
    vec![
        (ModelConfig::Gpt(gpt.clone()), Batch::Rows(rows(Attend::Causal))),
        (ModelConfig::Gpt(gpt), Batch::Rows(documents)),
        (ModelConfig::Llama(llama()), Batch::Rows(rows(Attend::Causal))),
        (ModelConfig::MultiToken(MultiTokenConfig { llama: llama(), future_tokens: 3 }), Batch::Rows(rows(Attend::Causal))),
        (ModelConfig::Bert(bert.clone()), Batch::Rows(rows(Attend::Both))),
        (ModelConfig::Bert(bert), texts()),
        (ModelConfig::Modernbert(modern), Batch::Rows(rows(Attend::Both))),
        (ModelConfig::Electra(electra), Batch::Rows(rows(Attend::Both))),
        (ModelConfig::T5(t5), pair()),
        (ModelConfig::Transformer(transformer), pair()),
    ]
}

/// The loss, every gradient, and what the generator draws next.
fn run(model: &dyn Model, params: &Params, batch: &Batch<Tensor>, pass: Pass) -> (Tensor, Vec<(String, Tensor)>, Tensor) {
    let leaves: Vec<Tensor> = params.list().iter().map(|param| param.leaf.shallow_clone()).collect();
    optimizer::drop_grads(&leaves).expect("leaves");
    tch::manual_seed(5);
    let loss = model.loss(batch, pass).total;
    loss.backward();
    let grads = params.list().iter().map(|param| (param.name.clone(), param.leaf.grad().copy())).collect();
    (loss.detach(), grads, Tensor::rand([4], (Kind::Float, Device::Cpu)))
}

fn same_bits(precision: Precision) {
    for (config, batch) in cases() {
        assert!(config.recomputes());
        let mut params = Params::new(Device::Cpu, precision, Some(1));
        let model = config.build(50, &mut params);
        let kept = run(model.as_ref(), &params, &batch, Pass::Train);
        let again = run(model.as_ref(), &params, &batch, Pass::Recompute);
        assert_eq!(kept.0, again.0, "{}", config.name());
        for ((name, a), (_, b)) in kept.1.iter().zip(&again.1) {
            assert_eq!(a, b, "{} {name}", config.name());
        }
        assert_eq!(kept.2, again.2, "{} leaves the generator elsewhere", config.name());
    }
}

#[test]
fn every_model_has_the_same_loss_and_gradients_to_the_bit() {
    same_bits(Precision::Fp32);
    same_bits(Precision::Bf16);
    a_deep_model_holds_less_at_its_peak();
}

#[expect(clippy::print_stdout, reason = "what was measured is told beside what must hold")]
fn a_deep_model_holds_less_at_its_peak() {
    let config = GptConfig { layers: 16, heads: 2, width: 32, context_tokens: 16, dropout: 0.1, ..GptConfig::default() };
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(1));
    let model = ModelConfig::Gpt(config).build(50, &mut params);
    // 64 rows, so that activations outweigh the gradients, which both ways hold.
    let wide = |x: &Tensor| x.repeat(if x.dim() == 1 { vec![32] } else { vec![32, 1] });
    let Rows { inputs, targets, weights, counts, positions, .. } = rows(Attend::Causal);
    let batch = Batch::Rows(Rows::new(wide(&inputs), wide(&targets), wide(&weights), wide(&counts), wide(&positions)));
    let [kept, again] = [Pass::Train, Pass::Recompute].map(|pass| {
        let ((), peak) = memory::count(|| drop(run(model.as_ref(), &params, &batch, pass))).expect("a run");
        peak as f64 / f64::from(1 << 20)
    });
    println!("peak of 16 layers: {kept:.1} MiB, {again:.1} with recomputation");
    assert!(again < 0.4 * kept, "{again} of {kept} MiB");
}
