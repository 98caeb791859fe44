//! Models on disk, in Hugging Face's form: `model.safetensors` and `config.json`; and in llama.cpp's, for reading elsewhere.

mod gguf;
mod hf;
mod llama_cpp;
mod names;
mod safetensors;
mod vectors;

pub use gguf::{Numbers, Value};
pub use hf::{read_config, write_config};
pub use llama_cpp::{export_gguf, gguf_is_faithful};
pub use safetensors::{Entry, File, write};
pub use vectors::{Form, Vectors};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::Tensor;

use crate::config::{ElectraConfig, ModelConfig, Parts};
use crate::error::{Error, Result};
use crate::layer::CONTRASTIVE_LAYER;
use crate::params::Params;

/// The name of the weights' file in a model folder.
pub const WEIGHTS: &str = "model.safetensors";
/// The name of the configuration's file in a model folder.
pub const CONFIG: &str = "config.json";

/// Reads every weight of `params` from a file or its shards, in fp32; names with and without the model's prefix are known.
///
/// # Errors
/// When a file is damaged, or a weight is missing, of another shape, or unknown: all of them are named; or when one is not
/// finite.
pub fn load(path: &Path, params: &Params) -> Result<()> {
    load_but(path, params, &|_| false)
}

/// The same, but for weights that `spare` names, which may be missing and then stay as they are.
///
/// # Errors
/// As above.
pub fn load_but(path: &Path, params: &Params, spare: &dyn Fn(&str) -> bool) -> Result<()> {
    let files = open(path)?;
    let mut left = by_name(path, &files)?;
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for (index, param) in params.list().iter().enumerate() {
        let Some((file, entry)) = left.remove(&param.name).or_else(|| left.remove(names::bare(&param.name))) else {
            if !spare(&param.name) {
                faults.push(format!("{} is missing", param.name));
            }
            continue;
        };
        if entry.shape != param.master.size() {
            faults.push(format!("{} is {:?}, the model's is {:?}", entry.name.escape_debug(), entry.shape, param.master.size()));
            continue;
        }
        found.push((index, file, entry));
    }
    let known: BTreeSet<&str> = params.list().iter().map(|param| param.name.as_str()).collect();
    left.retain(|name, _| !names::is_spare(name, &known));
    for (file, entry) in left.values() {
        // A model without biases may be stored with zeros, for programs that know only models with them.
        if !(is_bias(&entry.name) && file.is_zero(entry)?) {
            faults.push(format!("{} is unknown to the model", entry.name.escape_debug()));
        }
    }
    if !faults.is_empty() {
        let more = faults.len().saturating_sub(20);
        faults.truncate(20);
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        return Err(Error::Mismatch { path: path.into(), faults });
    }
    for (index, file, entry) in found {
        params.set(index, &finite(path, file, entry)?.to_device(params.device()));
    }
    Ok(())
}

/// Takes from a file the weights that `params` has under the same name and shape; returns how many.
///
/// # Errors
/// When a file is damaged, or a number that is taken is not finite.
pub fn adopt(path: &Path, params: &Params) -> Result<usize> {
    let files = open(path)?;
    let stored = by_name(path, &files)?;
    let mut taken = 0;
    for (index, param) in params.list().iter().enumerate() {
        let found = stored.get(&param.name).or_else(|| stored.get(names::bare(&param.name)));
        if let Some((file, entry)) = found.filter(|(_, entry)| entry.shape == param.master.size()) {
            params.set(index, &finite(path, file, entry)?.to_device(params.device()));
            taken += 1;
        }
    }
    Ok(taken)
}

fn open(path: &Path) -> Result<Vec<File>> {
    shards(path)?.iter().map(|path| File::open(path)).collect()
}

