//! `cargo xtask bench`: criterion's kernels and the whole training step, kept and compared with the last of this machine; by the name
//! `data`, the data engine beside its peers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::output::{data, say};
use crate::{cargo, child, machine, setup, workspace};

mod engine;

/// Training steps that are timed, by name and run file.
const STEPS: &[(&str, &str)] = &[("step/a", "bench-a"), ("step/b", "bench-b")];

/// Nanoseconds an iteration, by name.
type Times = BTreeMap<String, f64>;

/// The command.
pub(crate) fn run(names: &[String], texts: Option<&Path>, as_json: bool) -> Result<u8> {
    if engine::asked(names) {
        let rows = engine::run(names, texts)?;
        data(if as_json {
            json!({"date": machine::today(), "commit": machine::commit(), "device": machine::name(), "rows": rows}).to_string()
        } else {
            engine::table(&rows)
        });
        return Ok(0);
    }
    setup::ensure()?;
    let mut times = kernels(names)?;
    times.extend(steps(names)?);
    if times.is_empty() {
        bail!("no benchmark is named like that");
    }
    let folder = workspace::root().join("fixtures/bench");
    let before = last(&folder, &machine::name())?;
    let result = json!({"date": machine::today(), "commit": machine::commit(), "device": machine::name(), "nanoseconds": times});
    // A part of the benchmarks is looked at, not kept.
    if names.is_empty() {
        let file = folder.join(format!("{}-{}.json", machine::today(), machine::name()));
        fs::create_dir_all(&folder)?;
        fs::write(&file, format!("{result:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
        say(format_args!("kept in {}", file.display()));
    }
    if as_json {
        data(result);
    } else {
        data(table(&times, &before));
    }
    Ok(0)
}

/// Runs the crates' criterion benchmarks and collects what it measured.
fn kernels(names: &[String]) -> Result<Times> {
    let start = SystemTime::now();
    let mut command = cargo::cargo();
    let home = workspace::target().join("criterion");
    command
        .args(["bench", "--workspace", "--exclude", "xtask", "--benches", "--"])
        .args((!names.is_empty()).then(|| names.join("|")));
    command.env("CRITERION_HOME", &home).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo bench failed");
    }
    let mut times = Times::new();
    collect(&home, start, &mut times);
    Ok(times)
}

/// Reads every `new/estimates.json` below `dir` that was written after `since`.
fn collect(dir: &Path, since: SystemTime, times: &mut Times) {
    let read = |path: PathBuf| -> Option<Value> { serde_json::from_str(&fs::read_to_string(path).ok()?).ok() };
    for folder in
        fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir())
    {
        let estimates = folder.join("estimates.json");
        let fresh = fs::metadata(&estimates).and_then(|file| file.modified()).is_ok_and(|written| written >= since);
        if folder.ends_with("new") && fresh {
            let name = read(folder.join("benchmark.json")).and_then(|file| file["full_id"].as_str().map(String::from));
            let time = read(estimates).and_then(|file| file["mean"]["point_estimate"].as_f64());
            times.extend(name.zip(time));
        } else {
            collect(&folder, since, times);
        }
    }
}

/// Whole training steps of the `ssl` program.
fn steps(names: &[String]) -> Result<Times> {
    let mut times = Times::new();
    for (name, run) in STEPS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|part| name.contains(part.as_str())))
    {
        let ssl = cargo::ssl()?;
        let output = child::output(ssl.call("bench", None).arg(format!("fixtures/runs/{run}.toml")).arg("--json"))?;
        if !output.status.success() {
            bail!("ssl bench {run} ended with {}", child::code(output.status));
        }
        let result: Value = serde_json::from_slice(&output.stdout).context("cannot read what ssl bench prints")?;
        times.extend(result["ms_per_step"].as_f64().map(|ms| ((*name).to_owned(), ms * 1e6)));
    }
    Ok(times)
}

/// The newest result of the same machine.
fn last(folder: &Path, device: &str) -> Result<Times> {
    let end = format!("-{device}.json");
    let names = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let Some(newest) = names.filter(|name| name.ends_with(&end)).max() else { return Ok(Times::new()) };
    let text = fs::read_to_string(folder.join(&newest))?;
    let mut kept: Value = serde_json::from_str(&text).with_context(|| format!("cannot read {newest}"))?;
    serde_json::from_value(kept["nanoseconds"].take()).with_context(|| format!("cannot read {newest}"))
}

/// Name, time, and the change against `before`.
fn table(times: &Times, before: &Times) -> String {
    let line = |(name, now): (&String, &f64)| {
        let change = before.get(name).map_or_else(|| "new".into(), |then| format!("{:+.1}%", (now / then - 1.0) * 100.0));
        format!("{name:40} {:>12} {change:>8}", duration(*now))
    };
    times.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} us", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_estimates_are_collected_when_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("group/name/new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("benchmark.json"), r#"{"full_id": "group/name"}"#).unwrap();
        fs::write(folder.join("estimates.json"), r#"{"mean": {"point_estimate": 1500.0}}"#).unwrap();
        let (mut fresh, mut stale) = (Times::new(), Times::new());
        collect(dir.path(), SystemTime::UNIX_EPOCH, &mut fresh);
        collect(dir.path(), SystemTime::now() + std::time::Duration::from_mins(1), &mut stale);
        assert_eq!(fresh, Times::from([("group/name".into(), 1500.0)]));
        assert!(stale.is_empty());
    }

    #[test]
    fn the_newest_of_the_same_machine_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        for (name, time) in [("2026-01-01-x", 1.0), ("2026-02-01-x", 2.0), ("2026-03-01-y", 3.0)] {
            fs::write(dir.path().join(format!("{name}.json")), json!({"nanoseconds": {"a": time}}).to_string()).unwrap();
        }
        let before = last(dir.path(), "x").unwrap();
        assert_eq!(before, Times::from([("a".into(), 2.0)]));
        assert!(table(&Times::from([("a".into(), 3.0)]), &before).contains("+50.0%"));
        assert!(last(dir.path(), "z").unwrap().is_empty());
    }
}
