//! Traces of what libtorch does, when and for how long, as files for `chrome://tracing` and Perfetto.
//!
//! Operations, their backward passes and, on CUDA, kernels are recorded by libtorch's profiler; [`range`] adds stretches with
//! names of our own.

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Device;

use crate::error::{Error, Result};
use crate::ffi::check;

unsafe extern "C" {
    fn ssl_trace_start(cuda: c_int) -> c_int;
    fn ssl_trace_stop(path: *const c_char) -> c_int;
    fn ssl_range_begin(name: *const c_char, range: *mut *mut c_void) -> c_int;
    fn ssl_range_end(range: *mut c_void) -> c_int;
}

/// libtorch has one profiler.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// A recording of this thread, and of the threads that work for it; thrown away unless [`Trace::save`] ends it.
#[derive(Debug)]
#[must_use = "a trace ends with its handle"]
pub struct Trace {
    /// The profiler ends on the thread it began on.
    _thread: PhantomData<*const ()>,
}

impl Trace {
    /// Begins to record, kernels too where `device` is CUDA. One recording runs at a time.
    ///
    /// # Errors
    /// When one runs already.
    pub fn start(device: Device) -> Result<Self> {
        if RUNNING.swap(true, Ordering::SeqCst) {
            return Err(Error::sort("a trace is being recorded already", None));
        }
        // SAFETY: takes a number; exceptions are caught on the other side.
        let begun = check(unsafe { ssl_trace_start(c_int::from(matches!(device, Device::Cuda(_)))) });
        RUNNING.store(begun.is_ok(), Ordering::SeqCst);
        begun.map(|()| Self { _thread: PhantomData })
    }

    /// Ends the recording and writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(self, path: &Path) -> Result<()> {
        let refused = |reason: &str| Error::Trace { path: path.to_owned(), reason: reason.to_owned() };
        // The profiler only logs that it could not write, so whether it can is asked first.
        std::fs::File::create(path).map_err(|fault| refused(&fault.to_string()))?;
        let text = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| refused("a zero byte in its name"))?;
        std::mem::forget(self);
        stop(text.as_ptr())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = stop(ptr::null());
    }
}

/// Ends the recording, on the thread that began it; `path` is null or ends in NUL.
fn stop(path: *const c_char) -> Result<()> {
    // SAFETY: the path is read during the call alone, where there is one.
    let ended = check(unsafe { ssl_trace_stop(path) });
    RUNNING.store(false, Ordering::SeqCst);
    ended
}

/// Runs `f` as a stretch of its own in the trace that is being recorded; costs next to nothing when none is.
pub fn range<T>(name: &str, f: impl FnOnce() -> T) -> T {
    let _open = Range::begin(name);
    f()
}

/// Ends when it goes, also by a panic.
struct Range(*mut c_void);

impl Range {
    fn begin(name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        let mut range = ptr::null_mut();
        // SAFETY: the name ends in NUL and is copied; the range is freed by `drop`, on this thread.
        check(unsafe { ssl_range_begin(name.as_ptr(), &raw mut range) }).ok()?;
        Some(Self(range))
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: the range came from `ssl_range_begin` and ends once.
        let _ = unsafe { ssl_range_end(self.0) };
    }
}