/// Every tensor of some files under its name of today.
fn by_name<'a>(path: &Path, files: &'a [File]) -> Result<BTreeMap<String, (&'a File, &'a Entry)>> {
    let mut out = BTreeMap::new();
    for (file, entry) in files.iter().flat_map(|file| file.entries().map(move |entry| (file, entry))) {
        if out.insert(names::current(&entry.name), (file, entry)).is_some() {
            let fault = format!("{} is in two shards", entry.name.escape_debug());
            return Err(Error::Mismatch { path: path.into(), faults: vec![fault] });
        }
    }
    Ok(out)
}

/// A tensor, in fp32, that holds numbers only.
fn finite(path: &Path, file: &File, entry: &Entry) -> Result<Tensor> {
    let tensor = file.tensor(entry)?;
    if tensor.isfinite().all().int64_value(&[]) == 0 {
        let fault = format!("{} holds a number that is not finite", entry.name.escape_debug());
        return Err(Error::Mismatch { path: path.into(), faults: vec![fault] });
    }
    Ok(tensor)
}

/// Writes the fp32 masters of `params`, and `extra` tensors beside them, whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn save(path: &Path, params: &Params, extra: &[(String, Tensor)]) -> Result<()> {
    let mut list: Vec<(String, Tensor)> =
        params.list().iter().map(|param| (param.name.clone(), param.master.shallow_clone())).collect();
    list.extend(extra.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
    write(path, &list)
}

/// Writes a folder for transformers: the weights, `extra` tensors beside them, and `config.json`; `separator`, where known,
/// begins and ends documents. An ELECTRA of two becomes two models, the generator's in the folder `generator`; a layer that
/// only training has is left out.
///
/// # Errors
/// When the disk refuses.
pub fn export(
    dir: &Path,
    config: &ModelConfig,
    vocab: u32,
    separator: Option<u32>,
    params: &Params,
    extra: &[(String, Tensor)],
) -> Result<()> {
    let list = |rename: &dyn Fn(&str) -> Option<String>| -> Vec<(String, Tensor)> {
        let named = params.list().iter().map(|param| Some((rename(&param.name)?, param.master.shallow_clone())));
        named.flatten().collect()
    };
    let in_use = |name: &str| !(name.starts_with(names::GENERATOR) || name.starts_with(CONTRASTIVE_LAYER));
    let mut own = list(&|name| in_use(name).then(|| name.to_owned()));
    own.extend(extra.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
    write(&dir.join(WEIGHTS), &own)?;
    write_config(&dir.join(CONFIG), &config.in_use(), vocab, separator)?;
    let ModelConfig::Electra(both @ ElectraConfig { parts: Parts::Both, .. }) = config else { return Ok(()) };
    let dir = dir.join("generator");
    fs::create_dir_all(&dir).map_err(|source| Error::Io { action: "create", path: dir.clone(), source })?;
    let generator = list(&|name| match name.strip_prefix(names::GENERATOR) {
        Some(own) => Some(own.to_owned()),
        None => name.starts_with("electra.embeddings.").then(|| name.to_owned()),
    });
    write(&dir.join(WEIGHTS), &generator)?;
    hf::write_generator_config(&dir.join(CONFIG), both, vocab)
}

/// Which tensor is in which file.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The file at `path`, or the shards that `path.index.json` names in its place.
fn shards(path: &Path) -> Result<Vec<PathBuf>> {
    let index = path.with_added_extension("index.json");
    if path.exists() || !index.exists() {
        return Ok(vec![path.into()]);
    }
    let bad = |reason: String| Error::Safetensors { path: index.clone(), reason };
    let text = fs::read(&index).map_err(|source| Error::Io { action: "read", path: index.clone(), source })?;
    let Index { weight_map } = serde_json::from_slice(&text).map_err(|fault| bad(fault.to_string()))?;
    let names: BTreeSet<&String> = weight_map.values().collect();
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return Err(bad(format!("{} is not a file of the same folder", name.escape_debug())));
    }
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}

fn is_bias(name: &str) -> bool {
    name.rsplit('.').next() == Some("bias") || name == "final_logits_bias"
}
