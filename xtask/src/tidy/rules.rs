//! The rules.

use super::tree::{Tree, has_end};
use super::{Fault, code};

/// Longest source file, in lines.
const LONGEST: usize = 450;

/// All fixtures together, in bytes.
const FIXTURES: u64 = 5_000_000;

/// Which crates of the workspace, and which of the two loaded ones (`tch`, `torch-sys`), a crate may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ssl-data", &[]),
    ("ssl-data-fuzz", &["ssl-data"]),
    ("ssl-torch", &["tch", "torch-sys"]),
    ("ssl-model", &["ssl-data", "ssl-torch", "tch"]),
    ("ssl-train", &["ssl-data", "ssl-torch", "ssl-model", "tch"]),
    ("ssl-eval", &["ssl-data", "ssl-torch", "ssl-model", "tch"]),
    ("ssl-cli", &["ssl-data", "ssl-torch", "ssl-model", "ssl-train", "ssl-eval", "tch"]),
    ("xtask", &[]),
];

fn fault(path: &str, line: usize, message: impl Into<String>) -> Fault {
    Fault { path: path.into(), line, message: message.into() }
}

pub(super) fn heads(tree: &Tree) -> Vec<Fault> {
    let bare = tree.rust().filter(|(_, text)| !text.trim_start().starts_with("//!"));
    bare.map(|(path, _)| fault(path, 1, "starts without a `//!` line that says what the file is for")).collect()
}

pub(super) fn lengths(tree: &Tree) -> Vec<Fault> {
    let sources = tree.texts(|path| ["rs", "py", "cpp", "h"].iter().any(|end| has_end(path, end)));
    let long = sources.map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LONGEST);
    long.map(|(path, lines)| fault(path, 0, format!("has {lines} lines, more than {LONGEST}: split it by purpose"))).collect()
}

pub(super) fn unsafe_code(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in code::only(text).lines().enumerate() {
            if !line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                continue;
            }
            if !path.starts_with("crates/ssl-torch/") {
                faults.push(fault(path, at + 1, "unsafe code outside ssl-torch"));
            } else if line.contains("unsafe {") || line.contains("unsafe impl") {
                let near = &lines[at.saturating_sub(8)..=at];
                if !near.iter().any(|line| line.contains("SAFETY:")) {
                    faults.push(fault(path, at + 1, "no `SAFETY:` comment in the lines above"));
                }
            }
        }
    }
    faults
}

pub(super) fn unfinished(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let words = ["todo!", "unimplemented!", "dbg!", "#[ignore", "#[should_panic"];
        for (at, line) in code::only(text).lines().enumerate() {
            faults.extend(words.iter().filter(|word| line.contains(**word)).map(|word| fault(path, at + 1, format!("`{word}`"))));
        }
        for (at, line) in text.lines().map(str::trim_start).enumerate() {
            let fence = line
                .strip_prefix("//!")
                .or_else(|| line.strip_prefix("///"))
                .and_then(|doc| doc.trim_start().strip_prefix("```"));
            if let Some(word) = fence.filter(|word| word.starts_with("ignore") || word.starts_with("should_panic")) {
                faults.push(fault(path, at + 1, format!("documentation test marked `{word}`")));
            }
        }
    }
    faults
}

pub(super) fn dependencies(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts(|path| path.ends_with("/Cargo.toml")) {
        let Ok(manifest) = text.parse::<toml::Table>() else {
            faults.push(fault(path, 0, "does not parse"));
            continue;
        };
        let name =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str).unwrap_or_default();
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            faults.push(fault(path, 0, format!("`{name}` has no line in the list of who may use whom")));
            continue;
        };
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let used = manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            let watched = used.filter(|used| used.starts_with("ssl-") || *used == "tch" || *used == "torch-sys");
            let wrong = watched.filter(|used| !allowed.contains(&used.as_str()));
            faults.extend(wrong.map(|used| fault(path, 0, format!("`{name}` may not use `{used}`"))));
        }
    }
    faults
}

/// Libraries are told what they need: only programs look around.
pub(super) fn surroundings(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let library = |path: &str| path.starts_with("crates/") && path.contains("/src/") && !path.starts_with("crates/ssl-cli/");
    for (path, text) in tree.rust().filter(|(path, _)| library(path)) {
        for (at, line) in code::only(text).lines().enumerate() {
            faults.extend(line.contains("env::").then(|| fault(path, at + 1, "a library reads the environment")));
        }
    }
    faults
}

pub(super) fn toml(tree: &Tree) -> Vec<Fault> {
    let files = tree.texts(|path| path.starts_with("fixtures/") && has_end(path, "toml"));
    files.filter_map(|(path, text)| Some(fault(path, 0, text.parse::<toml::Table>().err()?.message()))).collect()
}

pub(super) fn fixtures(tree: &Tree) -> Vec<Fault> {
    let bytes: u64 = tree.files.iter().filter(|file| file.path.starts_with("fixtures/")).map(|file| file.bytes).sum();
    if bytes <= FIXTURES { Vec::new() } else { vec![fault("fixtures", 0, format!("{bytes} bytes, more than {FIXTURES}"))] }
}

/// Files that name such places for a reason: a lock names its registry.
const PLACES_EXEMPT: &str = "Cargo.lock";

pub(super) fn places(tree: &Tree) -> Vec<Fault> {
    // Written apart, so that this file passes its own rule.
    let folders = ["work", "home", "root"].map(|folder| format!("/{folder}/"));
    let hosts = [["crates", "io"], ["pypi", "org"], ["pythonhosted", "org"], ["npmjs", "com"]].map(|parts| parts.join("."));
    let mut faults = Vec::new();
    for (path, text) in tree.texts(|path| !path.ends_with(PLACES_EXEMPT)) {
        let temporary = has_end(path, "md").then(|| format!("/{}/", "tmp"));
        for (at, line) in text.lines().enumerate() {
            let mut found = folders.iter().chain(&temporary).filter(|folder| names_folder(line, folder));
            if let Some(folder) = found.next() {
                faults.push(fault(path, at + 1, format!("a path of one machine, `{folder}`")));
            }
            faults.extend(
                hosts
                    .iter()
                    .filter(|host| line.contains(*host))
                    .map(|host| fault(path, at + 1, format!("the registry host `{host}`"))),
            );
        }
    }
    faults
}

/// Whether `line` holds a path that begins with `folder`, and not one that only contains it.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~/*$}>)".contains(c)))
}

pub(super) fn links(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts(|path| has_end(path, "md") && !path.starts_with("fixtures/corpus/")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, line) in text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
                let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
                if !outside && !exists(tree, folder, target.trim_end_matches('/')) {
                    faults.push(fault(path, at + 1, format!("the link to `{target}` leads nowhere")));
                }
            }
        }
    }
    faults
}

fn exists(tree: &Tree, folder: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let inside = format!("{path}/");
    tree.files.iter().any(|file| file.path == path || file.path.starts_with(&inside))
}

pub(super) fn ci(tree: &Tree) -> Vec<Fault> {
    const COMMAND: &str = "cargo xtask test";
    let files = tree.texts(|path| path == ".ci/run" || path == "README.md");
    files
        .filter(|(_, text)| !text.contains(COMMAND))
        .map(|(path, _)| fault(path, 0, format!("does not call `{COMMAND}`")))
        .collect()
}

#[cfg(test)]
mod tests;
