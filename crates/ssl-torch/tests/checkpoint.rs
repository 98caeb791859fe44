//! Activation checkpointing: the same bits for less memory, and nothing left behind when it fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ssl_torch::hook::Hook;
use ssl_torch::{checkpoint, generator, guard, memory, optimizer};
use tch::{Device, Kind, Tensor};

/// libtorch draws from one generator a process, so tests that compare draws take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(7);
    turn
}

fn leaf(shape: &[i64]) -> Tensor {
    (Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.3).set_requires_grad(true)
}

/// A layer with dropout and a weight of its own, and a weight that all layers share.
fn layer(x: &Tensor, own: &Tensor, shared: &Tensor) -> Tensor {
    x + x.matmul(own).gelu("none").dropout(0.3, true).matmul(shared)
}

/// The loss of a stack, its gradients, and what the generator draws next.
fn run(run_layer: &dyn Fn(usize, &Tensor) -> Tensor, x: &Tensor, weights: &[Tensor]) -> (Tensor, Vec<Tensor>, Tensor) {
    tch::manual_seed(11);
    optimizer::drop_grads(weights).expect("leaves");
    let h = (0..weights.len() - 1).fold(x * 1.0, |h, i| run_layer(i, &h));
    let loss = h.square().sum(Kind::Float);
    loss.backward();
    (loss.detach(), weights.iter().map(|w| w.grad().copy()).collect(), Tensor::rand([4], (Kind::Float, Device::Cpu)))
}

fn weights(layers: usize, d: i64) -> Vec<Tensor> {
    (0..=layers).map(|_| leaf(&[d, d])).collect()
}

/// The layers of `weights`, each checkpointed after what `before` does in it.
fn checkpointed(weights: &[Tensor], before: fn()) -> impl Fn(usize, &Tensor) -> Tensor {
    move |i, h| {
        let (own, shared) = (weights[i].shallow_clone(), weights[weights.len() - 1].shallow_clone());
        let part = move |x: &[Tensor]| {
            before();
            layer(&x[0], &own, &shared)
        };
        checkpoint(&[h.shallow_clone()], part).expect("a part")
    }
}

/// Counts the readings of the control.
static TIMES: AtomicUsize = AtomicUsize::new(0);

