//! The folder `target/libtorch`: links to the headers and to the libraries that a CPU build needs.
//!
//! `libtorch_cuda` stays out, because torch-sys links it whenever it sees it; the program loads it by itself when it is asked
//! for a CUDA device. `full` points to where that library would be.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::setup::pins;

/// The file written last: a folder without it is unfinished.
const STAMP: &str = "linked-from";

/// Libraries of PyTorch that the build must not see, or that only Python needs.
const LEFT_OUT: &[&str] = &[
    "libtorch_cuda",
    "libc10_cuda",
    "libcaffe2_nvrtc",
    "libtorch_nvshmem",
    "libtorch_hip",
    "libc10_hip",
    "libtorch_python",
    "libtorch_global_deps",
    "libshm",
];

/// The version that the headers in `torch` (a `torch` package or an unpacked libtorch) state.
pub(crate) fn version(torch: &Path) -> Option<String> {
    let include = torch.join("include/torch");
    let header = ["headeronly/version.h", "csrc/api/include/torch/version.h"].iter().find_map(|name| {
        let text = fs::read_to_string(include.join(name)).ok()?;
        text.contains("TORCH_VERSION_MAJOR ").then_some(text)
    })?;
    let number = |name: &str| {
        let define = format!("#define TORCH_VERSION_{name} ");
        header.lines().find_map(|line| line.strip_prefix(&define)).map(str::trim)
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// The libraries of `torch` that the view links, or nothing when `libtorch_cpu` is not among them.
pub(crate) fn libraries(torch: &Path) -> Vec<PathBuf> {
    let mut found = list(&torch.join("lib"), |name| !LEFT_OUT.iter().any(|out| name.starts_with(out)));
    if !found.iter().any(|path| stem(path) == "libtorch_cpu") {
        return Vec::new();
    }
    if let Some(site) = torch.parent() {
        // What the wheels keep beside the package: CUDA's two small libraries, and those that a wheel brings for itself.
        for folder in subfolders(&site.join("nvidia")) {
            found.extend(list(&folder.join("lib"), |name| name.starts_with("libcudart.") || name.starts_with("libcupti.")));
        }
        found.extend(list(&site.join("torch.libs"), |_| true));
    }
    found
}

/// Whether `view` is finished, of the pinned version, and (if the user names a libtorch) links that one.
pub(crate) fn in_place(view: &Path, wish: Option<&Path>) -> bool {
    let Ok(stamp) = fs::read_to_string(view.join(STAMP)) else { return false };
    let mut lines = stamp.lines();
    lines.next() == Some(pins::VERSION)
        && lines.next().is_some_and(|asked| wish.is_none_or(|wish| Path::new(asked) == wish))
        && lines.all(|name| view.join("lib").join(name).exists())
        && version(view).as_deref() == Some(pins::VERSION)
}

/// Makes `view` link `torch`, replacing what was there; remembers which libtorch the user had asked for.
pub(crate) fn link(torch: &Path, view: &Path, wish: Option<&Path>) -> Result<()> {
    let torch = &torch.canonicalize().with_context(|| format!("cannot find {}", torch.display()))?;
    let libraries = libraries(torch);
    ensure!(!libraries.is_empty(), "no libtorch_cpu in {}", torch.join("lib").display());
    let fresh = view.with_extension("tmp");
    remove(&fresh)?;
    fs::create_dir_all(fresh.join("lib")).with_context(|| format!("cannot make {}", fresh.display()))?;
    symlink(torch.join("include"), fresh.join("include"))?;
    symlink(torch, fresh.join("full"))?;
    // torch-sys compares this with the version that it binds.
    fs::write(fresh.join("build-version"), pins::VERSION)?;
    let mut stamp = format!("{}\n{}\n", pins::VERSION, wish.unwrap_or(torch).display());
    for library in &libraries {
        let name = library.file_name().context("a library without a name")?;
        symlink(library, fresh.join("lib").join(name))?;
        stamp = stamp + &name.to_string_lossy() + "\n";
    }
    fs::write(fresh.join(STAMP), stamp)?;
    remove(view)?;
    fs::rename(&fresh, view).with_context(|| format!("cannot place {}", view.display()))
}

/// Libraries that the linked `libtorch_cpu` needs and the loader does not find; nothing where there is no `ldd` to ask.
pub(crate) fn unresolved(view: &Path) -> Vec<String> {
    let output = Command::new("ldd").arg(view.join("lib/libtorch_cpu.so")).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(String::from).collect()
}

/// Takes the view away.
pub(crate) fn unlink(view: &Path) -> Result<()> {
    remove(view)
}

/// Removes a folder or a link, if there is one.
fn remove(path: &Path) -> Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(kind) if kind.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    gone.with_context(|| format!("cannot remove {}", path.display()))
}

/// Shared libraries in `dir` whose name is `wanted`, in order of name.
fn list(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        path.is_file() && (name.contains(".so") || name.contains(".dylib")) && wanted(name)
    });
    found.sort();
    found
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

fn stem(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).and_then(|name| name.split('.').next()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
