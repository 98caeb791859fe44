//! Steps of decoding against one full forward pass: whatever the pieces, alone or among other texts.

use ssl_data::batch::{Batch, Rows, Source};
use ssl_data::rng::Rng;
use ssl_model::config::{GptConfig, LlamaConfig, LstmConfig, ModelConfig, MultiTokenConfig, T5Config, TransformerConfig};
use ssl_model::init::Scheme;
use ssl_model::layer::source_of;
use ssl_model::params::{Params, Precision};
use ssl_model::{Cache, Decode, Model, Piece};
use tch::{Device, Kind, Tensor};

const VOCAB: u32 = 61;
const CONTEXT: u32 = 48;

fn llama() -> LlamaConfig {
    LlamaConfig {
        layers: 2,
        heads: 4,
        kv_heads: 2,
        width: 32,
        feed_forward_width: 48,
        context_tokens: CONTEXT,
        rope_base: 1e4,
        norm_eps: 1e-5,
        tied: false,
        init: Scheme::default(),
    }
}

/// Every kind of model that writes.
fn models() -> Vec<ModelConfig> {
    let gpt = GptConfig { layers: 2, heads: 2, width: 32, context_tokens: CONTEXT, ..GptConfig::default() };
    let t5 = T5Config { layers: 2, heads: 2, head_width: 8, width: 32, feed_forward_width: 48, ..T5Config::default() };
    let transformer =
        TransformerConfig { layers: 2, heads: 2, width: 32, feed_forward_width: 48, ..TransformerConfig::default() };
    vec![
        ModelConfig::Gpt(gpt),
        ModelConfig::Llama(llama()),
        ModelConfig::MultiToken(MultiTokenConfig { future_tokens: 3, llama: llama() }),
        ModelConfig::T5(T5Config { context_tokens: CONTEXT, buckets: 8, reach: 16, ..t5 }),
        ModelConfig::Transformer(TransformerConfig { context_tokens: CONTEXT, ..transformer }),
        ModelConfig::Lstm(LstmConfig { layers: 2, width: 32, context_tokens: CONTEXT, ..LstmConfig::default() }),
    ]
}

/// A model whose random weights are large enough for its answers to differ.
fn built(config: &ModelConfig) -> Box<dyn Model> {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(3));
    let model = config.build(VOCAB, &mut params);
    for param in params.list().iter().filter(|param| param.decays()) {
        tch::no_grad(|| {
            let norm = param.leaf.std(false).double_value(&[]);
            let _ = param.leaf.shallow_clone().g_mul_scalar_(0.2 / norm);
        });
    }
    model
}

fn ids(seed: u64, count: usize) -> Vec<u32> {
    (0..count).map(|at| 3 + (Rng::at(seed, 0, at as u64).unit() * f64::from(VOCAB - 3)) as u32).collect()
}

/// A text and the source that it is written from, where the model needs one.
struct Text {
    ids: Vec<u32>,
    source: Source<Tensor>,
}

fn texts() -> Vec<Text> {
    let text = |seed, count, source| Text { ids: ids(seed, count), source: source_of(&ids(seed + 9, source), Device::Cpu) };
    vec![text(1, 13, 5), text(2, 40, 11), text(3, 1, 3), text(4, 36, 2)]
}

/// The logits of all positions of a text, `[t, v]`.
fn whole(model: &dyn Model, text: &Text) -> Tensor {
    let row = source_of(&text.ids, Device::Cpu).ids;
    let t = text.ids.len() as i64;
    let zeros = Tensor::zeros([1, t], (Kind::Float, Device::Cpu));
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let rows = Rows::new(row.shallow_clone(), row, zeros.shallow_clone(), zeros.sum(Kind::Float).view([1]), positions);
    let source = Source { ids: text.source.ids.shallow_clone(), present: text.source.present.shallow_clone() };
    let reads_sources = model.decoder().is_some_and(|decoder| decoder.start().is_some());
    let batch = if reads_sources { Batch::Pair(source, rows) } else { Batch::Rows(rows) };
    tch::no_grad(|| model.logits(&batch)).squeeze_dim(0)
}

