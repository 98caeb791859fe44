//! Closures that C++ keeps and calls: their errors and panics become a code and a text there.

use std::ffi::{CString, c_char, c_int, c_void};

use crate::error::{Error, Result};
use crate::guard::guard;

unsafe extern "C" {
    fn ssl_set_error(text: *const c_char);
}

const FAILED: c_int = 1;

/// Runs a closure for C++; on failure the text waits for `ssl_last_error` of this thread.
pub(crate) fn answer(f: impl FnOnce() -> Result<()>) -> c_int {
    let Err(fault) = guard(f).and_then(|result| result) else { return 0 };
    let text = match fault {
        // It will be told as an operation that failed once more.
        Error::Operation { message, at: Some(at) } => format!("{message}, at {at}"),
        fault => fault.to_string(),
    };
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the text ends in NUL and is copied before the call returns.
    unsafe { ssl_set_error(text.as_ptr()) };
    FAILED
}

/// Gives a value into C++'s keeping, which ends with [`discard`].
pub(crate) fn entrust<T: Send>(value: T) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// Drops what [`entrust`] gave away; a panic while dropping stays here, because C++ has no use for it.
///
/// # Safety
/// `data` came from `entrust` with the same `T`, and nobody uses it afterwards.
pub(crate) unsafe extern "C" fn discard<T: Send>(data: *mut c_void) {
    let _ = guard(|| {
        // SAFETY: by this function's own terms.
        drop(unsafe { Box::from_raw(data.cast::<T>()) });
    });
}
