//! What runs on a CUDA device: our kernels against fp64 on the CPU, recordings, and collectives of one rank over NCCL.
//!
//! Without a GPU every test says that it is skipped.

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use ssl_torch::graph::Graph;
use ssl_torch::group::{Group, Seat, Store};
use ssl_torch::kernels::{self, Activation, Centre, Norm};
use ssl_torch::optimizer::{self, Adam, Lists, Sgd};
use ssl_torch::{Choice, Runtime, generator, memory};
use tch::{Device, Kind, Tensor};

/// One test at a time: libtorch has one generator, and a recording does not bear much beside it.
#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
fn device() -> Option<(Device, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Runtime::start(Choice::Cuda(0), None).ok().map(|runtime| runtime.device()));
    if device.is_none() {
        println!("skipped: there is no CUDA device");
    }
    device.map(|device| (device, TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)))
}

/// Numbers that are the same each time, without libtorch's generator.
fn numbers(shape: &[i64], seed: i64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let at = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898 + seed as f64 * 78.233;
    let noise: Tensor = at.sin() * 43_758.545_3;
    (noise.frac() * 3.0 + 0.5).to_kind(Kind::Float).reshape(shape)
}

/// A leaf on the device, and the same numbers in fp64 on the CPU.
fn leaf(shape: &[i64], seed: i64, kind: Kind, device: Device) -> (Tensor, Tensor) {
    let host = numbers(shape, seed).to_kind(kind);
    (host.to_device(device).set_requires_grad(true), host.to_kind(Kind::Double).set_requires_grad(true))
}

fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    largest(&(found.to_device(Device::Cpu).to_kind(Kind::Double) - expected)) / largest(expected).max(1e-30)
}

#[track_caller]
fn close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let distance = relative(found, expected);
    assert!(distance < tolerance, "{what}: {distance}");
}

/// Backward from both, each weighted by the same numbers.
fn backward(found: &Tensor, expected: &Tensor) {
    let weight = numbers(&expected.size(), 99);
    (found * weight.to_device(found.device()).to_kind(found.kind())).sum(Kind::Float).backward();
    (expected * weight.to_kind(found.kind()).to_kind(Kind::Double)).sum(Kind::Double).backward();
}

const TYPES: [(Kind, f64); 2] = [(Kind::Float, 2e-5), (Kind::BFloat16, 2e-2)];

