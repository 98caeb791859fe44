//! Reads a run file with its overrides and reports every fault at once, each with its place and what to do.

mod access;
pub(crate) mod fail;
mod read;
mod show;
pub(crate) mod tree;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_data::config::Fault;
use toml::de::DeTable;

use self::fail::Found;
use self::tree::{Node, Place};
use crate::overrides;

pub(crate) use self::show::{Diagnosis, Paint, Source};

/// A longer file is no run file.
const MAX_BYTES: u64 = 4 << 20;

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub(crate) struct Loaded<T> {
    /// The configuration.
    pub(crate) value: T,
    /// The file as it was written.
    pub(crate) verbatim: String,
    /// The configuration in full as TOML: overrides applied, defaults filled in.
    pub(crate) resolved: String,
}

/// Reads the run file at `path`, applies `overrides` in order, and checks the whole.
///
/// # Errors
/// Every fault that the file, the overrides and `validate` show.
pub(crate) fn load<T: DeserializeOwned + Serialize>(
    path: &Path,
    overrides: &[String],
    validate: impl Fn(&T) -> Vec<Fault>,
) -> Result<Loaded<T>, Diagnosis> {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => parse(&name, text, overrides, validate),
        Err((message, hint)) => {
            let found = Found { place: None, message, hint };
            Err(Diagnosis::new(vec![Source { name, text: String::new() }], vec![found]))
        }
    }
}

fn read_text(path: &Path) -> Result<String, (String, String)> {
    let refused = |fault: std::io::Error| {
        let hint = match fault.kind() {
            std::io::ErrorKind::NotFound => "give the path of a run file, such as one of fixtures/runs",
            std::io::ErrorKind::IsADirectory => "give the run file inside it",
            _ => "check that it can be read",
        };
        (format!("cannot read the run file: {fault}"), hint.to_owned())
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(refused)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err((format!("the run file is longer than {MAX_BYTES} bytes"), "a run file is a page of TOML".into()));
    }
    String::from_utf8(bytes).map_err(|fault| {
        let at = fault.utf8_error().valid_up_to();
        let line = fault.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        (format!("line {line} is not UTF-8 (byte {at} of the file)"), "save the file as UTF-8".into())
    })
}

/// As [`load`], of a text that calls itself `name`.
pub(crate) fn parse<T: DeserializeOwned + Serialize>(
    name: &str,
    text: String,
    overrides: &[String],
    validate: impl Fn(&T) -> Vec<Fault>,
) -> Result<Loaded<T>, Diagnosis> {
    let mut sources = vec![Source { name: name.to_owned(), text }];
    sources.extend(overrides.iter().map(|text| Source { name: "--set".into(), text: text.clone() }));
    let mut found = Vec::new();

    let (table, broken) = DeTable::parse_recoverable(&sources[0].text);
    for fault in broken {
        let place = fault.span().map(|span| Place::new(0, span));
        found.push(Found { place, message: fault.message().to_owned(), hint: String::new() });
    }
    // What a broken file would go on to say is guesswork.
    if !found.is_empty() {
        return Err(Diagnosis::new(sources, found));
    }
    let mut root = Node::document(table, 0);
    for (index, text) in overrides.iter().enumerate() {
        if let Err(refusal) = overrides::apply(&mut root, text, index + 1) {
            found.push(refusal);
        }
    }
    let reading = read::read::<T>(&root);
    found.extend(reading.found);
    found.extend(faults(&root, &reading.values, &reading.holes, validate));
    let mut values = reading.values;
    if found.is_empty()
        && reading.holes.is_empty()
        && let Some(value) = values.pop()
    {
        match toml::to_string(&value) {
            Ok(resolved) => {
                let resolved = format!("{}\n", resolved.trim_end());
                return Ok(Loaded { value, verbatim: sources.swap_remove(0).text, resolved });
            }
            Err(fault) => found.push(Found {
                place: None,
                message: format!("the run cannot be written back as TOML: {fault}"),
                hint: "whole numbers in TOML end at 9223372036854775807".into(),
            }),
        }
    }
    Err(Diagnosis::new(sources, found))
}

/// The faults of meaning that do not depend on what stands in for missing values: they must show under both contents.
fn faults<T>(root: &Node, values: &[T], holes: &BTreeSet<String>, validate: impl Fn(&T) -> Vec<Fault>) -> Vec<Found> {
    let Some((first, rest)) = values.split_first() else { return Vec::new() };
    let mut faults = validate(first);
    for value in rest {
        let others = validate(value);
        faults.retain(|fault| others.contains(fault));
    }
    let made_up = |path: &str| {
        holes.iter().any(|hole| path.strip_prefix(hole.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    faults.retain(|fault| !made_up(&fault.path));
    let found = |fault: Fault| {
        let (node, exact) = root.find(&fault.path);
        let place = (exact || node.key.is_some()).then(|| node.whole());
        let message = if exact { fault.message } else { format!("{}: {}", fault.path, fault.message) };
        Found { place, message, hint: fault.hint }
    };
    faults.into_iter().map(found).collect()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
