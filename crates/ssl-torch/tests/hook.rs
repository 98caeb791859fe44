//! Hooks on gradients: when they run, what they may do, and that nothing of them stays behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ssl_torch::hook::Hook;
use ssl_torch::{Error, guard, optimizer};
use tch::{Device, Kind, Tensor};

fn leaf(value: f64) -> Tensor {
    Tensor::full([3], value, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.try_into().expect("numbers")
}

/// A hook that goes wrong.
type Fails = fn() -> Result<(), Error>;

#[test]
fn a_hook_runs_once_a_pass_when_the_whole_gradient_is_there() {
    let w = leaf(2.0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&seen);
    let hook = Hook::new(&w, move |w| {
        store.lock().expect("unpoisoned").push(numbers(&w.grad()));
        Ok(())
    })
    .expect("a hook");
    // Two ways lead from the leaf to the sum: 2 w + 3.
    let sum = || (&w * &w + &w * 3.0).sum(Kind::Float);
    sum().backward();
    sum().backward();
    assert_eq!(*seen.lock().expect("unpoisoned"), [vec![7.0; 3], vec![14.0; 3]]);
    drop(hook);
    sum().backward();
    assert_eq!(seen.lock().expect("unpoisoned").len(), 2, "a hook ends with its handle");
    assert_eq!(Arc::strong_count(&seen), 1, "and its closure is freed");
}

#[test]
fn a_hook_may_move_its_weight_and_forget_the_gradient() {
    let w = leaf(2.0);
    let _hook = Hook::new(&w, |w| {
        tch::no_grad(|| {
            let _ = w.shallow_clone().g_sub_(&(w.grad() * 0.5));
        });
        optimizer::drop_grads(&[w.shallow_clone()])
    })
    .expect("a hook");
    w.square().sum(Kind::Float).backward();
    assert_eq!(numbers(&w.detach()), [0.0; 3]);
    assert!(!w.grad().defined());
}

#[test]
fn errors_and_panics_of_a_hook_end_the_pass_with_their_text() {
    let w = leaf(1.0);
    let pass = || guard(|| w.square().sum(Kind::Float).backward());
    let fails: [(&str, Fails); 4] = [
        ("no such device", || Err(Error::Device { device: "cuda:9".into(), reason: "no such device".into() })),
        ("out of patience", || panic!("out of patience")),
        ("2x3 and 4x5", || {
            let zeros = |shape: [i64; 2]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            let _ = zeros([2, 3]).matmul(&zeros([4, 5]));
            Ok(())
        }),
        ("tried to allocate", || {
            let _ = Tensor::zeros([1 << 46], (Kind::Float, Device::Cpu));
            Ok(())
        }),
    ];
    for (expect, fail) in fails {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let hook = Hook::new(&w, move |_| {
            let _ = &inside;
            fail()
        })
        .expect("a hook");
        let fault = pass().expect_err("it was to fail");
        assert!(fault.to_string().contains(expect), "{fault}");
        assert_eq!(matches!(fault, Error::OutOfMemory { .. }), expect == "tried to allocate", "{fault}");
        drop(hook);
        assert_eq!(Arc::strong_count(&held), 1);
        pass().expect("the leaf is usable again");
    }
}

#[test]
fn only_leaves_that_get_a_gradient_have_one_hook() {
    let held = Arc::new(());
    let hook = |tensor: &Tensor| {
        let inside = Arc::clone(&held);
        Hook::new(tensor, move |_| {
            let _ = &inside;
            Ok(())
        })
    };
    let w = leaf(1.0);
    let first = hook(&w).expect("a hook");
    for (tensor, expect) in [
        (w.shallow_clone(), "already"),
        (&w * 2.0, "leaf"),
        (Tensor::zeros([1], (Kind::Float, Device::Cpu)), "leaf"),
        (Tensor::new(), "leaf"),
    ] {
        let fault = hook(&tensor).expect_err("refused").to_string();
        assert!(fault.contains(expect), "{fault}");
    }
    assert_eq!(Arc::strong_count(&held), 2, "closures of refused hooks are freed");
    drop(first);
    drop(hook(&w).expect("there is room again"));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_hook_that_takes_itself_away_runs_to_its_end() {
    let w = leaf(1.0);
    let own: Arc<Mutex<Option<Hook>>> = Arc::default();
    let done = Arc::new(AtomicUsize::new(0));
    let (inside, count) = (Arc::clone(&own), Arc::clone(&done));
    let hook = Hook::new(&w, move |w| {
        drop(inside.lock().expect("unpoisoned").take());
        count.fetch_add(numbers(&w.grad()).len(), Ordering::SeqCst);
        Ok(())
    })
    .expect("a hook");
    *own.lock().expect("unpoisoned") = Some(hook);
    for _ in 0..2 {
        w.square().sum(Kind::Float).backward();
    }
    assert_eq!((done.load(Ordering::SeqCst), Arc::strong_count(&done)), (3, 1));
}
