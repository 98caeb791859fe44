//! `ssl eval`: scores with error bars.

mod adapted;
mod contamination;
mod probe;
mod question;
mod suite;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};
use ssl_data::config::{CleanConfig, DataConfig, Format, Limits, TokenizerConfig, Unit, WindowConfig};
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::dedup::DedupConfig;
use ssl_data::filter::FilterConfig;
use ssl_data::manifest::{TOKENIZER, VALIDATION_TEXT};
use ssl_data::objective::{Form, Meaning, ObjectiveConfig};
use ssl_data::prepare::prepare;
use ssl_data::source;
use ssl_eval::bits_per_byte::validate;
use ssl_eval::word_analogy::{questions, word_analogy};
use ssl_eval::word_similarity::{pairs, word_similarity};
use ssl_eval::{Estimate, Table};

use crate::adapt::FinetuneConfig;
use crate::args::EvalArgs;
use crate::assemble::{CORPUS, Opened, Session, open_for_use, predicts_tokens, windows};
use crate::command::bleu;
use crate::outcome::{Outcome, Refusal};
use crate::{signal, words};

/// What can be scored today.
const TASKS: [&str; 6] = ["bits-per-byte", "perplexity", "bleu", "word-similarity", "word-analogy", adapted::TASK];
/// What reads a file of its own form.
const ALONE: [&str; 3] = ["bleu", "word-similarity", "word-analogy"];

/// Scores.
pub(crate) fn run(session: &Session, args: &EvalArgs) -> Result<Outcome> {
    let wall = Instant::now();
    if let Some(task) = args.tasks.iter().find(|task| !TASKS.contains(&task.as_str())) {
        return Err(Refusal::usage(format!("there is no task {task:?}"), format!("tasks are {}", TASKS.join(", "))));
    }
    signal::listen(if args.suite.is_some() { "what was judged is kept" } else { "nothing is kept" })?;
    let task = args.task.as_ref().map(|file| FinetuneConfig::load(file, &["train.from=\"-\"".to_owned()])).transpose()?;
    let opened = open_for_use(session, &args.checkpoint, task.as_ref().map(|loaded| &loaded.value), args.weights)?;
    if let Some(file) = &args.suite {
        return suite::run(session, args, &opened, file, wall);
    }
    if args.tasks.iter().any(|task| task == adapted::TASK) {
        return adapted::run(session, args, &opened, wall);
    }
    if args.tasks.iter().any(|task| ALONE.contains(&task.as_str())) {
        return alone(session, args, &opened, wall);
    }
    // Lives until the scores are there.
    let scratch = tempfile::tempdir()?;
    let (corpus, sha256) = match &args.data {
        Some(data) => given(session, &opened, data, scratch.path())?,
        None => held_out(&args.checkpoint, &opened)?,
    };
    let config = opened.shape.run.as_ref().map_or_else(WindowConfig::default, |run| run.data.windows.clone());
    let length = opened.model.context();
    let objective = opened.objective();
    let judge = objective.build(&config, length, opened.vocab()?)?;
    refuse_meaningless(args, &opened, &objective, judge.meaning())?;
    let sampler = windows(&corpus, &config, judge.window())?;
    // About 4096 tokens at once keep a CPU busy; texts are told apart among as many as in training.
    let among = opened.shape.run.as_ref().filter(|_| objective.form() == Form::Texts).map(|run| u64::from(run.train.batch_rows));
    let rows = among.unwrap_or((4096 / length as u64).max(1));
    session.progress.finish();
    let stop = |share| {
        session.progress.share("scoring", share);
        signal::requested()
    };
    let found = validate(opened.model.as_ref(), &sampler, judge.as_ref(), rows, opened.params.device(), None, &stop)?;
    session.progress.finish();
    if found.tokens == 0 {
        return Err(Refusal::input("the text has nothing to score", "give more text, in the form that the model was trained on"));
    }
    let mut results = Vec::new();
    let mut lines = Vec::new();
    for task in &args.tasks {
        let scores: Vec<(&str, Estimate)> = if task == "perplexity" {
            let loss = found.nats_per_token;
            // The error of an exponential, to first order.
            let perplexity = loss.value.exp();
            vec![("perplexity", Estimate { value: perplexity, stderr: perplexity * loss.stderr, n: loss.n })]
        } else {
            let bits = found.bits_per_byte.map(|bits| ("bits_per_byte", bits));
            bits.into_iter().chain([("nats_per_token", found.nats_per_token)]).collect()
        };
        for (metric, Estimate { value, stderr, n }) in scores {
            results
                .push(json!({ "task": task, "metric": metric, "value": value, "stderr": stderr, "n": n, "data_sha256": sha256 }));
            lines.push(format!("{task:16} {metric:16} {value:.4} ± {stderr:.4}  ({n} windows)"));
        }
    }
    let json = json!({
        "model": opened.dir, "results": results, "tokens": found.tokens, "bytes": corpus.bytes(),
        "wall_seconds": wall.elapsed().as_secs_f64(),
    });
    Ok(Outcome { json, human: lines.join("\n"), code: 0 })
}

