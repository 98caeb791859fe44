//! `ssl prepare`: raw inputs to a corpus.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{prepare, prepare_task};

use crate::args::{RunArgs, RunFile};
use crate::assemble::{CORPUS, Session};
use crate::outcome::{Outcome, Refusal};
use crate::progress::words;
use crate::run::RunConfig;
use crate::signal;

mod task;

/// Prepares the corpus of a run.
pub(crate) fn run(session: &Session, args: &RunArgs) -> Result<Outcome> {
    let loaded = RunConfig::load(&args.run.file, &args.run.overrides)?;
    signal::listen("what is finished is kept")?;
    let dir = run_dir(args.out.as_ref(), &args.run).join(CORPUS);
    std::fs::create_dir_all(&dir).map_err(|source| ssl_train::Error::Io { action: "create", path: dir.clone(), source })?;
    let data = loaded.value.data();
    let manifest = match &args.task {
        Some(text) => {
            let task = task::parse(text, |name| std::env::var(name).ok())
                .map_err(|fault| Refusal::usage(format!("--task {text}: {fault}"), "give I/N, such as 0/16"))?;
            prepare_task(&data, &dir, task, &*session.progress)?
        }
        None => prepare(&data, &dir, &*session.progress)?,
    };
    session.progress.finish();
    let json = json!({ "corpus": dir, "manifest": manifest });
    Ok(Outcome { json, human: describe(&manifest), code: 0 })
}

/// Where a run lives when nobody says so.
pub(crate) fn run_dir(out: Option<&PathBuf>, run: &RunFile) -> PathBuf {
    out.cloned().unwrap_or_else(|| PathBuf::from("runs").join(run.file.file_stem().unwrap_or_default()))
}

/// A corpus in a few lines.
pub(crate) fn describe(manifest: &Manifest) -> String {
    let mut lines = Vec::new();
    for (name, split) in [("train", &manifest.train), ("validation", &manifest.validation)] {
        let (documents, tokens, bytes) =
            (words::count(split.documents), words::count(split.tokens), words::bytes(split.bytes as f64));
        lines.push(format!("{name:12} {documents} documents, {tokens} tokens, {bytes}"));
    }
    lines.push(format!("vocabulary   {} ids", words::count(u64::from(manifest.vocab_size))));
    for (reason, count) in &manifest.dropped {
        let first = manifest.examples.get(reason).and_then(|places| places.first());
        lines.push(format!(
            "dropped      {} {reason}{}",
            words::count(*count),
            first.map_or_else(String::new, |at| format!(", first {at}"))
        ));
    }
    for stage in &manifest.stages {
        let speed = words::bytes(stage.bytes as f64 / stage.seconds.max(1e-9));
        lines.push(format!("{:22} {} in {:.1} s, {speed}/s", stage.name, words::bytes(stage.bytes as f64), stage.seconds));
    }
    lines.join("\n")
}
