//! The only place that prints: data to stdout, talk to stderr.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks")]

use std::fmt::Display;

/// Writes one line for people, to stderr.
pub(crate) fn say(line: impl Display) {
    eprintln!("{line}");
}

/// Writes one line of results, to stdout.
pub(crate) fn data(line: impl Display) {
    println!("{line}");
}
