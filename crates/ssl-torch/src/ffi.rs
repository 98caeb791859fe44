//! The C++ of this crate, by name; see `cpp/`.

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::{Error, Result};

const OUT_OF_MEMORY: c_int = 2;

/// A list of tensors as C++ reads it.
pub(crate) type List = *const *mut C_tensor;

unsafe extern "C" {
    fn ssl_last_error() -> *const c_char;
    pub(crate) fn ssl_keep_memory() -> c_int;
    pub(crate) fn ssl_release_memory() -> c_int;
    pub(crate) fn ssl_flush_denormals(on: c_int) -> c_int;
    pub(crate) fn ssl_deterministic(on: c_int) -> c_int;
    pub(crate) fn ssl_load_cuda() -> c_int;
    pub(crate) fn ssl_norm(grads: List, n: i64, norm: *mut f64) -> c_int;
    pub(crate) fn ssl_drop_grads(leaves: List, n: i64) -> c_int;
    pub(crate) fn ssl_accumulate(sums: List, grads: List, n: i64) -> c_int;
    pub(crate) fn ssl_adam(
        params: List,
        leaves: List,
        grads: List,
        ms: List,
        vs: List,
        decay: *const f64,
        coupled: *const f64,
        n: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        step: i64,
        scale: f64,
    ) -> c_int;
    pub(crate) fn ssl_sgd(
        params: List,
        leaves: List,
        grads: List,
        ms: List,
        coupled: *const f64,
        n: i64,
        lr: f64,
        momentum: f64,
        nesterov: c_int,
        scale: f64,
    ) -> c_int;
    pub(crate) fn ssl_linear_cross_entropy(
        hidden: *mut C_tensor,
        head: *mut C_tensor,
        targets: *mut C_tensor,
        weights: *mut C_tensor,
        total: *mut *mut C_tensor,
        nats: *mut *mut C_tensor,
    ) -> c_int;
}

/// The handle of a tensor, which stays the tensor's own.
pub(crate) fn handle(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr().cast_mut()
}

/// The handles of tensors; valid while the tensors live.
pub(crate) fn handles(tensors: &[Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(handle).collect()
}

/// Turns a code into a result.
pub(crate) fn check(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the text is thread-local in C++, ends in NUL, and stays until the next fault on this thread.
    let message = unsafe { CStr::from_ptr(ssl_last_error()) }.to_string_lossy().into_owned();
    if code == OUT_OF_MEMORY { Err(Error::OutOfMemory { message, at: None }) } else { Err(Error::sort(&message, None)) }
}
