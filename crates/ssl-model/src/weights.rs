//! Models on disk, in Hugging Face's form: `model.safetensors` and `config.json`.

mod hf;
mod safetensors;
mod vectors;

pub use hf::{read_config, write_config};
pub use safetensors::{Entry, File, write};
pub use vectors::{Form, Vectors};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::params::Params;

/// The name of the weights' file in a model folder.
pub const WEIGHTS: &str = "model.safetensors";
/// The name of the configuration's file in a model folder.
pub const CONFIG: &str = "config.json";

/// Reads every weight of `params` from a file or its shards, in fp32; names with and without the model's prefix are known.
///
/// # Errors
/// When a file is damaged, or a weight is missing, of another shape, or unknown; all of them are named.
pub fn load(path: &Path, params: &Params) -> Result<()> {
    let files = shards(path)?.iter().map(|path| File::open(path)).collect::<Result<Vec<_>>>()?;
    let mut left: BTreeMap<&str, (&File, &Entry)> = BTreeMap::new();
    for (file, entry) in files.iter().flat_map(|file| file.entries().map(move |entry| (file, entry))) {
        if left.insert(&entry.name, (file, entry)).is_some() {
            return Err(Error::Mismatch {
                path: path.into(),
                faults: vec![format!("{} is in two shards", entry.name.escape_debug())],
            });
        }
    }
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for (index, param) in params.list().iter().enumerate() {
        let bare = param.name.strip_prefix("transformer.").unwrap_or(&param.name);
        let Some((file, entry)) = left.remove(param.name.as_str()).or_else(|| left.remove(bare)) else {
            faults.push(format!("{} is missing", param.name));
            continue;
        };
        if entry.shape != param.master.size() {
            faults.push(format!("{} is {:?}, the model's is {:?}", entry.name.escape_debug(), entry.shape, param.master.size()));
            continue;
        }
        found.push((index, file, entry));
    }
    // Buffers that older files carry, and the second name of a tied head.
    left.retain(|name, _| {
        !(name.ends_with(".attn.bias")
            || name.ends_with(".attn.masked_bias")
            || *name == "lm_head.weight"
            || name.ends_with("rotary_emb.inv_freq"))
    });
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
        params.set(index, &file.tensor(entry)?.to_device(params.device()));
    }
    Ok(())
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
    name.rsplit('.').next() == Some("bias")
}
