//! Turned heads against the same by libtorch's own operations in fp64, with their gradients.

use ssl_torch::kernels::rotate;
use tch::{Device, Kind, Tensor};

fn numbers(shape: &[i64], seed: f64) -> Tensor {
    let at = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    let noise: Tensor = (at * 12.9898 + seed * 78.233).sin() * 2.0;
    noise.reshape(shape)
}

fn plainly(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
    let halves = x.chunk(2, -1);
    x * cos + Tensor::cat(&[&halves[1].neg(), &halves[0]], -1) * sin
}

#[test]
fn heads_turn_and_gradients_turn_back() {
    for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 1.5e-2)] {
        for (b, h, t, e, own) in [(1, 1, 1, 2, 1), (2, 3, 5, 16, 1), (2, 4, 33, 64, 2), (1, 2, 7, 38, 1)] {
            let angles = numbers(&[own, 1, t, e / 2], 0.3) * 3.0;
            let angles = Tensor::cat(&[&angles, &angles], -1);
            // What the kernel reads is what the reference reads.
            let [x, cos, sin, d_y] =
                [numbers(&[b, t, h, e], 0.1).transpose(1, 2), angles.cos(), angles.sin(), numbers(&[b, h, t, e], 0.7)]
                    .map(|x| x.to_kind(kind));
            let wide = |x: &Tensor| x.to_kind(Kind::Double).detach();
            let (ours, theirs) = (x.detach().set_requires_grad(true), wide(&x).set_requires_grad(true));
            let y = rotate(&ours, &cos, &sin).expect("turned");
            let expected = plainly(&theirs, &wide(&cos), &wide(&sin));
            let far = |a: &Tensor, b: &Tensor| (wide(a) - b).abs().max().double_value(&[]);
            assert!(far(&y, &expected) < tolerance, "{kind:?} {e}: {}", far(&y, &expected));
            (&y * &d_y).sum(Kind::Double).backward();
            (&expected * wide(&d_y)).sum(Kind::Double).backward();
            let off = far(&ours.grad(), &theirs.grad());
            assert!(off < tolerance, "{kind:?} {e}, gradients: {off}");
            // Without a gradient it is the same.
            assert_eq!(tch::no_grad(|| rotate(&x, &cos, &sin)).expect("turned"), y.detach());
        }
    }
}

#[test]
fn what_does_not_meet_is_refused() {
    let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let angles = of(&[1, 1, 4, 6]);
    assert!(rotate(&of(&[2, 3, 4, 6]), &angles, &angles).is_ok());
    for shape in [&[2, 3, 5, 6][..], &[2, 3, 4, 5], &[3, 4, 6], &[2, 3, 4, 8]] {
        assert!(rotate(&of(shape), &angles, &angles).is_err(), "{shape:?}");
    }
    assert!(rotate(&of(&[2, 3, 4, 6]), &angles, &of(&[1, 1, 4, 8])).is_err());
    assert!(rotate(&of(&[2, 3, 4, 6]), &angles, &angles.to_kind(Kind::Double)).is_err());
    assert!(rotate(&of(&[2, 3, 4, 6]), &of(&[3, 1, 4, 6]), &of(&[3, 1, 4, 6])).is_err());
}
