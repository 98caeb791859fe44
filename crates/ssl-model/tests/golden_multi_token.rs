//! Multi-token prediction against a reference put together from transformers' layers.

use std::path::PathBuf;

use ssl_data::batch::{Batch, Rows};
use ssl_model::Pass;
use ssl_model::config::ModelConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, File};
use tch::{Device, Kind, Tensor};

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn logits_loss_and_gradients_of_all_heads_are_those_of_the_reference() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/multi-token");
    let file = File::open(&dir.join("golden.safetensors")).expect("golden");
    let tensor = |name: &str| file.tensor(file.find(name).unwrap_or_else(|| panic!("no {name}"))).expect("a tensor");
    let notes: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("golden.json")).expect("notes")).expect("notes");
    let tolerance = |name: &str| notes["tolerance"][name].as_f64().expect("a tolerance");

    let (config, vocab) = weights::read_config(&dir.join(weights::CONFIG)).expect("a config");
    let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
    let model = config.build(vocab, &mut params);
    weights::load(&dir.join(weights::WEIGHTS), &params).expect("weights");
    let (ids, weights) = (tensor("ids"), tensor("weights"));
    let (b, t) = weights.size2().expect("two axes");
    let batch = || {
        let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
        let counts = weights.sum_dim_intlist(1, false, Kind::Float);
        let cut = |from| ids.narrow(1, from, t).contiguous();
        Batch::Rows(Rows::new(cut(0), cut(1), weights.shallow_clone(), counts, positions))
    };
    let logits = tch::no_grad(|| model.logits(&batch()));
    assert!(distance(&logits, &tensor("logits")) < tolerance("logits_max_abs"));
    let loss = model.loss(&batch(), Pass::Train);
    let (found, expect) = (loss.total.double_value(&[]), tensor("loss_nats").double_value(&[]));
    assert!((found / expect - 1.0).abs() < tolerance("loss_relative"), "{found} for {expect}");
    loss.total.backward();
    for param in params.list() {
        let expect = tensor(&format!("grad.{}", param.name));
        let found = distance(&param.leaf.grad(), &expect) / expect.abs().max().double_value(&[]);
        assert!(found < tolerance("grad_relative"), "{}: {found}", param.name);
    }

    // What is measured is the next token alone, as a plain Llama with the first heads' weights has it.
    let measured = model.loss(&batch(), Pass::Eval).total.double_value(&[]);
    let ModelConfig::MultiToken(whole) = config else { panic!("a multi-token model was stored") };
    let mut plain_params = Params::new(Device::Cpu, Precision::Fp32, None);
    let plain = ModelConfig::Llama(whole.llama).build(vocab, &mut plain_params);
    for (index, param) in plain_params.list().iter().enumerate() {
        plain_params.set(index, &tch::no_grad(|| params.list().iter().find(|p| p.name == param.name).expect("it").master.copy()));
    }
    assert_eq!(measured, plain.loss(&batch(), Pass::Train).total.double_value(&[]));
    assert!(found > 2.0 * measured, "the control: further heads add their own");
}
