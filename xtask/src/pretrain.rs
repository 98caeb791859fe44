//! `cargo xtask pretrain`: from a clean checkout to a trained model, a sample of what it writes, and a report.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::Ssl;
use crate::flags::Pretrain;
use crate::output::{data, say};
use crate::{cargo, child, corpus, workspace};

/// The run when none is named: what two cores train to something in about five minutes.
const DEFAULT_RUN: &str = "llama-nano";

/// The command; the exit code is that of `ssl train`.
pub(crate) fn run(flags: &Pretrain) -> Result<u8> {
    let run = run_file(flags.run.as_deref())?;
    let out = match &flags.out {
        Some(dir) => absolute(dir)?,
        None => workspace::root().join("runs/pretrain"),
    };
    let mut changes = Vec::new();
    let own_text = flags.data.is_empty() && !names_text(&run)?;
    if !flags.data.is_empty() {
        let paths: Vec<PathBuf> = flags.data.iter().map(|path| absolute(path)).collect::<Result<_>>()?;
        changes.push(format!("data.paths={}", list(paths.iter().map(|path| path.display().to_string()))));
    }
    let ssl = cargo::ssl()?;
    if own_text {
        say("corpus: the sources of the locked dependencies (--data PATH takes your own text)");
        changes.push(format!("data.paths={}", list(corpus::paths()?.iter().map(|path| path.display().to_string()))));
        changes.push(format!("data.extensions={}", list(corpus::EXTENSIONS.iter().map(ToString::to_string))));
        changes.push(format!("data.limits.document-bytes={}", corpus::LONGEST_BYTES));
    }
    changes.extend(flags.minutes.map(|minutes| format!("train.minutes={minutes:?}")));
    changes.extend(flags.steps.map(|steps| format!("train.steps={steps}")));
    changes.extend(flags.set.iter().cloned());

    let mut train = ssl.call("train", flags.device.as_deref());
    train.arg(&run).arg("--json").arg("--out").arg(&out);
    train.args(changes.iter().flat_map(|change| ["--set", change]));
    let output = child::output(&mut train)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if flags.json && !printed.trim().is_empty() {
        data(printed.trim_end());
    }
    let code = child::code(output.status);
    if code == 0 && !flags.json {
        let result: Value = serde_json::from_str(&printed).context("cannot read what ssl train prints")?;
        show(&ssl, flags, &result)?;
    }
    Ok(code)
}

/// Numbers, a sample and the report's place, for people.
fn show(ssl: &Ssl, flags: &Pretrain, result: &Value) -> Result<()> {
    let number = |key: &str| result[key].as_f64().map_or_else(|| "-".into(), |number| format!("{number:.3}"));
    let folder = PathBuf::from(result["run_dir"].as_str().context("ssl train names no run_dir")?);
    say(format_args!(
        "\nloss {} nats a token, {} bits a byte on held-out text, after {} steps\n\na sample:",
        number("val_loss"),
        number("val_bpb"),
        result["steps"]
    ));
    let mut generate = ssl.call("generate", flags.device.as_deref());
    generate.arg(&folder).args(["--max-tokens", "160", "--temperature", "0.8", "--top-p", "0.95", "--quiet"]);
    let status = child::status(&mut generate)?;
    if !status.success() {
        bail!("ssl generate ended with {}", child::code(status));
    }
    say(format_args!("\nreport: {}", folder.join("report.html").display()));
    say(format_args!("more:   {} generate {} --prompt \"...\"", ssl.path().display(), folder.display()));
    Ok(())
}

/// A name in `fixtures/runs`, or a file.
fn run_file(named: Option<&Path>) -> Result<PathBuf> {
    let named = named.unwrap_or_else(|| Path::new(DEFAULT_RUN));
    let folder = workspace::root().join("fixtures/runs");
    let known = folder.join(named).with_extension("toml");
    if known.is_file() {
        return Ok(known);
    }
    let file = absolute(named)?;
    if file.is_file() {
        return Ok(file);
    }
    let mut names: Vec<String> = folder
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    bail!("no run {}; there are: {}", named.display(), names.join(", "))
}

/// Whether the run file says itself which text it reads.
fn names_text(run: &Path) -> Result<bool> {
    let text = std::fs::read_to_string(run).with_context(|| format!("cannot read {}", run.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("cannot read {}", run.display()))?;
    let paths = table.get("data").and_then(|data| data.get("paths")).and_then(toml::Value::as_array);
    Ok(paths.is_some_and(|paths| !paths.is_empty()))
}

/// A TOML array of strings.
fn list(items: impl Iterator<Item = String>) -> String {
    toml::Value::Array(items.map(toml::Value::String).collect()).to_string()
}

/// `path` as seen from the user's folder; `ssl` runs in the workspace's.
fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(env::current_dir().context("the current folder is gone")?.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_names_its_text_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        for (text, expect) in [("[data]\npaths = [\"a\"]", true), ("[data]\npaths = []", false), ("[train]\nsteps = 1", false)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(names_text(&file).unwrap(), expect, "{text}");
        }
        assert!(names_text(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn paths_become_one_toml_value() {
        let paths = ["a b", "c\"d", "e\\f"].map(String::from);
        let line = format!("paths={}", list(paths.clone().into_iter()));
        let table: toml::Table = line.parse().unwrap();
        let back: Vec<&str> = table["paths"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(back, paths);
    }

    #[test]
    fn an_unknown_run_is_named_with_those_that_exist() {
        let message = run_file(Some(Path::new("no-such-run"))).unwrap_err().to_string();
        assert!(message.starts_with("no run no-such-run; there are:"), "{message}");
    }
}
