//! The fused kernels, each beside the same thing put together from libtorch's own operations.
#![expect(missing_docs, reason = "criterion's macros make functions without documentation")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssl_torch::optimizer::{self, Adam, Lists};
use ssl_torch::{Choice, Runtime, kernels};
use tch::{Device, Kind, Reduction, Tensor};

/// Rows, width and vocabulary of a small model's output.
const SHAPE: (i64, i64, i64) = (1024, 256, 8192);

fn loss(criterion: &mut Criterion) {
    Runtime::start(Choice::Cpu, None).expect("libtorch");
    let (n, d, v) = SHAPE;
    let mut group = criterion.benchmark_group("linear cross-entropy, forward and backward");
    group.throughput(Throughput::Elements(n as u64)).sample_size(10);
    for (name, kind) in [("fp32", Kind::Float), ("bf16", Kind::BFloat16)] {
        let leaf = |shape| (Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.05).to_kind(kind).set_requires_grad(true);
        let (hidden, head) = (leaf([n, d]), leaf([v, d]));
        let targets = Tensor::randint(v, [n], (Kind::Int64, Device::Cpu));
        let weights = Tensor::ones([n], (Kind::Float, Device::Cpu));
        let clear = || optimizer::drop_grads(&[hidden.shallow_clone(), head.shallow_clone()]).expect("leaves");
        group.bench_function(format!("fused, {name}"), |bencher| {
            bencher.iter(|| {
                clear();
                kernels::linear_cross_entropy(&hidden, &head, &targets, &weights).expect("a loss").0.backward();
            });
        });
        group.bench_function(format!("libtorch, {name}"), |bencher| {
            bencher.iter(|| {
                clear();
                let logits = hidden.linear(&head, None::<&Tensor>).to_kind(Kind::Float);
                logits.cross_entropy_loss(&targets, None::<&Tensor>, Reduction::Sum, -100, 0.0).backward();
            });
        });
    }
    group.finish();
}

/// Rows, heads, tokens and features of a head.
const ATTENTION: (i64, i64, i64, i64) = (4, 6, 256, 64);

fn attention(criterion: &mut Criterion) {
    Runtime::start(Choice::Cpu, None).expect("libtorch");
    let (b, h, t, e) = ATTENTION;
    let mut group = criterion.benchmark_group("causal attention, forward and backward");
    // Two products forward and five backward, over half of the pairs.
    group.throughput(Throughput::Elements((7 * b * h * t * t * e) as u64)).sample_size(20);
    for (name, kind) in [("fp32", Kind::Float), ("bf16", Kind::BFloat16)] {
        let qkv = Tensor::randn([b, t, 3 * h * e], (Kind::Float, Device::Cpu)).to_kind(kind).set_requires_grad(true);
        let upstream = Tensor::randn([b, t, h * e], (Kind::Float, Device::Cpu)).to_kind(kind);
        let backward = |out: &Tensor| {
            optimizer::drop_grads(&[qkv.shallow_clone()]).expect("a leaf");
            Tensor::run_backward(&[(out * &upstream).sum(Kind::Float)], &[&qkv], false, false)
        };
        group.bench_function(format!("fused, {name}"), |bencher| {
            bencher.iter(|| backward(&kernels::attention_packed(&qkv, h, h, true, 0.125).expect("attention")));
        });
        group.bench_function(format!("libtorch, {name}"), |bencher| {
            bencher.iter(|| {
                let parts = qkv.split(h * e, 2);
                let heads = |i: usize| parts[i].view([b, t, h, e]).transpose(1, 2);
                let (q, k, v) = (heads(0), heads(1), heads(2));
                let out = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, true, None::<f64>, false);
                backward(&out.transpose(1, 2).reshape([b, t, h * e]))
            });
        });
    }
    group.finish();
}

/// Rows and features of a stream, and features inside its feed-forward.
const STREAM: (i64, i64, i64) = (4096, 384, 1536);

