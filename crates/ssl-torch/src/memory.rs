//! How much memory the process holds.

use std::fs;

use crate::{Result, ffi};

/// The most physical memory this process has held, in MiB; `None` where the system does not say.
#[must_use]
pub fn peak_mib() -> Option<f64> {
    status("VmHWM:")
}

/// The physical memory this process holds now, in MiB; `None` where the system does not say.
#[must_use]
pub fn resident_mib() -> Option<f64> {
    status("VmRSS:")
}

/// Gives memory that nothing uses back to the system, for programs that turn from training to something else.
///
/// # Errors
/// None today; the allocator cannot refuse.
pub fn release() -> Result<()> {
    // SAFETY: takes nothing, touches only the allocator's free lists, which are its own to lock.
    ffi::check(unsafe { ffi::ssl_release_memory() })
}

fn status(key: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
