//! Attention against the same arithmetic in fp64, written with libtorch's own operations.

use ssl_torch::kernels::{attention, attention_packed};
use tch::{Device, Kind, Tensor};

/// Rows, heads of queries, heads of keys, queries, keys, features.
type Shape = (i64, i64, i64, i64, i64, i64);

/// Odd sizes on purpose: neither blocks of queries nor tiles nor vectors divide them.
const SHAPES: [(Shape, bool); 11] = [
    ((2, 4, 4, 64, 64, 32), true),
    ((1, 6, 6, 256, 256, 64), true),
    ((1, 2, 2, 300, 300, 20), true),
    ((3, 4, 2, 33, 33, 16), true),
    ((2, 6, 1, 7, 7, 12), false),
    ((2, 2, 2, 1, 70, 64), false),
    ((1, 3, 3, 65, 161, 5), false),
    ((1, 1, 1, 129, 129, 1), true),
    ((2, 2, 2, 1, 1, 8), true),
    ((1, 4, 2, 161, 161, 34), true),
    ((1, 2, 2, 65, 131, 40), false),
];

/// Numbers that are the same each time, without libtorch's generator.
fn numbers(shape: &[i64], seed: i64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let at = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898 + seed as f64 * 78.233;
    let noise: Tensor = at.sin() * 43_758.545_3;
    ((noise.frac() * 3.0).to_kind(Kind::Float)).reshape(shape)
}

/// The result and the three gradients in fp64, with the scores of all queries.
fn reference(inputs: &[Tensor; 3], upstream: &Tensor, causal: bool, scale: f64) -> [Tensor; 4] {
    let [q, k, v] = inputs.each_ref().map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
    let (b, h, t, e) = q.size4().expect("four axes");
    let times = h / k.size()[1];
    let repeat = |x: &Tensor| x.repeat_interleave_self_int(times, 1, None::<i64>);
    let mut scores = q.matmul(&repeat(&k).transpose(2, 3)) * scale;
    if causal {
        let hidden = Tensor::ones([t, t], (Kind::Bool, Device::Cpu)).triu(1);
        scores = scores.masked_fill(&hidden, f64::NEG_INFINITY);
    }
    let out = scores.softmax(-1, Kind::Double).matmul(&repeat(&v)).transpose(1, 2).reshape([b, t, h * e]);
    (&out * upstream.to_kind(Kind::Double)).sum(Kind::Double).backward();
    [out.detach(), q.grad(), k.grad(), v.grad()]
}

/// The largest difference over the largest value.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    largest(&(found.to_kind(Kind::Double) - expected)) / largest(expected).max(1e-30)
}

fn check((b, h, g, t, s, e): Shape, causal: bool, kind: Kind, tolerance: f64) {
    // Stored as linear maps leave them, so that heads are not side by side.
    let make = |heads: i64, length: i64, seed| numbers(&[b, length, heads * e], seed).to_kind(kind);
    let split = |x: &Tensor, heads: i64| x.view([b, -1, heads, e]).transpose(1, 2);
    let leaves = [make(h, t, 1), make(g, s, 2), make(g, s, 3)].map(|x| x.set_requires_grad(true));
    let [q, k, v] = [split(&leaves[0], h), split(&leaves[1], g), split(&leaves[2], g)];
    let upstream = numbers(&[b, t, h * e], 4).to_kind(kind);
    let scale = 0.7 / (e as f64).sqrt();
    let expected = reference(&[q.shallow_clone(), k.shallow_clone(), v.shallow_clone()], &upstream, causal, scale);
    let close = |found: &Tensor, expected: &Tensor, what: &str| {
        let distance = relative(found, expected);
        assert!(distance < tolerance, "{what} of {:?}, causal {causal}, {kind:?}: {distance}", (b, h, g, t, s, e));
    };
    let out = attention(&q, &k, &v, causal, scale).expect("attention");
    (&out * &upstream).sum(Kind::Float).backward();
    close(&out, &expected[0], "the result");
    for ((leaf, expected), (heads, what)) in leaves.iter().zip(&expected[1..]).zip([(h, "d q"), (g, "d k"), (g, "d v")]) {
        close(&split(&leaf.grad(), heads), expected, what);
    }
    if t == s {
        let qkv = Tensor::cat(&leaves.each_ref().map(Tensor::detach), 2).set_requires_grad(true);
        let packed = attention_packed(&qkv, h, g, causal, scale).expect("attention");
        (&packed * &upstream).sum(Kind::Float).backward();
        // The same numbers by the same operations.
        assert_eq!(packed, out);
        assert_eq!(qkv.grad(), Tensor::cat(&leaves.each_ref().map(Tensor::grad), 2));
    }
}

