//! How much memory the process holds, and how much of it tensors do.

use std::ffi::{c_int, c_void};
use std::{fs, ptr};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::error::Result;
use crate::ffi::{self, check};
use crate::guard::guard;

unsafe extern "C" {
    fn ssl_device_memory(device: c_int, held: *mut i64, peak: *mut i64) -> c_int;
    fn ssl_upload(
        data: *const c_void,
        bytes: i64,
        shape: *const i64,
        axes: i64,
        whole: c_int,
        device: c_int,
        out: *mut *mut C_tensor,
    ) -> c_int;
    fn ssl_count_begin(counting: *mut *mut c_void) -> c_int;
    fn ssl_count_end(counting: *mut c_void, peak: *mut i64) -> c_int;
}

/// What tensors take on a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Now.
    pub held: u64,
    /// At most since the process began.
    pub peak: u64,
}

/// What tensors take on a device with an allocator of libtorch's own; `None` on the CPU, whose memory is the system's.
///
/// # Errors
/// When the device is not there.
pub fn device(device: Device) -> Result<Option<DeviceMemory>> {
    let Device::Cuda(number) = device else { return Ok(None) };
    let (mut held, mut peak) = (0, 0);
    // SAFETY: both numbers are written before the call returns.
    check(unsafe { ssl_device_memory(c_int::try_from(number).unwrap_or(c_int::MAX), &raw mut held, &raw mut peak) })?;
    Ok(Some(DeviceMemory { held: held.max(0) as u64, peak: peak.max(0) as u64 }))
}

/// What a tensor is made of on its way to a device.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// i64.
    Whole(&'a [i64]),
    /// f32.
    Real(&'a [f32]),
}

/// A tensor of these numbers on a device. On CUDA the copy goes by way of memory that the device reads by itself, and is ordered before
/// whatever is launched next, so that this thread need not wait for it.
///
/// # Errors
/// When the numbers do not fill the shape, or the device has no room.
pub fn upload(numbers: Numbers<'_>, shape: &[i64], device: Device) -> Result<Tensor> {
    let Device::Cuda(number) = device else {
        return guard(|| match numbers {
            Numbers::Whole(data) => Tensor::from_slice(data).view(shape).to_device(device),
            Numbers::Real(data) => Tensor::from_slice(data).view(shape).to_device(device),
        });
    };
    let (data, bytes, whole) = match numbers {
        Numbers::Whole(data) => (data.as_ptr().cast(), size_of_val(data), 1),
        Numbers::Real(data) => (data.as_ptr().cast(), size_of_val(data), 0),
    };
    let mut out = ptr::null_mut();
    let number = c_int::try_from(number).unwrap_or(c_int::MAX);
    // SAFETY: data and shape live through the call, which reads so many bytes and axes of them and copies them; on success the
    // result is a new tensor that nothing else owns. libtorch keeps the memory in between until the copy is done.
    unsafe {
        check(ssl_upload(data, bytes as i64, shape.as_ptr(), shape.len() as i64, whole, number, &raw mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// What `f` returns, and the most bytes of CPU tensors that it held at once beyond those that were there before. Counted are
/// tensors that this thread makes, as a backward pass on the CPU does.
///
/// # Errors
/// When `f` panics.
pub fn count<T>(f: impl FnOnce() -> T) -> Result<(T, u64)> {
    let (mut counting, mut peak) = (ptr::null_mut(), 0);
    // SAFETY: on success `counting` is C++'s to read and to free in the call below, which is on this thread.
    check(unsafe { ssl_count_begin(&raw mut counting) })?;
    let result = guard(f);
    // SAFETY: as above; the number is written before the call returns.
    check(unsafe { ssl_count_end(counting, &raw mut peak) })?;
    Ok((result?, peak.max(0) as u64))
}

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
