//! Optimizers and clipping against torch.optim, step for step; files and tolerances from `fixtures/golden/make.py`.

use std::path::PathBuf;

use serde_json::Value;
use ssl_model::init::Init;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::File;
use ssl_torch::optimizer::{self, Adam, Lists, Sgd};
use ssl_train::config::{AdamConfig, OptimConfig, SgdConfig};
use ssl_train::optim;
use tch::{Device, Kind, Tensor};

struct Golden {
    file: File,
    notes: Value,
}

impl Golden {
    fn open() -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/optim");
        let notes = std::fs::read(dir.join("golden.json")).expect("notes");
        Self {
            file: File::open(&dir.join("golden.safetensors")).expect("golden"),
            notes: serde_json::from_slice(&notes).expect("notes"),
        }
    }

    fn list(&self, prefix: &str) -> Vec<Tensor> {
        (0..3)
            .map(|i| self.file.tensor(self.file.find(&format!("{prefix}/p{i}")).expect("an entry")).expect("a tensor"))
            .collect()
    }

    fn numbers(&self, run: &str, key: &str) -> Vec<f64> {
        self.notes["runs"][run][key].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect()
    }

    fn tolerance(&self, key: &str) -> f64 {
        self.notes["tolerance"][key].as_f64().expect("a tolerance")
    }

    fn runs(&self) -> impl Iterator<Item = &String> {
        // Dampening is the one setting that is not offered here.
        self.notes["runs"]
            .as_object()
            .expect("runs")
            .iter()
            .filter(|(_, run)| run.get("dampening").is_none())
            .map(|(name, _)| name)
    }
}

fn distance(a: &[Tensor], b: &[Tensor]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
}

fn zeros(like: &[Tensor]) -> Vec<Tensor> {
    like.iter().map(Tensor::zeros_like).collect()
}

#[test]
fn kernels_follow_torch_step_for_step() {
    let golden = Golden::open();
    let mut checked = 0;
    for name in golden.runs() {
        let run = &golden.notes["runs"][name];
        let decay = golden.numbers(name, "weight_decay");
        let params = golden.list("init");
        let (means, squares) = (zeros(&params), zeros(&params));
        for (step, &lr) in (1..).zip(&golden.numbers(name, "learning_rates")) {
            // Gradients arrive 8 times too long, and the scale takes it back.
            let grads: Vec<Tensor> = golden.list(&format!("grad/step{step}")).iter().map(|grad| grad * 8.0).collect();
            let lists = Lists { params: &params, leaves: &params, grads: &grads };
            if run["kind"] == "sgd" {
                let s = Sgd {
                    lr,
                    momentum: run["momentum"].as_f64().unwrap_or(0.0),
                    nesterov: run["nesterov"] == true,
                    scale: 0.125,
                };
                optimizer::sgd(&lists, &means, &decay, &s).expect("a step");
            } else {
                let betas = golden.numbers(name, "betas");
                let a = Adam { lr, beta1: betas[0], beta2: betas[1], eps: run["eps"].as_f64().expect("eps"), step, scale: 0.125 };
                let none = [0.0; 3];
                let (decoupled, coupled): (&[f64], &[f64]) =
                    if run["kind"] == "adamw" { (&decay, &none) } else { (&none, &decay) };
                optimizer::adam(&lists, &means, &squares, decoupled, coupled, &a).expect("a step");
            }
            let found = distance(&params, &golden.list(&format!("{name}/step{step}")));
            assert!(found < golden.tolerance("params_max_abs"), "{name} step {step}: {found}");
            checked += 1;
        }
    }
    assert_eq!(checked, 12 * 12);
}

#[test]
fn optimizers_decay_matrices_and_not_gains() {
    let golden = Golden::open();
    let adam = |weight_decay, beta2| AdamConfig { lr: 0.0, beta1: 0.9, beta2, eps: 1e-8, weight_decay };
    let sgd = SgdConfig { lr: 0.0, momentum: 0.9, nesterov: false, weight_decay: 0.1 };
    let cases = [
        ("adamw.groups", OptimConfig::Adamw(adam(0.1, 0.95))),
        ("adam.default", OptimConfig::Adam(adam(0.0, 0.999))),
        ("sgd.momentum-decay", OptimConfig::Sgd(sgd)),
    ];
    for (name, config) in cases {
        let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
        for (i, tensor) in golden.list("init").iter().enumerate() {
            let _ = params.add(format!("p{i}"), &tensor.size(), Init::Zeros);
            params.set(i, tensor);
        }
        let mut optimizer = optim::build(&config, &params);
        for (step, lr) in (1..).zip(golden.numbers(name, "learning_rates")) {
            if step == 7 {
                // A new optimizer takes the old one's state and goes on as if nothing had happened.
                let state = optimizer.state(&params).into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
                optimizer = optim::build(&config, &params);
                optimizer.restore(&params, &state).expect("restored");
            }
            optimizer.step(&params, &golden.list(&format!("grad/step{step}")), lr, 1.0).expect("a step");
            let masters: Vec<Tensor> = params.list().iter().map(|param| param.master.detach()).collect();
            let found = distance(&masters, &golden.list(&format!("{name}/step{step}")));
            assert!(found < golden.tolerance("params_max_abs"), "{name} step {step}: {found}");
        }
    }
}

#[test]
fn clipping_is_torchs() {
    let golden = Golden::open();
    let grads = golden.list("grad/step1");
    let norm = optimizer::norm(&grads).expect("a norm");
    for name in ["clip.tight", "clip.loose"] {
        let expect =
            golden.file.tensor(golden.file.find(&format!("{name}/norm")).expect("norm")).expect("norm").double_value(&[]);
        assert!((norm / expect - 1.0).abs() < golden.tolerance("clip_relative"));
        let max = golden.notes["clips"][name]["max_norm"].as_f64().expect("max");
        let scale = ssl_train::trainer::clip(norm, Some(max));
        let clipped: Vec<Tensor> = grads.iter().map(|grad| grad * scale).collect();
        assert!(distance(&clipped, &golden.list(name)) < 1e-6);
    }
    assert_eq!(ssl_train::trainer::clip(f64::MAX, None), 1.0);
}

#[test]
fn gradients_add_up_in_fp32() {
    let grad = Tensor::full([3], 1.0, (Kind::BFloat16, Device::Cpu));
    let sums = vec![Tensor::full([3], 1000.0, (Kind::Float, Device::Cpu))];
    for _ in 0..3 {
        optimizer::accumulate(&sums, &[grad.shallow_clone()]).expect("a sum");
    }
    // In bf16 1000 + 1 is 1000.
    assert_eq!(Vec::<f32>::try_from(&sums[0]).expect("numbers"), [1003.0; 3]);
}
