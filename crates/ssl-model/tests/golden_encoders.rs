//! Encoders against transformers: hidden states, logits, loss and every gradient, of rows with padding.
//!
//! The files come from `fixtures/golden/encoders.py`; tolerances are theirs.

mod support;

use ssl_data::batch::{Attend, Batch, Rows, Sentences, Source};
use ssl_model::config::{ModelConfig, ModernbertConfig};
use ssl_model::electra::Electra;
use ssl_model::layer::{contrastive_loss, counted};
use ssl_model::params::{Params, Precision};
use ssl_model::{Loss, Pass, weights};
use support::{Golden, distance};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 5] = ["bert", "bert-next", "roberta", "modernbert", "electra"];

fn rows(golden: &Golden) -> Rows<Tensor> {
    let inputs = golden.tensor("input_ids");
    let (b, t) = inputs.size2().expect("two axes");
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
    let weights = golden.tensor("weights");
    let counts = weights.sum_dim_intlist(1, false, Kind::Float);
    let segments = golden.tensor("segments");
    Rows {
        // Padding is the row's second document.
        documents: Some(1 - golden.tensor("present")),
        attend: Attend::Both,
        sentences: (golden.name == "bert-next").then(|| Sentences { segments, random: golden.tensor("random") }),
        ..Rows::new(inputs, golden.tensor("targets"), weights, counts, positions)
    }
}

/// The largest distance at positions that are no padding.
fn real_distance(golden: &Golden, found: &Tensor, name: &str) -> f64 {
    let present = golden.tensor("present").unsqueeze(2);
    distance(&(found * &present), &(golden.tensor(name) * &present))
}

#[test]
fn hidden_states_and_logits_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::open(name);
        let most = golden.tolerance("logits_max_abs");
        let read = || {
            let batch = Batch::Rows(rows(&golden));
            tch::no_grad(|| (golden.model.hidden(&batch, Pass::Eval), golden.model.logits(&batch)))
        };
        let (hidden, logits) = read();
        for (found, expect) in [(&hidden, "hidden"), (&logits, "logits")] {
            let found = real_distance(&golden, found, expect);
            assert!(found < most, "{name}: {expect}: {found}");
        }
        // The control: any weight that is moved must show.
        for (index, param) in golden.params.list().iter().enumerate() {
            let plain = param.name.starts_with("generator.") || param.name.contains("attention.self.key.bias");
            // Rows of a table that are not read, and shifts that a softmax does not see.
            if plain || param.name.contains("pooler") || param.name.contains("seq_relationship") {
                continue;
            }
            let before = param.master.detach().copy();
            golden.params.set(index, &(&before * 1.1 + 0.01));
            let moved = real_distance(&golden, &read().1, "logits");
            assert!(moved > most, "{name}: {} moves logits by {moved}", param.name);
            golden.params.set(index, &before);
        }
    }
}

/// Each weight's gradient against the file's, whole tensor by whole tensor.
fn check_gradients(golden: &Golden) {
    let mut checked = 0;
    for param in golden.params.list() {
        let expect = golden.tensor(&format!("grad.{}", param.name));
        // Softmax does not see a shift of all scores, so that the true gradient of a key's bias is 0.
        let scale = expect.abs().max().double_value(&[]);
        let zero = param.name.contains("attention.self.key.bias");
        let limit = if zero { golden.tolerance("logits_max_abs") } else { golden.tolerance("grad_relative") * scale };
        assert!(zero || scale > 0.0, "{}: {} has no gradient to compare", golden.name, param.name);
        let found = distance(&param.leaf.grad(), &expect);
        assert!(found < limit, "{}: {}: {found}, of {scale}", golden.name, param.name);
        checked += 1;
    }
    let expected = golden.file.entries().filter(|entry| entry.name.starts_with("grad.")).count();
    assert_eq!(checked, expected, "{}", golden.name);
}

