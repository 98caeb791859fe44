//! Every model learns: each weight gets a gradient, one batch can be learned by heart, bf16 stays near fp32.

use ssl_data::batch::{Batch, Rows};
use ssl_model::config::{GptConfig, LlamaConfig, ModelConfig};
use ssl_model::init::Scheme;
use ssl_model::params::{Params, Precision};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

fn models() -> [ModelConfig; 3] {
    let gpt = GptConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, dropout: 0.0, ..GptConfig::default() };
    let llama = LlamaConfig {
        layers: 2,
        heads: 4,
        kv_heads: 2,
        width: 32,
        feed_forward_width: 64,
        context_tokens: 16,
        rope_base: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        init: Scheme::Gpt2,
    };
    [ModelConfig::Gpt(gpt.clone()), ModelConfig::Gpt(GptConfig { bias: false, ..gpt }), ModelConfig::Llama(llama)]
}

fn batch() -> Batch<Tensor> {
    // Every next token is (5 x + 3) mod 50 of the one before, from four beginnings.
    let ids: Vec<i64> = (0..4)
        .flat_map(|row| std::iter::successors(Some(row * 11 + 1), move |x| Some((5 * x + 3 + row) % 50)).take(17))
        .collect();
    let ids = Tensor::from_slice(&ids).view([4, 17]);
    let positions = Tensor::arange(16, (Kind::Int64, Device::Cpu)).expand([4, 16], false).contiguous();
    let (inputs, targets) = (ids.narrow(1, 0, 16).contiguous(), ids.narrow(1, 1, 16).contiguous());
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    Batch::Rows(Rows::new(inputs, targets, ones(&[4, 16]), ones(&[4]) * 16.0, positions))
}

fn built(config: &ModelConfig, precision: Precision) -> (Box<dyn Model>, Params) {
    let mut params = Params::new(Device::Cpu, precision, Some(1));
    (config.build(50, &mut params), params)
}

#[test]
fn every_weight_gets_a_finite_gradient_that_is_not_zero() {
    for config in models() {
        let (model, params) = built(&config, Precision::Fp32);
        model.loss(&batch(), Pass::Train).total.backward();
        for param in params.list() {
            let norm = param.leaf.grad().norm().double_value(&[]);
            assert!(norm.is_finite() && norm > 0.0, "{}: {norm}", param.name);
        }
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    for config in models() {
        let (model, params) = built(&config, Precision::Fp32);
        let batch = batch();
        let mut last = f64::INFINITY;
        for _ in 0..150 {
            let loss = model.loss(&batch, Pass::Train);
            last = loss.total.double_value(&[]) / 64.0;
            loss.total.backward();
            for param in params.list() {
                let (mut leaf, mut grad) = (param.leaf.shallow_clone(), param.leaf.grad());
                // The sign of the gradient is enough to learn 64 tokens by heart.
                tch::no_grad(|| {
                    let _ = leaf.g_sub_(&(grad.sign() * 3e-3));
                    let _ = grad.zero_();
                });
            }
        }
        assert!(last < 0.3, "{} ends at {last} nats", config.name());
    }
}

#[test]
fn a_fresh_model_knows_nothing() {
    for config in models() {
        let (model, _) = built(&config, Precision::Fp32);
        let loss = model.loss(&batch(), Pass::Eval).total.double_value(&[]) / 64.0;
        // Logits begin with a standard deviation of 0.02 sqrt(32) = 0.11; twice that bounds their mean over these targets.
        assert!((loss - 50.0_f64.ln()).abs() < 0.23, "{}: {loss}", config.name());
    }
}

#[test]
fn bf16_stays_near_fp32_in_loss_and_gradients() {
    for config in models() {
        let runs = [Precision::Fp32, Precision::Bf16].map(|precision| {
            let (model, params) = built(&config, precision);
            let loss = model.loss(&batch(), Pass::Train);
            loss.total.backward();
            (loss.total.double_value(&[]), params)
        });
        let [(wide, wide_params), (narrow, narrow_params)] = &runs;
        assert!((narrow / wide - 1.0).abs() < 5e-3, "{}: {narrow} for {wide}", config.name());
        for (a, b) in wide_params.list().iter().zip(narrow_params.list()) {
            assert_eq!(a.master, b.master, "masters begin equal");
            assert_eq!(b.leaf.kind(), Kind::BFloat16);
            let (a, b) = (a.leaf.grad().to_kind(Kind::Double), b.leaf.grad().to_kind(Kind::Double));
            let off = ((&a - b).norm() / a.norm()).double_value(&[]);
            assert!(off < 0.1, "{}: {off}", config.name());
        }
    }
}
