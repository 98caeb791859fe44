//! Closures that run during the backward pass, as soon as a leaf's gradient is complete.
//!
//! What overlaps work with the rest of the backward pass stands on them: sending gradients to other ranks, or moving a
//! weight and forgetting its gradient at once.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError, TryLockError};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::callback::{answer, discard, entrust};
use crate::error::{Error, Result};
use crate::ffi::{check, handle};

type Closure = Mutex<Box<dyn FnMut(&Tensor) -> Result<()> + Send>>;

unsafe extern "C" {
    fn ssl_hook(
        leaf: *mut C_tensor,
        data: *mut c_void,
        call: unsafe extern "C" fn(*mut c_void, *mut C_tensor) -> c_int,
        drop: unsafe extern "C" fn(*mut c_void),
    ) -> c_int;
    fn ssl_unhook(leaf: *mut C_tensor) -> c_int;
}

/// A closure that a leaf calls; it is freed with this handle.
#[derive(Debug)]
#[must_use = "a hook ends with its handle"]
pub struct Hook {
    leaf: Tensor,
}

impl Hook {
    /// Calls `f` with `leaf` once each backward pass, after everything that flows into its gradient has been added to
    /// [`Tensor::grad`]. It runs on the thread that calls `backward`, or on libtorch's thread of the device.
    ///
    /// An error or a panic of `f` ends the backward pass, which fails with its text; gradients that came before it stay.
    ///
    /// # Errors
    /// When `leaf` is no leaf that gets a gradient, or has a hook already.
    pub fn new(leaf: &Tensor, f: impl FnMut(&Tensor) -> Result<()> + Send + 'static) -> Result<Self> {
        let data = entrust::<Closure>(Mutex::new(Box::new(f)));
        // SAFETY: the handle lives through the call; the closure is C++'s from here on, which drops it by `discard` whether
        // or not the call succeeds, and calls it by `call`, which reads it as the type it has.
        check(unsafe { ssl_hook(handle(leaf), data, call, discard::<Closure>) })?;
        Ok(Self { leaf: leaf.shallow_clone() })
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // SAFETY: the leaf lives as long as this handle. Taking a hook away cannot fail on a leaf that has one.
        let _ = unsafe { ssl_unhook(handle(&self.leaf)) };
    }
}

/// # Safety
/// `data` is a `Closure` that lives through the call, and `leaf` a tensor.
unsafe extern "C" fn call(data: *mut c_void, leaf: *mut C_tensor) -> c_int {
    answer(|| {
        // SAFETY: by this function's own terms; the mutex makes calls from several threads take turns.
        let closure = unsafe { &*data.cast::<Closure>() };
        let mut closure = match closure.try_lock() {
            Ok(closure) => closure,
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::sort("the hook of a leaf was called while it ran", None));
            }
        };
        // SAFETY: makes a handle of our own to the same tensor.
        closure(&unsafe { Tensor::clone_from_ptr(leaf) })
    })
}
