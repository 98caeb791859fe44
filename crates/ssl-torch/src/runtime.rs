//! Starting libtorch: the device, the threads, the switches. Before any other call into it.

use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use tch::Device;

use crate::error::{Error, Result};
use crate::ffi;

/// The source of our kernels for CUDA devices, which is compiled when one is used.
const KERNELS: &str = concat!(
    include_str!("../cuda/arguments.h"),
    include_str!("../cuda/common.cu"),
    include_str!("../cuda/norm.cu"),
    include_str!("../cuda/activation.cu"),
    include_str!("../cuda/cross_entropy.cu"),
    include_str!("../cuda/optimizer.cu"),
);

/// The device a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A CUDA device where there is one, else the CPU: of several the `nth` from 0, counted round, so that the processes of one
    /// machine each get another.
    Auto {
        /// Which process of the machine this is.
        nth: usize,
    },
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl Default for Choice {
    fn default() -> Self {
        Self::Auto { nth: 0 }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |n: &str| n.parse().map(Self::Cuda).map_err(|_| format!("{text:?} is not auto, cpu, cuda or cuda:N"));
        match text {
            "auto" => Ok(Self::default()),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => number(text.strip_prefix("cuda:").unwrap_or("")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto { .. } => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// libtorch, ready to use; having one is the proof that it was started.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    device: Device,
}

impl Runtime {
    /// Picks the device and sets libtorch up: `threads` for one operation (all cores when absent), denormal floats as
    /// zero, deterministic operations, freed memory kept.
    ///
    /// # Errors
    /// When a CUDA device is asked for by name and cannot be used.
    pub fn start(choice: Choice, threads: Option<usize>) -> Result<Self> {
        // SAFETY: takes nothing and only sets options of the allocator.
        ffi::check(unsafe { ffi::ssl_keep_memory() })?;
        let device = match choice {
            Choice::Cpu => Device::Cpu,
            Choice::Cuda(n) => cuda(|_| n).map_err(|reason| Error::Device { device: choice.to_string(), reason })?,
            Choice::Auto { nth } => cuda(|devices| nth % devices.max(1)).unwrap_or(Device::Cpu),
        };
        if let Some(threads) = threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        // SAFETY: both set a flag of libtorch; exceptions are caught on the other side.
        ffi::check(unsafe { ffi::ssl_flush_denormals(1) })?;
        // SAFETY: as above.
        ffi::check(unsafe { ffi::ssl_deterministic(1) })?;
        Ok(Self { device })
    }

    /// Where tensors live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }
}

/// Whether a device multiplies bf16 matrices itself. A processor that does not is a hundred times slower at them than in
/// fp32, because libtorch then falls back on plain loops.
#[must_use]
pub fn computes_bf16(device: Device) -> bool {
    match device {
        Device::Cpu => cpu_computes_bf16(),
        _ => true,
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_computes_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn cpu_computes_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_computes_bf16() -> bool {
    false
}

/// The CUDA device that `which` picks of so many, or why it cannot be had.
fn cuda(which: impl FnOnce(usize) -> usize) -> std::result::Result<Device, String> {
    // A machine without a driver is told apart by a file, so that the CPU never pays for loading CUDA.
    if !std::path::Path::new("/proc/driver/nvidia/version").exists() && !std::path::Path::new("/dev/nvidiactl").exists() {
        return Err("no NVIDIA driver was found".into());
    }
    let kernels = CString::new(KERNELS).map_err(|fault| fault.to_string())?;
    // SAFETY: the text lives through the call, which copies it; it loads a library of the libtorch that is already in use, and
    // faults come back as a code.
    ffi::check(unsafe { ffi::ssl_load_cuda(kernels.as_ptr()) }).map_err(|fault| fault.to_string())?;
    let devices = tch::Cuda::device_count().max(0) as usize;
    let n = which(devices);
    if n < devices { Ok(Device::Cuda(n)) } else { Err(format!("there are {devices} CUDA devices")) }
}

/// Ends the helpers that this thread's loops have, until it has another loop: for a thread that hands the model over to another one.
/// Where two threads keep helpers, all of them sleep between two loops, and each waking costs more than a small loop does.
pub fn rest() {
    // SAFETY: takes nothing; no loop of this thread runs, as loops end before they return.
    unsafe { ffi::ssl_rest() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_written() {
        for (text, expect) in
            [("auto", Choice::Auto { nth: 0 }), ("cpu", Choice::Cpu), ("cuda", Choice::Cuda(0)), ("cuda:3", Choice::Cuda(3))]
        {
            assert_eq!(text.parse(), Ok(expect));
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
    }
}
