//! `ssl embed`: texts as vectors.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use ssl_eval::look::{Embedding, Look};
use ssl_model::head::Pool;
use ssl_model::weights;
use tch::Tensor;

use crate::args::{EmbedArgs, Pooled, Weights};
use crate::assemble::{Session, open_for_use};
use crate::input;
use crate::outcome::{Outcome, Refusal};
use crate::signal;

/// Most bytes of all texts.
const INPUT_BYTES: u64 = 1 << 30;

/// Writes a vector for each line, as safetensors or into the JSON document.
pub(crate) fn run(session: &Session, args: &EmbedArgs, as_json: bool) -> Result<Outcome> {
    if args.out.is_none() && !as_json {
        return Err(Refusal::usage("the vectors go nowhere", "give --out FILE.safetensors or --json"));
    }
    let text = read(&args.input)?;
    let opened = open_for_use(session, &args.checkpoint, None, Weights::Fp32)?;
    let vocab = opened.vocab()?;
    let lines: Vec<&str> = text.lines().collect();
    if let Some(at) = lines.iter().position(|line| line.trim().is_empty()) {
        return Err(Refusal::input(format!("{}:{} is empty", args.input.display(), at + 1), "give a text in every line"));
    }
    let texts = vocab.encode_batch(&lines)?;
    let (form, start, device) = (opened.objective().form(), opened.shape.config.start_token(), opened.params.device());
    let pool = match args.pool {
        Pooled::Mean => Pool::Mean,
        Pooled::First => Pool::First,
        Pooled::Last => Pool::Last,
    };
    signal::listen("after this batch")?;
    let look = Look::new(opened.model.as_ref(), vocab, form, start, device);
    let vectors = look.embed(&texts, Embedding { pool, normalize: args.normalize }, &|_| signal::requested())?;
    let (count, width) = (vectors.len(), vectors.first().map_or(0, Vec::len));
    let mut json = json!({ "model": opened.dir, "texts": count, "width": width, "out": args.out });
    match &args.out {
        Some(out) => {
            let flat = vectors.concat();
            let tensor = ssl_torch::guard(|| Tensor::from_slice(&flat).view([count as i64, width as i64]))?;
            weights::write(out, &[("embeddings".to_owned(), tensor)])?;
        }
        None => json["embeddings"] = json!(vectors),
    }
    let place = args.out.as_deref().unwrap_or_else(|| Path::new("stdout"));
    Ok(Outcome { json, human: format!("{}: {count} vectors of {width} numbers", place.display()), code: 0 })
}

/// The texts, of a file or stdin.
fn read(input: &Path) -> Result<String> {
    String::from_utf8(input::read(input, INPUT_BYTES)?)
        .map_err(|_| Refusal::input(format!("{} is not UTF-8", input.display()), "convert it first"))
}
