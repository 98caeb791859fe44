//! Activations against libtorch's own in fp64.

use ssl_torch::kernels::Activation;
use tch::{Device, Kind, Tensor};

const ALL: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Silu];

/// From far below to far above where the functions bend, and the same each time; `seed` is where the ends lie.
fn numbers(shape: &[i64], seed: f64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let steps = (Tensor::arange(n, (Kind::Double, Device::Cpu)) * 0.618_034 + seed).frac();
    ((steps - 0.5) * 24.0).to_kind(Kind::Float).reshape(shape)
}

fn reference(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Silu => x.silu(),
    }
}

/// Values and gradients; differences are told beside what is of the order of 1, since these functions grow like `x`.
fn check(activation: Activation, shape: &[i64], kind: Kind, tolerance: f64) {
    let leaves = [numbers(shape, 0.1), numbers(shape, 0.7)].map(|x| x.to_kind(kind).set_requires_grad(true));
    let upstream = (numbers(shape, 0.3) / 6.0).to_kind(kind);
    for gated in [false, true] {
        let wide = leaves.each_ref().map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
        let [x, up] = &leaves;
        let found = if gated { activation.gate(x, up) } else { activation.of(x) }.expect("an activation");
        let alone = reference(activation, &wide[0]);
        let expected = if gated { alone * &wide[1] } else { alone };
        let close = |found: &Tensor, expected: &Tensor, what: &str| {
            let distance = ((found.to_kind(Kind::Double) - expected).abs() / (expected.abs() + 1.0)).max().double_value(&[]);
            assert!(distance < tolerance, "{what} of {activation:?} {shape:?}, gated {gated}, {kind:?}: {distance}");
        };
        close(&found, &expected, "the value");
        let grads = Tensor::run_backward(&[(&found * &upstream).sum(Kind::Double)], &leaves[..=usize::from(gated)], false, false);
        (expected * upstream.to_kind(Kind::Double)).sum(Kind::Double).backward();
        for (found, (wide, what)) in grads.iter().zip(wide.iter().zip(["d x", "d up"])) {
            close(found, &wide.grad(), what);
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_fp64() {
    for activation in ALL {
        for shape in [&[1][..], &[5, 3], &[2, 7, 33], &[40, 1000], &[3, 20_000]] {
            check(activation, shape, Kind::Float, 2e-6);
        }
    }
}

#[test]
fn bf16_is_rounded_where_it_is_stored() {
    for activation in ALL {
        check(activation, &[40, 1001], Kind::BFloat16, 4e-3);
    }
}

#[test]
fn other_types_go_to_libtorch() {
    for activation in ALL {
        check(activation, &[5, 9], Kind::Double, 1e-14);
    }
}

#[test]
fn halves_of_a_row_are_read_where_they_lie() {
    let both = numbers(&[6, 4, 50], 0.2).set_requires_grad(true);
    let parts = both.chunk(2, -1);
    let found = Activation::Silu.gate(&parts[0], &parts[1]).expect("a gate");
    let apart = Activation::Silu.gate(&parts[0].contiguous(), &parts[1].contiguous()).expect("a gate");
    assert_eq!(found, apart);
    let grad = |y: &Tensor| Tensor::run_backward(&[y.square().sum(Kind::Float)], &[&both], true, false);
    assert_eq!(grad(&found), grad(&apart));
}

#[test]
fn ends_of_the_range_stay_finite_and_nan_stays_nan() {
    let x = Tensor::from_slice(&[-1e30_f32, -1e4, -100.0, -0.0, 0.0, 100.0, 1e4]).set_requires_grad(true);
    for activation in ALL {
        let y = activation.of(&x).expect("an activation");
        let values = Vec::<f32>::try_from(&y.detach()).expect("floats");
        assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 1e4], "{activation:?}");
        let grad = Tensor::run_backward(&[y.sum(Kind::Float)], &[&x], false, false);
        let grad = Vec::<f32>::try_from(&grad[0]).expect("floats");
        for (grad, expected) in grad.iter().zip([0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0]) {
            assert!((grad - expected).abs() < 1e-6, "{activation:?}: {grad} beside {expected}");
        }
        for kind in [Kind::Float, Kind::BFloat16] {
            let nan = Tensor::from_slice(&[f32::NAN; 3]).to_kind(kind);
            assert!(
                bool::try_from(activation.of(&nan).expect("an activation").isnan().all()).expect("a truth"),
                "{activation:?}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = numbers(&[4, 6], 0.1);
    let fault = Activation::Silu.gate(&x, &numbers(&[4, 5], 0.1)).expect_err("refused").to_string();
    assert!(fault.contains("does not meet"), "{fault}");
    assert!(Activation::Silu.gate(&x, &x.to_kind(Kind::BFloat16)).is_err());
}
