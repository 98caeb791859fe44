//! T5 against transformers: states, logits, loss and every gradient of padded pairs, both versions; and one token at a time.
//!
//! The files come from `fixtures/golden/seq2seq.py`; tolerances are theirs.

mod support;

use std::fs;

use serde_json::{Value, json};
use ssl_data::batch::{Batch, Rows, Source};
use ssl_data::objective::Form;
use ssl_model::config::{ModelConfig, T5Config};
use ssl_model::params::{Params, Precision};
use ssl_model::t5::buckets;
use ssl_model::{Model, Pass, weights};
use support::{Golden, Values, distance};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 2] = ["t5", "t5-gated"];

fn source(golden: &Golden) -> Source<Tensor> {
    Source { ids: golden.tensor("source"), present: golden.tensor("present") }
}

fn rows(golden: &Golden) -> Rows<Tensor> {
    let inputs = golden.tensor("decoder_input_ids");
    let (b, t) = inputs.size2().expect("two axes");
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
    let weights = golden.tensor("weights");
    let counts = weights.sum_dim_intlist(1, false, Kind::Float);
    Rows::new(inputs, golden.tensor("targets"), weights, counts, positions)
}

fn batch(golden: &Golden) -> Batch<Tensor> {
    Batch::Pair(source(golden), rows(golden))
}

/// The same with padding taken for text.
fn unpadded(golden: &Golden) -> Batch<Tensor> {
    let Source { ids, present } = source(golden);
    Batch::Pair(Source { ids, present: present.ones_like() }, rows(golden))
}

/// The largest distance of encoder states where the source is no padding.
fn hidden_distance(golden: &Golden, found: &Tensor) -> f64 {
    let present = golden.tensor("present").unsqueeze(2);
    distance(&(found * &present), &(golden.tensor("hidden") * &present))
}

#[test]
fn buckets_are_those_of_transformers() {
    for name in MODELS {
        let golden = Values::open(name);
        for (size, count, reach) in [("tiny", 8, 20), ("published", 32, 128)] {
            for (kind, causal) in [("both", false), ("causal", true)] {
                let expect = golden.tensor(&format!("buckets.{size}.{kind}"));
                let far = (expect.size()[0] - 1) / 2;
                let index = Tensor::arange_start(-far, far + 1, (Kind::Int64, Device::Cpu)).clamp(-reach, reach) + reach;
                let found = |count, causal| buckets(count, reach as u32, causal).take(&index);
                assert!(found(count, causal).equal(&expect), "{size} {kind}");
                // The controls.
                assert!(!found(count, !causal).equal(&expect), "{size} {kind}");
                assert!(!found(count + 4, causal).equal(&expect), "{size} {kind}");
            }
        }
    }
}

#[test]
fn states_and_logits_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::open(name);
        let most = golden.tolerance("logits_max_abs");
        let read = |batch: &Batch<Tensor>| {
            tch::no_grad(|| (golden.model.hidden(batch, Pass::Eval), golden.model.logits(batch).to_kind(Kind::Float)))
        };
        let batch = batch(&golden);
        let (name, expect) = (golden.name, golden.tensor("logits"));
        let (hidden, logits) = read(&batch);
        println!("{name}: hidden {:e}, logits {:e}", hidden_distance(&golden, &hidden), distance(&logits, &expect));
        assert!(hidden_distance(&golden, &hidden) < most, "{name}: {}", hidden_distance(&golden, &hidden));
        assert!(distance(&logits, &expect) < most, "{name}: {}", distance(&logits, &expect));
        // The controls: padding that is taken for text, and any weight that is moved, must show.
        let (hidden, logits) = read(&unpadded(&golden));
        assert!(hidden_distance(&golden, &hidden) > 1e-3 && distance(&logits, &expect) > 1e-3, "{name}");
        for (index, param) in golden.params.list().iter().enumerate() {
            let before = param.master.detach().copy();
            golden.params.set(index, &(&before * 1.1 + 0.01));
            let moved = distance(&read(&batch).1, &expect);
            assert!(moved > 10.0 * most, "{name}: {} moves logits by {moved}", param.name);
            golden.params.set(index, &before);
        }
    }
}

#[test]
fn loss_and_every_gradient_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::open(name);
        let loss = golden.model.loss(&batch(&golden), Pass::Eval);
        let expect = golden.tensor("loss_nats").double_value(&[]);
        let off = |found: f64| (found / expect - 1.0).abs();
        let by_rows: f64 = loss.rows().iter().map(|(nats, _)| nats).sum();
        for found in [loss.total.double_value(&[]), by_rows] {
            assert!(off(found) < golden.tolerance("loss_relative"), "{name}: {found} for {expect}");
        }
        loss.total.backward();
        let mut worst = 0.0_f64;
        for param in golden.params.list() {
            let expect = golden.tensor(&format!("grad.{}", param.name));
            let scale = expect.abs().max().double_value(&[]);
            assert!(scale > 0.0, "{name}: {} has no gradient to compare", param.name);
            let found = distance(&param.leaf.grad(), &expect) / scale;
            assert!(found < golden.tolerance("grad_relative"), "{name}: {}: {found}", param.name);
            worst = worst.max(found);
        }
        println!("{name}: loss {:e}, gradients {worst:e}", off(loss.total.double_value(&[])));
        let stored = golden.file.entries().filter(|entry| entry.name.starts_with("grad.")).count();
        assert_eq!(golden.params.list().len(), stored, "{name}");
        // The control: padding that is taken for text must show.
        let other = golden.model.loss(&unpadded(&golden), Pass::Eval).total.double_value(&[]);
        assert!(off(other) > 10.0 * golden.tolerance("loss_relative"), "{name}: {other}");
    }
}

