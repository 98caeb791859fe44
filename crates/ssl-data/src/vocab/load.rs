//! Loading a `tokenizer.json` without trusting it.

use std::collections::HashSet;
use std::fs;
use std::panic;
use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::error::{Error, Result};

/// Larger files are refused; those of today's models stay below 20 MB.
const FILE_BYTES: u64 = 64 << 20;
/// More ids than any model has rows for.
const MAX_ID: u64 = 1 << 22;
/// What ends a document, in the order of preference.
const SEPARATORS: [&str; 7] = [super::SEPARATOR, "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>", "<|im_end|>", "[SEP]"];

/// The patterns of the models in use. Another pattern may take exponential time on a short text, so it is refused.
const PATTERNS: [&str; 8] = [
    super::split::GPT2,
    super::words::PATTERN,
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    r"[\r\n]",
];

/// Reads and checks a file.
pub(super) fn load(path: &Path) -> Result<Tokenizer> {
    let fault = |reason: String| Error::Tokenizer { path: path.into(), reason };
    let bytes = fs::metadata(path).map_err(|source| Error::io("read", path, source))?.len();
    if bytes > FILE_BYTES {
        return Err(fault(format!("{bytes} bytes are more than a tokenizer has")));
    }
    let text = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let json: Value = serde_json::from_slice(&text).map_err(|reason| fault(format!("not JSON: {reason}")))?;
    check(&json).map_err(fault)?;
    // The library panics on some files, for example on a merge that no word results from.
    let read = panic::catch_unwind(|| Tokenizer::from_bytes(&text)).map_err(|_| fault("it contradicts itself".into()))?;
    let mut tokenizer = read.map_err(|reason| fault(reason.to_string()))?;
    // Lengths are ours to decide.
    let _ = tokenizer.with_truncation(None);
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The id that ends a document.
pub(super) fn separator(tokenizer: &Tokenizer) -> Option<u32> {
    SEPARATORS.iter().find_map(|word| tokenizer.token_to_id(word))
}

/// One more than the largest id.
pub(super) fn size(tokenizer: &Tokenizer) -> std::result::Result<u32, String> {
    let largest = tokenizer.get_vocab(true).into_values().max().ok_or("it has no tokens")?;
    if u64::from(largest) < MAX_ID { Ok(largest + 1) } else { Err(format!("id {largest} is beyond any model")) }
}

/// What the library itself does not check.
fn check(json: &Value) -> std::result::Result<(), String> {
    let model = json.get("model").filter(|model| model.is_object()).ok_or("it has no model")?;
    let mut words = HashSet::new();
    if let Some(vocab) = model.get("vocab").and_then(Value::as_object) {
        let mut ids = HashSet::new();
        for (word, id) in vocab {
            let shown: String = word.chars().take(40).flat_map(char::escape_debug).collect();
            let id = id.as_u64().ok_or_else(|| format!("the id of {shown} is not a number"))?;
            if id >= MAX_ID {
                return Err(format!("id {id} of {shown} is beyond any model"));
            }
            if !ids.insert(id) {
                return Err(format!("id {id} is given twice, the second time to {shown}"));
            }
            words.insert(word.as_str());
        }
    }
    for (index, merge) in model.get("merges").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let (a, b) = match merge {
            Value::String(pair) => pair.split_once(' ').ok_or_else(|| format!("merge {index} is not a pair"))?,
            Value::Array(pair) if pair.len() == 2 => (pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or("")),
            _ => return Err(format!("merge {index} is not a pair")),
        };
        if !words.contains(a) || !words.contains(b) || !words.contains(format!("{a}{b}").as_str()) {
            return Err(format!("merge {index} joins what the vocabulary does not have"));
        }
    }
    patterns(json)
}

/// Looks for regular expressions anywhere, and knows only those of `PATTERNS`.
fn patterns(json: &Value) -> std::result::Result<(), String> {
    match json {
        Value::Object(fields) => {
            if let Some(Value::String(pattern)) = fields.get("Regex")
                && !PATTERNS.contains(&pattern.as_str())
            {
                let shown: String = pattern.chars().take(60).collect();
                return Err(format!("its pattern {shown:?} is not one of those known to end in time"));
            }
            // The vocabulary holds any text and no pattern.
            fields.iter().filter(|(key, _)| *key != "vocab" && *key != "merges").try_for_each(|(_, value)| patterns(value))
        }
        Value::Array(items) => items.iter().try_for_each(patterns),
        _ => Ok(()),
    }
}
