//! `cargo xtask setup`: the pinned libtorch, found or fetched, linked as `target/libtorch`.
//!
//! In this order: `$LIBTORCH`, the `torch` package of the `python3` on PATH, the pinned wheel from the package index.

pub(crate) mod download;
pub(crate) mod host;
pub(crate) mod pins;
pub(crate) mod view;

use anyhow::{Result, bail};

use crate::output::say;
use crate::{lock, workspace};

/// The command.
pub(crate) fn run(cuda: bool) -> Result<u8> {
    if cuda {
        bail!(
            "nothing is downloaded for CUDA: one build serves both, and loads the CUDA half of PyTorch when asked for a CUDA device. \
             Install PyTorch {0} (`python3 -m pip install torch=={0}`), then run `cargo xtask setup` with that python3 on PATH, \
             or with LIBTORCH set to its `torch` folder",
            pins::VERSION
        );
    }
    ensure()?;
    Ok(0)
}

/// Makes sure that `target/libtorch` is there; silent and fast when it is.
pub(crate) fn ensure() -> Result<()> {
    let view = workspace::view();
    let wish = host::wish(&view);
    if view::in_place(&view, wish.as_deref()) {
        return Ok(());
    }
    let _lock = lock::exclusive(&workspace::root().join("target/.libtorch.lock"))?;
    if view::in_place(&view, wish.as_deref()) {
        return Ok(());
    }
    let torch = match host::find(wish.as_deref()) {
        Some(torch) => torch,
        None => download::torch()?,
    };
    view::link(&torch, &view, wish.as_deref())?;
    let missing = view::unresolved(&view);
    if !missing.is_empty() {
        view::unlink(&view)?;
        bail!(
            "the libtorch at {} needs libraries that are not on this machine: {}. Install them, \
             or unset LIBTORCH and take that python3 off PATH: then the pinned one is fetched",
            torch.display(),
            missing.join(", ")
        );
    }
    say(format_args!("libtorch {} linked from {}", pins::VERSION, torch.display()));
    Ok(())
}