#[test]
fn loss_gradients_and_draws_are_the_same_bits_and_hooks_run_once() {
    let _turn = turn();
    let (x, weights) = (leaf(&[6, 16]), weights(4, 16));
    let plain = run(&|i, h| layer(h, &weights[i], &weights[4]), &x, &weights);
    let calls = Arc::new(AtomicUsize::new(0));
    let hooks: Vec<Hook> = weights
        .iter()
        .map(|w| {
            let calls = Arc::clone(&calls);
            Hook::new(w, move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .expect("a hook")
        })
        .collect();
    assert_eq!(run(&checkpointed(&weights, || ()), &x, &weights), plain);
    assert_eq!(calls.load(Ordering::SeqCst), 5, "one call a leaf, the shared one too");
    drop(hooks);
    // The control: one draw more the second time is a generator that was not put back.
    let (loss, grads, _) = run(
        &checkpointed(&weights, || {
            if TIMES.fetch_add(1, Ordering::SeqCst) >= 4 {
                let _ = Tensor::rand([1], (Kind::Float, Device::Cpu));
            }
        }),
        &x,
        &weights,
    );
    assert_eq!(TIMES.load(Ordering::SeqCst), 8, "each part runs twice");
    assert_eq!(loss, plain.0);
    assert!(grads.iter().zip(&plain.1).all(|(a, b)| a != b), "other dropout is another gradient");
}

#[test]
fn inputs_get_gradients_and_those_that_need_none_stay_without() {
    let _turn = turn();
    let (a, b) = (leaf(&[3]), leaf(&[3]));
    let still = Tensor::ones([3], (Kind::Float, Device::Cpu));
    let out = checkpoint(&[&a * 2.0, b.shallow_clone(), still.shallow_clone()], |x| &x[0] * &x[1] * &x[2]).expect("a part");
    out.sum(Kind::Float).backward();
    assert_eq!((a.grad(), b.grad()), ((&b * 2.0).detach(), (&a * 2.0).detach()));
    assert!(!still.grad().defined());
    // Without a gradient to come nothing is kept and the part runs once.
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let out = tch::no_grad(|| {
        checkpoint(&[a.shallow_clone()], move |x| {
            count.fetch_add(1, Ordering::SeqCst);
            &x[0] * 2.0
        })
    });
    assert!(!out.expect("a part").requires_grad());
    assert_eq!((times.load(Ordering::SeqCst), Arc::strong_count(&times)), (1, 1));
}

#[test]
fn faults_come_back_as_errors_and_closures_are_freed() {
    let _turn = turn();
    let w = leaf(&[3]);
    // Which of its two runs fails, and how.
    let shapes = || {
        let zeros = |shape: [i64; 2]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let _ = zeros([2, 3]).matmul(&zeros([4, 5]));
    };
    let fails: [(usize, fn(), &str); 4] =
        [(0, || panic!("at once"), "at once"), (0, shapes, "2x3 and 4x5"), (1, || panic!("later"), "later"), (1, shapes, "2x3")];
    for (failing, fail, expect) in fails {
        let runs = Arc::new(AtomicUsize::new(0));
        let (held, own) = (Arc::clone(&runs), w.shallow_clone());
        let made = checkpoint(&[&w * 1.0], move |x| {
            if held.fetch_add(1, Ordering::SeqCst) == failing {
                fail();
            }
            &x[0] * &own
        });
        let fault = match made {
            Err(fault) => fault,
            Ok(out) => guard(|| out.sum(Kind::Float).backward()).expect_err("it was to fail"),
        };
        assert!(fault.to_string().contains(expect), "{fault}");
        assert_eq!((runs.load(Ordering::SeqCst), Arc::strong_count(&runs)), (failing + 1, 1));
    }
    let between = &w * 2.0;
    let fault = checkpoint(&[w.shallow_clone()], move |x| &x[0] * &between).expect_err("a value that is no input");
    assert!(fault.to_string().contains("none of its inputs"), "{fault}");
    w.square().sum(Kind::Float).backward();
}

#[test]
fn a_deep_stack_holds_less_at_its_peak() {
    let _turn = turn();
    let (x, weights) = (leaf(&[256, 64]), weights(24, 64));
    let plain = |i: usize, h: &Tensor| layer(h, &weights[i], &weights[24]);
    let again = checkpointed(&weights, || ());
    let peak = |run_layer: &dyn Fn(usize, &Tensor) -> Tensor| {
        let start = Instant::now();
        let ((), peak) = memory::count(|| drop(run(run_layer, &x, &weights))).expect("a run");
        (peak as f64 / 1024.0, start.elapsed().as_secs_f64())
    };
    peak(&plain);
    let ((kept, time), (recomputed, longer)) = (peak(&plain), peak(&again));
    // A layer keeps its input and what its second and third operation read, 64 KiB each; with a checkpoint its input.
    println!("peak {kept:.0} KiB, {recomputed:.0} with checkpoints, in {:.2} of the time", longer / time);
    assert!(kept > 24.0 * 3.0 * 64.0, "{kept}: less than what is known to be there");
    assert!(recomputed > 24.0 * 64.0 && recomputed < 0.5 * kept, "{recomputed} of {kept}");
}

#[test]
fn a_generator_goes_on_from_its_state() {
    let _turn = turn();
    let draw = || Tensor::rand([5], (Kind::Float, Device::Cpu));
    let state = generator::state(Device::Cpu).expect("a state");
    let first = draw();
    assert_ne!(draw(), first);
    generator::set_state(Device::Cpu, &state).expect("it fits");
    assert_eq!(draw(), first);
    for bad in [Tensor::zeros([3], (Kind::Uint8, Device::Cpu)), state.to_kind(Kind::Float), Tensor::new()] {
        generator::set_state(Device::Cpu, &bad).expect_err("no state");
    }
    generator::state(Device::Mps).expect_err("no such generator");
    if !tch::Cuda::is_available() {
        generator::state(Device::Cuda(0)).expect_err("no such device");
        memory::device(Device::Cuda(0)).expect_err("no such device");
    }
    assert_eq!(memory::device(Device::Cpu).expect("the CPU"), None);
}
