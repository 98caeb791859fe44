//! Encoders to and from Hugging Face's folders: older names load, what is not built is refused by its key, and damage by
//! the tensor's name.

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssl_data::batch::{Batch, Source};
use ssl_model::Pass;
use ssl_model::config::{
    BertConfig, ContrastiveConfig, ElectraConfig, GeneratorConfig, ModelConfig, ModernbertConfig, Parts, Pooling,
};
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, CONFIG, File, WEIGHTS};
use support::{Golden, distance};
use tch::{Device, Kind, Tensor};

type Named = Vec<(String, Tensor)>;

const MODELS: [&str; 5] = ["bert", "bert-next", "roberta", "modernbert", "electra"];

/// The weights of a golden folder under other names; a name that becomes empty is left out.
fn renamed(name: &str, to: &Path, rename: impl Fn(&str) -> String) -> Named {
    let from = support::folder(name);
    fs::copy(from.join(CONFIG), to.join(CONFIG)).expect("a config");
    let file = File::open(&from.join(WEIGHTS)).expect("weights");
    let tensors = file.entries().map(|entry| (rename(&entry.name), file.tensor(entry).expect("a tensor")));
    tensors.filter(|(name, _)| !name.is_empty()).collect()
}

/// Reads a folder whose weights are `tensors`: the model's hidden states of a text, or the fault.
fn read(dir: &Path, tensors: &[(String, Tensor)]) -> Result<Tensor, String> {
    weights::write(&dir.join(WEIGHTS), tensors).expect("room");
    let (config, vocab) = weights::read_config(&dir.join(CONFIG)).map_err(|fault| fault.to_string())?;
    let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
    let model = config.build(vocab, &mut params);
    weights::load(&dir.join(WEIGHTS), &params).map_err(|fault| fault.to_string())?;
    Ok(tch::no_grad(|| model.hidden(&text(), Pass::Eval)))
}

fn text() -> Batch<Tensor> {
    let ids = Tensor::arange(11, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    Batch::Texts(Source { present: ids.ones_like(), ids })
}

fn expected(name: &'static str) -> Tensor {
    tch::no_grad(|| Golden::open(name).model.hidden(&text(), Pass::Eval))
}

#[test]
fn names_of_older_files_load() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut list = renamed("bert", dir.path(), |name| {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    });
    let of = |list: &[(String, Tensor)], name: &str| list.iter().find(|pair| pair.0 == name).expect(name).1.shallow_clone();
    let (table, bias) = (of(&list, "embeddings.word_embeddings.weight"), of(&list, "cls.predictions.bias"));
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu)) + 0.5;
    for (name, tensor) in [
        ("cls.predictions.decoder.weight", table),
        ("cls.predictions.decoder.bias", bias),
        ("embeddings.position_ids", Tensor::arange(24, (Kind::Int64, Device::Cpu)).to_kind(Kind::Float)),
        ("pooler.dense.weight", zeros(&[32, 32])),
        ("pooler.dense.bias", zeros(&[32])),
        ("cls.seq_relationship.weight", zeros(&[2, 32])),
        ("cls.seq_relationship.bias", zeros(&[2])),
    ] {
        list.push((name.into(), tensor));
    }
    assert_eq!(read(dir.path(), &list).expect("a model"), expected("bert"));
    // The control: the same spare tensors of another family are unknown.
    let mut other = renamed("modernbert", dir.path(), str::to_owned);
    other.push(("cls.seq_relationship.weight".into(), zeros(&[2, 32])));
    let fault = read(dir.path(), &other).expect_err("a fault");
    assert!(fault.contains("cls.seq_relationship.weight is unknown to the model"), "{fault}");
}

