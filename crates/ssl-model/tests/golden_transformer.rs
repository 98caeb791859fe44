//! The Transformer of 2017 against transformers' Marian: states, logits, loss, smoothed loss and every gradient of padded
//! pairs; and one token at a time. The files come from `fixtures/golden/translation.py`; tolerances are theirs.

mod support;

use ssl_data::batch::{Batch, Rows, Source};
use ssl_model::config::ModelConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::{Pass, weights};
use support::{Golden, distance, folder};
use tch::{Device, Kind, Tensor};

fn source(golden: &Golden) -> Source<Tensor> {
    Source { ids: golden.tensor("source"), present: golden.tensor("present") }
}

fn batch(golden: &Golden) -> Batch<Tensor> {
    let inputs = golden.tensor("decoder_input_ids");
    let (b, t) = inputs.size2().expect("two axes");
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
    let weights = golden.tensor("weights");
    let counts = weights.sum_dim_intlist(1, false, Kind::Float);
    Batch::Pair(source(golden), Rows::new(inputs, golden.tensor("targets"), weights, counts, positions))
}

#[test]
fn states_and_logits_are_those_of_marian() {
    let golden = Golden::open("transformer");
    let most = golden.tolerance("logits_max_abs");
    let read = |batch: &Batch<Tensor>| tch::no_grad(|| (golden.model.hidden(batch, Pass::Eval), golden.model.logits(batch)));
    let (hidden, logits) = read(&batch(&golden));
    let present = golden.tensor("present").unsqueeze(2);
    let apart = distance(&(hidden * &present), &(golden.tensor("hidden") * &present));
    assert!(apart < most, "{apart}");
    assert!(distance(&logits, &golden.tensor("logits")) < most, "{}", distance(&logits, &golden.tensor("logits")));
    // The control: padding that is taken for text must show.
    let Batch::Pair(Source { ids, present }, rows) = batch(&golden) else { panic!("a pair") };
    let (_, logits) = read(&Batch::Pair(Source { ids, present: present.ones_like() }, rows));
    assert!(distance(&logits, &golden.tensor("logits")) > 1e-3);
}

/// The golden weights under another smoothing.
fn smoothed(golden: &Golden, share: f64) -> (Box<dyn ssl_model::Model>, Params) {
    let ModelConfig::Transformer(mut config) = golden.config.clone() else { panic!("a transformer was stored") };
    (config.label_smoothing, config.dropout) = (share, 0.0);
    let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
    let model = ModelConfig::Transformer(config).build(golden.vocab, &mut params);
    weights::load(&folder("transformer").join(weights::WEIGHTS), &params).expect("weights");
    (model, params)
}

#[test]
fn loss_and_every_gradient_are_those_of_marian_with_and_without_smoothing() {
    let golden = Golden::open("transformer");
    for (share, loss_name, gradients) in [(0.0, "loss_nats", "grad"), (0.1, "smoothed_nats", "smoothed")] {
        let (model, params) = smoothed(&golden, share);
        let loss = model.loss(&batch(&golden), Pass::Train);
        let (found, expect) = (loss.total.double_value(&[]), golden.tensor(loss_name).double_value(&[]));
        assert!((found / expect - 1.0).abs() < golden.tolerance("loss_relative"), "{loss_name}: {found} for {expect}");
        loss.total.backward();
        for param in params.list() {
            // Marian's look-up leaves the padding's row out; here a decoder learns the id that it begins with.
            let rows = |x: Tensor| if param.name == "model.shared.weight" { x.narrow(0, 1, x.size()[0] - 1) } else { x };
            let expect = rows(golden.tensor(&format!("{gradients}.{}", param.name)));
            let scale = expect.abs().max().double_value(&[]);
            let found = distance(&rows(param.leaf.grad()), &expect) / scale;
            // A shift of all keys changes no score, so that their bias has a true gradient of 0.
            let none = param.name.ends_with("k_proj.bias");
            assert!(none && scale < 1e-4 || found < golden.tolerance("grad_relative"), "{share} {}: {found}", param.name);
        }
        // What is measured is never smoothed.
        let plain = model.loss(&batch(&golden), Pass::Eval).total.double_value(&[]);
        let expect = golden.tensor("loss_nats").double_value(&[]);
        assert!((plain / expect - 1.0).abs() < golden.tolerance("loss_relative"), "{plain} for {expect}");
    }
    // The control: smoothing shows.
    let off = golden.tensor("smoothed_nats").double_value(&[]) / golden.tensor("loss_nats").double_value(&[]) - 1.0;
    assert!(off.abs() > 1e-3, "{off}");
}

#[test]
fn one_token_after_another_is_all_at_once() {
    let golden = Golden::open("transformer");
    let (logits, inputs) = (golden.tensor("logits"), golden.tensor("decoder_input_ids"));
    let decoder = golden.model.decoder().expect("a decoder");
    let order = Tensor::from_slice(&[2_i64, 0, 1]);
    let mut cache = tch::no_grad(|| decoder.cache(Some(&source(&golden))));
    let (mut ids, mut expect) = (inputs, logits);
    for at in 0..ids.size()[1] {
        if at == 10 {
            // Rows in another order, as a beam search would have them.
            cache.select(&order);
            (ids, expect) = (ids.index_select(0, &order), expect.index_select(0, &order));
        }
        let next = tch::no_grad(|| decoder.next(&ids.narrow(1, at, 1), &mut cache));
        let found = distance(&next, &expect.select(1, at));
        assert!(found < golden.tolerance("logits_max_abs"), "at {at}: {found}");
    }
}

#[test]
fn every_weight_gets_a_gradient_and_bf16_stays_near() {
    let golden = Golden::open("transformer");
    let runs = [Precision::Fp32, Precision::Bf16].map(|precision| {
        let mut params = Params::new(Device::Cpu, precision, Some(3));
        let ModelConfig::Transformer(mut config) = golden.config.clone() else { panic!("a transformer was stored") };
        config.label_smoothing = 0.1;
        let model = ModelConfig::Transformer(config).build(golden.vocab, &mut params);
        let loss = model.loss(&batch(&golden), Pass::Eval);
        loss.total.backward();
        (loss.total.double_value(&[]), params)
    });
    let [(wide, wide_params), (narrow, narrow_params)] = &runs;
    assert!((narrow / wide - 1.0).abs() < 5e-3, "{narrow} for {wide}");
    for (a, b) in wide_params.list().iter().zip(narrow_params.list()) {
        let (a, b, name) = (a.leaf.grad().to_kind(Kind::Double), b.leaf.grad().to_kind(Kind::Double), &a.name);
        let norm = a.norm().double_value(&[]);
        assert!(norm.is_finite() && (norm > 0.0 || name.ends_with("k_proj.bias")), "{name}: {norm}");
        let off = ((&a - b).norm() / norm).double_value(&[]);
        // Twice as deep as the decoders, which are held to 0.1.
        assert!(off < 0.15 || name.ends_with("k_proj.bias"), "{name}: {off}");
    }
}
