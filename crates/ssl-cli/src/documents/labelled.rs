//! Questions whose answers are known.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use ssl_data::source;
use ssl_data::task::{Content, ExtractionConfig, Language, Task, TaskConfig, TaskFormat, TaskKind};
use ssl_eval::metric::cmrc;
use ssl_eval::metric::squad::{self, Answer, Version};

use crate::outcome::Refusal;

/// A question and what it may be answered by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Labelled {
    /// What is asked.
    pub(crate) question: String,
    /// What is right; nothing where the documents do not say.
    pub(crate) answers: Vec<String>,
    /// The passage that answers it, of a question set.
    #[serde(skip)]
    pub(crate) context: String,
}

/// The questions of a file: JSON lines with `question` and `answers`, or a question set in the JSON of `SQuAD`.
pub(crate) fn read(path: &Path) -> Result<Vec<Labelled>> {
    let name = path.to_string_lossy().to_lowercase();
    if ["jsonl", "ndjson"].iter().any(|end| name.trim_end_matches(".gz").trim_end_matches(".zst").ends_with(end)) {
        let lines = source::lines(path)?;
        let fault = |(at, fault): (usize, serde_json::Error)| {
            let message = format!("{}:{}: {fault}", path.display(), at + 1);
            Refusal::input(message, "a line is {\"question\": \"...\", \"answers\": [\"...\"]}")
        };
        let filled = lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = filled.map(|(at, line)| serde_json::from_str(line).map_err(|found| fault((at, found))));
        return read.collect::<Result<Vec<_>>>().and_then(|read| some(read, path));
    }
    set(path).and_then(|read| some(read, path))
}

/// The questions of a question set, each with its passage.
pub(crate) fn set(path: &Path) -> Result<Vec<Labelled>> {
    let kind = ExtractionConfig { stride_tokens: 64, max_answer_tokens: 30, unanswerable: true, language: Language::En };
    let config = TaskConfig {
        name: String::new(),
        train: Vec::new(),
        validation: Vec::new(),
        test: vec![path.to_owned()],
        format: TaskFormat::Squad,
        columns: Vec::new(),
        quotes: None,
        validation_share: 0.0,
        test_share: 0.0,
        max_train: None,
        max_validation: None,
        max_test: None,
        seed: 0,
        bad_share: 0.01,
        bad_records: 10,
        kind: TaskKind::Extraction(kind),
    };
    let question = |content| match content {
        Content::Question { question, context, references, .. } => Some(Labelled { question, answers: references, context }),
        _ => None,
    };
    Ok(Task::load(&config)?.test.examples.into_iter().filter_map(|example| question(example.content)).collect())
}

fn some(read: Vec<Labelled>, path: &Path) -> Result<Vec<Labelled>> {
    if read.is_empty() {
        return Err(Refusal::input(format!("{} holds no question", path.display()), "give a question a line, or a question set"));
    }
    Ok(read)
}

/// Scores answers against what is right: by the script of CMRC where questions are Chinese, else by that of `SQuAD`.
pub(crate) fn score(answers: &[String], of: &[&Labelled]) -> Result<Vec<Answer>, ssl_eval::Error> {
    let references: Vec<Vec<String>> = of.iter().map(|labelled| labelled.answers.clone()).collect();
    if answers.is_empty() {
        return Ok(Vec::new());
    }
    let version = if references.iter().any(Vec::is_empty) { Version::V2 } else { Version::V1 };
    if version == Version::V1 && is_chinese(of) {
        cmrc::answers(answers, &references)
    } else {
        squad::answers(version, answers, &references)
    }
}

/// Whether most questions have Chinese characters.
pub(crate) fn is_chinese(of: &[&Labelled]) -> bool {
    let chinese = |labelled: &&&Labelled| labelled.question.contains(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    2 * of.iter().filter(chinese).count() > of.len()
}
