//! The default corpus: the sources and documents of the locked dependencies, as Cargo has unpacked them.
//!
//! Real text that is there without a download of its own; `Cargo.lock` pins every byte, so a run can be repeated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::cargo;

/// The same packages are named on every machine.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Longer files are tables or bindings written by programs.
pub(crate) const LONGEST_BYTES: u64 = 100_000;

/// What is read in the folders.
pub(crate) const EXTENSIONS: &[&str] = &["rs", "md"];

/// Packages that mostly list what an operating system calls its things, besides all `*-sys`.
const LISTS: &[&str] = &["libc", "linux-raw-sys", "nix", "rustix"];

/// Source folders and documents, in order of package name.
pub(crate) fn paths() -> Result<Vec<PathBuf>> {
    let mut command = cargo();
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", PLATFORM]);
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let metadata = serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata prints")?;
    let paths: Vec<PathBuf> = packages(&metadata).iter().flat_map(|folder| readable(folder)).collect();
    if paths.is_empty() {
        bail!("no dependency has sources here; give text with --data PATH");
    }
    Ok(paths)
}

/// The folders of the packages from a registry, of each only the newest version: two would be near copies.
fn packages(metadata: &Value) -> Vec<PathBuf> {
    let mut newest: BTreeMap<&str, (Vec<u64>, &str)> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (Some(name), Some(version), Some(manifest), Some(_)) = (
            package["name"].as_str(),
            package["version"].as_str(),
            package["manifest_path"].as_str(),
            package["source"].as_str(),
        ) else {
            continue;
        };
        if LISTS.contains(&name) || name.ends_with("-sys") {
            continue;
        }
        let found = (numbers(version), manifest);
        let best = newest.entry(name).or_insert_with(|| found.clone());
        if *best < found {
            *best = found;
        }
    }
    newest.values().filter_map(|(_, manifest)| Path::new(manifest).parent().map(PathBuf::from)).collect()
}

/// "1.2.3-rc.1+x" as numbers to compare.
fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// The source folder and the documents of a package.
fn readable(package: &Path) -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> =
        fs::read_dir(package).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    documents.retain(|path| path.is_file() && path.extension().is_some_and(|end| end == "md"));
    documents.push(package.join("src"));
    documents.retain(|path| path.exists());
    documents.sort();
    documents
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_of_each_registry_package_is_read() {
        let package = |name: &str, version: &str, source: Value| json!({"name": name, "version": version, "source": source, "manifest_path": format!("r/{name}-{version}/Cargo.toml")});
        let metadata = json!({"packages": [
            package("syn", "2.0.119", json!("registry+x")),
            package("syn", "10.0.1+a", json!("registry+x")),
            package("anyhow", "1.0.0", json!("registry+x")),
            package("zstd-sys", "1.0.0", json!("registry+x")),
            package("libc", "1.0.0", json!("registry+x")),
            package("ssl-data", "0.1.0", Value::Null),
        ]});
        assert_eq!(packages(&metadata), [PathBuf::from("r/anyhow-1.0.0"), PathBuf::from("r/syn-10.0.1+a")]);
    }

    #[test]
    fn sources_and_documents_of_a_package_are_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["src/lib.rs", "tests/a.rs", "README.md", "build.rs"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(readable(dir.path()), [dir.path().join("README.md"), dir.path().join("src")]);
        assert!(readable(&dir.path().join("absent")).is_empty());
    }
}
