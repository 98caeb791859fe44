//! Whether a task's examples stand in the text that a model was trained on.
//!
//! Source: Brown et al. 2020, appendix C: an example is met where a document holds a run of 13 of its words.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::decontaminate::{DecontaminateConfig, EvaluationSet, Index, Overlapping, Tally};
use ssl_data::task::Split;

use crate::assemble::{CORPUS, Opened};

/// Words of a run; examples of fewer words than the second are not looked for.
const RUN: usize = 13;
const LEAST: usize = 8;

/// What of a split is met in the corpus beside the model; null where no corpus is there.
pub(super) fn of(opened: &Opened, checkpoint: &Path, split: &Split) -> Result<Value> {
    let beside = |dir: &Path| dir.ancestors().map(|dir| dir.join(CORPUS)).find(|dir| Corpus::open(dir, SplitName::Train).is_ok());
    let Some(dir) = beside(checkpoint).or_else(|| beside(&opened.dir)) else { return Ok(Value::Null) };
    let corpus = Corpus::open(&dir, SplitName::Train)?;
    let mut items = tempfile::Builder::new().suffix(".jsonl").tempfile().context("cannot make a temporary file")?;
    for example in &split.examples {
        writeln!(items, "{}", json!({ "text": example.content.texts().join(" ") })).context("cannot write a temporary file")?;
    }
    items.flush().context("cannot write a temporary file")?;
    let set = EvaluationSet { paths: vec![items.path().to_owned()], fields: vec!["text".into()] };
    let config = DecontaminateConfig {
        sets: BTreeMap::from([("task".to_owned(), set)]),
        ngram_words: RUN,
        min_item_words: LEAST,
        min_share: 0.0,
        overlapping: Overlapping::default(),
    };
    let index = Index::new(&config)?;
    let mut tally = Tally::new(&index);
    let vocab = ssl_data::vocab::Vocab::load(&dir.join(ssl_data::manifest::TOKENIZER))?;
    let mut ids = Vec::new();
    for k in 0..corpus.documents() {
        let Some(range) = corpus.document(k) else { continue };
        ids.clear();
        corpus.read(range.start, (range.end - range.start) as usize, &mut ids)?;
        tally.add(&index.overlaps(&vocab.decode(&ids)), 0);
    }
    let found = tally.finish().remove("task").unwrap_or_default();
    Ok(json!({
        "corpus": corpus.fingerprint(), "examples": found.items, "short": found.short, "met": found.met, "ngram_words": RUN,
    }))
}

/// The same in words.
pub(super) fn words(seen: &Value) -> String {
    let of = |key: &str| seen[key].as_u64().unwrap_or(0);
    if seen.is_null() {
        return "contamination: unknown, there is no corpus beside the model".into();
    }
    format!(
        "contamination: {} of {} examples stand in the training text ({} words in a row; {} examples are too short to tell)",
        of("met"),
        of("examples"),
        RUN,
        of("short"),
    )
}
