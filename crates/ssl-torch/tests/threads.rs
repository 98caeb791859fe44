//! Our own C++ runs on as many threads as libtorch is told to use. The only test of its program: threads are counted.
#![cfg(target_os = "linux")]

use std::fs;

use ssl_torch::optimizer::norm;
use tch::Tensor;

#[test]
fn a_kernel_starts_threads() {
    let threads = || fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or_default();
    tch::set_num_threads(3);
    // A list of many tensors, each too small for libtorch to share out; the sum over all is our own loop.
    let grads: Vec<Tensor> = (0..64).map(|i| Tensor::from_slice(&[i as f32; 100])).collect();
    let before = threads();
    let length = norm(&grads).expect("a length");
    assert!((length.powi(2) - 100.0 * (0..64).map(|i| f64::from(i * i)).sum::<f64>()).abs() < 1e-3);
    assert_eq!(threads() - before, 2, "two threads beside this one");
}
