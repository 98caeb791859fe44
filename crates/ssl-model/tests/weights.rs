//! Weights stored in shards, as large models are published.

use std::fs;
use std::path::Path;

use ssl_model::config::{GptConfig, ModelConfig};
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{WEIGHTS, load, write};
use tch::{Device, Tensor};

fn model(seed: Option<u64>) -> Params {
    let config = GptConfig { layers: 1, heads: 2, width: 8, context_tokens: 4, ..GptConfig::default() };
    let mut params = Params::new(Device::Cpu, Precision::Fp32, seed);
    ModelConfig::Gpt(config).build(11, &mut params);
    params
}

fn named(params: &Params) -> Vec<(String, Tensor)> {
    params.list().iter().map(|param| (param.name.clone(), param.master.shallow_clone())).collect()
}

/// Two shards that overlap by `twice` tensors, and an index that names them.
fn shards(dir: &Path, params: &Params, twice: usize) {
    let list = named(params);
    let half = list.len() / 2;
    write(&dir.join("a.safetensors"), &list[..half + twice]).expect("room");
    write(&dir.join("b.safetensors"), &list[half..]).expect("room");
    index(dir, ["a.safetensors", "b.safetensors"]);
}

fn index(dir: &Path, files: [&str; 2]) {
    let index = serde_json::json!({ "weight_map": { "x": files[0], "y": files[1] } });
    fs::write(dir.join(format!("{WEIGHTS}.index.json")), index.to_string()).expect("room");
}

#[test]
fn shards_are_one_model() {
    let dir = tempfile::tempdir().expect("a folder");
    let (stored, read) = (model(Some(1)), model(None));
    shards(dir.path(), &stored, 0);
    load(&dir.path().join(WEIGHTS), &read).expect("weights");
    for ((name, a), (_, b)) in named(&stored).iter().zip(named(&read)) {
        assert!(a.equal(&b), "{name}");
    }
}

#[test]
fn a_shard_that_is_missing_or_says_a_name_again_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let told = || load(&dir.path().join(WEIGHTS), &model(None)).expect_err("a fault").to_string();
    shards(dir.path(), &model(Some(1)), 1);
    assert!(told().contains("in two shards"), "{}", told());
    fs::remove_file(dir.path().join("b.safetensors")).expect("a file");
    assert!(told().contains("b.safetensors"), "{}", told());
    index(dir.path(), ["a.safetensors", "../b.safetensors"]);
    assert!(told().contains("../b.safetensors is not a file of the same folder"), "{}", told());
}
