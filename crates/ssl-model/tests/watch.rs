//! Weights of attention that are watched: they are those that made the layer's output.

use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_model::config::{BertConfig, GptConfig, LlamaConfig, LstmConfig, ModelConfig, ModernbertConfig, T5Config};
use ssl_model::init::Scheme;
use ssl_model::layer::watched;
use ssl_model::params::{Params, Precision};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

const T: i64 = 11;
const LAYERS: usize = 3;

fn models() -> Vec<(ModelConfig, Attend<Tensor>)> {
    let context_tokens = T as u32;
    let gpt = GptConfig { layers: 3, heads: 2, width: 32, context_tokens, ..GptConfig::default() };
    let llama = LlamaConfig {
        layers: 3,
        heads: 4,
        kv_heads: 2,
        width: 32,
        feed_forward_width: 48,
        context_tokens,
        rope_base: 1e4,
        norm_eps: 1e-5,
        tied: false,
        init: Scheme::default(),
    };
    let bert = BertConfig { layers: 3, heads: 2, width: 32, context_tokens, ..BertConfig::default() };
    let modernbert = ModernbertConfig { layers: 3, heads: 2, width: 32, feed_forward_width: 48, ..ModernbertConfig::default() };
    let modernbert = ModernbertConfig { context_tokens, local_window: 4, ..modernbert };
    let t5 = T5Config { layers: 3, heads: 2, head_width: 8, width: 32, feed_forward_width: 48, ..T5Config::default() };
    vec![
        (ModelConfig::Gpt(gpt.clone()), Attend::Causal),
        (ModelConfig::Gpt(gpt.clone()), Attend::Both),
        (ModelConfig::Gpt(gpt), Attend::Prefix(Tensor::from_slice(&[4_i64, 7]))),
        (ModelConfig::Llama(llama), Attend::Causal),
        (ModelConfig::Bert(bert), Attend::Both),
        (ModelConfig::Modernbert(modernbert), Attend::Both),
        (ModelConfig::T5(T5Config { context_tokens, ..t5 }), Attend::Both),
    ]
}

/// A model whose random weights are large enough for its heads to choose.
fn built(config: &ModelConfig) -> Box<dyn Model> {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(5));
    let model = config.build(50, &mut params);
    for param in params.list().iter().filter(|param| param.decays()) {
        tch::no_grad(|| {
            let norm = param.leaf.std(false).double_value(&[]);
            let _ = param.leaf.shallow_clone().g_mul_scalar_(0.3 / norm);
        });
    }
    model
}

fn batch(config: &ModelConfig, attend: Attend<Tensor>) -> Batch<Tensor> {
    let ids = (Tensor::arange(2 * T, (Kind::Int64, Device::Cpu)) * 7).remainder(50).view([2, T]);
    let zeros = Tensor::zeros([2, T], (Kind::Float, Device::Cpu));
    let positions = Tensor::arange(T, (Kind::Int64, Device::Cpu)).expand([2, T], false);
    let rows = Rows::new(ids.shallow_clone(), ids.shallow_clone(), zeros.shallow_clone(), zeros.select(1, 0), positions);
    if config.start_token().is_some() {
        return Batch::Pair(Source { present: ids.ones_like(), ids }, rows);
    }
    Batch::Rows(Rows { attend, ..rows })
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn weights_times_values_are_the_output_and_the_pass_is_what_it_was() {
    for (config, attend) in models() {
        let name = format!("{} {attend:?}", config.name());
        let model = built(&config);
        let batch = batch(&config, attend);
        let hidden = || tch::no_grad(|| model.hidden(&batch, Pass::Eval));
        let plain = hidden();
        let mut firsts = Vec::new();
        for layer in 0..LAYERS {
            let (made, watched) = watched(layer, hidden);
            assert!(apart(&made, &plain) < 1e-5, "{name}: the pass is altered");
            assert_eq!(watched.layers, LAYERS, "{name}");
            let seen = watched.seen.expect("a layer");
            let (b, h, t, e) = seen.weights.matmul(&seen.values).size4().expect("four axes");
            assert_eq!((b, t), (2, T), "{name}");
            let output = seen.weights.matmul(&seen.values).transpose(1, 2).reshape([b, t, h * e]);
            assert!(apart(&output, &seen.output) < 1e-5, "{name}, layer {layer}: {}", apart(&output, &seen.output));
            assert!((seen.weights.sum_dim_intlist(-1, false, Kind::Double) - 1.0).abs().max().double_value(&[]) < 1e-5);
            // Heads choose, or all of this would hold of a mean.
            assert!(seen.weights.max().double_value(&[]) > 0.3, "{name}: {}", seen.weights.max());
            firsts.push(seen.weights);
        }
        assert!(apart(&firsts[0], &firsts[2]) > 1e-3, "{name}: layers are told apart");
        let (_, beyond) = watched(LAYERS, hidden);
        assert_eq!((beyond.layers, beyond.seen.is_none()), (LAYERS, true), "{name}");
    }
}

#[test]
fn who_may_not_be_seen_has_no_weight() {
    for (config, attend) in models() {
        let model = built(&config);
        let name = format!("{} {attend:?}", config.name());
        let seen_by = |t: i64, s: i64, row: i64, local: bool| match &attend {
            Attend::Causal => s <= t,
            Attend::Both => !local || (t - s).abs() <= 2,
            Attend::Prefix(prefix) => s <= t || s < prefix.int64_value(&[row]),
        };
        let batch = batch(
            &config,
            match &attend {
                Attend::Causal => Attend::Causal,
                Attend::Both => Attend::Both,
                Attend::Prefix(prefix) => Attend::Prefix(prefix.shallow_clone()),
            },
        );
        for layer in 0..LAYERS {
            // Two of three layers of a ModernBERT see half a window to each side.
            let local = matches!(config, ModelConfig::Modernbert(_)) && layer > 0;
            let (_, watched) = watched(layer, || tch::no_grad(|| model.hidden(&batch, Pass::Eval)));
            let weights = watched.seen.expect("a layer").weights;
            for (row, t, s) in (0..2).flat_map(|row| (0..T).flat_map(move |t| (0..T).map(move |s| (row, t, s)))) {
                let weight = weights.double_value(&[row, 0, t, s]);
                assert_eq!(weight > 0.0, seen_by(t, s, row, local), "{name}, layer {layer}: {t} sees {s}, {weight}");
            }
        }
    }
}

#[test]
fn a_recurrent_model_has_none_and_a_panic_ends_the_watch() {
    let lstm = LstmConfig { layers: 2, width: 32, context_tokens: T as u32, ..LstmConfig::default() };
    let lstm = ModelConfig::Lstm(lstm);
    let model = built(&lstm);
    let rows = batch(&lstm, Attend::Causal);
    let (_, found) = watched(0, || tch::no_grad(|| model.hidden(&rows, Pass::Eval)));
    assert!(found.layers == 0 && found.seen.is_none());

    let (config, attend) = models().swap_remove(0);
    let model = built(&config);
    let rows = batch(&config, attend);
    let hidden = || tch::no_grad(|| model.hidden(&rows, Pass::Eval));
    let plain = hidden();
    assert!(ssl_torch::guard(|| watched(0, || assert!(plain.dim() > 9, "in the middle"))).is_err());
    // To the bit: the kernel of packed rows, which a watched pass goes around.
    assert_eq!(hidden(), plain);
}
