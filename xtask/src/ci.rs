//! `cargo xtask ci`: what a change must pass, cheapest first.

use anyhow::{Context, Result};

use crate::output::say;
use crate::{cargo, setup, test};

const STEPS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"],
    &["doc", "--workspace", "--no-deps", "--locked"],
];

/// Formatting, lints, documentation, then everything that `test` does.
pub(crate) fn run() -> Result<u8> {
    setup::ensure()?;
    for step in STEPS {
        say(format_args!("cargo {}", step.join(" ")));
        let status = cargo::cargo().args(*step).env("RUSTDOCFLAGS", "--deny warnings").status().context("cannot start cargo")?;
        if !status.success() {
            return Ok(1);
        }
    }
    test::run(false)
}
