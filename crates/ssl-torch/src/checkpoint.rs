//! Activation checkpointing: memory for time.
//!
//! A part of a model that is run through [`checkpoint`] keeps its inputs alone; when the backward pass comes to it, it is run
//! again and its inner values are there. One more forward pass buys an order of magnitude of memory in a deep model.
//!
//! Source: Chen et al. 2016, arXiv 1604.06174, section 3.

use std::ffi::{c_int, c_void};
use std::ptr;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::callback::{answer, discard, entrust};
use crate::error::Result;
use crate::ffi::{check, handles};

type Part = Box<dyn Fn(&[Tensor]) -> Tensor + Send>;

unsafe extern "C" {
    fn ssl_checkpoint(
        inputs: *const *mut C_tensor,
        n: i64,
        data: *mut c_void,
        call: unsafe extern "C" fn(*mut c_void, *const *mut C_tensor, i64, *mut *mut C_tensor) -> c_int,
        drop: unsafe extern "C" fn(*mut c_void),
        output: *mut *mut C_tensor,
    ) -> c_int;
}

/// `f(inputs)`, with nothing of what `f` computes on the way kept for the backward pass, which runs `f` again, from the same
/// state of libtorch's generators. Loss and gradients are those of `f(inputs)` to the bit.
///
/// `f` gives the same result whenever it is given the same inputs and draws, and reads all that depends on a weight as an
/// input, apart from weights themselves: leaves may be captured, and get their gradient once, by one call of their hook. It
/// may run on libtorch's thread of a device, and is freed with the graph.
///
/// # Errors
/// When `f` panics, or reads a tensor that depends on a weight and is none of the inputs. A panic while it runs again is an
/// error of the backward pass.
pub fn checkpoint(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor + Send + 'static) -> Result<Tensor> {
    let data = entrust::<Part>(Box::new(f));
    let mut output = ptr::null_mut();
    let (n, inputs) = (inputs.len() as i64, handles(inputs));
    // SAFETY: the handles live through the call; the closure is C++'s from here on, which drops it by `discard` whether or
    // not the call succeeds, and calls it by `call`, which reads it as the type it has.
    check(unsafe { ssl_checkpoint(inputs.as_ptr(), n, data, call, discard::<Part>, &raw mut output) })?;
    // SAFETY: on success the output is a tensor that C++ made for us.
    Ok(unsafe { Tensor::from_ptr(output) })
}

/// # Safety
/// `data` is a `Part` that lives through the call, `inputs` are `n` tensors, and `output` has room for one.
unsafe extern "C" fn call(data: *mut c_void, inputs: *const *mut C_tensor, n: i64, output: *mut *mut C_tensor) -> c_int {
    answer(|| {
        // SAFETY: by this function's own terms; each clone is a handle of our own to the same tensor.
        let (part, inputs): (&Part, Vec<Tensor>) =
            unsafe { (&*data.cast(), (0..n as usize).map(|i| Tensor::clone_from_ptr(*inputs.add(i))).collect()) };
        let mut made = part(&inputs);
        // SAFETY: the handle is C++'s from here on, which frees it; `forget` keeps us from doing so.
        unsafe { *output = made.as_mut_ptr() };
        std::mem::forget(made);
        Ok(())
    })
}
