//! The border where a panic of a tensor operation becomes an error with our own file and line.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use crate::error::{Error, Result};

thread_local! {
    static GUARDED: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; a panic inside, as every `tch` operation raises on a fault, comes back as an error and the process goes on.
///
/// # Errors
/// What panicked, in one line, with the place in this workspace's code nearest to it.
pub fn guard<T>(f: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| if GUARDED.get() > 0 { remember(info) } else { before(info) }));
    });
    GUARDED.set(GUARDED.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(GUARDED.get() - 1);
    result.map_err(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("unknown panic");
        Error::sort(message, PLACE.take())
    })
}

/// Notes where a guarded panic began: its own location when that is ours, else the first frame of ours above it.
fn remember(info: &PanicHookInfo<'_>) {
    let own = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
    let place = own.filter(|at| is_ours(at)).or_else(|| {
        let trace = Backtrace::force_capture().to_string();
        let mut places = trace.lines().filter_map(|line| line.trim().strip_prefix("at "));
        places.find(|at| is_ours(at)).map(|at| at.trim_start_matches("./").to_owned())
    });
    PLACE.set(place);
}

/// Frames of this workspace, apart from this file, which every trace passes through.
fn is_ours(at: &str) -> bool {
    at.split(['/', '\\']).any(|part| part.starts_with("ssl-")) && !at.contains("ssl-torch/src/guard.rs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_shape_fault_comes_back_with_a_message_and_the_thread_goes_on() {
        let fault = guard(|| {
            Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).matmul(&Tensor::zeros([4, 5], (Kind::Float, Device::Cpu)))
        });
        let text = fault.err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(text.contains("2x3 and 4x5"), "{text}");
        assert!(!text.contains("Exception raised"), "{text}");
        assert_eq!(guard(|| 7).ok(), Some(7));
    }

    #[test]
    fn asking_for_too_much_memory_is_its_own_kind() {
        let fault = guard(|| Tensor::zeros([1 << 46], (Kind::Float, Device::Cpu)));
        assert!(matches!(fault, Err(Error::OutOfMemory { .. })), "{fault:?}");
    }

    #[test]
    fn our_files_are_told_from_others() {
        assert!(is_ours("./crates/ssl-model/src/gpt.rs:3:1"));
        assert!(!is_ours("/registry/src/tch-0.24.0/src/wrappers/tensor_generated.rs:10:2"));
        assert!(!is_ours("crates/ssl-torch/src/guard.rs:3:1"));
    }
}
