//! Faults of libtorch, as values.

use std::path::PathBuf;

use crate::group::{GroupFault, Seat};

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of libtorch or of code that calls it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Memory ran out, on the host or on a device.
    #[error("out of memory{}: {message}", place(at.as_deref()))]
    OutOfMemory {
        /// What libtorch said, one line.
        message: String,
        /// Our file and line, where known.
        at: Option<String>,
    },
    /// An operation refused its arguments, or code had a bug.
    #[error("tensor operation failed{}: {message}", place(at.as_deref()))]
    Operation {
        /// What libtorch said, one line.
        message: String,
        /// Our file and line, where known.
        at: Option<String>,
    },
    /// The device that was asked for is not there.
    #[error("device {device} is not available: {reason}")]
    Device {
        /// The device as asked for.
        device: String,
        /// Why not.
        reason: String,
    },
    /// A trace cannot be written.
    #[error("{} cannot take a trace: {reason}", path.display())]
    Trace {
        /// Where it was to go.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The processes of a run cannot go on together.
    #[error("{seat}: {fault}")]
    Group {
        /// Who found it.
        seat: Seat,
        /// What it found.
        fault: GroupFault,
    },
}

fn place(at: Option<&str>) -> String {
    at.map_or_else(String::new, |at| format!(" at {at}"))
}

impl Error {
    /// Sorts a message of libtorch, which may come with a C++ trace, into a fault with one line of text.
    pub(crate) fn sort(message: &str, at: Option<String>) -> Self {
        let line = first_line(message);
        let short = ["DefaultCPUAllocator", "out of memory", "can't allocate memory", "bad_alloc"];
        if short.iter().any(|phrase| message.contains(phrase)) {
            Self::OutOfMemory { message: line, at }
        } else {
            Self::Operation { message: line, at }
        }
    }
}

/// The part of a message that a person reads, without the C++ trace behind it.
fn first_line(message: &str) -> String {
    // tch wraps libtorch's text in its own debug form: `called `Result::unwrap()` on an `Err` value: Torch("...")`.
    let text = message.split_once("Torch(\"").map_or(message, |(_, inner)| inner);
    let traces = ["Exception raised from", "frame #0"].into_iter().flat_map(|head| [format!("\\n{head}"), format!("\n{head}")]);
    let end = traces.filter_map(|head| text.find(&head)).min().unwrap_or(text.len());
    let text = &text[..end];
    text.replace("\\n", " ").replace('\n', " ").trim().trim_end_matches("\")").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_their_traces_and_wrapping() {
        let text = "called `Result::unwrap()` on an `Err` value: Torch(\"size mismatch\\nException raised from f at x.cpp:3\")";
        assert!(matches!(Error::sort(text, None), Error::Operation { message, .. } if message == "size mismatch"));
        let text =
            "[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.";
        assert!(matches!(Error::sort(text, None), Error::OutOfMemory { .. }));
        let text = "DefaultCPUAllocator: can't allocate memory: 8 bytes. Error code 12\nframe #0: c10::Throw() + 0x6a";
        assert!(matches!(Error::sort(text, None), Error::OutOfMemory { message, .. } if message.ends_with("Error code 12")));
    }
}
