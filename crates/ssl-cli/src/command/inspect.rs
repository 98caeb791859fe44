//! `ssl inspect`: what any artefact is.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use ssl_data::manifest::{MANIFEST, Manifest, TOKENIZER};
use ssl_data::shard::Shard;
use ssl_data::vocab::Vocab;
use ssl_model::weights::{CONFIG, File, WEIGHTS, read_config};
use ssl_train::checkpoint::Checkpoint;
use ssl_train::report::Metrics;

use crate::assemble::{CHECKPOINTS, CORPUS};
use crate::command::prepare::describe;
use crate::outcome::{Outcome, Refusal};
use crate::progress::words;

/// Says what is at `path`, by what it holds.
pub(crate) fn run(path: &Path) -> Result<Outcome> {
    let (json, human) = if path.join(CHECKPOINTS).is_dir() || path.join("metrics.jsonl").exists() {
        run_folder(path)?
    } else if path.join(MANIFEST).exists() {
        corpus(path)?
    } else if ["DONE", "state.json"].iter().any(|name| path.join(name).exists()) {
        checkpoint(path)?
    } else if path.join(CONFIG).exists() && path.join(WEIGHTS).exists() {
        model(path)?
    } else if path.extension().is_some_and(|end| end == "tok") {
        shard(path)?
    } else if path.extension().is_some_and(|end| end == "safetensors") {
        tensors(path)?
    } else if path.file_name().is_some_and(|name| name == TOKENIZER) || path.extension().is_some_and(|end| end == "json") {
        tokenizer(path)?
    } else if path.exists() {
        let known = "a run, a corpus, a checkpoint, a model folder, a .tok shard, a .safetensors file or a tokenizer.json can be inspected; ssl check reads run files";
        return Err(Refusal::input(format!("{} is nothing that this program makes", path.display()), known));
    } else {
        return Err(Refusal::input(format!("{} does not exist", path.display()), "check the path"));
    };
    Ok(Outcome { json, human, code: 0 })
}

fn run_folder(path: &Path) -> Result<(Value, String)> {
    let (latest, passed) = Checkpoint::latest(&path.join(CHECKPOINTS))?;
    let mut lines = vec![format!("run {}", path.display())];
    let records = if path.join("metrics.jsonl").exists() { Metrics::read(&path.join("metrics.jsonl"))? } else { Vec::new() };
    if let Some(last) = records.last() {
        lines.push(format!("logged to step {}, loss {:.4} nats", last.step, last.loss));
    }
    let progress = latest.as_ref().map(Checkpoint::progress).transpose()?;
    if let (Some(latest), Some(progress)) = (&latest, &progress) {
        lines.push(format!("checkpoint {} at step {}", latest.dir.display(), progress.step));
        if let Some((step, loss)) = progress.best.at {
            lines.push(format!("best at step {step}, validation {loss:.4} nats"));
        }
    }
    lines.extend(passed.iter().map(|fault| format!("damaged: {fault}")));
    if path.join(CORPUS).join(MANIFEST).exists() {
        lines.push(describe(&Manifest::load(&path.join(CORPUS))?));
    }
    let damaged: Vec<String> = passed.iter().map(ToString::to_string).collect();
    let json = json!({ "kind": "run", "checkpoint": latest.map(|found| found.dir), "progress": progress, "records": records.len(), "damaged": damaged });
    Ok((json, lines.join("\n")))
}

fn corpus(path: &Path) -> Result<(Value, String)> {
    let manifest = Manifest::load(path)?;
    for split in [ssl_data::corpus::SplitName::Train, ssl_data::corpus::SplitName::Validation] {
        ssl_data::corpus::Corpus::open(path, split)?.verify()?;
    }
    let human = format!("corpus {}, every shard whole\n{}", path.display(), describe(&manifest));
    Ok((json!({ "kind": "corpus", "manifest": manifest, "verified": true }), human))
}

fn checkpoint(path: &Path) -> Result<(Value, String)> {
    let found = Checkpoint::open(path)?;
    let progress = found.progress()?;
    let (inner, weights) = model(path)?;
    let human =
        format!("checkpoint of step {}, {} tokens, every file whole\n{weights}", progress.step, words::count(progress.tokens));
    Ok((json!({ "kind": "checkpoint", "step": found.step, "progress": progress, "model": inner }), human))
}

fn model(path: &Path) -> Result<(Value, String)> {
    let (config, vocab) = read_config(&path.join(CONFIG))?;
    let file = File::open(&path.join(WEIGHTS))?;
    let numbers: i64 = file.entries().map(|entry| entry.shape.iter().product::<i64>()).sum();
    let context = config.context_tokens();
    let human = format!("{} with {} numbers, {vocab} ids, context {context}", config.name(), words::count(numbers as u64));
    Ok((json!({ "kind": "model", "architecture": config.name(), "params": numbers, "vocab": vocab, "config": config }), human))
}

fn shard(path: &Path) -> Result<(Value, String)> {
    let shard = Shard::open(path)?;
    shard.verify()?;
    let header = shard.header();
    let human = format!(
        "shard {} of its split, every block whole: {} tokens of {} bytes, {} documents, {} ids",
        header.ordinal,
        words::count(header.tokens),
        header.width.bytes(),
        words::count(header.documents),
        header.vocab_size
    );
    let json = json!({
        "kind": "shard", "ordinal": header.ordinal, "tokens": header.tokens, "documents": header.documents,
        "token_bytes": header.width.bytes(), "vocab": header.vocab_size, "separator": header.separator, "verified": true,
    });
    Ok((json, human))
}

fn tensors(path: &Path) -> Result<(Value, String)> {
    let file = File::open(path)?;
    let list: Vec<Value> = file
        .entries()
        .map(|entry| json!({ "name": entry.name, "type": format!("{:?}", entry.kind), "shape": entry.shape }))
        .collect();
    let lines: Vec<String> =
        file.entries().map(|entry| format!("{} {:?} {:?}", entry.name.escape_debug(), entry.kind, entry.shape)).collect();
    Ok((json!({ "kind": "tensors", "tensors": list }), lines.join("\n")))
}

fn tokenizer(path: &Path) -> Result<(Value, String)> {
    let vocab = Vocab::load(path)?;
    let human = format!("tokenizer of {} ids, documents end with id {}", vocab.size(), vocab.separator());
    Ok((json!({ "kind": "tokenizer", "vocab": vocab.size(), "separator": vocab.separator() }), human))
}