#[test]
fn result_and_gradients_are_those_of_fp64() {
    for (shape, causal) in SHAPES {
        check(shape, causal, Kind::Float, 5e-6);
    }
}

#[test]
fn bf16_is_rounded_where_it_is_stored_or_multiplied() {
    for (shape, causal) in SHAPES {
        // Half a unit in the last of 8 bits; gradients also read the rounded result.
        check(shape, causal, Kind::BFloat16, 1e-2);
    }
}

const KINDS: [Kind; 2] = [Kind::Float, Kind::BFloat16];

#[test]
fn what_comes_after_a_query_changes_nothing() {
    for kind in KINDS {
        let shape = [1, 2, 90, 16];
        let [q, k, v] = [1, 2, 3].map(|seed| numbers(&shape, seed).to_kind(kind));
        let before = attention(&q, &k, &v, true, 0.25).expect("attention");
        for x in [&k, &v] {
            let _ = x.narrow(2, 40, 50).fill_(1e30);
        }
        let after = attention(&q, &k, &v, true, 0.25).expect("attention");
        assert_eq!(before.narrow(1, 0, 40), after.narrow(1, 0, 40));
        assert_ne!(before.narrow(1, 40, 50), after.narrow(1, 40, 50));
    }
}

#[test]
fn large_scores_overflow_nothing() {
    for kind in KINDS {
        for (features, scale) in [(8, 1.0), (96, 96_f64.powf(-0.5))] {
            let q = (numbers(&[1, 1, 40, features], 1) * 2e4).to_kind(kind);
            let v = numbers(&[1, 1, 40, features], 2).to_kind(kind);
            let out = attention(&q, &q, &v, true, scale).expect("attention");
            assert!(out.isfinite().all().int64_value(&[]) == 1, "{kind:?}, {features} features");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for kind in KINDS {
        let leaves = [1, 2, 3].map(|seed| numbers(&[2, 3, 100, 24], seed).to_kind(kind).set_requires_grad(true));
        let before = tch::get_num_threads();
        let with = |threads| {
            tch::set_num_threads(threads);
            let out = attention(&leaves[0], &leaves[1], &leaves[2], true, 0.2).expect("attention");
            let grads = Tensor::run_backward(&[out.square().sum(Kind::Float)], &leaves, false, false);
            (out.detach(), grads)
        };
        let (one, three) = (with(1), with(3));
        tch::set_num_threads(before);
        assert_eq!(one, three);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = |shape: [i64; 4]| numbers(&shape, 1);
    let refused = |q: &Tensor, k: &Tensor, v: &Tensor, causal, word: &str| {
        let fault = attention(q, k, v, causal, 1.0).expect_err(word).to_string();
        assert!(fault.contains(word), "{fault}");
    };
    refused(&x([1, 2, 3, 4]), &x([1, 2, 3, 5]), &x([1, 2, 3, 5]), false, "do not meet");
    refused(&x([1, 3, 3, 4]), &x([1, 2, 3, 4]), &x([1, 2, 3, 4]), false, "do not meet");
    refused(&x([1, 2, 3, 4]), &x([1, 2, 5, 4]), &x([1, 2, 5, 4]), true, "as many keys as queries");
    refused(&x([1, 2, 3, 4]), &x([1, 2, 0, 4]), &x([1, 2, 0, 4]), false, "a key");
    refused(&x([1, 2, 3, 0]), &x([1, 2, 3, 0]), &x([1, 2, 3, 0]), false, "a feature");
    let one = x([1, 2, 3, 4]);
    assert!(attention(&one, &one, &one, true, -0.5).is_err());
    refused(&x([1, 2, 3, 4]), &x([1, 2, 3, 4]).to_kind(Kind::Double), &x([1, 2, 3, 4]), false, "fp32");
    let qkv = numbers(&[1, 2, 10], 1);
    assert!(attention_packed(&qkv, 2, 2, true, 1.0).is_err());
    assert!(attention_packed(&qkv, 0, 1, true, 1.0).is_err());
}