#[test]
fn one_token_after_another_is_all_at_once() {
    for name in MODELS {
        let golden = Golden::open(name);
        let most = golden.tolerance("logits_max_abs");
        let (logits, inputs) = (golden.tensor("logits"), golden.tensor("decoder_input_ids"));
        let decoder = golden.model.decoder().expect("a decoder");
        // Rows in another order from the middle on, as a beam search would have them.
        let order = Tensor::from_slice(&[2_i64, 0, 1]);
        let mut cache = tch::no_grad(|| decoder.cache(Some(&source(&golden))));
        let t = inputs.size()[1];
        let (mut ids, mut expect) = (inputs, logits);
        let (mut at, mut steps) = (0, vec![3, 2]);
        steps.resize(t as usize - 3, 1);
        for count in steps {
            if at == 10 {
                cache.select(&order);
                (ids, expect) = (ids.index_select(0, &order), expect.index_select(0, &order));
            }
            let next = tch::no_grad(|| decoder.next(&ids.narrow(1, at, count), &mut cache));
            at += count;
            let found = distance(&next, &expect.select(1, at - 1));
            assert!(found < most, "{name} at {at}: {found}");
        }
        assert_eq!((at, cache.tokens), (t, t));
        // The control: another source writes otherwise.
        let Source { ids: text, present } = source(&golden);
        let mut other = tch::no_grad(|| decoder.cache(Some(&Source { ids: (text + 1).remainder(97), present })));
        let next = tch::no_grad(|| decoder.next(&golden.tensor("decoder_input_ids").narrow(1, 0, 4), &mut other));
        assert!(distance(&next, &golden.tensor("logits").select(1, 3)) > 1e-3, "{name}");
    }
}

#[test]
fn without_a_source_the_guard_says_why() {
    let golden = Golden::open("t5");
    let told = ssl_torch::guard(|| golden.model.decoder().expect("a decoder").cache(None)).expect_err("a fault").to_string();
    assert!(told.contains("t5 writes from a source"), "{told}");
    assert!(golden.config.reads(Form::Pair) && !golden.config.reads(Form::Causal) && !golden.config.reads(Form::Texts));
}

/// A model of its own beginning, whose dropout is 0.
fn fresh(gated: bool, precision: Precision) -> (Box<dyn Model>, Params) {
    let config = T5Config {
        layers: 2,
        decoder_layers: Some(1),
        heads: 4,
        head_width: 8,
        width: 32,
        feed_forward_width: 48,
        gated,
        tied: !gated,
        buckets: 8,
        reach: 20,
        dropout: 0.0,
        ..T5Config::default()
    };
    let mut params = Params::new(Device::Cpu, precision, Some(3));
    (ModelConfig::T5(config).build(97, &mut params), params)
}

#[test]
fn bf16_stays_near_fp32_and_every_weight_learns() {
    let golden = Golden::open("t5");
    for gated in [false, true] {
        let runs = [Precision::Fp32, Precision::Bf16].map(|precision| {
            let (model, params) = fresh(gated, precision);
            let loss = model.loss(&batch(&golden), Pass::Train);
            loss.total.backward();
            (loss.total.double_value(&[]), params)
        });
        let [(wide, wide_params), (narrow, narrow_params)] = &runs;
        assert!((narrow / wide - 1.0).abs() < 5e-3, "{gated}: {narrow} for {wide}");
        for (a, b) in wide_params.list().iter().zip(narrow_params.list()) {
            let (x, y) = (a.leaf.grad().to_kind(Kind::Double), b.leaf.grad().to_kind(Kind::Double));
            let norm = x.norm().double_value(&[]);
            assert!(norm.is_finite() && norm > 0.0, "{}: {norm}", a.name);
            let off = (&x - y).norm().double_value(&[]) / norm;
            assert!(off < 0.15, "{gated}: {}: {off}", a.name);
        }
        // Logits begin with a variance of 1 or so, which costs 0.5; a tied head also gives the token just read √32 more, which
        // outweighs the other 97 together. A head as wide as the table would cost 10 and more.
        let nats = wide / golden.tensor("weights").sum(Kind::Double).double_value(&[]);
        assert!((0.0..1.5).contains(&(nats - 97.0_f64.ln())), "{gated}: {nats}");
    }
}

