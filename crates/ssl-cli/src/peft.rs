//! Low-rank adapters as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use ssl_model::layer::LoraConfig;
use ssl_model::params::Params;
use ssl_model::weights;
use tch::Tensor;

use crate::adapt::FinetuneConfig;

/// What PEFT puts before the names of a model's weights.
const PREFIX: &str = "base_model.model.";

/// Writes the adapters of `params`, and the head beside them, as a folder that PEFT loads over the model.
pub(crate) fn write(dir: &Path, params: &Params, lora: &LoraConfig, config: &FinetuneConfig) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let adapters = params.adapters(true);
    let mut list: Vec<(String, Tensor)> =
        adapters.list().iter().map(|param| (format!("{PREFIX}{}", param.name), param.master.shallow_clone())).collect();
    let others = params.adapters(false).moved();
    list.extend(others.list().iter().map(|param| (format!("{PREFIX}{}", param.name), param.master.shallow_clone())));
    weights::write(&dir.join("adapter_model.safetensors"), &list)?;
    let mut targets: Vec<&str> = adapters.list().iter().filter_map(|param| module(&param.name)).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut heads: Vec<&str> = others.list().iter().filter_map(|param| param.name.split('.').next()).collect();
    heads.dedup();
    let json = json!({
        "peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": 0.0, "bias": "none",
        // GPT-2's maps are stored the other way round.
        "fan_in_fan_out": targets.iter().any(|target| target.starts_with("c_")),
        "target_modules": targets, "modules_to_save": if heads.is_empty() { None } else { Some(heads) },
        "base_model_name_or_path": config.train.from, "task_type": null, "inference_mode": true,
    });
    let path = dir.join("adapter_config.json");
    std::fs::write(&path, format!("{json:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// The last part of the name of the map that an adapter's weight belongs to.
fn module(name: &str) -> Option<&str> {
    let map = name.split_once(".lora_").map(|(map, _)| map)?;
    map.rsplit('.').next()
}
