//! The only place that prints: data to stdout, talk to stderr.
#![expect(clippy::print_stderr, reason = "a command line program talks")]

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line for people, to stderr.
pub(crate) fn say(line: impl Display) {
    eprintln!("{line}");
}

/// Writes one line of results, to stdout.
pub(crate) fn data(line: impl Display) {
    // A reader that has seen enough, such as `head`, is no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}
