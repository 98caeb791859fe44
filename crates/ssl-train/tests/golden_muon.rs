//! Muon against a plain reference that is held to `torch.optim.Muon`; files and tolerances from `fixtures/golden/muon.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use ssl_model::init::Init;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::File;
use ssl_train::config::OptimConfig;
use ssl_train::optim::{self, Optimizer};
use tch::{Device, Kind, Tensor};

struct Golden {
    file: File,
    notes: Value,
}

impl Golden {
    fn open() -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/muon");
        let notes = std::fs::read(dir.join("golden.json")).expect("notes");
        let file = File::open(&dir.join("golden.safetensors")).expect("golden");
        Self { file, notes: serde_json::from_slice(&notes).expect("notes") }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(self.file.find(name).unwrap_or_else(|| panic!("no {name}"))).expect("a tensor")
    }

    /// Every weight at its start, with the maps that `maps` makes of those it has.
    fn params(&self, precision: Precision, maps: fn(i64, i64) -> (i64, i64)) -> Params {
        let mut params = Params::new(Device::Cpu, precision, None);
        for (i, (name, weight)) in self.notes["weights"].as_object().expect("weights").iter().enumerate() {
            let number = |key: &str| weight[key].as_i64().expect("a number");
            let value = self.tensor(&format!("init/{name}"));
            let _ = params.add_maps(name.clone(), &value.size(), Init::Zeros, maps(number("maps"), number("axis")));
            params.set(i, &value);
        }
        params
    }

    fn list(&self, prefix: &str, params: &Params) -> Vec<Tensor> {
        params.list().iter().map(|param| self.tensor(&format!("{prefix}/{}", param.name))).collect()
    }

    fn build(&self, run: &str, params: &Params) -> Box<dyn Optimizer> {
        let (settings, adamw) = (&self.notes["runs"][run], &self.notes["adamw"]);
        let config = json!({ "muon": {
            "lr": self.notes["lr"], "momentum": settings["momentum"], "nesterov": settings["nesterov"],
            "weight-decay": settings["weight_decay"],
            "adamw": {
                "lr": adamw["lr"], "beta1": adamw["betas"][0], "beta2": adamw["betas"][1], "eps": adamw["eps"],
                "weight-decay": adamw["weight_decay"],
            },
        }});
        let config: OptimConfig = serde_json::from_value(config).expect("a section");
        assert_eq!(config.validate(), []);
        optim::build(&config, params)
    }

    /// How far a run ends up from the reference, weight by weight, after `step` steps at most.
    fn distances(&self, run: &str, params: &Params) -> BTreeMap<String, f64> {
        let mut optimizer = self.build(run, params);
        let mut worst = BTreeMap::new();
        let rates = self.notes["learning_rates"].as_array().expect("rates");
        for (step, lr) in (1..).zip(rates) {
            if step == 7 {
                // A new optimizer takes the old one's state and goes on as if nothing had happened.
                let state = optimizer.state(params).into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
                optimizer = self.build(run, params);
                optimizer.restore(params, &state).expect("restored");
            }
            // Gradients arrive 8 times too long, and the scale takes it back.
            let grads: Vec<Tensor> = self.list(&format!("grad/step{step}"), params).iter().map(|grad| grad * 8.0).collect();
            optimizer.step(params, &grads, lr.as_f64().expect("a rate"), 0.125).expect("a step");
            for (param, expect) in params.list().iter().zip(self.list(&format!("{run}/step{step}"), params)) {
                let gap = (param.master.detach() - expect).abs().max().double_value(&[]);
                let most = worst.entry(param.name.clone()).or_insert(0.0_f64);
                *most = most.max(gap);
            }
        }
        worst
    }
}

#[test]
fn muon_follows_the_reference_step_for_step_through_a_restart() {
    let golden = Golden::open();
    let tolerance = golden.notes["tolerance"]["params_max_abs"].as_f64().expect("a tolerance");
    for run in ["default", "plain"] {
        let found = golden.distances(run, &golden.params(Precision::Fp32, |count, axis| (count, axis)));
        assert_eq!(found.len(), 7);
        assert!(found.values().all(|&gap| gap < tolerance), "{run}: {found:?}");
    }
}

#[test]
fn maps_that_are_stacked_are_moved_one_by_one_and_along_their_own_axis() {
    let golden = Golden::open();
    // The control: one move over all of a stack, and outputs taken for inputs.
    let found = golden.distances("default", &golden.params(Precision::Fp32, |count, axis| (count.min(1), axis)));
    for (name, gap) in found {
        assert_eq!(gap > 1e-3, name.starts_with("qkv"), "{name}: {gap}");
    }
    let found = golden.distances("default", &golden.params(Precision::Fp32, |count, axis| (count.min(1), 1 - axis)));
    assert!(found["turned"] > 1e-3 && found["tall"] > 1e-3 && found["table"] < 1e-5, "{found:?}");
}

#[test]
fn in_bf16_masters_stay_near_and_leaves_are_the_rounded_masters() {
    let golden = Golden::open();
    let params = golden.params(Precision::Bf16, |count, axis| (count, axis));
    let found = golden.distances("default", &params);
    // Twelve moves of at most 0.02 sqrt(10 / 4) an entry, each off by the few 2^-8 that five bf16 iterations leave.
    assert!(found.values().all(|&gap| gap < 0.01), "{found:?}");
    for param in params.list() {
        assert_eq!(param.leaf, param.master.to_kind(Kind::BFloat16), "{}", param.name);
    }
}

#[test]
fn values_out_of_range_are_told_by_their_key() {
    let adamw = json!({ "lr": 1e-3 });
    let told = |change: Value| {
        let mut section = json!({ "lr": 0.02, "adamw": adamw });
        section.as_object_mut().expect("a table").extend(change.as_object().expect("a table").clone());
        let config: OptimConfig = serde_json::from_value(json!({ "muon": section })).expect("a section");
        config.validate().iter().map(|fault| fault.path.clone()).collect::<Vec<_>>()
    };
    assert!(told(json!({})).is_empty());
    for (change, path) in [
        (json!({ "lr": -1.0 }), "lr"),
        (json!({ "momentum": 1.0 }), "momentum"),
        (json!({ "momentum": 0.0 }), "nesterov"),
        (json!({ "newton-schulz-steps": 0 }), "newton-schulz-steps"),
        (json!({ "weight-decay": -0.1 }), "weight-decay"),
        (json!({ "adamw": { "lr": 0.0 } }), "adamw.lr"),
        (json!({ "adamw": { "lr": 1e-3, "beta2": 1.5 } }), "adamw.beta2"),
    ] {
        assert_eq!(told(change), [format!("optim.muon.{path}")]);
    }
}