/// Refuses a task whose number would say nothing about the text.
fn refuse_meaningless(args: &EvalArgs, opened: &Opened, objective: &ObjectiveConfig, meaning: Meaning) -> Result<()> {
    let (name, form) = (objective.name(), objective.form());
    if !opened.shape.config.reads(form) {
        return Err(Refusal::usage(format!("{} does not read {name} batches", opened.shape.config.name()), "name another model"));
    }
    let asked = |task: &str| args.tasks.iter().any(|asked| asked == task);
    let whole = meaning != Meaning::Task;
    if asked("bits-per-byte") && !whole {
        let message = format!("the loss of this {name} model is not the likelihood of the text, byte by byte");
        return Err(Refusal::usage(message, "perplexity is that of a target, where targets are tokens"));
    }
    if asked("perplexity") && !predicts_tokens(objective, &opened.shape.config) {
        let message = format!("the loss of a {} under the {name} objective is not that of tokens", opened.shape.config.name());
        return Err(Refusal::usage(message, "its validation loss stands in the report; words have word-similarity"));
    }
    if matches!(objective, ObjectiveConfig::Translation(_)) && args.data.is_some() {
        return Err(Refusal::usage("a text alone has no translations", "score bleu, with --data and --targets"));
    }
    Ok(())
}

/// A task that reads other files than the rest.
fn alone(session: &Session, args: &EvalArgs, opened: &Opened, wall: Instant) -> Result<Outcome> {
    let [task] = &args.tasks[..] else {
        return Err(Refusal::usage(format!("{} read other files than the rest", ALONE.join(", ")), "score them one by one"));
    };
    let missing = |hint: &str| Refusal::usage(format!("{task} needs a file"), hint);
    let data = args.data.as_deref().ok_or_else(|| missing("give --data FILE"))?;
    let mut files = vec![data.to_owned()];
    let (metric, scores, asked) = match task.as_str() {
        "bleu" => {
            let targets = args.targets.as_deref().ok_or_else(|| missing("give --targets FILE, line for line with --data"))?;
            files.push(targets.to_owned());
            let found = bleu::score(session, opened, data, targets)?;
            ("bleu", vec![("all".to_owned(), found)], found.n)
        }
        task => {
            let vectors = words::vectors(opened)?;
            let table = Table::new(&vectors.words, &vectors.numbers, vectors.width);
            let text = source::lines(data)?.join("\n");
            if task == "word-similarity" {
                let found = word_similarity(&table, &pairs(&text));
                ("spearman", vec![("all".to_owned(), found.spearman)], found.pairs)
            } else {
                let found = word_analogy(&table, &questions(&text))?;
                let asked = found.total.questions;
                let answered = found.sections.into_iter().chain([found.total]);
                ("accuracy", answered.map(|section| (section.name, section.accuracy)).collect(), asked)
            }
        }
    };
    if scores.iter().all(|(_, found)| found.n == 0) {
        let message = format!("{}: nothing in it could be scored, of {asked} asked", data.display());
        return Err(Refusal::input(message, "see the task's form, and whether the model knows the words"));
    }
    let sha256 = sha256(&files)?;
    let result = |(part, found): &(String, Estimate)| {
        json!({
            "task": task, "metric": metric, "part": part, "value": found.value, "stderr": found.stderr, "n": found.n,
            "data_sha256": sha256,
        })
    };
    let results: Vec<_> = scores.iter().map(result).collect();
    let json = json!({ "model": opened.dir, "results": results, "asked": asked, "wall_seconds": wall.elapsed().as_secs_f64() });
    let line = |(part, found): &(String, Estimate)| {
        format!("{task:16} {part:28} {metric} {:.4} ± {:.4}  ({} of {asked})", found.value, found.stderr, found.n)
    };
    Ok(Outcome { json, human: scores.iter().map(line).collect::<Vec<_>>().join("\n"), code: 0 })
}