#[test]
fn a_discriminator_alone_and_a_generator_alone_are_models_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let list =
        renamed("electra", dir.path(), |name| if name.starts_with("generator.") { String::new() } else { name.to_owned() });
    let path = dir.path().join(CONFIG);
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("a config")).expect("JSON");
    config.as_object_mut().expect("an object").remove("ssl");
    fs::write(&path, config.to_string()).expect("room");
    assert_eq!(read(dir.path(), &list).expect("a model"), expected("electra"));

    // Exported, the two are apart, each with the tables; and a discriminator is read again.
    let golden = Golden::open("electra");
    let out = tempfile::tempdir().expect("a folder");
    weights::export(out.path(), &golden.config, golden.vocab, None, &golden.params, &[]).expect("room");
    let names = |dir: &Path| -> Vec<String> {
        let file = File::open(&dir.join(WEIGHTS)).expect("weights");
        file.entries().map(|entry| entry.name.clone()).collect()
    };
    let (discriminator, generator) = (names(out.path()), names(&out.path().join("generator")));
    let tables = generator.iter().filter(|name| discriminator.contains(name) && name.contains(".embeddings.")).count();
    assert_eq!((tables, discriminator.len() + generator.len()), (5, golden.params.list().len() + 5));
    assert!(discriminator.iter().all(|name| !name.starts_with("generator.")), "{discriminator:?}");
    assert!(generator.iter().any(|name| name == "generator_lm_head.bias"), "{generator:?}");
    let written = fs::read(out.path().join("generator").join(CONFIG)).expect("a config");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!((&written["hidden_size"], &written["vocab_size"]), (&json!(8), &json!(97)));
    let list =
        renamed("electra", dir.path(), |name| if discriminator.contains(&name.to_owned()) { name.into() } else { String::new() });
    fs::copy(out.path().join(CONFIG), &path).expect("a config");
    assert_eq!(read(dir.path(), &list).expect("a model"), expected("electra"));
}

#[test]
fn a_layer_that_only_training_has_is_not_exported() {
    let dir = tempfile::tempdir().expect("a folder");
    let golden = Golden::open("bert");
    let ModelConfig::Bert(plain) = &golden.config else { panic!("another model") };
    let contrastive = ContrastiveConfig { pooling: Pooling::ClsMlp, ..plain.contrastive };
    let config = ModelConfig::Bert(BertConfig { contrastive, ..plain.clone() });
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(1));
    config.build(golden.vocab, &mut params);
    // Begun from the plain model, which has all but that layer.
    let taken = weights::adopt(&support::folder("bert").join(WEIGHTS), &params).expect("weights");
    assert_eq!((taken, params.list().len()), (golden.params.list().len(), taken + 2));
    weights::export(dir.path(), &config, golden.vocab, None, &params, &[]).expect("room");
    let (read, vocab) = weights::read_config(&dir.path().join(CONFIG)).expect("a config");
    let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
    let model = read.build(vocab, &mut params);
    weights::load(&dir.path().join(WEIGHTS), &params).expect("weights");
    assert_eq!(tch::no_grad(|| model.hidden(&text(), Pass::Eval)), expected("bert"));
}

#[test]
fn configurations_come_back_as_they_went() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(CONFIG);
    let contrastive = ContrastiveConfig { pooling: Pooling::ClsMlp, temperature: 0.1 };
    let configs = MODELS.map(|name| Golden::open(name).config);
    for config in &configs {
        weights::write_config(&path, config, 97, None).expect("room");
        assert_eq!(&weights::read_config(&path).expect("a config").0, config);
    }
    for config in configs {
        let config = match config {
            ModelConfig::Bert(c) => ModelConfig::Bert(BertConfig { contrastive, dropout: 0.3, ..c }),
            ModelConfig::Modernbert(c) => ModelConfig::Modernbert(ModernbertConfig { contrastive, global_every: 2, ..c }),
            ModelConfig::Electra(c) => ModelConfig::Electra(ElectraConfig {
                contrastive,
                parts: Parts::Discriminator,
                generator: GeneratorConfig::default(),
                ..c
            }),
            other => other,
        };
        weights::write_config(&path, &config, 97, None).expect("room");
        assert_eq!(weights::read_config(&path).expect("a config").0, config);
    }
}

#[test]
fn published_configurations_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(CONFIG);
    // As stored with answerdotai/ModernBERT-base, less what does not bear on the model.
    let older = json!({
        "architectures": ["ModernBertForMaskedLM"], "attention_bias": false, "attention_dropout": 0.0, "classifier_activation": "gelu",
        "classifier_bias": false, "decoder_bias": true, "global_attn_every_n_layers": 3, "global_rope_theta": 160_000.0,
        "hidden_activation": "gelu", "hidden_size": 768, "intermediate_size": 1152, "local_attention": 128,
        "local_rope_theta": 10_000.0, "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "modernbert",
        "norm_bias": false, "norm_eps": 1e-5, "num_attention_heads": 12, "num_hidden_layers": 22, "vocab_size": 50368,
    });
    fs::write(&path, older.to_string()).expect("room");
    let (config, vocab) = weights::read_config(&path).expect("a config");
    let expect = ModernbertConfig { context_tokens: 8192, ..Default::default() };
    assert_eq!((config, vocab), (ModelConfig::Modernbert(expect), 50368));
    // google-bert/bert-base-uncased.
    let bert = json!({
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30522,
    });
    fs::write(&path, bert.to_string()).expect("room");
    let expect = BertConfig { feed_forward_width: Some(3072), ..Default::default() };
    assert_eq!(weights::read_config(&path).expect("a config"), (ModelConfig::Bert(expect), 30522));
}

