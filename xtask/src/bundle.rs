//! `cargo xtask bundle`: a folder that runs on another Linux host of the same kind that has PyTorch 2.11 installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::output::{data, say};
use crate::{cargo, workspace};

/// Larger bundles are refused.
const LARGEST: u64 = 60_000_000;

/// The script that finds PyTorch's libraries and starts the program.
const START: &str = include_str!("bundle/start.sh");
/// The script that runs what there is for a GPU.
const GPU_CHECK: &str = include_str!("bundle/gpu-check.sh");

/// The command.
pub(crate) fn run(dir: &Path) -> Result<u8> {
    let dir = std::env::current_dir()?.join(dir);
    let made = dir.join("start").exists();
    if dir.exists() && !made && fs::read_dir(&dir)?.next().is_some() {
        bail!("{} is there already and is no bundle", dir.display());
    }
    let ssl = cargo::ssl()?;
    let tests = test_programs()?;
    let fresh = dir.with_extension("partial");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    for folder in ["bin", "tests"] {
        fs::create_dir_all(fresh.join(folder)).with_context(|| format!("cannot make {}", fresh.display()))?;
    }
    strip(ssl.path(), &fresh.join("bin/ssl"))?;
    for (name, program) in &tests {
        strip(program, &fresh.join("tests").join(name))?;
    }
    copy(&workspace::root().join("fixtures"), &fresh.join("fixtures"))?;
    for (name, script) in [("start", START), ("gpu-check", GPU_CHECK)] {
        let script_file = fresh.join(name);
        fs::write(&script_file, script)?;
        fs::set_permissions(&script_file, fs::Permissions::from_mode(0o755))?;
    }
    let bytes = size(&fresh)?;
    if bytes > LARGEST {
        bail!("the bundle in {} has {} MB, more than {}", fresh.display(), bytes / 1_000_000, LARGEST / 1_000_000);
    }
    if made {
        fs::remove_dir_all(&dir)?;
    }
    fs::rename(&fresh, &dir).with_context(|| format!("cannot place {}", dir.display()))?;
    say(format_args!(
        "{} MB; on the other host: {dir}/start PYTORCH train fixtures/runs/NAME.toml, and {dir}/gpu-check PYTORCH",
        bytes / 1_000_000,
        dir = dir.display()
    ));
    data(dir.display());
    Ok(0)
}

/// The test programs of what touches a device, by crate and target: those of all crates together are five times what a bundle may have.
fn test_programs() -> Result<Vec<(String, PathBuf)>> {
    say("building the test programs");
    let mut command = cargo::cargo();
    command.args([
        "test",
        "--workspace",
        "--exclude",
        "xtask",
        "--locked",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the test programs did not build");
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(test_program)
        .filter(|(name, _)| name.starts_with("ssl-torch."))
        .collect())
}

/// A test program in one line of cargo's messages.
fn test_program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let program = PathBuf::from(message["executable"].as_str()?);
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.file_name()?.to_string_lossy().into_owned();
    let target = message["target"]["name"].as_str()?;
    message["profile"]["test"].as_bool()?.then(|| (format!("{package}.{target}"), program))
}

fn strip(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if !status.context("cannot start strip: sudo apt-get install --yes binutils")?.success() {
        bail!("cannot strip {}", from.display());
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_name() == "__pycache__" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn size(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_other_messages() {
        let line = |test: bool| {
            format!(
                r#"{{"executable":"t/road-1","manifest_path":"w/ssl-data/Cargo.toml","target":{{"name":"road"}},"profile":{{"test":{test}}}}}"#
            )
        };
        assert_eq!(test_program(&line(true)), Some(("ssl-data.road".into(), "t/road-1".into())));
        assert_eq!(test_program(&line(false)), None);
        assert_eq!(test_program(r#"{"reason":"build-finished"}"#), None);
    }

    #[test]
    fn the_start_script_finds_pytorch_and_hands_on_its_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let start = script("bundle/start", START);
        script("bundle/bin/ssl", "#!/bin/sh\necho \"$LD_LIBRARY_PATH|$*\"\n");
        script("venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so", "");
        script("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcudart.so.13", "");
        let run = |args: &[&str]| Command::new(&start).args(args).env_remove("LD_LIBRARY_PATH").output().unwrap();
        let venv = dir.path().join("venv");
        let output = run(&[venv.to_str().unwrap(), "train", "a b"]);
        let site = venv.join("lib/python3.11/site-packages");
        let expect = format!("{0}/torch/lib:{0}/nvidia/cu13/lib|train a b\n", site.display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expect);
        let output = run(&[dir.path().join("bundle").to_str().unwrap(), "train"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(run(&[]).status.code(), Some(2));
    }

    /// On a machine with a driver the check would run in full, which is not this test's business.
    #[test]
    fn without_a_gpu_the_check_says_so_in_its_table() {
        if ["/proc/driver/nvidia/version", "/dev/nvidiactl"].iter().any(|file| Path::new(file).exists()) {
            println!("skipped: this machine has an NVIDIA driver");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("gpu-check");
        fs::write(&script, GPU_CHECK).unwrap();
        let run = |args: &[&Path]| Command::new("sh").arg(&script).args(args).output().unwrap();
        let output = run(&[dir.path()]);
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(4), "{told}");
        let last = told.lines().last().unwrap();
        assert!(last.contains("skipped") && last.contains("no NVIDIA driver"), "{told}");
        assert_eq!(run(&[]).status.code(), Some(2));
        assert_eq!(run(&[&dir.path().join("absent")]).status.code(), Some(2));
    }
}