fn cache(decoder: &dyn Decode, text: &Text) -> Cache {
    tch::no_grad(|| decoder.cache(decoder.start().map(|_| &text.source)))
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn pieces_of_any_length_give_the_logits_of_the_whole() {
    for config in models() {
        let model = built(&config);
        let decoder = model.decoder().expect("it writes");
        for text in texts() {
            let expected = whole(model.as_ref(), &text);
            for length in [1, 3, 7, 100] {
                let mut cache = cache(decoder, &text);
                let mut found = Vec::new();
                for tokens in text.ids.chunks(length) {
                    let mut piece = [Piece { cache: &mut cache, tokens, wanted: tokens.len() }];
                    found.push(tch::no_grad(|| decoder.step(&mut piece, Device::Cpu)));
                }
                let far = apart(&Tensor::cat(&found, 0), &expected);
                assert!(far < 1e-5, "{} in pieces of {length}: {far}", config.name());
            }
        }
    }
}

#[test]
fn texts_in_one_step_do_not_meet() {
    for config in models() {
        let model = built(&config);
        let decoder = model.decoder().expect("it writes");
        let texts = texts();
        let expected: Vec<Tensor> = texts.iter().map(|text| whole(model.as_ref(), text)).collect();
        let mut caches: Vec<Cache> = texts.iter().map(|text| cache(decoder, text)).collect();
        let mut read = vec![0; texts.len()];
        // Each text at its own pace, so that pieces of one token stand beside longer ones, and texts leave.
        for round in 0.. {
            let mut wanted = Vec::new();
            let mut pieces = Vec::new();
            for (at, (text, cache)) in texts.iter().zip(&mut caches).enumerate() {
                let count = [1, 9, 1, 2 + round % 3][at].min(text.ids.len() - read[at]);
                if count > 0 {
                    let asked = [1, 0, 1, 2][at].min(count);
                    pieces.push(Piece { cache, tokens: &text.ids[read[at]..read[at] + count], wanted: asked });
                    read[at] += count;
                    wanted.push(expected[at].narrow(0, (read[at] - asked) as i64, asked as i64));
                }
            }
            if pieces.is_empty() {
                break;
            }
            let found = tch::no_grad(|| decoder.step(&mut pieces, Device::Cpu));
            if found.size()[0] == 0 {
                continue;
            }
            let far = apart(&found, &Tensor::cat(&wanted, 0));
            assert!(far < 1e-5, "{}, round {round}: {far}", config.name());
        }
    }
}

#[test]
fn a_cache_can_be_cut_back_and_gone_on_with_twice() {
    for config in models() {
        let model = built(&config);
        let decoder = model.decoder().expect("it writes");
        let text = &texts()[1];
        let step = |cache: &mut Cache, tokens: &[u32]| {
            let mut piece = [Piece { cache, tokens, wanted: tokens.len() }];
            tch::no_grad(|| decoder.step(&mut piece, Device::Cpu))
        };
        let expected = whole(model.as_ref(), text);
        let mut all = cache(decoder, text);
        let _ = step(&mut all, &text.ids[..20]);
        let n = if decoder.carries() { 20 } else { 11 };
        let mut other = if decoder.carries() { all.shared() } else { all.first(n as i64) };
        // What goes on in the one does not show in the other.
        let _ = step(&mut all, &ids(77, 12));
        let found = step(&mut other, &text.ids[n..]);
        let far = apart(&found, &expected.narrow(0, n as i64, (text.ids.len() - n) as i64));
        assert!(far < 1e-5, "{}: {far}", config.name());
    }
}

#[test]
fn a_step_that_fails_reads_on_in_no_text() {
    for config in models() {
        let model = built(&config);
        let decoder = model.decoder().expect("it writes");
        let texts = texts();
        let expected = whole(model.as_ref(), &texts[0]);
        let (mut good, mut bad) = (cache(decoder, &texts[0]), cache(decoder, &texts[1]));
        let step = |pieces: &mut [Piece<'_>]| ssl_torch::guard(|| tch::no_grad(|| decoder.step(pieces, Device::Cpu)));
        let _ = step(&mut [Piece { cache: &mut good, tokens: &texts[0].ids[..6], wanted: 1 }]).expect("a step");
        let one = |tokens, cache| Piece { cache, tokens, wanted: 1 };
        let fault = step(&mut [one(&texts[0].ids[6..9], &mut good), one(&[3, VOCAB + 5], &mut bad)]);
        assert!(fault.is_err(), "{}", config.name());
        let found = step(&mut [Piece { cache: &mut good, tokens: &texts[0].ids[6..], wanted: 7 }]).expect("a step");
        assert!(apart(&found, &expected.narrow(0, 6, 7)) < 1e-5, "{}", config.name());
    }
}
