//! Weights of unequal rates move by the very steps of an optimizer of their own, and frozen ones not at all.

use ssl_model::init::Init;
use ssl_model::params::{Params, Precision};
use ssl_train::config::{AdamConfig, OptimConfig};
use ssl_train::optim;
use tch::{Device, Kind, Tensor};

const CONFIG: AdamConfig = AdamConfig { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };

fn params(rates: [f64; 3]) -> Params {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(3));
    for name in ["a", "b", "c"] {
        let _leaf = params.add(name, &[3, 4], Init::Normal(1.0));
    }
    params.set_rates(|param| rates[usize::from(param.name.as_bytes()[0] - b'a')]);
    params
}

fn grads(params: &Params, step: i64) -> Vec<Tensor> {
    let grad = |at: usize| (Tensor::arange(12, (Kind::Float, Device::Cpu)) + (step * 5 + at as i64)).sin().view([3, 4]);
    params.moved().list().iter().map(|param| grad(usize::from(param.name.as_bytes()[0] - b'a'))).collect()
}

#[test]
fn a_rate_is_a_share_of_the_learning_rate_and_survives_a_checkpoint() {
    let mixed = params([1.0, 0.0, 0.25]);
    let begun: Vec<Tensor> = mixed.list().iter().map(|param| param.master.copy()).collect();
    let optim = OptimConfig::Adamw(CONFIG);
    let mut layerwise = optim::build(&optim, &mixed);
    // What every weight at one quarter of the rate does, and every one at the whole.
    let alike = |rate: f64| {
        let own = params([1.0; 3]);
        let mut plain = optim::build(&optim, &own);
        for step in 0..4 {
            plain.step(&own, &grads(&own, step), CONFIG.lr * rate, 1.0).unwrap();
        }
        own
    };
    let (whole, quarter) = (alike(1.0), alike(0.25));
    for step in 0..2 {
        layerwise.step(&mixed.moved(), &grads(&mixed, step), CONFIG.lr, 1.0).unwrap();
    }
    // A second optimizer goes on from the first one's state.
    let state = layerwise.state(&mixed.moved()).into_iter().collect();
    let mut layerwise = optim::build(&optim, &mixed);
    layerwise.restore(&mixed.moved(), &state).unwrap();
    for step in 2..4 {
        layerwise.step(&mixed.moved(), &grads(&mixed, step), CONFIG.lr, 1.0).unwrap();
    }
    for (at, expect) in [(0, &whole.list()[0].master), (1, &begun[1]), (2, &quarter.list()[2].master)] {
        assert_eq!(&mixed.list()[at].master, expect, "weight {at}");
    }
    assert_ne!(mixed.list()[2].master, begun[2]);
    let mut state = layerwise.state(&mixed.moved());
    state.pop();
    assert!(layerwise.restore(&mixed.moved(), &state.into_iter().collect()).is_err());
}