/// What stands between the products of a layer: bytes of memory read and written once, so that the rate is one of bandwidth.
fn elementwise(criterion: &mut Criterion) {
    Runtime::start(Choice::Cpu, None).expect("libtorch");
    let (n, d, wide) = STREAM;
    for (name, kind, bytes) in [("fp32", Kind::Float, 4), ("bf16", Kind::BFloat16, 2)] {
        let leaf = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind).set_requires_grad(true);
        // Gradients of 1, so that nothing but the operations and one sum is timed.
        let backward = |out: &[Tensor], leaves: &[&Tensor]| {
            for leaf in leaves {
                optimizer::drop_grads(&[leaf.shallow_clone()]).expect("a leaf");
            }
            let sums: Vec<Tensor> = out.iter().map(|out| out.sum(Kind::Float)).collect();
            Tensor::run_backward(&sums, leaves, false, false)
        };
        let (h, branch, gain) = (leaf(&[n, d]), leaf(&[n, d]), leaf(&[d]));
        let mut group = criterion.benchmark_group(format!("residual and norm, forward and backward, {name}"));
        // Forward two read and two written, backward three read and one written.
        group.throughput(Throughput::Bytes((8 * n * d * bytes) as u64)).sample_size(30);
        for (centre, norm) in [(kernels::Centre::Mean, "layer norm"), (kernels::Centre::Origin, "RMS norm")] {
            let fused = kernels::Norm { centre, gain: &gain, bias: None, eps: 1e-5 };
            group.bench_function(format!("{norm}, fused"), |bencher| {
                bencher.iter(|| {
                    let (stream, y) = fused.after(&h, &branch).expect("a norm");
                    backward(&[stream, y], &[&h, &branch, &gain])
                });
            });
            group.bench_function(format!("{norm}, libtorch"), |bencher| {
                bencher.iter(|| {
                    let stream = &h + &branch;
                    let y = match centre {
                        kernels::Centre::Mean => stream.layer_norm([d], Some(&gain), None::<&Tensor>, 1e-5, false),
                        kernels::Centre::Origin => stream.rms_norm([d], Some(&gain), 1e-5),
                    };
                    backward(&[stream, y], &[&h, &branch, &gain])
                });
            });
        }
        group.finish();
        let (gate, raise) = (leaf(&[n, wide]), leaf(&[n, wide]));
        let mut group = criterion.benchmark_group(format!("activations, forward and backward, {name}"));
        // GELU: one read and one written, two read and one written; SwiGLU: two and one, three and two.
        for (title, gated, moved) in [("GELU", false, 5), ("SwiGLU", true, 8)] {
            group.throughput(Throughput::Bytes((moved * n * wide * bytes) as u64)).sample_size(30);
            group.bench_function(format!("{title}, fused"), |bencher| {
                bencher.iter(|| {
                    if gated {
                        let y = kernels::Activation::Silu.gate(&gate, &raise).expect("a gate");
                        backward(&[y], &[&gate, &raise])
                    } else {
                        backward(&[kernels::Activation::Gelu.of(&gate).expect("an activation")], &[&gate])
                    }
                });
            });
            group.bench_function(format!("{title}, libtorch"), |bencher| {
                bencher.iter(|| {
                    if gated {
                        backward(&[gate.silu() * &raise], &[&gate, &raise])
                    } else {
                        backward(&[gate.gelu("none")], &[&gate])
                    }
                });
            });
        }
        group.finish();
    }
}

fn adamw(criterion: &mut Criterion) {
    let tensors = |n: usize| (0..n).map(|_| Tensor::randn([512, 512], (Kind::Float, Device::Cpu))).collect::<Vec<_>>();
    let (params, grads, means, squares) = (tensors(16), tensors(16), tensors(16), tensors(16));
    let squares: Vec<Tensor> = squares.iter().map(Tensor::square).collect();
    let mut group = criterion.benchmark_group("AdamW step");
    group.throughput(Throughput::Elements(16 * 512 * 512)).sample_size(20);
    group.bench_function("fused", |bencher| {
        let lists = Lists { params: &params, leaves: &params, grads: &grads };
        let step = Adam { lr: 1e-6, beta1: 0.9, beta2: 0.95, eps: 1e-8, step: 10, scale: 1.0 };
        bencher.iter(|| optimizer::adam(&lists, &means, &squares, &[0.1; 16], &[0.0; 16], &step).expect("a step"));
    });
    group.bench_function("libtorch, tensor by tensor", |bencher| {
        bencher.iter(|| {
            for (((p, g), m), v) in params.iter().zip(&grads).zip(&means).zip(&squares) {
                let (mut p, mut m, mut v) = (p.shallow_clone(), m.shallow_clone(), v.shallow_clone());
                m *= 0.9;
                m += g * 0.1;
                v *= 0.95;
                v += g * g * 0.05;
                p *= 1.0 - 1e-7;
                p -= m * 1e-6 / (v.sqrt() + 1e-8);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, loss, attention, elementwise, adamw);
criterion_main!(benches);
