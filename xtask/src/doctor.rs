//! `cargo xtask doctor`: one line per thing a build needs, and the command that mends what is missing.

use std::fs;
use std::process::Command;

use crate::output::data;
use crate::setup::{download::pip, host, pins, view};
use crate::{space, workspace};

/// Oldest Rust that builds the workspace.
const RUST: (u32, u32) = (1, 95);

/// A build writes about 6 GB; libtorch with its download is about 1 GB more.
const DISK_BYTES: u64 = 8_000_000_000;

/// torch-sys compiles one very large C++ file.
const MEMORY_BYTES: u64 = 3_000_000_000;

/// What was looked for.
struct Finding {
    name: &'static str,
    state: State,
    detail: String,
}

enum State {
    Found,
    /// Nothing builds without it.
    Missing,
    /// Works without it.
    Without,
}

/// The command; the exit code is 1 when something required is missing.
pub(crate) fn run() -> u8 {
    let view = workspace::view();
    let linked = view::in_place(&view, host::wish(&view).as_deref());
    let findings = [rust(), compiler(), python(linked), libtorch(linked), disk(), memory(), gpu()];
    for Finding { name, state, detail } in &findings {
        let state = match state {
            State::Found => "found",
            State::Missing => "missing",
            State::Without => "without",
        };
        data(format_args!("{state:8} {name:13} {detail}"));
    }
    u8::from(findings.iter().any(|finding| matches!(finding.state, State::Missing)))
}

/// The first line that a program prints about itself.
fn ask(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}

fn rust() -> Finding {
    let said = ask("rustc", &["--version"]);
    let state =
        if said.as_deref().and_then(version).is_some_and(|version| version >= RUST) { State::Found } else { State::Missing };
    let mend = format!("{}, needed is {}.{}: rustup update stable", said.as_deref().unwrap_or("nothing"), RUST.0, RUST.1);
    let detail = if matches!(state, State::Found) { said.unwrap_or_default() } else { mend };
    Finding { name: "rust", state, detail }
}

/// Reads "rustc 1.95.0 (...)".
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_whitespace().nth(1)?.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn compiler() -> Finding {
    let name = std::env::var("CXX").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "c++".into());
    match ask(&name, &["--version"]) {
        Some(said) => Finding { name: "C++ compiler", state: State::Found, detail: said },
        None => Finding { name: "C++ compiler", state: State::Missing, detail: "sudo apt-get install --yes g++".into() },
    }
}

fn python(linked: bool) -> Finding {
    let said = pip::find().and_then(|_| ask("python3", &["--version"]));
    let (state, detail) = match (said, linked) {
        (Some(said), _) => (State::Found, format!("{said} with pip")),
        (None, true) => (State::Without, "only needed to fetch libtorch, which is linked".into()),
        (None, false) => (State::Missing, "sudo apt-get install --yes python3 python3-pip".into()),
    };
    Finding { name: "python3, pip", state, detail }
}

fn libtorch(linked: bool) -> Finding {
    let (state, detail) = if linked {
        let full = workspace::view().join("full");
        let place = fs::read_link(&full).unwrap_or(full);
        (State::Found, format!("{} at {}", pins::VERSION, place.display()))
    } else {
        (State::Missing, "cargo xtask setup".into())
    };
    Finding { name: "libtorch", state, detail }
}

fn disk() -> Finding {
    let (state, detail) = match space::free(&workspace::root()) {
        Some(free) if free < DISK_BYTES => (
            State::Missing,
            format!("{} GB free, a build takes up to {}: make room", free / 1_000_000_000, DISK_BYTES / 1_000_000_000),
        ),
        Some(free) => (State::Found, format!("{} GB free", free / 1_000_000_000)),
        None => (State::Without, "`df` does not say how much is free".into()),
    };
    Finding { name: "disk", state, detail }
}

fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (state, detail) = match available(&text) {
        Some(bytes) if bytes < MEMORY_BYTES => (
            State::Missing,
            format!("{} MB available, compiling takes up to {}: end other programs", bytes / 1_000_000, MEMORY_BYTES / 1_000_000),
        ),
        Some(bytes) => (State::Found, format!("{:.1} GB available", bytes as f64 / 1e9)),
        None => (State::Without, "this system does not say how much is available".into()),
    };
    Finding { name: "memory", state, detail }
}

/// Reads `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn gpu() -> Finding {
    let query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
    match ask("nvidia-smi", &query) {
        Some(said) => Finding { name: "GPU driver", state: State::Found, detail: said },
        None => Finding {
            name: "GPU driver",
            state: State::Without,
            detail: "training runs on the CPU; `cargo xtask setup --cuda` tells more".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("rustc 1.95.0 (abc 2026-04-01)"), Some((1, 95)));
        assert!(version("rustc 1.100.0-nightly").unwrap() > RUST);
        assert_eq!(version("rustc"), None);
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2048 * 1024));
        assert_eq!(available("nothing"), None);
    }
}
