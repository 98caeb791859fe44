//! `cargo xtask ci`: what a change must pass, cheapest first.

use anyhow::{Context, Result};

use crate::output::say;
use crate::{cargo, setup, test};

/// Formatting, lints, then everything that `test` does.
pub(crate) fn run() -> Result<u8> {
    setup::ensure()?;
    let steps: [&[&str]; 2] =
        [&["fmt", "--all", "--check"], &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]];
    for step in steps {
        say(format_args!("cargo {}", step.join(" ")));
        let status = cargo::cargo().args(step).status().context("cannot start cargo")?;
        if !status.success() {
            return Ok(1);
        }
    }
    test::run(false)
}
