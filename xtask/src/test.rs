//! `cargo xtask test`: everything that must hold, in one command and one closing line.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::output::{data, say};
use crate::summary::{Line, Reader, Summary};
use crate::{cargo, setup, tidy};

/// Builds, tests and tidies; the exit code is 1 when anything failed.
pub(crate) fn run(slow: bool) -> Result<u8> {
    setup::ensure()?;
    let mut total = tests(slow)?;
    say("tidy");
    let tidy = tidy::check()?;
    total.passed += tidy.passed;
    total.failed += tidy.failed;
    data(total);
    Ok(u8::from(total.failed > 0))
}

/// Unit, integration and documentation tests of the whole workspace.
fn tests(slow: bool) -> Result<Summary> {
    let mut command = cargo::cargo();
    // The program is built without servers; what reads them is tested all the same.
    let features = ["--features", "ssl-data/remote"];
    command.args(["test", "--workspace", "--no-fail-fast"]).args(features);
    command.args(["--", "--show-output"]).stdout(Stdio::piped());
    if slow {
        command.env("SSL_SLOW", "1");
    }
    let mut child = command.spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    let mut reader = Reader::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read what cargo prints")?;
        let line = String::from_utf8_lossy(&line);
        if reader.read(&line) == Line::Show {
            data(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    let mut summary = reader.finish();
    // A build that fails, or a test program that dies, prints no result line.
    if !status.success() && summary.failed == 0 {
        summary.failed = 1;
    }
    Ok(summary)
}
