//! Every call of cargo, with one environment, so that nothing is built twice.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::{setup, workspace};

/// Where the loader looks for libraries.
const LIBRARY_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// `cargo` in the workspace, building against the linked libtorch.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root()).env("LIBTORCH", workspace::view());
    // These would lead torch-sys past the link.
    for name in ["LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC", "LIBTORCH_USE_PYTORCH", "LIBTORCH_CXX11_ABI"] {
        command.env_remove(name);
    }
    // `cargo run` sets these for us; handed on they would make build scripts believe that something changed.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// The `ssl` program, set up and built for speed.
#[derive(Debug)]
pub(crate) struct Ssl(PathBuf);

impl Ssl {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A call of it, in the workspace's folder.
    pub(crate) fn call(&self, verb: &str, device: Option<&str>) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(verb).current_dir(workspace::root()).env(LIBRARY_PATH, libraries()).stdin(Stdio::null());
        if let Some(device) = device {
            command.args(["--device", device]);
        }
        command
    }
}

/// The linked libraries before those that the user already has on the path.
fn libraries() -> OsString {
    let mut path = workspace::view().join("lib").into_os_string();
    if let Some(more) = env::var_os(LIBRARY_PATH).filter(|more| !more.is_empty()) {
        path.push(":");
        path.push(more);
    }
    path
}

/// Sets up and builds `ssl`.
pub(crate) fn ssl() -> Result<Ssl> {
    setup::ensure()?;
    say("building ssl (release)");
    // What cargo prints stays off our stdout.
    let status = cargo()
        .args(["build", "--quiet", "--release", "--locked", "--package", "ssl-cli"])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("ssl did not build");
    }
    Ok(Ssl(workspace::target().join("release/ssl")))
}
