//! The model card: what a model is and what it was trained on, from the run's own records. What they do not say is said to be unknown.
//!
//! Source of what is asked: Mitchell et al. 2019, "Model cards for model reporting"; the fields on top are those of Hugging Face's hub.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use ssl_data::composition::Source;
use ssl_data::manifest::Manifest;
use ssl_data::objective::{Form, ObjectiveConfig};
use ssl_model::config::ModelConfig;
use ssl_train::checkpoint::Checkpoint;

use crate::adapted::Adapted;
use crate::assemble::{CORPUS, FINGERPRINT, Opened};
use crate::run::RunConfig;

/// A language is named where it has this share of the text that was looked at.
const SHARE: f64 = 0.01;
/// The most sources that are named.
const SOURCES: usize = 50;

/// The text of the card of a model that is exported to `out`.
pub(super) fn write(opened: &Opened, out: &Path) -> Result<String> {
    let (run, corpus) = (opened.shape.run.as_ref(), corpus(&opened.dir));
    let objective = opened.objective();
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let mut card = front(opened, &objective, corpus.as_ref());
    write!(card, "\n# {}\n\n{}, {} weights", plain(&name), opened.shape.config.describe(), opened.params.count())?;
    write!(card, ", {} token ids, trained for the {} objective", opened.shape.vocab_size, objective.name())?;
    writeln!(card, " with `ssl` {}.\n", env!("CARGO_PKG_VERSION"))?;
    card.push_str(&texts(run.is_some(), corpus.as_ref()));
    if let Some(adapted) = &opened.adapted {
        card.push_str(&task(adapted));
    }
    card.push_str(&training(run, &opened.dir)?);
    card.push_str(LIMITS);
    Ok(card)
}

const LIMITS: &str = "## What it is not\n\n\
    It says what its texts make likely, true or not, and was checked for nothing but the loss above: measure it on your own task, \
    and look at what it writes, before anybody relies on it.\n";

/// What the hub sorts by.
fn front(opened: &Opened, objective: &ObjectiveConfig, corpus: Option<&Manifest>) -> String {
    let use_of = match objective.form() {
        Form::Causal | Form::Prefix => "text-generation",
        Form::Both => "fill-mask",
        Form::Pair => "text2text-generation",
        Form::Texts => "sentence-similarity",
        Form::Words => "feature-extraction",
    };
    let languages = corpus.map(languages).unwrap_or_default();
    let languages = if languages.is_empty() { String::new() } else { format!("language:\n- {}\n", languages.join("\n- ")) };
    let own = matches!(opened.shape.config, ModelConfig::Lstm(_) | ModelConfig::MultiToken(_) | ModelConfig::Word2vec(_));
    let library = if own { "" } else { "library_name: transformers\n" };
    format!("---\nlicense: unknown\n{library}pipeline_tag: {use_of}\n{languages}---\n")
}

/// The languages that were told in a sample, the most frequent first.
fn languages(corpus: &Manifest) -> Vec<&str> {
    let told = &corpus.composition.languages;
    let all: u64 = told.values().map(|size| size.bytes).sum();
    let known = told.iter().filter(|(code, size)| *code != "und" && size.bytes as f64 >= all as f64 * SHARE);
    let mut known: Vec<_> = known.map(|(code, size)| (code.as_str(), size.bytes)).collect();
    known.sort_by_key(|&(code, bytes)| (u64::MAX - bytes, code));
    known.into_iter().map(|(code, _)| code).collect()
}

/// What it was trained on.
fn texts(known: bool, corpus: Option<&Manifest>) -> String {
    let mut out = String::from("## What it was trained on\n\n");
    let Some(corpus) = corpus else {
        out.push_str(if known {
            "The corpus is not beside the checkpoint, so what it held is unknown here.\n\n"
        } else {
            "Another program wrote the folder that this one was made from, and it does not say.\n\n"
        });
        return out + LICENCE;
    };
    let (train, held_out) = (&corpus.train, &corpus.validation);
    let _ = writeln!(
        out,
        "{} documents of {} files, {} bytes of text, {} tokens; {} documents more were held out to measure it.\n",
        train.documents, corpus.files, train.bytes, train.tokens, held_out.documents
    );
    let sources = &corpus.composition.sources;
    if !sources.is_empty() {
        out.push_str("| source | documents | bytes | tokens |\n|---|---:|---:|---:|\n");
    }
    for Source { name, train, .. } in sources.iter().take(SOURCES) {
        // Where it lay on the machine is nobody else's business.
        let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(out, "| {} | {} | {} | {} |", plain(&name), train.documents, train.bytes, train.tokens);
    }
    if sources.len() > SOURCES {
        let _ = writeln!(out, "\nand {} more.", sources.len() - SOURCES);
    }
    out + "\n" + LICENCE
}

const LICENCE: &str = "**Licence: unknown.** The records of the run do not say under which terms its texts may be used. Find that out, and \
    put a licence on top of this file, before you pass the model on.\n\n";

/// What it was adapted to.
fn task(adapted: &Adapted) -> String {
    let task = &adapted.config.task;
    let names = task.train.iter().map(|path| plain(&path.file_name().unwrap_or_default().to_string_lossy()));
    let names: Vec<String> = names.collect();
    format!("It was then adapted to {} ({}), on {}.\n\n", plain(&task.name), task.kind.name(), names.join(", "))
}

/// How it was trained, and how far that went.
fn training(run: Option<&RunConfig>, dir: &Path) -> Result<String> {
    let Some(run) = run else { return Ok(String::new()) };
    let mut out = String::from("## How it was trained\n\n");
    // A folder that was exported before has no counts.
    if let Ok(progress) = (Checkpoint { dir: dir.to_owned(), step: 0 }).progress() {
        write!(out, "{} steps, {} targets, {:.0} seconds.", progress.step, progress.tokens, progress.seconds)?;
        if let Some(loss) = progress.last_loss {
            write!(out, " Loss of the last step: {loss:.4} nats a target.")?;
        }
        if let Some((step, loss)) = progress.best.at {
            write!(out, " Best validation: {loss:.4} nats, at step {step}.")?;
        }
        out.push_str("\n\n");
    }
    let mut parts = toml::Table::new();
    for (name, part) in [
        ("objective", toml::Value::try_from(&run.objective)?),
        ("model", toml::Value::try_from(&run.model)?),
        ("optim", toml::Value::try_from(&run.optim)?),
        ("schedule", toml::Value::try_from(&run.schedule)?),
    ] {
        parts.insert(name.to_owned(), part);
    }
    write!(out, "```toml\n{}```\n\n", toml::to_string(&parts)?)?;
    Ok(out)
}

/// The corpus of the run whose checkpoint `dir` is, where it is still there and still the same.
fn corpus(dir: &Path) -> Option<Manifest> {
    let run = dir.parent()?.parent()?;
    let manifest = Manifest::load(&run.join(CORPUS)).ok()?;
    let trained_on = std::fs::read_to_string(dir.join(FINGERPRINT)).ok()?;
    (trained_on == manifest.fingerprint).then_some(manifest)
}

/// A name that is nothing but text in Markdown, in a table too.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|letter| !letter.is_control() && !matches!(letter, '`' | '|'));
    format!("`{}`", kept.collect::<String>())
}
