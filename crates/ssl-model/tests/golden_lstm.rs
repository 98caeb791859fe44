//! The recurrent model against PyTorch's: hidden states, logits, loss and gradients over two windows, the state carried.

use std::path::PathBuf;

use serde_json::Value;
use ssl_data::batch::{Batch, Rows};
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, File};
use ssl_model::{Model, Pass};
use tch::{Device, Kind, Tensor};

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
        let file = File::open(&dir.join("golden.safetensors")).expect("golden");
        Self { model, params, file, notes: serde_json::from_slice(&notes).expect("notes") }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(self.file.find(name).unwrap_or_else(|| panic!("no {name}"))).expect("a tensor")
    }

    fn tolerance(&self, name: &str) -> f64 {
        self.notes["tolerance"][name].as_f64().expect("a tolerance")
    }

    /// Window 0 or 1 of the golden text.
    fn batch(&self, window: i64, continues: bool) -> Batch<Tensor> {
        let (ids, weights) = (self.tensor("ids"), self.tensor("weights"));
        let (b, t) = (ids.size()[0], (ids.size()[1] - 1) / 2);
        let cut = |x: &Tensor, at: i64| x.narrow(1, at, t).contiguous();
        let weights = cut(&weights, window * t);
        let counts = weights.sum_dim_intlist(1, false, Kind::Float);
        let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false).contiguous();
        let rows = Rows::new(cut(&ids, window * t), cut(&ids, window * t + 1), weights, counts, positions);
        Batch::Rows(Rows { continues, ..rows })
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn two_windows_are_those_of_pytorch_with_the_state_carried() {
    for name in ["lstm", "lstm-tied"] {
        let golden = Golden::open(name);
        let off = |found: f64, expect: f64| (found / expect - 1.0).abs();
        for window in 0..2 {
            golden.params.list().iter().for_each(|param| param.leaf.shallow_clone().zero_grad());
            let loss = golden.model.loss(&golden.batch(window, window > 0), Pass::Train);
            let expect = golden.tensor(&format!("{window}.loss_nats")).double_value(&[]);
            let found = loss.total.double_value(&[]);
            assert!(off(found, expect) < golden.tolerance("loss_relative"), "{name} {window}: {found} for {expect}");
            loss.total.backward();
            for param in golden.params.list() {
                let expect = golden.tensor(&format!("{window}.grad.{}", param.name));
                let found = distance(&param.leaf.grad(), &expect) / expect.abs().max().double_value(&[]);
                assert!(found < golden.tolerance("grad_relative"), "{name} {window}: {}: {found}", param.name);
            }
        }
        // The control: without the first window the second is another.
        let expect = golden.tensor("1.loss_nats").double_value(&[]);
        let fresh = golden.model.loss(&golden.batch(1, false), Pass::Train).total.double_value(&[]);
        assert!(off(fresh, expect) > 10.0 * golden.tolerance("loss_relative"), "{name}");
        // What a checkpoint takes over is enough to go on.
        golden.model.loss(&golden.batch(0, false), Pass::Train);
        let carried = golden.model.carried();
        golden.model.carry(Vec::new());
        golden.model.carry(carried);
        let resumed = golden.model.loss(&golden.batch(1, true), Pass::Train).total.double_value(&[]);
        assert!(off(resumed, expect) < golden.tolerance("loss_relative"), "{name}: {resumed} for {expect}");
    }
}

#[test]
fn hidden_states_logits_and_single_steps_agree() {
    for name in ["lstm", "lstm-tied"] {
        let golden = Golden::open(name);
        let batch = golden.batch(0, false);
        let (hidden, logits) = tch::no_grad(|| (golden.model.hidden(&batch, Pass::Eval), golden.model.logits(&batch)));
        let tolerance = golden.tolerance("logits_max_abs");
        assert!(distance(&hidden, &golden.tensor("0.hidden")) < tolerance, "{name}");
        assert!(distance(&logits, &golden.tensor("0.logits")) < tolerance, "{name}");
        let inputs = &batch.rows().expect("rows").inputs;
        let decoder = golden.model.decoder().expect("a decoder");
        let mut cache = decoder.cache(None);
        for (at, count) in [(0, 4)].into_iter().chain((4..inputs.size()[1]).map(|at| (at, 1))) {
            let next = tch::no_grad(|| decoder.next(&inputs.narrow(1, at, count), &mut cache));
            let found = distance(&next, &logits.select(1, at + count - 1));
            assert!(found < tolerance, "{name} at {at}: {found}");
        }
    }
}

#[test]
fn measuring_does_not_disturb_training() {
    let golden = Golden::open("lstm");
    let second = |between: bool| {
        golden.model.loss(&golden.batch(0, false), Pass::Train);
        if between {
            tch::no_grad(|| golden.model.loss(&golden.batch(1, false), Pass::Eval));
        }
        golden.model.loss(&golden.batch(1, true), Pass::Train).total.double_value(&[])
    };
    assert_eq!(second(false), second(true));
}
