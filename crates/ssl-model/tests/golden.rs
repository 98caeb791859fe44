//! Models against transformers: logits, loss, every gradient, and documents packed against documents alone.
//!
//! The files come from `fixtures/golden/make.py`; tolerances are theirs.

use std::path::PathBuf;

use serde_json::Value;
use ssl_data::batch::{Batch, Rows};
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, File};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 4] = ["gpt2", "gpt2-erf", "llama", "llama-tied"];

struct Golden {
    model: Box<dyn Model>,
    params: Params,
    file: File,
    notes: Value,
}

impl Golden {
    fn open(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name);
        let (config, vocab) = weights::read_config(&dir.join(weights::CONFIG)).expect("a config");
        let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
        let model = config.build(vocab, &mut params);
        weights::load(&dir.join(weights::WEIGHTS), &params).expect("weights");
        let notes = std::fs::read(dir.join("golden.json")).expect("notes");
        Self {
            model,
            params,
            file: File::open(&dir.join("golden.safetensors")).expect("golden"),
            notes: serde_json::from_slice(&notes).expect("notes"),
        }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(self.file.find(name).unwrap_or_else(|| panic!("no {name}"))).expect("a tensor")
    }

    fn tolerance(&self, name: &str) -> f64 {
        self.notes["tolerance"][name].as_f64().expect("a tolerance")
    }

    fn rows(&self) -> Rows<Tensor> {
        let inputs = self.tensor("input_ids");
        let (b, t) = inputs.size2().expect("two axes");
        let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
        let weights = self.tensor("weights");
        let counts = weights.sum_dim_intlist(1, false, Kind::Float);
        Rows::new(inputs, self.tensor("targets"), weights, counts, positions)
    }

    fn logits(&self) -> Tensor {
        tch::no_grad(|| self.model.logits(&Batch::Rows(self.rows())))
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn logits_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::open(name);
        let found = distance(&golden.logits(), &golden.tensor("logits"));
        assert!(found < golden.tolerance("logits_max_abs"), "{name}: {found}");
        // The control: one weight moved a little must show.
        let param = &golden.params.list()[3];
        golden.params.set(3, &(param.master.detach() + 1e-3));
        let moved = distance(&golden.logits(), &golden.tensor("logits"));
        assert!(moved > golden.tolerance("logits_max_abs"), "{name}: {moved}");
    }
}

#[test]
fn loss_and_every_gradient_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::open(name);
        let loss = golden.model.loss(&Batch::Rows(golden.rows()), Pass::Eval);
        let expect = golden.tensor("loss_nats").double_value(&[]);
        let found = loss.total.double_value(&[]);
        assert!((found / expect - 1.0).abs() < golden.tolerance("loss_relative"), "{name}: {found} for {expect}");
        let by_rows: f64 = loss.rows().iter().map(|(nats, _)| nats).sum();
        assert!((by_rows / expect - 1.0).abs() < golden.tolerance("loss_relative"), "{name}: rows {by_rows}");
        loss.total.backward();
        let mut checked = 0;
        for param in golden.params.list() {
            let expect = golden.tensor(&format!("grad.{}", param.name));
            let scale = expect.abs().max().double_value(&[]);
            assert!(scale > 0.0, "{name}: {} has no gradient to compare", param.name);
            let found = distance(&param.leaf.grad(), &expect) / scale;
            assert!(found < golden.tolerance("grad_relative"), "{name}: {}: {found}", param.name);
            checked += 1;
        }
        let expected = golden.file.entries().filter(|entry| entry.name.starts_with("grad.")).count();
        assert_eq!(checked, expected, "{name}");
    }
}

#[test]
fn documents_packed_give_the_logits_of_documents_alone() {
    for name in MODELS {
        let golden = Golden::open(name);
        let lengths: Vec<i64> =
            golden.notes["document_lengths"].as_array().expect("lengths").iter().filter_map(Value::as_i64).collect();
        let inputs = golden.tensor("isolated_ids");
        let positions: Vec<i64> = lengths.iter().flat_map(|&n| 0..n).collect();
        let documents: Vec<i64> = lengths.iter().zip(0..).flat_map(|(&n, k)| std::iter::repeat_n(k, n as usize)).collect();
        let grid = |data: &[i64]| Tensor::from_slice(data).unsqueeze(0);
        let read = |inputs: &Tensor, documents: Option<Tensor>| {
            let ones = Tensor::ones(inputs.size(), (Kind::Float, Device::Cpu));
            let counts = ones.sum_dim_intlist(1, false, Kind::Float);
            let rows = Rows::new(inputs.shallow_clone(), inputs.shallow_clone(), ones, counts, grid(&positions));
            tch::no_grad(|| golden.model.logits(&Batch::Rows(Rows { documents, ..rows })))
        };
        let packed = read(&inputs, Some(grid(&documents)));
        let found = distance(&packed, &golden.tensor("isolated_logits"));
        assert!(found < golden.tolerance("logits_max_abs"), "{name}: {found}");

        // Other tokens in the first document leave the others' logits as they are, to the bit.
        let first = lengths[0];
        let rest = |x: &Tensor| x.narrow(1, first, x.size()[1] - first);
        let other = Tensor::cat(&[(inputs.narrow(1, 0, first) + 1).remainder(97), rest(&inputs)], 1);
        let changed = read(&other, Some(grid(&documents)));
        assert_eq!(distance(&rest(&changed), &rest(&packed)), 0.0, "{name}");
        assert!(distance(&changed, &packed) > 0.0, "{name}");

        // The control: without the documents they do meet.
        assert!(distance(&rest(&read(&other, None)), &rest(&packed)) > 1e-3, "{name}");
    }
}

#[test]
fn one_token_at_a_time_gives_the_logits_of_all_at_once() {
    for name in MODELS {
        let golden = Golden::open(name);
        let inputs = golden.rows().inputs;
        let whole = golden.logits();
        let decoder = golden.model.decoder().expect("a decoder");
        let mut cache = decoder.cache(None);
        let t = whole.size()[1];
        for (at, count) in [(0, 5)].into_iter().chain((5..t).map(|at| (at, 1))) {
            let logits = tch::no_grad(|| decoder.next(&inputs.narrow(1, at, count), &mut cache));
            let found = distance(&logits, &whole.select(1, at + count - 1));
            assert!(found < golden.tolerance("logits_max_abs"), "{name} at {at}: {found}");
        }
    }
}
