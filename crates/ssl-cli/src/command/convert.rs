//! `ssl export` and `ssl import`: to and from a Hugging Face model folder.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use ssl_data::manifest::TOKENIZER;
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, MASK, PAD, Vocab};
use ssl_model::config::ModelConfig;
use ssl_model::weights::{self, CONFIG, WEIGHTS};
use tch::{Kind, Tensor};

use crate::args::ConvertArgs;
use crate::assemble::{OBJECTIVE, Opened, Session, open};
use crate::outcome::{Outcome, Refusal};
use crate::words;

/// The name of what transformers reads beside a tokenizer.
const ABOUT_TOKENIZER: &str = "tokenizer_config.json";

/// Word vectors in the two forms of word2vec, which gensim reads.
const VECTORS: [&str; 2] = ["vectors.bin", "vectors.txt"];

/// Writes a checkpoint for transformers, and word vectors for gensim: what is used, in the form that they know.
pub(crate) fn export(session: &Session, args: &ConvertArgs) -> Result<Outcome> {
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
        tell_objective(&opened, &out.join(CONFIG))
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
    fs::write(path, serde_json::to_string_pretty(&json)? + "\n").map_err(io("write", path))?;
    Ok(())
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
    let written = written.and_then(|()| fill(&partial)).and_then(|()| write_tokenizer(opened, &partial));
    let written = written.and_then(|()| Ok(fs::rename(&partial, out).map_err(io("create", out))?));
    if written.is_err() {
        // The first fault is the one to tell.
        let _ = fs::remove_dir_all(&partial);
    }
    written?;
    let json = json!({ "out": out, "from": opened.dir, "params": opened.params.count() });
    Ok(Outcome { json, human: format!("{}: {} weights, config and tokenizer", out.display(), opened.params.count()), code: 0 })
}

/// The tokenizer, and what transformers must know of it.
fn write_tokenizer(opened: &Opened, out: &Path) -> Result<()> {
    let Ok(vocab) = opened.vocab() else { return Ok(()) };
    let json = match frame(opened, vocab) {
        Some(frame) => {
            let mut json: Value = serde_json::from_str(vocab.json())?;
            json["post_processor"] = frame;
            serde_json::to_string(&json)?
        }
        None => vocab.json().to_owned(),
    };
    fs::write(out.join(TOKENIZER), json).map_err(io("write", &out.join(TOKENIZER)))?;
    let about = serde_json::to_string_pretty(&about_tokenizer(vocab))?;
    fs::write(out.join(ABOUT_TOKENIZER), about).map_err(io("write", &out.join(ABOUT_TOKENIZER)))?;
    Ok(())
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ssl_model::Error + use<> {
    let path = path.to_owned();
    move |source| ssl_model::Error::Io { action, path, source }
}

/// What stands around a text as the model was trained on it, as the step after encoding of a `tokenizer.json`; `None` where
/// nothing does.
fn frame(opened: &Opened, vocab: &Vocab) -> Option<Value> {
    let (begin, end) = match opened.objective().form() {
        Form::Both | Form::Texts => (Some(vocab.special(CLASS).ok()?), vocab.special(END).ok()?),
        Form::Pair => (None, vocab.separator()),
        _ => return None,
    };
    let name = |id: u32| vocab.token(id);
    let mark = |id: u32, side: u32| Some(json!({ "SpecialToken": { "id": name(id)?, "type_id": side } }));
    let text = |side: u32| json!({ "Sequence": { "id": if side == 0 { "A" } else { "B" }, "type_id": side } });
    let single: Vec<Value> = begin.and_then(|id| mark(id, 0)).into_iter().chain([text(0), mark(end, 0)?]).collect();
    let pair: Vec<Value> = single.iter().cloned().chain([text(1), mark(end, 1)?]).collect();
    let mut known = serde_json::Map::new();
    for id in begin.into_iter().chain([end]) {
        known.insert(name(id)?, json!({ "id": name(id)?, "ids": [id], "tokens": [name(id)?] }));
    }
    Some(json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known }))
}

/// What transformers must know to take `tokenizer.json` as it is, rather than build one that suits the kind of model.
fn about_tokenizer(vocab: &Vocab) -> Value {
    let mut about = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false });
    let tokenizer: Value = serde_json::from_str(vocab.json()).unwrap_or_default();
    let special: Vec<&Value> = tokenizer["added_tokens"].as_array().into_iter().flatten().collect();
    let content = |id: u32| special.iter().find(|token| token["id"] == id).map(|token| token["content"].clone());
    if let Some(separator) = content(vocab.separator()) {
        (about["bos_token"], about["eos_token"]) = (separator.clone(), separator);
    }
    for (role, name) in [("mask_token", MASK), ("cls_token", CLASS), ("sep_token", END), ("pad_token", PAD)] {
        if let Some(token) = vocab.special(name).ok().and_then(content) {
            about[role] = token;
        }
    }
    if let Some(token) = vocab.unknown().and_then(content) {
        about["unk_token"] = token;
    }
    about
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
