//! The tokenizer of an exported folder: as transformers loads it, with what it must know beside it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};
use ssl_data::manifest::TOKENIZER;
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, MASK, PAD, Vocab};

use super::store;
use crate::assemble::Opened;

/// What transformers reads beside a tokenizer.
const ABOUT_TOKENIZER: &str = "tokenizer_config.json";
/// The same for programs that look for its tokens there.
const SPECIAL_TOKENS: &str = "special_tokens_map.json";

/// The tokenizer, and what transformers must know of it.
pub(super) fn write(opened: &Opened, out: &Path) -> Result<()> {
    let Ok(vocab) = opened.vocab() else { return Ok(()) };
    let mut json: Value = serde_json::from_str(vocab.json())?;
    let about = about(vocab, &json, opened.shape.config.context_tokens());
    let fields = about.as_object().into_iter().flatten();
    let roles: Map<String, Value> =
        fields.filter(|(key, _)| key.ends_with("_token")).map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Some(frame) = frame(opened, vocab, &json) {
        json["post_processor"] = frame;
    }
    store(&out.join(TOKENIZER), &serde_json::to_string(&json)?)?;
    store(&out.join(ABOUT_TOKENIZER), &serde_json::to_string_pretty(&about)?)?;
    store(&out.join(SPECIAL_TOKENS), &serde_json::to_string_pretty(&roles)?)
}

/// What stands around a text as the model was trained on it, as the step after encoding of a `tokenizer.json`; `None` where
/// nothing does, or where a model that goes on with a text came with a tokenizer that knows its own.
fn frame(opened: &Opened, vocab: &Vocab, tokenizer: &Value) -> Option<Value> {
    let separator = vocab.separator();
    let (begin, end) = match opened.objective().form() {
        Form::Both | Form::Texts => (Some(vocab.special(CLASS).ok()?), Some(vocab.special(END).ok()?)),
        Form::Pair => (None, Some(separator)),
        Form::Causal if tokenizer["post_processor"].is_null() => (Some(separator), None),
        _ => return None,
    };
    let name = |id: u32| vocab.token(id);
    let mark = |id: Option<u32>, side: u32| Some(json!({ "SpecialToken": { "id": name(id?)?, "type_id": side } }));
    let text = |side: u32| json!({ "Sequence": { "id": if side == 0 { "A" } else { "B" }, "type_id": side } });
    let single: Vec<Value> = mark(begin, 0).into_iter().chain([text(0)]).chain(mark(end, 0)).collect();
    // A second text follows an end; without ends it begins as the first does.
    let second = if end.is_none() { mark(begin, 1) } else { None };
    let pair: Vec<Value> = single.iter().cloned().chain(second).chain([text(1)]).chain(mark(end, 1)).collect();
    let mut known = Map::new();
    for id in begin.into_iter().chain(end) {
        known.insert(name(id)?, json!({ "id": name(id)?, "ids": [id], "tokens": [name(id)?] }));
    }
    Some(json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known }))
}

/// What transformers must know to take `tokenizer.json` as it is, rather than build one that suits the kind of model.
fn about(vocab: &Vocab, tokenizer: &Value, context: u32) -> Value {
    let mut about = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false, "model_max_length": context,
    });
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