#[test]
fn weights_begin_as_in_the_authors_code() {
    let (_, params) = fresh(true, Precision::Fp32);
    for (part, expect) in [
        ("shared.weight", 1.0),
        ("lm_head.weight", 32_f64.powf(-0.5)),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", 256_f64.powf(-0.5)),
        ("decoder.block.0.layer.1.EncDecAttention.k.weight", 32_f64.powf(-0.5)),
        ("encoder.block.1.layer.1.DenseReluDense.wo.weight", 48_f64.powf(-0.5)),
    ] {
        let param = params.list().iter().find(|param| param.name == part).expect("a weight");
        let found = param.master.to_kind(Kind::Double).std(true).double_value(&[]) / expect;
        // Five standard errors of the smallest, 1024 numbers.
        assert!((found - 1.0).abs() < 0.11, "{part}: {found}");
    }
}

#[test]
fn a_source_of_padding_alone_is_no_fault() {
    let golden = Golden::open("t5-gated");
    let Source { ids, present } = source(&golden);
    let empty = Batch::Pair(Source { ids, present: present.zeros_like() }, rows(&golden));
    let loss = golden.model.loss(&empty, Pass::Eval);
    loss.total.backward();
    for param in golden.params.list() {
        assert!(param.leaf.grad().isfinite().all().int64_value(&[]) == 1, "{}", param.name);
    }
}

#[test]
fn published_names_load_and_the_written_config_is_read_again() {
    for name in MODELS {
        let golden = Golden::open(name);
        let dir = tempfile::tempdir().expect("a folder");
        let table = golden.params.list()[0].master.detach();
        let mut second = vec![
            ("encoder.embed_tokens.weight".to_owned(), table.copy()),
            ("decoder.embed_tokens.weight".to_owned(), table.copy()),
            ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight".to_owned(), Tensor::from_slice(&[0_f32])),
        ];
        if name == "t5" {
            second.push(("lm_head.weight".to_owned(), table.copy()));
        }
        let path = dir.path().join(weights::WEIGHTS);
        weights::save(&path, &golden.params, &second).expect("room");
        let config = dir.path().join(weights::CONFIG);
        weights::write_config(&config, &golden.config, golden.vocab, Some(1)).expect("room");
        assert_eq!(weights::read_config(&config).expect("a config"), (golden.config.clone(), 97));
        let text: Value = serde_json::from_slice(&fs::read(&config).expect("a file")).expect("JSON");
        assert_eq!((&text["decoder_start_token_id"], &text["eos_token_id"]), (&json!(0), &json!(1)));
        let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
        let model = golden.config.build(97, &mut params);
        weights::load(&path, &params).expect("weights");
        let logits = tch::no_grad(|| model.logits(&batch(&golden)));
        assert!(distance(&logits, &golden.tensor("logits")) < golden.tolerance("logits_max_abs"), "{name}");
        // The control: a name that is no T5's.
        second[0].0 = "encoder.embed_places.weight".into();
        weights::save(&path, &golden.params, &second).expect("room");
        let told = weights::load(&path, &params).expect_err("a fault").to_string();
        assert!(told.contains("encoder.embed_places.weight"), "{told}");
    }
}

#[test]
fn what_is_not_built_is_refused_by_its_key() {
    let plain: Value =
        serde_json::from_slice(&fs::read(support::folder("t5-gated").join(weights::CONFIG)).expect("a file")).expect("JSON");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(weights::CONFIG);
    let read = |json: &Value| {
        fs::write(&path, json.to_string()).expect("room");
        weights::read_config(&path)
    };
    for (key, value) in [
        ("feed_forward_proj", json!("gated-silu")),
        ("dense_act_fn", json!("silu")),
        ("is_encoder_decoder", json!(false)),
        ("is_decoder", json!(true)),
        ("scale_decoder_outputs", json!("no")),
        ("decoder_start_token_id", json!(-1)),
        ("d_kv", json!(0)),
        ("relative_attention_num_buckets", json!("many")),
        ("buckets", json!(2)),
        ("num_decoder_layers", json!(0)),
    ] {
        let mut json = plain.clone();
        json[if key == "buckets" { "relative_attention_num_buckets" } else { key }] = value;
        let told = read(&json).expect_err("a fault").to_string();
        assert!(told.contains(key), "{key}: {told}");
    }
    // The controls: as it is, as transformers 4 wrote it, and as the first files were.
    let tied = |json: &Value| match read(json).expect("a config").0 {
        ModelConfig::T5(config) => (config.gated, config.tied, config.reach),
        other => panic!("{other:?}"),
    };
    assert_eq!(tied(&plain), (true, false, 20));
    let mut older = plain.clone();
    older.as_object_mut().expect("an object").remove("scale_decoder_outputs");
    older["tie_word_embeddings"] = json!(false);
    assert_eq!(tied(&older), (true, false, 20));
    older["scale_decoder_outputs"] = json!(true);
    assert!(read(&older).expect_err("a fault").to_string().contains("scale_decoder_outputs"));
    for key in [
        "scale_decoder_outputs",
        "tie_word_embeddings",
        "feed_forward_proj",
        "dense_act_fn",
        "is_gated_act",
        "relative_attention_max_distance",
    ] {
        older.as_object_mut().expect("an object").remove(key);
    }
    assert_eq!(tied(&older), (false, true, 128));
}
