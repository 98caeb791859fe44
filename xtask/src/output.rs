//! The only place that prints: data to stdout, talk to stderr.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line for people, to stderr.
pub(crate) fn say(line: impl Display) {
    // Nobody listening is no reason to stop.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes one line of results, to stdout.
pub(crate) fn data(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
