//! Normalisation against the same arithmetic in fp64, written with libtorch's own operations.

use ssl_torch::kernels::{Centre, Norm};
use tch::{Device, Kind, Tensor};

const EPS: f64 = 1e-5;

/// Rows and features; odd sizes on purpose: neither vectors nor shares of rows divide them.
const SHAPES: [(i64, i64); 7] = [(1, 1), (3, 5), (7, 16), (130, 33), (300, 64), (64, 384), (5000, 7)];

/// Numbers that are the same each time, without libtorch's generator.
fn numbers(shape: &[i64], seed: i64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let at = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898 + seed as f64 * 78.233;
    let noise: Tensor = at.sin() * 43_758.545_3;
    (noise.frac() * 3.0 + 0.5).to_kind(Kind::Float).reshape(shape)
}

fn leaf(shape: &[i64], seed: i64, kind: Kind) -> Tensor {
    numbers(shape, seed).to_kind(kind).set_requires_grad(true)
}

/// The stream and its norm in fp64.
fn reference(x: &Tensor, branch: Option<&Tensor>, norm: &Norm<'_>) -> (Tensor, Tensor) {
    let stream = branch.map_or_else(|| x.shallow_clone(), |branch| x + branch);
    let centred = match norm.centre {
        Centre::Mean => &stream - stream.mean_dim(-1, true, Kind::Double),
        Centre::Origin => stream.shallow_clone(),
    };
    let y = &centred / (centred.square().mean_dim(-1, true, Kind::Double) + norm.eps).sqrt() * norm.gain;
    (stream, norm.bias.map_or_else(|| y.shallow_clone(), |bias| &y + bias))
}

/// The largest difference over the largest value.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    largest(&(found.to_kind(Kind::Double) - expected)) / largest(expected).max(1e-30)
}

fn check((n, d): (i64, i64), centre: Centre, with_branch: bool, with_bias: bool, kind: Kind, tolerance: f64) {
    let leaves = [leaf(&[n, d], 1, kind), leaf(&[n, d], 2, kind), leaf(&[d], 3, kind), leaf(&[d], 4, kind)];
    let wide = leaves.each_ref().map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
    let (up_stream, up_y) = (numbers(&[n, d], 5).to_kind(kind), numbers(&[n, d], 6).to_kind(kind));
    let call = |[x, branch, gain, bias]: &[Tensor; 4], ours: bool| {
        let norm = Norm { centre, gain, bias: with_bias.then_some(bias), eps: EPS };
        match (ours, with_branch) {
            (true, true) => norm.after(x, branch).expect("a norm"),
            (true, false) => norm.beside(x).expect("a norm"),
            (false, _) => reference(x, with_branch.then_some(branch), &norm),
        }
    };
    let (found, expected) = (call(&leaves, true), call(&wide, false));
    let close = |found: &Tensor, expected: &Tensor, what: &str| {
        let distance = relative(found, expected);
        assert!(distance < tolerance, "{what} of {:?}, {centre:?}, branch {with_branch}, {kind:?}: {distance}", (n, d));
    };
    close(&found.0, &expected.0, "the stream");
    close(&found.1, &expected.1, "the norm");
    let sum = |(stream, y): &(Tensor, Tensor)| (stream * &up_stream).sum(Kind::Double) + (y * &up_y).sum(Kind::Double);
    sum(&found).backward();
    sum(&expected).backward();
    let used = [true, with_branch, true, with_bias];
    for (((leaf, expected), what), used) in leaves.iter().zip(&wide).zip(["d x", "d branch", "d gain", "d bias"]).zip(used) {
        assert_eq!(leaf.grad().defined(), used, "{what}");
        // A row of one feature is its own mean: its gradients are 0, up to rounding.
        if used && !(d == 1 && centre == Centre::Mean && what == "d gain") {
            close(&leaf.grad(), &expected.grad(), what);
        }
    }
}

fn every(kind: Kind, tolerance: f64) {
    for shape in SHAPES {
        for centre in [Centre::Mean, Centre::Origin] {
            for (branch, bias) in [(true, true), (false, true), (true, false), (false, false)] {
                check(shape, centre, branch, bias, kind, tolerance);
            }
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_fp64() {
    every(Kind::Float, 1e-5);
}

#[test]
fn bf16_is_rounded_where_it_is_stored() {
    // Half a unit in the last of 8 bits, of the sum, of what is made of it and of its gradient.
    every(Kind::BFloat16, 2e-2);
}

#[test]
fn other_types_go_to_libtorch() {
    every(Kind::Double, 1e-12);
}

#[test]
fn either_result_may_stay_unused() {
    let (gain, x) = (leaf(&[6], 1, Kind::Float), leaf(&[4, 6], 2, Kind::Float));
    let norm = Norm { centre: Centre::Mean, gain: &gain, bias: None, eps: EPS };
    let alone = Tensor::run_backward(
        &[(norm.of(&x).expect("a norm") * numbers(&[4, 6], 3)).sum(Kind::Float)],
        &[&x, &gain],
        false,
        false,
    );
    let (stream, y) = norm.beside(&x).expect("a norm");
    let of_norm = Tensor::run_backward(&[(y * numbers(&[4, 6], 3)).sum(Kind::Float)], &[&x, &gain], true, false);
    assert_eq!(alone, of_norm);
    let of_stream = Tensor::run_backward(&[(stream * 2.0).sum(Kind::Float)], &[&x], false, false);
    assert_eq!(of_stream[0], x.full_like(2.0));
    assert!(alone[0].abs().max().double_value(&[]) > 0.0);
}

#[test]
fn a_graph_of_gradients_is_refused() {
    let (gain, x) = (leaf(&[6], 1, Kind::Float), leaf(&[4, 6], 2, Kind::Float));
    let y = Norm { centre: Centre::Mean, gain: &gain, bias: None, eps: EPS }.of(&x).expect("a norm");
    let again = Tensor::f_run_backward(&[y.square().sum(Kind::Float)], &[&x], true, true);
    assert!(again.expect_err("refused").to_string().contains("differentiable once"));
}

#[test]
fn threads_change_no_bit() {
    let before = tch::get_num_threads();
    let with = |threads| {
        tch::set_num_threads(threads);
        let (x, gain) = (leaf(&[1000, 70], 1, Kind::Float), leaf(&[70], 2, Kind::Float));
        let (stream, y) = Norm { centre: Centre::Mean, gain: &gain, bias: None, eps: EPS }.after(&x, &x).expect("a norm");
        (&stream * &y).sum(Kind::Float).backward();
        [y.detach(), x.grad(), gain.grad()]
    };
    let found = [1, 2, 3].map(with);
    tch::set_num_threads(before);
    assert!(found[0] == found[1] && found[1] == found[2]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (x, gain) = (numbers(&[4, 6], 1), numbers(&[5], 2));
    let of = |x: &Tensor, gain: &Tensor, bias: Option<&Tensor>| Norm { centre: Centre::Mean, gain, bias, eps: EPS }.of(x);
    assert!(of(&x, &gain, None).expect_err("refused").to_string().contains("not those of a gain"));
    let six = numbers(&[6], 2);
    assert!(of(&x, &six, Some(&gain)).is_err() && of(&x, &six, Some(&six)).is_ok());
    let norm = Norm { centre: Centre::Mean, gain: &six, bias: None, eps: EPS };
    assert!(norm.after(&x, &numbers(&[3, 6], 1)).expect_err("refused").to_string().contains("does not join"));
    assert!(norm.after(&x, &x.to_kind(Kind::BFloat16)).is_err());
}
