//! Checkpoints: folders that are whole or do not exist.
//!
//! `checkpoints/00000500/` holds `model.safetensors optim.safetensors state.json`, the files a reader needs beside them
//! (`run.toml config.json tokenizer.json`), and `DONE`, written last: the size and hash of each. The folder is made under
//! another name, brought to the disk and then renamed, so that a kill at any moment leaves the old ones or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssl_model::weights;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::state::{Progress, TrainState, carry};

/// What the name of a checkpoint ends in while another of the same step takes its place.
const BEFORE: &str = ".before";
const STATE: &str = "state.json";
const OPTIM: &str = "optim.safetensors";
const DONE: &str = "DONE";
/// The version of the folder's layout.
const VERSION: u32 = 1;

/// The optimizer's and the trainer's part of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    progress: Progress,
    /// A hash of everything in the configuration that the result depends on.
    config_hash: String,
}

/// What a file must be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seal {
    bytes: u64,
    blake3: String,
}

/// A whole checkpoint on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its folder.
    pub dir: PathBuf,
    /// The steps done when it was made.
    pub step: u64,
}

/// A file that travels with a checkpoint: its name and its bytes.
pub type Companion = (&'static str, Vec<u8>);

impl Checkpoint {
    /// Writes the state into `root/<step>`.
    ///
    /// # Errors
    /// When the disk refuses; what was there before stays.
    pub fn save(root: &Path, state: &TrainState, config_hash: &str, companions: &[Companion]) -> Result<Self> {
        Self::write(root, state, &state.memory(), config_hash, companions)
    }

    /// The same with the state's memory at hand: that of all ranks, where several train.
    pub(crate) fn write(
        root: &Path,
        state: &TrainState,
        memory: &[(String, Tensor)],
        config_hash: &str,
        companions: &[Companion],
    ) -> Result<Self> {
        let step = state.progress.step;
        let dir = root.join(format!("{step:08}"));
        let partial = root.join(format!(".{step:08}.tmp"));
        let before = root.join(format!("{step:08}{BEFORE}"));
        let attempt = || -> Result<()> {
            fs::create_dir_all(root).map_err(|source| io_error("create", root, source))?;
            clear(&partial)?;
            fs::create_dir(&partial).map_err(|source| io_error("create", &partial, source))?;
            weights::save(&partial.join(weights::WEIGHTS), &state.params, &[])?;
            weights::write(&partial.join(OPTIM), memory)?;
            let stored = Stored { version: VERSION, progress: state.progress, config_hash: config_hash.into() };
            let json = serde_json::to_vec_pretty(&stored).map_err(|fault| bad(&dir, fault.to_string()))?;
            write(&partial.join(STATE), &json)?;
            for (name, bytes) in companions {
                write(&partial.join(name), bytes)?;
            }
            let seals = seal(&partial)?;
            let json = serde_json::to_vec_pretty(&seals).map_err(|fault| bad(&dir, fault.to_string()))?;
            write(&partial.join(DONE), &json)?;
            sync(&partial)?;
            // The same step may have been saved before: on a rerun over a finished run, say. It stays whole until this one stands.
            if dir.exists() {
                clear(&before)?;
                fs::rename(&dir, &before).map_err(|source| io_error("rename", &dir, source))?;
            }
            fs::rename(&partial, &dir).map_err(|source| io_error("rename", &partial, source))?;
            sync(root)?;
            clear(&before)
        };
        attempt().inspect_err(|_| {
            let _ = fs::remove_dir_all(&partial);
        })?;
        Ok(Self { dir, step })
    }

    /// The checkpoint in `dir`, checked against its seals.
    ///
    /// # Errors
    /// When it has no `DONE`, or a file is missing, of another size, or altered.
    pub fn open(dir: &Path) -> Result<Self> {
        let text = fs::read(dir.join(DONE)).map_err(|_| bad(dir, "it was never finished (no DONE)"))?;
        let seals: BTreeMap<String, Seal> = serde_json::from_slice(&text).map_err(|fault| bad(dir, format!("DONE: {fault}")))?;
        for (name, expect) in &seals {
            let path = dir.join(name);
            let size = fs::metadata(&path).map_err(|fault| bad(dir, format!("{name}: {fault}")))?.len();
            if size != expect.bytes {
                return Err(bad(dir, format!("{name} has {size} bytes where {} were written", expect.bytes)));
            }
            if hash(&path)? != expect.blake3 {
                return Err(bad(dir, format!("{name} was altered")));
            }
        }
        for name in [weights::WEIGHTS, OPTIM, STATE] {
            if !seals.contains_key(name) {
                return Err(bad(dir, format!("DONE does not name {name}")));
            }
        }
        let step = stored(dir)?.progress.step;
        Ok(Self { dir: dir.into(), step })
    }

    /// The newest whole checkpoint under `root`, and why newer ones were passed over.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn latest(root: &Path) -> Result<(Option<Self>, Vec<Error>)> {
        let mut passed = Vec::new();
        for (_, dir) in folders(root)?.into_iter().rev() {
            match Self::open(&dir) {
                Ok(found) => return Ok((Some(found), passed)),
                Err(fault) => passed.push(fault),
            }
        }
        Ok((None, passed))
    }

    /// The counts it was made at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn progress(&self) -> Result<Progress> {
        Ok(stored(&self.dir)?.progress)
    }

    /// The hash of the configuration it was made under.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config_hash(&self) -> Result<String> {
        Ok(stored(&self.dir)?.config_hash)
    }

    /// Takes weights, moments and counts back into `state`.
    ///
    /// # Errors
    /// When a tensor does not fit, or is not finite.
    pub fn restore(&self, state: &mut TrainState) -> Result<()> {
        weights::load(&self.dir.join(weights::WEIGHTS), &state.params)?;
        for param in state.params.list() {
            if !ssl_torch::guard(|| param.master.isfinite().all().int64_value(&[]) == 1)? {
                return Err(bad(&self.dir, format!("{} holds numbers that are not finite", param.name)));
            }
        }
        let file = weights::File::open(&self.dir.join(OPTIM))?;
        let mut tensors = BTreeMap::new();
        for entry in file.entries() {
            tensors.insert(entry.name.clone(), file.tensor(entry)?.to_device(state.params.device()));
        }
        let TrainState { params, optimizer, .. } = state;
        optimizer
            .restore(&params.moved(), &tensors)
            .map_err(|name| bad(&self.dir, format!("{OPTIM} has no {name} of the model's shape")))?;
        state.carry = (0..).map_while(|i| tensors.remove(&carry(i))).collect();
        state.progress = self.progress()?;
        Ok(())
    }
}

