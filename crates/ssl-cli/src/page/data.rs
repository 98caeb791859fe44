//! What a run was trained on: counts, what was left out and why, and how fast it was prepared.

use ssl_data::manifest::{Manifest, Split};

use super::html::{Column, escape, table};
use crate::progress::words;

/// The manifest as tables.
pub(super) fn data(manifest: &Manifest) -> String {
    use Column::{Number, Text};
    let split = |name: &str, split: &Split| {
        let ratio = split.bytes as f64 / split.tokens.max(1) as f64;
        let numbers =
            [words::count(split.documents), words::count(split.tokens), words::bytes(split.bytes as f64), format!("{ratio:.2}")];
        [name.to_owned()].into_iter().chain(numbers).collect::<Vec<_>>()
    };
    let head = [("split", Text), ("documents", Number), ("tokens", Number), ("text", Number), ("bytes per token", Number)];
    let splits = table(&head, &[split("train", &manifest.train), split("validation", &manifest.validation)]);
    let files = if manifest.files == 1 { "file" } else { "files" };
    let note = format!(
        "{} {files} with {} documents; a vocabulary of {} tokens.",
        words::count(manifest.files),
        words::count(manifest.documents_read()),
        words::count(u64::from(manifest.vocab_size))
    );
    let mut out = format!("{splits}<p class=\"note\">{}</p>\n", escape(&note));

    let read = manifest.documents_read().max(1) as f64;
    let dropped: Vec<Vec<String>> = manifest
        .dropped
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| {
            let places = manifest.examples.get(reason).map(|places| places.join(", ")).unwrap_or_default();
            vec![name(reason), words::count(*count), format!("{} %", words::significant(*count as f64 / read * 100.0)), places]
        })
        .collect();
    out += "<h3>Documents left out</h3>\n";
    if dropped.is_empty() {
        out += "<p class=\"none\">None.</p>\n";
    } else {
        out += &table(&[("reason", Text), ("documents", Number), ("share", Number), ("for example", Text)], &dropped);
    }
    if !manifest.repaired.is_empty() {
        let rows: Vec<Vec<String>> =
            manifest.repaired.iter().map(|(what, count)| vec![what.clone(), words::count(*count)]).collect();
        out += "<h3>Mended in documents that were kept</h3>\n";
        out += &table(&[("what", Text), ("times", Number)], &rows);
    }
    let stages: Vec<Vec<String>> = manifest
        .stages
        .iter()
        .map(|stage| {
            let speed = if stage.seconds > 0.0 { words::bytes(stage.bytes as f64 / stage.seconds) + "/s" } else { "–".into() };
            vec![
                stage.name.clone(),
                words::count(stage.documents),
                words::bytes(stage.bytes as f64),
                words::duration(stage.seconds),
                speed,
            ]
        })
        .collect();
    if !stages.is_empty() {
        out += "<h3>Preparation</h3>\n";
        out += &table(&[("stage", Text), ("documents", Number), ("text", Number), ("time", Number), ("speed", Number)], &stages);
    }
    out
}

/// A reason as the manifest writes it.
fn name(reason: &impl serde::Serialize) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name.replace('-', " "),
        Ok(other) => other.to_string(),
        Err(_) => "other".into(),
    }
}
