//! Tiny models of every kind, with random weights.

#![allow(dead_code, reason = "each test takes what it needs")]

use ssl_data::batch::{Attend, Rows};
use ssl_data::config::{TokenizerConfig, VocabConfig};
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, MASK, PAD, Vocab, sentinel};
use ssl_model::Model;
use ssl_model::config::{
    BertConfig, GptConfig, LlamaConfig, LstmConfig, ModelConfig, ModernbertConfig, T5Config, TransformerConfig,
};
use ssl_model::init::Scheme;
use ssl_model::params::{Params, Precision};
use tch::{Device, Kind, Tensor};

pub(crate) const CONTEXT: usize = 24;
pub(crate) const GO_ON: &dyn Fn(f64) -> bool = &|_| false;
pub(crate) const TEXT: &str =
    "the quick brown fox jumps over the lazy dog and the dog does not mind the fox at all, it sleeps in the sun";

pub(crate) fn vocab(specials: &[&str]) -> Vocab {
    let config = TokenizerConfig::ByteBpe(VocabConfig { vocab_tokens: 300, sample_bytes: 1 << 20, memory_mib: None });
    let specials: Vec<String> = specials.iter().map(ToString::to_string).collect();
    Vocab::train(std::iter::once(TEXT.to_owned()), &config, &specials).expect("a vocabulary")
}

pub(crate) fn full() -> Vocab {
    vocab(&[PAD, CLASS, END, MASK, &sentinel(0)])
}

pub(crate) fn gpt() -> ModelConfig {
    let shape = GptConfig { layers: 2, heads: 2, width: 32, context_tokens: CONTEXT as u32, ..GptConfig::default() };
    ModelConfig::Gpt(shape)
}

pub(crate) fn bert() -> ModelConfig {
    let shape = BertConfig { layers: 2, heads: 2, width: 32, context_tokens: CONTEXT as u32, ..BertConfig::default() };
    ModelConfig::Bert(shape)
}

pub(crate) fn t5() -> ModelConfig {
    let shape = T5Config { layers: 2, heads: 2, head_width: 8, width: 32, feed_forward_width: 48, ..T5Config::default() };
    ModelConfig::T5(T5Config { context_tokens: CONTEXT as u32, ..shape })
}

/// Every kind of model with the form it reads.
pub(crate) fn models() -> Vec<(ModelConfig, Form)> {
    let context_tokens = CONTEXT as u32;
    let llama = LlamaConfig {
        layers: 2,
        heads: 2,
        kv_heads: 1,
        width: 32,
        feed_forward_width: 48,
        context_tokens,
        rope_base: 1e4,
        norm_eps: 1e-5,
        tied: false,
        init: Scheme::default(),
    };
    let modernbert = ModernbertConfig { layers: 3, heads: 2, width: 32, feed_forward_width: 48, ..ModernbertConfig::default() };
    let modernbert = ModernbertConfig { context_tokens, local_window: 4, ..modernbert };
    let transformer =
        TransformerConfig { layers: 2, heads: 2, width: 32, feed_forward_width: 48, ..TransformerConfig::default() };
    vec![
        (gpt(), Form::Causal),
        (gpt(), Form::Prefix),
        (ModelConfig::Llama(llama), Form::Causal),
        (ModelConfig::Lstm(LstmConfig { layers: 2, width: 32, context_tokens, ..LstmConfig::default() }), Form::Causal),
        (bert(), Form::Both),
        (ModelConfig::Modernbert(modernbert), Form::Both),
        (t5(), Form::Pair),
        (ModelConfig::Transformer(TransformerConfig { context_tokens, ..transformer }), Form::Pair),
    ]
}

/// A model whose random weights are large enough for its answers to differ.
pub(crate) fn built(config: &ModelConfig, vocab: &Vocab) -> Box<dyn Model> {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(3));
    let model = config.build(vocab.size(), &mut params);
    for param in params.list().iter().filter(|param| param.decays()) {
        tch::no_grad(|| {
            let norm = param.leaf.std(false).double_value(&[]);
            let _ = param.leaf.shallow_clone().g_mul_scalar_(0.2 / norm);
        });
    }
    model
}

pub(crate) fn row(ids: &[u32]) -> Tensor {
    Tensor::from_slice(&ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>()).unsqueeze(0)
}

pub(crate) fn rows(inputs: &[u32], attend: Attend<Tensor>) -> Rows<Tensor> {
    let t = inputs.len() as i64;
    let zeros = Tensor::zeros([1, t], (Kind::Float, Device::Cpu));
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    Rows { attend, ..Rows::new(row(inputs), row(inputs), zeros.shallow_clone(), zeros.sum(Kind::Float).view([1]), positions) }
}