/// A total against the file's, and the sum over its rows against the total.
fn check_total(golden: &Golden, loss: &Loss) {
    let expect = golden.tensor("loss_nats").double_value(&[]);
    let by_rows: f64 = loss.rows().iter().map(|(nats, _)| nats).sum();
    for found in [loss.total.double_value(&[]), by_rows] {
        assert!((found / expect - 1.0).abs() < golden.tolerance("loss_relative"), "{}: {found} for {expect}", golden.name);
    }
    assert_eq!(loss.nats.size(), golden.tensor("weights").size());
}

#[test]
fn loss_and_every_gradient_are_those_of_transformers() {
    for name in MODELS.into_iter().filter(|&name| name != "electra") {
        let golden = Golden::open(name);
        let loss = golden.model.loss(&Batch::Rows(rows(&golden)), Pass::Eval);
        check_total(&golden, &loss);
        loss.total.backward();
        check_gradients(&golden);
        // The control: padding that is taken for text must show.
        let all = Rows { documents: None, ..rows(&golden) };
        let other = golden.model.loss(&Batch::Rows(all), Pass::Eval).total.double_value(&[]);
        let expect = golden.tensor("loss_nats").double_value(&[]);
        assert!((other / expect - 1.0).abs() > golden.tolerance("loss_relative"), "{name}");
    }
}

#[test]
fn electra_joins_the_losses_of_generator_and_discriminator() {
    let mut golden = Golden::open("electra");
    let (rows, words) = (rows(&golden), golden.tensor("words"));
    let ModelConfig::Electra(config) = &golden.config else { panic!("another model") };
    // The same weights under the model's own type, which takes the words as given.
    golden.params = Params::new(Device::Cpu, Precision::Fp32, None);
    let model = Electra::new(config, golden.vocab, &mut golden.params);
    weights::load(&support::folder("electra").join(weights::WEIGHTS), &golden.params).expect("weights");
    let made = tch::no_grad(|| model.generator_logits(&model.generator_hidden(&rows, Pass::Eval), None));
    assert!(real_distance(&golden, &made, "generator_logits") < golden.tolerance("logits_max_abs"));
    let loss = model.loss_with(&rows, Some(&words), Pass::Eval);
    check_total(&golden, &loss);
    loss.total.backward();
    check_gradients(&golden);
    // The control: other words are another loss.
    let other = model.loss_with(&rows, Some(&(&words + 1).remainder(97)), Pass::Eval).total.double_value(&[]);
    assert!((other / golden.tensor("loss_nats").double_value(&[]) - 1.0).abs() > golden.tolerance("loss_relative"));
}

#[test]
fn contrast_of_two_views_is_the_plain_formula() {
    let golden = support::Values::open("simcse");
    let views = ["first", "second"].map(|name| golden.tensor(name).set_requires_grad(true));
    let loss = contrastive_loss(&views[0], &views[1], 0.05);
    let expect = golden.tensor("loss_nats").double_value(&[]);
    assert!((loss.total.double_value(&[]) / expect - 1.0).abs() < golden.tolerance("loss_relative"));
    assert!(distance(&loss.nats.squeeze_dim(1), &golden.tensor("nats")) < golden.tolerance("logits_max_abs"));
    loss.total.backward();
    for (view, name) in views.iter().zip(["grad.first", "grad.second"]) {
        let expect = golden.tensor(name);
        let scale = expect.abs().max().double_value(&[]);
        assert!(distance(&view.grad(), &expect) / scale < golden.tolerance("grad_relative"), "{name}");
    }
    // The control: another temperature.
    assert!((contrastive_loss(&views[0], &views[1], 0.06).total.double_value(&[]) / expect - 1.0).abs() > 1e-3);
}

