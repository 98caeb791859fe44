//! The state of libtorch's random number generators, of which there is one a device.

use std::ffi::c_int;
use std::ptr;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::error::{Error, Result};
use crate::ffi::{check, handle};

unsafe extern "C" {
    fn ssl_generator_state(device: c_int, state: *mut *mut C_tensor) -> c_int;
    fn ssl_set_generator_state(device: c_int, state: *mut C_tensor) -> c_int;
}

/// The state of a device's generator: bytes, the same length each time.
///
/// # Errors
/// When the device is not there.
pub fn state(device: Device) -> Result<Tensor> {
    let number = number(device)?;
    let mut state = ptr::null_mut();
    // SAFETY: on success the state is a tensor that C++ made for us.
    check(unsafe { ssl_generator_state(number, &raw mut state) })?;
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(state) })
}

/// Sets a device's generator to a state that [`state`] gave; it then draws what it drew from there.
///
/// # Errors
/// When the device is not there, or the tensor is no state of its generator.
pub fn set_state(device: Device, state: &Tensor) -> Result<()> {
    let number = number(device)?;
    // SAFETY: the handle lives through the call, and C++ checks what it is.
    check(unsafe { ssl_set_generator_state(number, handle(state)) })
}

/// As C++ counts devices.
fn number(device: Device) -> Result<c_int> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(n) => Ok(c_int::try_from(n).unwrap_or(c_int::MAX)),
        other => Err(Error::Device { device: format!("{other:?}"), reason: "its generator is not known here".into() }),
    }
}
