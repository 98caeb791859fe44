//! The pinned wheels, fetched into the user's cache, checked, and unpacked as far as needed.
//!
//! Safe against two at once (a lock), against being killed (every step ends in a rename) and against a wrong file (sha256).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::output::say;
use crate::setup::pins::{self, Platform, Wheel};
use crate::{lock, space, workspace};

pub(crate) mod pip;

/// What reaches outside; the tests put fakes here.
pub(crate) trait Source {
    /// Fetches `wheel` into `dir`; `before` of the platform's bytes were there already.
    fn fetch(&self, wheel: &Wheel, platform: &Platform, dir: &Path, before: u64) -> Result<()>;
    /// Unpacks the members of `wheel`, the file `archive`, below `dir`.
    fn unpack(&self, archive: &Path, wheel: &Wheel, dir: &Path) -> Result<()>;
}

/// The `torch` folder of the pinned version in the user's cache, fetched if it is not there.
pub(crate) fn torch() -> Result<PathBuf> {
    let Some(platform) = Platform::here() else {
        bail!(
            "no libtorch is pinned for this kind of machine ({}-{}). Install PyTorch {} so that python3 finds it \
             (`python3 -m pip install torch=={2}`), or set LIBTORCH to the folder of an unpacked libtorch {2}",
            std::env::consts::OS,
            std::env::consts::ARCH,
            pins::VERSION
        );
    };
    let home = workspace::cache()?;
    let _lock = lock::exclusive(&home.join("libtorch.lock"))?;
    place(&home, platform, &pip::Pip)
}

/// Brings `platform`'s libtorch below `home`, doing only what is not done. The caller holds the lock.
fn place(home: &Path, platform: &Platform, source: &dyn Source) -> Result<PathBuf> {
    let name = format!("libtorch-{}-{}", pins::VERSION, platform.name);
    let done = home.join(&name);
    if done.exists() {
        return Ok(done.join("torch"));
    }
    let (wheels, partial) = (home.join(format!("{name}.wheels")), home.join(format!("{name}.partial")));
    // Of a process that was killed.
    clear(&partial)?;
    fs::create_dir_all(&wheels).with_context(|| format!("cannot make the folder {}", wheels.display()))?;
    let archives = fetch(&wheels, platform, source)?;
    space::require(home, platform.unpacked_bytes)?;
    say(format_args!("unpacking into {}", done.display()));
    fs::create_dir_all(&partial)?;
    for (archive, wheel) in archives.iter().zip(platform.wheels) {
        source.unpack(archive, wheel, &partial).with_context(|| format!("cannot unpack {}", archive.display()))?;
    }
    fs::rename(&partial, &done).with_context(|| format!("cannot place {}", done.display()))?;
    clear(&wheels)?;
    Ok(done.join("torch"))
}

/// The files of the platform's wheels below `wheels`, each with the pinned hash.
fn fetch(wheels: &Path, platform: &Platform, source: &dyn Source) -> Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    let mut before = 0;
    for wheel in platform.wheels {
        let archive = wheels.join(format!("{}.whl", wheel.sha256));
        if !archive.exists() {
            let rest = platform.download_bytes() - before;
            space::require(wheels, rest + platform.unpacked_bytes)?;
            let partial = wheels.join("partial");
            clear(&partial)?;
            fs::create_dir(&partial).with_context(|| format!("cannot make the folder {}", partial.display()))?;
            source.fetch(wheel, platform, &partial, before)?;
            let file = only_wheel(&partial, wheel)?;
            check(&file, wheel)?;
            fs::rename(&file, &archive).with_context(|| format!("cannot place {}", archive.display()))?;
            clear(&partial)?;
        }
        before += wheel.bytes;
        archives.push(archive);
    }
    Ok(archives)
}

fn only_wheel(dir: &Path, wheel: &Wheel) -> Result<PathBuf> {
    let found = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = found.filter(|path| path.extension().is_some_and(|end| end == "whl"));
    found.next().with_context(|| format!("the download of {} {} left no file", wheel.package, wheel.version))
}

fn check(file: &Path, wheel: &Wheel) -> Result<()> {
    let found = sha256(file)?;
    if found != wheel.sha256 {
        bail!(
            "{} has sha256 {found}, pinned is {}: not the file that was asked for, nothing is kept of it",
            file.display(),
            wheel.sha256
        );
    }
    Ok(())
}

/// The sha256 of a file, in lower case hex.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok(format!("{:x}", hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}

/// Removes a folder and what is in it, if it is there.
fn clear(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