#[test]
fn norms_are_those_of_fp64() {
    let Some((device, _turn)) = device() else { return };
    for (kind, tolerance) in TYPES {
        for (n, d) in [(1, 8), (3, 5), (130, 33), (2049, 384), (700, 768), (9, 2048), (5, 4096)] {
            for (centre, with_branch, with_bias) in [
                (Centre::Mean, true, true),
                (Centre::Mean, false, false),
                (Centre::Origin, true, false),
                (Centre::Origin, false, true),
            ] {
                let [x, branch, gain, bias] = [(&[n, d][..], 1), (&[n, d][..], 2), (&[d][..], 3), (&[d][..], 4)]
                    .map(|(shape, seed)| leaf(shape, seed, kind, device));
                let ours = Norm { centre, gain: &gain.0, bias: with_bias.then_some(&bias.0), eps: 1e-5 };
                let (stream, y) =
                    if with_branch { ours.after(&x.0, &branch.0).expect("a norm") } else { ours.beside(&x.0).expect("a norm") };
                let sum = if with_branch { &x.1 + &branch.1 } else { x.1.shallow_clone() };
                let centred = match centre {
                    Centre::Mean => &sum - sum.mean_dim(-1, true, Kind::Double),
                    Centre::Origin => sum.shallow_clone(),
                };
                let mut expected: Tensor = &centred / (centred.square().mean_dim(-1, true, Kind::Double) + 1e-5).sqrt() * &gain.1;
                if with_bias {
                    expected += &bias.1;
                }
                let what = format!("{centre:?} of {n} x {d}, branch {with_branch}, {kind:?}");
                close(&stream, &sum, tolerance, &what);
                close(&y, &expected, tolerance, &what);
                backward(&(stream + y), &(sum + expected));
                let used = [(&x, true), (&branch, with_branch), (&gain, true), (&bias, with_bias)];
                for (leaf, _) in used.into_iter().filter(|(_, used)| *used) {
                    close(&leaf.0.grad(), &leaf.1.grad(), tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn activations_are_those_of_fp64() {
    let Some((device, _turn)) = device() else { return };
    for (kind, tolerance) in TYPES {
        for f in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            for (n, d) in [(1, 1), (7, 13), (300, 3072)] {
                // Halves of one tensor: rows that lie apart.
                let (both, wide) = leaf(&[n, 2 * d], 1, kind, device);
                let plain = |x: &Tensor| match f {
                    Activation::Gelu => x.gelu("none"),
                    Activation::GeluTanh => x.gelu("tanh"),
                    Activation::Silu => x.silu(),
                };
                let (gate, up) = (both.narrow(1, 0, d), both.narrow(1, d, d));
                let found = f.gate(&gate, &up).expect("a gate") + f.of(&up).expect("an activation");
                let expected = plain(&wide.narrow(1, 0, d)) * wide.narrow(1, d, d) + plain(&wide.narrow(1, d, d));
                let what = format!("{f:?} of {n} x {d}, {kind:?}");
                close(&found, &expected, tolerance, &what);
                backward(&found, &expected);
                close(&both.grad(), &wide.grad(), tolerance, &what);
            }
        }
    }
}

#[test]
fn the_loss_is_that_of_fp64() {
    let Some((device, _turn)) = device() else { return };
    for (kind, tolerance) in TYPES {
        for (n, d, v) in [(1, 8, 2), (33, 16, 65), (200, 64, 50_304)] {
            // Logits of a few units: what bf16 rounds off them is not what is looked for.
            let small = |shape: &[i64], seed: i64| {
                let host = (numbers(shape, seed) * 0.1).to_kind(kind);
                (host.to_device(device).set_requires_grad(true), host.to_kind(Kind::Double).set_requires_grad(true))
            };
            let (hidden, wide_hidden) = small(&[n, d], 1);
            let (head, wide_head) = small(&[v, d], 2);
            let targets = (Tensor::arange(n, (Kind::Int64, Device::Cpu)) * 7).remainder(v);
            let weights = numbers(&[n], 3).abs();
            let (total, nats) =
                kernels::linear_cross_entropy(&hidden, &head, &targets.to_device(device), &weights.to_device(device))
                    .expect("a loss");
            let logits = wide_hidden.mm(&wide_head.tr());
            let expected = -logits.log_softmax(-1, Kind::Double).gather(1, &targets.unsqueeze(1), false).squeeze_dim(1);
            let expected_total = (&expected * weights.to_kind(Kind::Double)).sum(Kind::Double);
            let what = format!("{n} x {d} x {v}, {kind:?}");
            close(&nats, &expected, tolerance, &what);
            close(&total, &expected_total, tolerance, &what);
            total.backward();
            expected_total.backward();
            close(&hidden.grad(), &wide_hidden.grad(), tolerance, &what);
            close(&head.grad(), &wide_head.grad(), tolerance, &what);
        }
    }
    let small = |n: i64| numbers(&[n, 4], 1).to_device(device);
    let target = Tensor::from_slice(&[5_i64]).to_device(device);
    let weight = Tensor::ones([1], (Kind::Float, device));
    let (_, nats) = kernels::linear_cross_entropy(&small(1), &small(3), &target, &weight).expect("a loss");
    assert!(nats.double_value(&[0]).is_nan(), "a target outside of the vocabulary is told");
}

#[test]
fn attention_is_that_of_fp64() {
    let Some((device, _turn)) = device() else { return };
    for (kind, tolerance) in TYPES {
        for (b, h, g, t, e) in [(2, 4, 4, 33, 16), (1, 6, 2, 128, 64), (2, 3, 3, 17, 8)] {
            for causal in [true, false] {
                let (qkv, wide) = leaf(&[b, t, (h + 2 * g) * e], 1, kind, device);
                let scale = 1.0 / (e as f64).sqrt();
                let found = kernels::attention_packed(&qkv, h, g, causal, scale).expect("attention");
                let heads = wide.view([b, t, h + 2 * g, e]).transpose(1, 2);
                let part =
                    |from: i64, count: i64, times: i64| heads.narrow(1, from, count).repeat_interleave_self_int(times, 1, None);
                let (q, k, v) = (part(0, h, 1), part(h, g, h / g), part(h + g, g, h / g));
                let mut scores = q.matmul(&k.transpose(2, 3)) * scale;
                if causal {
                    let hidden = Tensor::ones([t, t], (Kind::Bool, Device::Cpu)).triu(1);
                    scores = scores.masked_fill(&hidden, f64::NEG_INFINITY);
                }
                let expected = scores.softmax(-1, Kind::Double).matmul(&v).transpose(1, 2).reshape([b, t, h * e]);
                let what = format!("{b} x {h}/{g} heads of {t} x {e}, causal {causal}, {kind:?}");
                close(&found, &expected, tolerance, &what);
                backward(&found, &expected);
                close(&qkv.grad(), &wide.grad(), tolerance, &what);
                let again = qkv.grad().copy();
                let _ = qkv.grad().zero_();
                backward(
                    &kernels::attention_packed(&qkv, h, g, causal, scale).expect("attention"),
                    &expected.detach().set_requires_grad(true),
                );
                assert_eq!(qkv.grad(), again, "the same bits each time: {what}");
            }
        }
    }
}

#[test]
fn optimizers_are_those_of_the_cpu() {
    let Some((device, _turn)) = device() else { return };
    // More tensors than one launch takes, of sizes that chunks do not divide.
    let sizes: Vec<i64> = (0..60).map(|i| if i == 7 { 70_001 } else { 1 + 37 * i }).collect();
    for kind in [Kind::Float, Kind::BFloat16] {
        let lists = |on: Device| {
            let all = |seed: i64| -> Vec<Tensor> { sizes.iter().map(|&n| numbers(&[n], seed).to_device(on)).collect() };
            let params = all(1);
            let leaves: Vec<Tensor> = match kind {
                Kind::Float => params.iter().map(Tensor::shallow_clone).collect(),
                _ => params.iter().map(|p| p.to_kind(kind)).collect(),
            };
            let grads: Vec<Tensor> = all(2).iter().map(|g| g.to_kind(kind)).collect();
            let moments = || sizes.iter().map(|&n| Tensor::zeros([n], (Kind::Float, on))).collect::<Vec<_>>();
            (params, leaves, grads, moments(), moments())
        };
        let (decay, coupled) = (vec![0.1; sizes.len()], vec![0.01; sizes.len()]);
        let run = |on: Device| {
            let (params, leaves, grads, ms, vs) = lists(on);
            let all = Lists { params: &params, leaves: &leaves, grads: &grads };
            for step in 1..=3 {
                let a = Adam { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, step, scale: 0.5 };
                optimizer::adam(&all, &ms, &vs, &decay, &coupled, &a).expect("a step");
            }
            let s = Sgd { lr: 0.01, momentum: 0.9, nesterov: true, scale: 0.5 };
            optimizer::sgd(&all, &ms, &coupled, &s).expect("a step");
            optimizer::accumulate(&vs, &grads).expect("a sum");
            let norm = optimizer::norm(&grads).expect("a norm");
            let flat = |list: &[Tensor]| Tensor::cat(list, 0).to_device(Device::Cpu).to_kind(Kind::Double);
            (flat(&params), flat(&leaves), flat(&vs), norm)
        };
        let (found, expected) = (run(device), run(Device::Cpu));
        close(&found.0, &expected.0, 1e-6, "weights");
        close(&found.1, &expected.1, if kind == Kind::Float { 1e-6 } else { 8e-3 }, "the model's own weights");
        close(&found.2, &expected.2, 1e-6, "sums");
        assert!((found.3 / expected.3 - 1.0).abs() < 1e-6, "the length is {} beside {}", found.3, expected.3);
    }
}

#[test]
fn a_recording_reads_its_inputs_anew_each_time() {
    let Some((device, _turn)) = device() else { return };
    let input = numbers(&[64, 32], 1).to_device(device);
    let (weight, _) = leaf(&[32, 32], 2, Kind::Float, device);
    let work = || Ok(input.mm(&weight).dropout(0.5, true));
    let _ = tch::no_grad(|| work().expect("a product"));
    let plain = |seed: i64| {
        tch::manual_seed(seed);
        tch::no_grad(|| work().expect("a product")).to_device(Device::Cpu)
    };
    let (graph, output) = tch::no_grad(|| Graph::record(device, work)).expect("a recording");
    let replayed = |seed: i64| {
        tch::manual_seed(seed);
        graph.replay().expect("a replay");
        output.to_device(Device::Cpu)
    };
    for seed in [1, 2] {
        tch::no_grad(|| input.shallow_clone().copy_(&numbers(&[64, 32], 10 + seed)));
        assert_eq!(replayed(seed), plain(seed), "product and dropout are those of the same seed");
    }
    assert_ne!(replayed(1), replayed(2));
    let fault = Graph::record(device, || ssl_torch::guard(|| output.matmul(&Tensor::ones([7], (Kind::Float, device)))));
    assert!(fault.is_err(), "work that fails is no recording");
    assert_eq!(plain(3), replayed(3), "the device is usable after a fault");
}

#[test]
fn the_generator_goes_on_from_a_state() {
    let Some((device, _turn)) = device() else { return };
    let draw = || Tensor::rand([100], (Kind::Float, device));
    tch::manual_seed(5);
    let _ = draw();
    let state = generator::state(device).expect("a state");
    let first = draw();
    generator::set_state(device, &state).expect("its own state");
    assert_eq!(draw(), first);
    let held = memory::device(device).expect("a device").expect("its memory");
    assert!(held.peak >= held.held && held.held > 0);
}

#[test]
fn one_rank_over_nccl_is_its_own_sum() {
    let Some((device, _turn)) = device() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let seat = Seat { rank: 0, world: 1 };
    let store = Store::file(&dir.path().join("store"), seat, Duration::from_secs(20)).expect("a store");
    let group = Group::join(store, None).expect("a group").on(device).expect("a group over NCCL");
    let x = numbers(&[1000], 1).to_device(device);
    let before = x.copy();
    group.all_reduce(&x).expect("begun").wait().expect("a sum");
    group.broadcast(&x, 0).expect("begun").wait().expect("a broadcast");
    group.reduce(&x, 0).expect("begun").wait().expect("a sum");
    assert_eq!(x, before);
    let all = x.zeros_like();
    group.all_gather(&all, &x).expect("begun").wait().expect("a gathering");
    assert_eq!(all, before);
    let own = x.zeros_like();
    group.reduce_scatter(&own, &all).expect("begun").wait().expect("a scattered sum");
    assert_eq!(own, before);
    assert!(group.all_reduce(&numbers(&[3], 1)).is_err(), "a tensor of the CPU is refused");
}
