//! Kernels against the same arithmetic written with libtorch's own operations.

use std::sync::{Mutex, PoisonError};

use ssl_torch::kernels::linear_cross_entropy;
use ssl_torch::optimizer::{self, Adam, Lists};
use tch::{Device, Kind, Tensor};

/// libtorch draws from one generator a process, so tests take turns between seeding and drawing.
static TURN: Mutex<()> = Mutex::new(());

fn drawn(seed: i64, draw: impl FnOnce() -> Tensor) -> Tensor {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    draw()
}

fn randn(shape: &[i64], seed: i64) -> Tensor {
    drawn(seed, || Tensor::randn(shape, (Kind::Float, Device::Cpu)))
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

/// Loss and gradients by separate operations in fp32 from the given inputs.
fn reference(hidden: &Tensor, head: &Tensor, targets: &Tensor, weights: &Tensor) -> (Tensor, Tensor, Tensor) {
    let hidden = hidden.to_kind(Kind::Double).detach().set_requires_grad(true);
    let head = head.to_kind(Kind::Double).detach().set_requires_grad(true);
    let logits = hidden.linear(&head, None::<&Tensor>);
    let nats = -logits.log_softmax(-1, Kind::Double).gather(1, &targets.unsqueeze(1), false).squeeze_dim(1);
    let total = (nats * weights.to_kind(Kind::Double)).sum(Kind::Double);
    total.backward();
    (total.detach(), hidden.grad(), head.grad())
}

fn check(n: i64, d: i64, v: i64, kind: Kind, tolerance: f64) {
    let hidden = randn(&[n, d], 1).to_kind(kind);
    let head = (randn(&[v, d], 2) * 0.3).to_kind(kind);
    let targets = drawn(3, || Tensor::randint(v, [n], (Kind::Int64, Device::Cpu)));
    let weights = drawn(4, || Tensor::rand([n], (Kind::Float, Device::Cpu)));
    let _ = weights.narrow(0, 0, n / 4).zero_();
    let (total, d_hidden, d_head) = reference(&hidden, &head, &targets, &weights);
    let (hidden, head) = (hidden.set_requires_grad(true), head.set_requires_grad(true));
    let (found, nats) = linear_cross_entropy(&hidden, &head, &targets, &weights).expect("a loss");
    assert_eq!(nats.size(), [n]);
    found.backward();
    let relative = |a: &Tensor, b: &Tensor| distance(a, b) / b.abs().max().double_value(&[]);
    assert!(relative(&found, &total) < tolerance, "{kind:?} loss {}", relative(&found, &total));
    assert!(relative(&hidden.grad(), &d_hidden) < tolerance, "{kind:?} hidden {}", relative(&hidden.grad(), &d_hidden));
    assert!(relative(&head.grad(), &d_head) < tolerance, "{kind:?} head {}", relative(&head.grad(), &d_head));
}

#[test]
fn head_and_loss_agree_with_separate_operations_in_fp64() {
    check(37, 16, 65, Kind::Float, 2e-6);
    check(5, 8, 3, Kind::Float, 2e-6);
    check(1, 8, 1000, Kind::Float, 2e-6);
    // bf16 keeps 8 bits; logits and their gradients are rounded once each.
    check(64, 32, 300, Kind::BFloat16, 2e-2);
}

#[test]
fn many_chunks_give_the_loss_and_gradients_of_one() {
    // 128 MiB of fp32 logits over 100 000 ids is 335 rows: 700 rows are three chunks.
    // Each gradient of a hidden state adds 100 000 products in fp32, whose rounding grows as sqrt(1e5) 6e-8 = 2e-5.
    check(700, 4, 100_000, Kind::Float, 2e-5);
}

#[test]
fn a_scaled_loss_scales_its_gradients() {
    let hidden = randn(&[4, 8], 3).set_requires_grad(true);
    let head = randn(&[9, 8], 4);
    let (targets, weights) = (Tensor::from_slice(&[1_i64, 2, 3, 8]), Tensor::ones([4], (Kind::Float, Device::Cpu)));
    let grad = |factor: f64| {
        let (total, _) = linear_cross_entropy(&hidden, &head, &targets, &weights).expect("a loss");
        let mut leaf = hidden.grad();
        if leaf.defined() {
            let _ = leaf.zero_();
        }
        (total * factor).backward();
        hidden.grad().copy()
    };
    let once = grad(1.0);
    assert!(distance(&grad(0.25), &(once * 0.25)) < 1e-7);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (hidden, head) = (randn(&[4, 8], 1), randn(&[9, 8], 2));
    let weights = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let ids = |last: i64| Tensor::from_slice(&[0_i64, 1, 2, last]);
    assert!(linear_cross_entropy(&hidden, &head, &ids(8), &weights).is_ok());
    for (bad, what) in
        [(ids(9), "outside a vocabulary"), (ids(-1), "outside a vocabulary"), (Tensor::from_slice(&[1_i64]), "one target")]
    {
        let fault = linear_cross_entropy(&hidden, &head, &bad, &weights).expect_err("refused").to_string();
        assert!(fault.contains(what), "{fault}");
    }
    assert!(linear_cross_entropy(&hidden, &randn(&[9, 7], 2), &ids(0), &weights).is_err());
}

#[test]
fn hidden_states_that_are_not_finite_show_in_the_loss() {
    let hidden = randn(&[4, 8], 1);
    let _ = hidden.get(2).fill_(f64::NAN);
    let weights = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let (total, nats) =
        linear_cross_entropy(&hidden, &randn(&[40, 8], 2), &Tensor::from_slice(&[0_i64, 1, 2, 3]), &weights).expect("a loss");
    assert!(total.double_value(&[]).is_nan() && nats.double_value(&[2]).is_nan() && nats.double_value(&[1]).is_finite());
}

/// The number of threads is the process' own too, and moves last bits: those who change it and those who compare bits take turns.
static THREADS: Mutex<()> = Mutex::new(());

#[test]
fn norms_add_up_and_do_not_depend_on_threads() {
    let _alone = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let grads = [randn(&[300, 1000], 1), randn(&[17], 2), randn(&[70_000], 3).to_kind(Kind::BFloat16)];
    let expect: f64 =
        grads.iter().map(|g| g.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])).sum::<f64>().sqrt();
    let threads = tch::get_num_threads();
    let found = [1, 2, 3].map(|n| {
        tch::set_num_threads(n);
        optimizer::norm(&grads).expect("a norm")
    });
    tch::set_num_threads(threads);
    assert!((found[0] / expect - 1.0).abs() < 1e-6);
    assert!(found.iter().all(|norm| norm.to_bits() == found[0].to_bits()));
}

#[test]
fn bf16_leaves_are_the_rounded_masters_and_bf16_gradients_are_read_whole() {
    let _alone = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let a = Adam { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, step: 1, scale: 0.5 };
    let zeros = || vec![Tensor::zeros([100_003], (Kind::Float, Device::Cpu))];
    let run = |bf16: bool| {
        let grads = vec![randn(&[100_003], 2).to_kind(Kind::BFloat16).to_kind(if bf16 { Kind::BFloat16 } else { Kind::Float })];
        let params = vec![randn(&[100_003], 1)];
        let leaves = if bf16 { vec![params[0].to_kind(Kind::BFloat16)] } else { vec![params[0].shallow_clone()] };
        let lists = Lists { params: &params, leaves: &leaves, grads: &grads };
        optimizer::adam(&lists, &zeros(), &zeros(), &[0.1], &[0.0], &a).expect("a step");
        (params[0].copy(), leaves[0].copy())
    };
    let ((wide, _), (narrow, leaf)) = (run(false), run(true));
    assert_eq!(wide, narrow);
    assert_eq!(leaf, wide.to_kind(Kind::BFloat16));
}
