//! The C++ of this crate, by name; see `cpp/`.

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::{Error, Result};
use crate::word2vec::Alias;

const OUT_OF_MEMORY: c_int = 2;

/// A list of tensors as C++ reads it.
pub(crate) type List = *const *mut C_tensor;

/// `struct Word2Vec` of `cpp/word2vec.h`, field for field.
#[repr(C)]
pub(crate) struct RawWord2Vec {
    pub(crate) input: *mut f32,
    pub(crate) output: *mut f32,
    pub(crate) d: i64,
    pub(crate) tokens: *const u32,
    pub(crate) pieces: *const [i64; 2],
    pub(crate) count: i64,
    pub(crate) keep: *const u32,
    pub(crate) alias: *const Alias,
    pub(crate) words: i64,
    pub(crate) negatives: i64,
    pub(crate) starts: *const u32,
    pub(crate) nodes: *const u32,
    pub(crate) labels: *const f32,
    pub(crate) longest: i64,
    pub(crate) window: i64,
    pub(crate) cbow: c_int,
    pub(crate) exact: c_int,
    pub(crate) train: c_int,
    pub(crate) lr: f32,
    pub(crate) key: u64,
}

unsafe extern "C" {
    fn ssl_last_error() -> *const c_char;
    pub(crate) fn ssl_keep_memory() -> c_int;
    pub(crate) fn ssl_rest();
    pub(crate) fn ssl_release_memory() -> c_int;
    pub(crate) fn ssl_flush_denormals(on: c_int) -> c_int;
    pub(crate) fn ssl_deterministic(on: c_int) -> c_int;
    pub(crate) fn ssl_load_cuda(kernels: *const c_char) -> c_int;
    pub(crate) fn ssl_free_on_cuda(device: i64, bytes: *mut i64) -> c_int;
    pub(crate) fn ssl_norm(grads: List, n: i64, norm: *mut f64) -> c_int;
    pub(crate) fn ssl_drop_grads(leaves: List, n: i64) -> c_int;
    pub(crate) fn ssl_set_grads(leaves: List, grads: List, n: i64) -> c_int;
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
    pub(crate) fn ssl_normalise(
        x: *mut C_tensor,
        branch: *mut C_tensor,
        gain: *mut C_tensor,
        bias: *mut C_tensor,
        centred: c_int,
        eps: f64,
        stream: *mut *mut C_tensor,
        y: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn ssl_activation(x: *mut C_tensor, up: *mut C_tensor, kind: c_int, out: *mut *mut C_tensor) -> c_int;
    pub(crate) fn ssl_attention(
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        causal: c_int,
        scale: f64,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn ssl_attention_texts(
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        keys: List,
        values: List,
        from: *const i64,
        t: *const i64,
        n: i64,
        scale: f64,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn ssl_linear_few(x: *mut C_tensor, weights: List, biases: List, n: i64, outs: *mut *mut C_tensor) -> c_int;
    pub(crate) fn ssl_rotate(x: *mut C_tensor, cos: *mut C_tensor, sin: *mut C_tensor, out: *mut *mut C_tensor) -> c_int;
    pub(crate) fn ssl_attention_packed(
        qkv: *mut C_tensor,
        heads: i64,
        kv_heads: i64,
        causal: c_int,
        scale: f64,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn ssl_word2vec(
        input: *mut C_tensor,
        output: *mut C_tensor,
        word2vec: *mut RawWord2Vec,
        threads: c_int,
        units: c_int,
        nats: *mut f64,
        predictions: *mut i64,
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
