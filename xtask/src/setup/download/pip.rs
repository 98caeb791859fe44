//! The package index, through its own client: `pip download`, with the hash required by pip as well.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::setup::download::Source;
use crate::setup::pins::{self, Platform, Wheel};

/// Unpacks the members of a wheel (argv: wheel, folder, prefixes); Python is there, since pip is.
const UNPACK: &str = "
import sys, zipfile
wheel, folder, *wanted = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(folder, [name for name in archive.namelist() if name.startswith(tuple(wanted))])
";

/// The machine's Python and pip.
#[derive(Debug)]
pub(crate) struct Pip;

impl Source for Pip {
    fn fetch(&self, wheel: &Wheel, platform: &Platform, dir: &Path, before: u64) -> Result<()> {
        let Some(mut command) = find() else { bail!("{MISSING}") };
        let wanted = dir.join("wanted.txt");
        fs::write(&wanted, format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.sha256))?;
        command.args(["download", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off"]);
        command.args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version", pins::PYTHON]);
        command.args(["--implementation", "cp", "--platform", wheel.tag, "--requirement"]).arg(&wanted).arg("--dest").arg(dir);
        // Known from pip 25 on; older ones ignore the variable.
        command.env("PIP_RESUME_RETRIES", "10").env("PIP_REQUIRE_VIRTUALENV", "0");
        // pip writes to its temporary folder first: here, where there is room and where the growth can be seen.
        command.env("TMPDIR", dir).current_dir(dir).stdin(Stdio::null());
        let log = dir.join("pip.log");
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().context("cannot start pip")?;
        let progress = Progress::bytes(&format!("fetching {} {}", wheel.package, wheel.version), platform.download_bytes());
        let status = watch(&mut child, || progress.at(before + size(dir)))?;
        progress.done();
        if !status {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("pip could not download {} {}:\n{}{}", wheel.package, wheel.version, said.trim_end(), HINT);
        }
        Ok(())
    }

    fn unpack(&self, archive: &Path, wheel: &Wheel, dir: &Path) -> Result<()> {
        let mut command = Command::new("python3");
        command.args(["-c", UNPACK]).arg(archive).arg(dir).args(wheel.members).stdin(Stdio::null());
        let output = command.output().context("cannot start python3")?;
        if !output.status.success() {
            bail!("python3 could not unpack it:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }
}

const MISSING: &str = "libtorch is not here and Python with pip, which fetches it, is missing. Install them \
    (`sudo apt-get install --yes python3 python3-pip`) and run this again; or set LIBTORCH to the folder of an unpacked libtorch";

const HINT: &str = "\nhint: check the network and run this again; what was complete is kept. \
    Or set LIBTORCH to the folder of a PyTorch or libtorch that is installed already";

/// `python3 -m pip`, `pip3` or `pip`: the first that answers, provided that python3 is there to unpack.
pub(crate) fn find() -> Option<Command> {
    let answers = |line: &[&str]| {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !answers(&["python3", "--version"]) {
        return None;
    }
    let ways: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    let way = ways.into_iter().find(|way| answers(&[*way, &["--version"]].concat()))?;
    let mut command = Command::new(way[0]);
    command.args(&way[1..]);
    Some(command)
}

/// Waits for `child`, calling `tick` a few times a second; whether it succeeded.
fn watch(child: &mut Child, tick: impl Fn()) -> Result<bool> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for pip")? {
            return Ok(status.success());
        }
        tick();
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Bytes of all files below `dir`.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            Ok(kind) => kind.len(),
            Err(_) => 0,
        })
        .sum()
}