/// Removes all but the newest `keep` checkpoints and the one of step `best`; never the newest.
///
/// # Errors
/// When a folder cannot be removed.
pub fn rotate(root: &Path, keep: u32, best: Option<u64>) -> Result<()> {
    let folders = folders(root)?;
    let old = folders.len().saturating_sub(keep.max(1) as usize);
    for (step, dir) in folders.into_iter().take(old) {
        if Some(step) != best {
            clear(&dir)?;
        }
    }
    Ok(())
}

/// Checkpoint folders by step, oldest first, and what a kill left of the one before of a step ahead of it; unfinished ones have
/// other names.
fn folders(root: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let listing = match fs::read_dir(root) {
        Ok(listing) => listing,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io_error("list", root, source)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(|source| io_error("list", root, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let step = name.and_then(|name| name.strip_suffix(BEFORE).unwrap_or(name).parse().ok());
        found.extend(step.map(|step| (step, path)));
    }
    found.sort_by_key(|(step, path)| (*step, path.extension().is_none()));
    Ok(found)
}

fn stored(dir: &Path) -> Result<Stored> {
    let text = fs::read(dir.join(STATE)).map_err(|source| io_error("read", &dir.join(STATE), source))?;
    let stored: Stored = serde_json::from_slice(&text).map_err(|fault| bad(dir, format!("{STATE}: {fault}")))?;
    if stored.version == VERSION {
        Ok(stored)
    } else {
        Err(bad(dir, format!("it is of version {}, this program reads {VERSION}", stored.version)))
    }
}

/// The seals of every file in a folder.
fn seal(dir: &Path) -> Result<BTreeMap<String, Seal>> {
    let mut seals = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(|source| io_error("list", dir, source))? {
        let path = entry.map_err(|source| io_error("list", dir, source))?.path();
        let bytes = fs::metadata(&path).map_err(|source| io_error("read", &path, source))?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seals.insert(name, Seal { bytes, blake3: hash(&path)? });
    }
    Ok(seals)
}

fn hash(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(|source| io_error("read", path, source))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(io_error("read", path, source)),
        };
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    attempt().map_err(|source| io_error("write", path, source))
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| io_error("sync", dir, source))
}

fn clear(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir, source)),
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.into(), source }
}

fn bad(dir: &Path, reason: impl Into<String>) -> Error {
    Error::Checkpoint { path: dir.into(), reason: reason.into() }
}
