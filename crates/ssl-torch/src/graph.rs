//! Work of a CUDA device, recorded once and launched again as a whole.
//!
//! A small training step is hundreds of launches that take longer to ask for than to do; a recording of them is one. What is recorded reads and
//! writes the same memory each time, so inputs are copied into place before a replay and results are read where they lie.
//!
//! Source: Gray 2019, "Getting started with CUDA graphs"; libtorch's `CUDAGraph` does the recording.

use std::ffi::{c_int, c_void};
use std::ptr;

use tch::Device;

use crate::error::{Error, Result};
use crate::ffi::check;

unsafe extern "C" {
    fn ssl_graph_begin(device: c_int, graph: *mut *mut c_void) -> c_int;
    fn ssl_graph_end(graph: *mut c_void) -> c_int;
    fn ssl_graph_replay(graph: *mut c_void) -> c_int;
    fn ssl_graph_free(graph: *mut c_void);
}

/// A recording. Whatever tensors it reads and writes must live as long as it is replayed; those made while recording do, in memory
/// of its own.
#[derive(Debug)]
pub struct Graph {
    raw: *mut c_void,
}

// SAFETY: the object has no thread of its own, and nothing but this handle reaches it.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` launches on `device`; nothing of it runs yet. The same work must have run before, so that libraries
    /// are loaded and kernels compiled, and it must not read back from the device: a recording that this breaks leaves libtorch's
    /// generator unusable. Work that fails otherwise, as for want of memory, leaves nothing behind.
    ///
    /// # Errors
    /// When the device is no CUDA device, `work` fails, or it does what cannot be recorded.
    pub fn record<T>(device: Device, work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let Device::Cuda(number) = device else {
            return Err(Error::Device { device: format!("{device:?}"), reason: "only CUDA devices record".into() });
        };
        let mut raw = ptr::null_mut();
        // SAFETY: on success `raw` is a new object that is freed by `Drop` alone.
        check(unsafe { ssl_graph_begin(c_int::try_from(number).unwrap_or(c_int::MAX), &raw mut raw) })?;
        let graph = Self { raw };
        let done = work();
        // SAFETY: the object is alive and recording; this also ends a recording that failed.
        let ended = check(unsafe { ssl_graph_end(graph.raw) });
        let done = done?;
        ended?;
        Ok((graph, done))
    }

    /// Launches all that was recorded.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn replay(&self) -> Result<()> {
        // SAFETY: the object is alive and recorded; its memory is its own or that of tensors which the caller keeps.
        check(unsafe { ssl_graph_replay(self.raw) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `ssl_graph_begin`, freed once.
        unsafe { ssl_graph_free(self.raw) }
    }
}