#[test]
fn padded_texts_are_the_texts_alone() {
    for name in MODELS {
        let golden = Golden::open(name);
        let (ids, present) = (golden.tensor("input_ids"), golden.tensor("present"));
        let read = |ids: Tensor, present: Tensor| {
            tch::no_grad(|| golden.model.hidden(&Batch::Texts(Source { ids, present }), Pass::Eval))
        };
        let together = read(ids.shallow_clone(), present.shallow_clone());
        for row in 0..3 {
            let length = present.get(row).sum(Kind::Int64).int64_value(&[]);
            let cut = |x: &Tensor| x.narrow(0, row, 1).narrow(1, 0, length);
            let alone = read(cut(&ids), cut(&present));
            let found = distance(&alone, &cut(&together));
            assert!(found < golden.tolerance("logits_max_abs"), "{name}, row {row}: {found}");
        }
        // The control: padding that counts as text does change a shorter row.
        let whole = read(ids.shallow_clone(), present.ones_like());
        assert!(distance(&whole.narrow(0, 1, 1).narrow(1, 0, 5), &together.narrow(0, 1, 1).narrow(1, 0, 5)) > 1e-3, "{name}");
    }
}

#[test]
fn a_window_or_a_base_of_another_size_shows() {
    let golden = Golden::open("modernbert");
    let ModelConfig::Modernbert(plain) = &golden.config else { panic!("another model") };
    let logits = |config: ModernbertConfig| {
        let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
        let model = ModelConfig::Modernbert(config).build(golden.vocab, &mut params);
        weights::load(&support::folder("modernbert").join(weights::WEIGHTS), &params).expect("weights");
        real_distance(&golden, &tch::no_grad(|| model.logits(&Batch::Rows(rows(&golden)))), "logits")
    };
    let most = golden.tolerance("logits_max_abs");
    assert!(logits(plain.clone()) < most);
    assert!(logits(ModernbertConfig { local_window: plain.local_window + 2, ..plain.clone() }) > most);
    assert!(logits(ModernbertConfig { local_window: plain.local_window - 2, ..plain.clone() }) > most);
    assert!(logits(ModernbertConfig { global_every: 2, ..plain.clone() }) > most);
    assert!(logits(ModernbertConfig { global_rope_base: 10_000.0, ..plain.clone() }) > most);
    assert!(logits(ModernbertConfig { local_rope_base: 160_000.0, ..plain.clone() }) > most);
}

#[test]
fn positions_that_do_not_count_have_no_nats() {
    let golden = Golden::open("bert");
    let rows = rows(&golden);
    let loss = golden.model.loss(&Batch::Rows(rows), Pass::Eval);
    let idle = loss.weights.eq(0.0).to_kind(Kind::Float);
    assert!(idle.sum(Kind::Float).double_value(&[]) > 0.0);
    assert_eq!((loss.nats * idle).abs().max().double_value(&[]), 0.0);
    // A batch in which nothing counts has a loss of 0 and no fault.
    let none = self::rows(&golden);
    let none = Rows { weights: none.weights.zeros_like(), counts: none.counts.zeros_like(), ..none };
    assert_eq!(counted(&none).size(), [0]);
    assert_eq!(golden.model.loss(&Batch::Rows(none), Pass::Eval).total.double_value(&[]), 0.0);
}

#[test]
fn electra_draws_the_same_words_in_use_whatever_rows_are_beside() {
    let golden = Golden::open("electra");
    let one = |row: i64| {
        let rows = rows(&golden);
        let cut = |x: &Tensor| x.narrow(0, row, 1);
        let cut = Rows {
            documents: rows.documents.as_ref().map(cut),
            attend: Attend::Both,
            ..Rows::new(cut(&rows.inputs), cut(&rows.targets), cut(&rows.weights), cut(&rows.counts), cut(&rows.positions))
        };
        golden.model.loss(&Batch::Rows(cut), Pass::Eval).total.double_value(&[])
    };
    let whole = golden.model.loss(&Batch::Rows(rows(&golden)), Pass::Eval);
    let again = golden.model.loss(&Batch::Rows(rows(&golden)), Pass::Eval);
    assert_eq!(whole.total.double_value(&[]), again.total.double_value(&[]));
    for (row, (nats, _)) in (0..).zip(whole.rows()) {
        let alone = one(row);
        assert!((alone / nats - 1.0).abs() < 1e-5, "row {row}: {alone} for {nats}");
    }
}
