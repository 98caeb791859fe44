//! `ssl export` and `ssl import`: to and from a Hugging Face model folder, and to a GGUF.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};
use ssl_data::objective::Form;
use ssl_data::vocab::{PAD, Vocab};
use ssl_model::config::ModelConfig;
use ssl_model::weights::{self, CONFIG, WEIGHTS};
use tch::{Kind, Tensor};

use crate::args::{ConvertArgs, ExportArgs, ExportFormat, Stored};
use crate::assemble::{OBJECTIVE, Opened, Session, open};
use crate::outcome::{Outcome, Refusal};
use crate::words;

mod card;
mod gguf;
mod tokenizer;

/// How transformers and vLLM write with a model, where a caller says nothing.
const GENERATION: &str = "generation_config.json";
/// The model card.
const CARD: &str = "README.md";

/// Word vectors in the two forms of word2vec, which gensim reads.
const VECTORS: [&str; 2] = ["vectors.bin", "vectors.txt"];

/// Writes a checkpoint for transformers, word vectors for gensim, or a file for llama.cpp: what is used, in the form that they know.
pub(crate) fn export(session: &Session, args: &ExportArgs) -> Result<Outcome> {
    match args.format() {
        ExportFormat::Gguf => return gguf::export(session, args),
        ExportFormat::Hf if args.dtype != Stored::Fp32 => {
            return Err(Refusal::usage(
                "a folder holds numbers as they were trained",
                "leave --dtype out, or give --format gguf",
            ));
        }
        ExportFormat::Hf => {}
    }
    let opened = open(session, &args.from)?;
    whole(&opened, &args.out, &|out| {
        let separator = opened.vocab().ok().map(Vocab::separator);
        // GPT-2 in transformers always has biases; those of a model without are 0.
        let biases = zero_biases(&opened);
        // What adapters learned is added to the weights themselves.
        opened.params.fold(1.0);
        let params = opened.params.adapters(false);
        weights::export(out, &opened.shape.config, opened.shape.vocab_size, separator, &params, &biases)?;
        opened.params.fold(-1.0);
        if let Some(adapted) = &opened.adapted {
            adapted.write(out, &opened.shape.config)?;
        }
        if opened.shape.config.is_self_taught() {
            let vectors = words::vectors(&opened)?;
            for name in VECTORS {
                vectors.write(&out.join(name), words::form(Path::new(name)))?;
            }
        }
        tell_objective(&opened, &out.join(CONFIG))?;
        tell_writers(&opened, out)?;
        store(&out.join(CARD), &card::write(&opened, &args.out)?)
    })
}

/// Reads a folder of transformers, checks it whole, and writes it as a checkpoint folder that every verb takes.
pub(crate) fn import(session: &Session, args: &ConvertArgs) -> Result<Outcome> {
    let opened = open(session, &args.from)?;
    whole(&opened, &args.out, &|out| {
        let separator = opened.vocab().ok().map(Vocab::separator);
        weights::save(&out.join(WEIGHTS), &opened.params, &zero_biases(&opened))?;
        weights::write_config(&out.join(CONFIG), &opened.shape.config, opened.shape.vocab_size, separator)?;
        tell_objective(&opened, &out.join(CONFIG))
    })
}

/// Adds to a `config.json` what transformers has no field for and our verbs ask: what the model was trained for; and the ids
/// of its own padding.
fn tell_objective(opened: &Opened, path: &Path) -> Result<()> {
    let text = fs::read(path).map_err(io("read", path))?;
    let mut json: Value = serde_json::from_slice(&text)?;
    json[OBJECTIVE] = serde_json::to_value(opened.objective())?;
    if let Ok(Ok(pad)) = opened.vocab().map(|vocab| vocab.special(PAD)) {
        json["pad_token_id"] = pad.into();
    }
    store(path, &serde_json::to_string_pretty(&json)?)
}

/// Writes the ids that a model of transformers begins, ends and fills up with when it writes, where it does.
fn tell_writers(opened: &Opened, out: &Path) -> Result<()> {
    let path = out.join(CONFIG);
    let config: Value = serde_json::from_slice(&fs::read(&path).map_err(io("read", &path))?)?;
    if !matches!(opened.objective().form(), Form::Causal | Form::Pair) || config["architectures"].is_null() {
        return Ok(());
    }
    let keys = ["bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"];
    let said = keys.iter().filter(|key| !config[**key].is_null());
    let mut ids: Map<String, Value> = said.map(|key| ((*key).to_owned(), config[*key].clone())).collect();
    // Rows of a batch that ended are filled up with what ended them.
    ids.entry("pad_token_id").or_insert_with(|| config["eos_token_id"].clone());
    store(&out.join(GENERATION), &serde_json::to_string_pretty(&ids)?)
}

fn store(path: &Path, text: &str) -> Result<()> {
    Ok(fs::write(path, format!("{}\n", text.trim_end())).map_err(io("write", path))?)
}

/// Writes the folder under another name and then renames it, so that `out` is a whole model or not there.
fn whole(opened: &Opened, out: &Path, fill: &dyn Fn(&Path) -> Result<()>) -> Result<Outcome> {
    if fs::read_dir(out).is_ok_and(|mut listing| listing.next().is_some()) {
        return Err(Refusal::usage(format!("{} is not empty", out.display()), "name a new folder"));
    }
    let mut name = OsString::from(".");
    name.push(out.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let partial = out.with_file_name(name);
    let written = fs::create_dir_all(&partial).map_err(|source| io("create", &partial)(source).into());
    let written = written.and_then(|()| fill(&partial)).and_then(|()| tokenizer::write(opened, &partial));
    let written = written.and_then(|()| Ok(fs::rename(&partial, out).map_err(io("create", out))?));
    if written.is_err() {
        // The first fault is the one to tell.
        let _ = fs::remove_dir_all(&partial);
    }
    written?;
    let json = json!({ "out": out, "from": opened.dir, "params": opened.params.count() });
    Ok(Outcome { json, human: format!("{}: {} weights, config and tokenizer", out.display(), opened.params.count()), code: 0 })
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ssl_model::Error + use<> {
    let path = path.to_owned();
    move |source| ssl_model::Error::Io { action, path, source }
}

/// The biases that a GPT-2 without any lacks: the last axis of each map's weight, and of each norm's gain.
fn zero_biases(opened: &Opened) -> Vec<(String, Tensor)> {
    let ModelConfig::Gpt(config) = &opened.shape.config else { return Vec::new() };
    if config.bias {
        return Vec::new();
    }
    let has_bias = |name: &str| !(name.ends_with("wte.weight") || name.ends_with("wpe.weight"));
    let weights = opened.params.list().iter().filter(|param| has_bias(&param.name));
    weights
        .map(|param| {
            let width = param.master.size().last().copied().unwrap_or(0);
            (param.name.replace(".weight", ".bias"), Tensor::zeros([width], (Kind::Float, param.master.device())))
        })
        .collect()
}
