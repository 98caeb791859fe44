//! A GGUF: what llama.cpp must know beside the weights, which is the tokenizer.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value as Json, json};
use ssl_data::objective::Form;
use ssl_data::vocab::{PAD, Vocab};
use ssl_model::weights::{self, Numbers, Value};

use crate::args::{ExportArgs, Stored};
use crate::assemble::{Opened, Session, open};
use crate::outcome::{Outcome, Refusal};

/// What can be written, said with every refusal.
const WHAT: &str =
    "a GGUF can hold a GPT or a Llama that looks back, with a byte-level BPE; give --format hf and a folder for others";

/// Kinds of tokens: llama.cpp's `llama_token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Writes a checkpoint for llama.cpp.
pub(super) fn export(session: &Session, args: &ExportArgs) -> Result<Outcome> {
    let opened = open(session, &args.from)?;
    refuse(&opened)?;
    spare(&args.out)?;
    let vocab = opened.vocab()?;
    let name = args.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut about = vec![("general.name".to_owned(), Value::Text(name))];
    about.extend(tokenizer(vocab, opened.shape.vocab_size)?);
    let (shape, biases) = (&opened.shape, super::zero_biases(&opened));
    if !weights::gguf_is_faithful(&shape.config) {
        session.progress.say(
            "warning: llama.cpp computes GELU by its tanh, which is off by up to 0.0005 from the exact one that this model has",
        );
    }
    opened.params.fold(1.0);
    let params = opened.params.adapters(false);
    weights::export_gguf(&args.out, &shape.config, shape.vocab_size, &params, &biases, numbers(args.dtype), about)?;
    let bytes = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    let json = json!({ "out": args.out, "from": opened.dir, "params": params.count(), "bytes": bytes });
    let human = format!("{}: {} weights and tokenizer, {:.1} MB", args.out.display(), params.count(), bytes as f64 / 1e6);
    Ok(Outcome { json, human, code: 0 })
}

/// A GGUF may be written anew; another file of that name is somebody's.
fn spare(out: &Path) -> Result<()> {
    let mut magic = Vec::new();
    // What cannot be read is told when it is to be written.
    let Ok(read) = File::open(out).and_then(|file| file.take(4).read_to_end(&mut magic)) else { return Ok(()) };
    if read > 0 && magic != b"GGUF" {
        return Err(Refusal::usage(format!("{} is there, and is no GGUF", out.display()), "name a new file"));
    }
    Ok(())
}

/// What llama.cpp would not compute as the model does is not written.
fn refuse(opened: &Opened) -> Result<()> {
    let (config, objective) = (&opened.shape.config, opened.objective());
    let fault = if !matches!(config.name(), "gpt" | "llama") {
        format!("this is model.{}", config.name())
    } else if objective.form() != Form::Causal {
        format!("the {} objective does not look back alone", objective.name())
    } else if opened.adapted.as_ref().is_some_and(|adapted| adapted.head().is_some()) {
        "the model has a head for a task".to_owned()
    } else if !opened.vocab()?.is_gpt2() {
        "the tokenizer is not a byte-level BPE with GPT-2's pattern".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::usage(fault, WHAT))
}

fn numbers(asked: Stored) -> Numbers {
    match asked {
        Stored::Fp32 => Numbers::F32,
        Stored::Fp16 => Numbers::F16,
        Stored::Bf16 => Numbers::Bf16,
        Stored::Q8 => Numbers::Q8_0,
    }
}

/// A byte-level BPE in llama.cpp's terms: tokens in the order of their ids, with a filler for rows of the model that have none.
fn tokenizer(vocab: &Vocab, rows: u32) -> Result<Vec<(String, Value)>> {
    let json: Json = serde_json::from_str(vocab.json())?;
    let special: Vec<u32> = vocab.specials().collect();
    let kind = |id: u32, known: bool| {
        if !known {
            UNUSED
        } else if special.contains(&id) {
            CONTROL
        } else {
            NORMAL
        }
    };
    let tokens: Vec<Option<String>> = (0..rows).map(|id| vocab.token(id)).collect();
    let kinds = (0..).zip(&tokens).map(|(id, token)| kind(id, token.is_some())).collect();
    let named = (0..).zip(tokens).map(|(id, token): (u32, _)| token.unwrap_or_else(|| format!("[PAD{id}]"))).collect();
    let merges = json["model"]["merges"].as_array().into_iter().flatten().filter_map(|merge| match merge {
        Json::String(pair) => Some(pair.clone()),
        pair => Some(format!("{} {}", pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)),
    });
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let mut about = vec![
        (key("model"), Value::Text("gpt2".to_owned())),
        (key("pre"), Value::Text("gpt-2".to_owned())),
        (key("tokens"), Value::Texts(named)),
        (key("token_type"), Value::Ints(kinds)),
        (key("merges"), Value::Texts(merges.collect())),
        (key("bos_token_id"), Value::U32(vocab.separator())),
        (key("eos_token_id"), Value::U32(vocab.separator())),
        // A document begins after a separator.
        (key("add_bos_token"), Value::Bool(true)),
    ];
    if let Ok(pad) = vocab.special(PAD) {
        about.push((key("padding_token_id"), Value::U32(pad)));
    }
    Ok(about)
}