/// The fault of a golden folder whose configuration has one other value.
fn fault_of(name: &str, key: &str, value: Value) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let list = renamed(name, dir.path(), str::to_owned);
    let path = dir.path().join(CONFIG);
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("a config")).expect("JSON");
    config[key] = value;
    fs::write(&path, config.to_string()).expect("room");
    read(dir.path(), &list).expect_err("a fault")
}

#[test]
fn what_is_not_built_is_refused_by_its_key() {
    for (name, key, value) in [
        ("bert", "is_decoder", json!(true)),
        ("bert", "position_embedding_type", json!("relative_key")),
        ("bert", "hidden_act", json!("relu")),
        ("bert", "tie_word_embeddings", json!(false)),
        ("roberta", "pad_token_id", json!(0)),
        ("roberta", "max_position_embeddings", json!(2)),
        ("electra", "architectures", json!(["ElectraForMaskedLM"])),
        ("electra", "embedding_size", json!("12")),
        ("modernbert", "norm_bias", json!(true)),
        ("modernbert", "hidden_activation", json!("silu")),
        ("modernbert", "layer_types", json!(["sliding_attention", "full_attention", "full_attention", "full_attention"])),
        ("modernbert", "num_attention_heads", json!(0)),
    ] {
        let fault = fault_of(name, key, value);
        assert!(fault.contains(key), "{name}: {fault}");
    }
}

#[test]
fn a_shape_that_the_weights_cannot_fill_is_refused_before_memory_is_taken() {
    for name in MODELS {
        // Of a size that every number of heads divides.
        for (key, value) in [("hidden_size", 3 << 18), ("intermediate_size", 1 << 20), ("num_hidden_layers", 1 << 20)] {
            // Layers of a list that names each of them are counted by the list.
            if (name, key) != ("modernbert", "num_hidden_layers") {
                let fault = fault_of(name, key, json!(value));
                assert!(fault.contains("hidden_size: asks for a model of"), "{name}: {key}: {fault}");
            }
        }
        let fault = fault_of(name, "vocab_size", json!(4 << 20));
        assert!(fault.contains("vocab_size: asks for a model of"), "{name}: {fault}");
        let fault = fault_of(name, "hidden_size", json!(1_u64 << 40));
        assert!(fault.contains("hidden_size: a size between"), "{name}: {fault}");
    }
}

#[test]
fn damage_is_refused_by_the_name_of_the_tensor() {
    for (name, weight) in [
        ("bert", "bert.encoder.layer.1.output.dense.weight"),
        ("bert-next", "cls.seq_relationship.weight"),
        ("roberta", "lm_head.layer_norm.weight"),
        ("modernbert", "model.layers.3.attn_norm.weight"),
        ("electra", "generator.electra.embeddings_project.weight"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let list = renamed(name, dir.path(), str::to_owned);
        let told = |change: &dyn Fn(&str, &Tensor) -> Named| {
            let list: Named = list.iter().flat_map(|(name, tensor)| change(name, tensor)).collect();
            read(dir.path(), &list).expect_err("a fault")
        };
        let keep = |name: &str, tensor: &Tensor| (name.to_owned(), tensor.shallow_clone());
        let missing = told(&|name, tensor| if name == weight { vec![] } else { vec![keep(name, tensor)] });
        assert!(missing.contains(&format!("{weight} is missing")), "{missing}");
        let changed = |to: &dyn Fn(&Tensor) -> Tensor| {
            told(&|name, tensor| vec![if name == weight { keep(name, &to(tensor)) } else { keep(name, tensor) }])
        };
        let shaped = changed(&|tensor| tensor.unsqueeze(0));
        assert!(shaped.contains(&format!("{weight} is [1, ")), "{shaped}");
        let endless = changed(&|tensor| tensor / 0.0);
        assert!(endless.contains(&format!("{weight} holds a number that is not finite")), "{endless}");
        let beside = |name: &str, tensor: &Tensor| (name == weight).then(|| keep(&format!("{name}.more"), tensor));
        let more = told(&|name, tensor| [Some(keep(name, tensor)), beside(name, tensor)].into_iter().flatten().collect());
        assert!(more.contains(&format!("{weight}.more is unknown to the model")), "{more}");
        // The control: unchanged it loads.
        let whole = read(dir.path(), &list).expect("a model");
        let golden = MODELS.into_iter().find(|golden| *golden == name).expect("a model");
        assert_eq!(distance(&whole, &expected(golden)), 0.0);
    }
}