/// The validation split that the model was trained beside.
fn held_out(checkpoint: &Path, opened: &Opened) -> Result<(Corpus, String)> {
    let above = |dir: &Path| dir.ancestors().map(|dir| dir.join(CORPUS)).find(|dir| dir.join(VALIDATION_TEXT).exists());
    let dir = above(checkpoint)
        .or_else(|| above(&opened.dir))
        .ok_or_else(|| Refusal::usage(format!("no validation text lies beside {}", checkpoint.display()), "give --data PATH"))?;
    Ok((Corpus::open(&dir, SplitName::Validation)?, sha256(&[dir.join(VALIDATION_TEXT)])?))
}

/// Any text, in the model's own tokens.
fn given(session: &Session, opened: &Opened, data: &Path, scratch: &Path) -> Result<(Corpus, String)> {
    opened.vocab()?;
    let config = DataConfig {
        paths: vec![data.into()],
        sources: std::collections::BTreeMap::new(),
        curriculum: Vec::new(),
        members: Vec::new(),
        format: Format::Auto,
        field: opened.shape.run.as_ref().map_or_else(|| "text".into(), |run| run.data.field.clone()),
        document: opened.shape.run.as_ref().map_or(Unit::File, |run| run.data.document),
        extensions: ["txt", "md", "markdown", "jsonl", "ndjson"].map(String::from).to_vec(),
        validation_fraction: 0.0,
        seed: 0,
        // What is scored is all of it or nothing.
        limits: Limits { bad_share: 0.0, bad_records: 0, ..Limits::default() },
        clean: CleanConfig { dedup: false, ..CleanConfig::default() },
        tokenizer: TokenizerConfig::File { path: opened.dir.join(TOKENIZER) },
        pairs: None,
        special_tokens: Vec::new(),
        windows: WindowConfig::default(),
        // A text to be scored is scored as it stands.
        filter: FilterConfig::default(),
        dedup: DedupConfig::default(),
        scrub: None,
        decontaminate: None,
    };
    prepare(&config, scratch, &*session.progress)?;
    let files: Vec<PathBuf> = ssl_data::source::find(&config, scratch)?.iter().map(|input| input.path.to_path_buf()).collect();
    Ok((Corpus::open(scratch, SplitName::Train)?, sha256(&files)?))
}

/// The hash of files, one after another.
fn sha256(files: &[PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    for path in files {
        let mut file = File::open(path).map_err(|source| ssl_train::Error::Io { action: "read", path: path.clone(), source })?;
        std::io::copy(&mut file, &mut hasher).map_err(|source| ssl_train::Error::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
    }
    Ok(format!("{:x}", hasher.finalize()))
}
