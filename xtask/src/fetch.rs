//! `cargo xtask fetch`: public data sets of `fixtures/datasets.toml`, each file by its sha256.
//!
//! A file appears under its name only when it is whole and right; what was cut short goes on where it stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::output::{data, say};
use crate::progress::Progress;
use crate::setup::download::sha256;
use crate::{lock, space, workspace};

/// A set of files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    /// What it is, in a line.
    about: String,
    /// Under which terms.
    licence: String,
    /// The address below which the files lie, with its last `/`.
    base: String,
    /// The files.
    files: Vec<Item>,
}

/// One file of a set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    bytes: u64,
    sha256: String,
    /// Its name at the address, where that differs.
    from: Option<String>,
}

/// The command: fetches `names`, or lists the sets.
pub(crate) fn run(names: &[String], out: Option<&Path>) -> Result<u8> {
    let sets = known()?;
    if names.is_empty() {
        for (name, set) in &sets {
            let bytes: u64 = set.files.iter().map(|item| item.bytes).sum();
            data(format_args!("{name:18} {:7.1} MB  {}; {}", bytes as f64 / 1e6, set.about, set.licence));
        }
        return Ok(0);
    }
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !sets.contains_key(*name)).collect();
    if !unknown.is_empty() {
        bail!("no set {}; there are: {}", unknown.join(", "), sets.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    let home = match out {
        Some(dir) => std::env::current_dir()?.join(dir),
        None => workspace::cache()?.join("datasets"),
    };
    for name in names {
        let folder = home.join(name);
        let _lock = lock::exclusive(&home.join(format!("{name}.lock")))?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for item in &sets[name].files {
            let address = format!("{}{}", sets[name].base, item.from.as_ref().unwrap_or(&item.name));
            fetch(&folder, item, &|part| curl(&address, part, item.bytes))?;
        }
        data(folder.display());
    }
    Ok(0)
}

fn known() -> Result<BTreeMap<String, Set>> {
    let path = workspace::root().join("fixtures/datasets.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Brings one file; `download` appends what is missing of it to the file that it is given.
fn fetch(folder: &Path, item: &Item, download: &dyn Fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let file = folder.join(&item.name);
    if file.exists() {
        if sha256(&file)? == item.sha256 {
            return Ok(file);
        }
        say(format_args!("{} is damaged; fetching it again", file.display()));
        fs::remove_file(&file)?;
    }
    let part = folder.join(format!("{}.part", item.name));
    let length = || fs::metadata(&part).map_or(0, |part| part.len());
    if length() > item.bytes {
        fs::remove_file(&part)?;
    }
    if length() < item.bytes {
        space::require(folder, item.bytes - length())?;
        download(&part)?;
    }
    let found = sha256(&part)?;
    if found != item.sha256 {
        fs::remove_file(&part)?;
        bail!("{} arrived with sha256 {found}, expected is {}: nothing is kept of it", item.name, item.sha256);
    }
    fs::rename(&part, &file).with_context(|| format!("cannot place {}", file.display()))?;
    Ok(file)
}

/// Downloads `address`, going on at the end of `part`.
fn curl(address: &str, part: &Path, bytes: u64) -> Result<()> {
    let mut command = Command::new("curl");
    command.args([
        "--fail",
        "--location",
        "--silent",
        "--show-error",
        "--retry",
        "5",
        "--connect-timeout",
        "30",
        "--continue-at",
        "-",
    ]);
    // Nothing longer than the file that was asked for fills the disk.
    command.args(["--max-filesize", &bytes.to_string(), "--output"]).arg(part).arg(address).stdin(Stdio::null());
    let mut child = command.spawn().context("cannot start curl, which fetches: sudo apt-get install --yes curl")?;
    let progress = Progress::bytes(&format!("fetching {}", part.file_stem().unwrap_or_default().display()), bytes);
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for curl")? {
            break status;
        }
        progress.at(fs::metadata(part).map_or(0, |part| part.len()));
        std::thread::sleep(Duration::from_millis(200));
    };
    progress.done();
    if !status.success() {
        bail!("curl could not fetch {address}; check the network and run this again: it goes on where it stopped");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
