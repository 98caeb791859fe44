//! Measures answers on a question set whose passages, each once, are the collection.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::retrieve::Index;
use ssl_eval::Estimate;

use super::{calibrate::judge, stop};
use crate::args::AnswerArgs;
use crate::assemble::{Opened, Session};
use crate::documents::labelled::{self, Labelled};
use crate::documents::measure::{DEPTHS, Scores, scores, share};
use crate::documents::{Answering, Asked, Embedder};
use crate::outcome::Outcome;
use crate::page::answers::{Answers, Curve};
use crate::signal;

/// The document and the page.
const DOCUMENT: &str = "answers.json";
const PAGE: &str = "answers.html";

/// Passages found for one question after another, best first.
type Found = Vec<Vec<(usize, f64)>>;

/// Finds, answers and scores.
pub(super) fn run(
    session: &Session,
    args: &AnswerArgs,
    file: &Path,
    answers: Option<(&Opened, &Answering)>,
    embeds: Option<(&Opened, &Embedder)>,
) -> Result<Outcome> {
    let wall = Instant::now();
    let labelled = labelled::set(file)?;
    let (mut places, mut passages) = (HashMap::new(), Vec::new());
    for one in &labelled {
        places.entry(one.context.as_str()).or_insert_with(|| {
            passages.push(one.context.as_str());
            passages.len() - 1
        });
    }
    let of: Vec<usize> = labelled.iter().map(|one| places[one.context.as_str()]).collect();
    let name = file.display().to_string();
    let index = Index::of_passages(passages.iter().map(|text| (name.as_str(), *text)));
    let indexed = wall.elapsed().as_secs_f64();
    let finding = Instant::now();
    let deep = DEPTHS.into_iter().fold(usize::from(args.passages), usize::max);
    let words: Found = labelled.iter().map(|one| index.search(&one.question, deep)).collect();
    let milliseconds = finding.elapsed().as_secs_f64() * 1e3 / labelled.len() as f64;
    let mut ways: Vec<(&str, Found)> = vec![("bm25", words)];
    if let Some(embeds) = embeds {
        ways.extend(dense(session, embeds, &index, &labelled, deep)?);
    }
    let recalls: Vec<(&str, Vec<Estimate>)> = ways.iter().map(|(name, found)| (*name, recall(found, &of, &labelled))).collect();
    let scores = match (answers, ways.pop()) {
        (Some(answers), Some((_, found))) => {
            let read = |found: Vec<(usize, f64)>| found.into_iter().take(usize::from(args.passages)).collect();
            let asked =
                labelled.iter().zip(found).map(|(one, found)| Asked { question: one.question.clone(), found: read(found) });
            let judged = judge(session, &index, answers, &asked.collect::<Vec<_>>(), &labelled)?;
            // The questions of one passage stand on one side.
            let side = |at: usize| blake3::hash(labelled[at].context.as_bytes()).as_bytes()[0] & 1 == 1;
            Some(scores(&judged, &side, args.precision, args.threshold))
        }
        _ => None,
    };
    let recall_document = |(name, shares): &(&str, Vec<Estimate>)| {
        let of = DEPTHS.iter().zip(shares).map(|(depth, share)| (depth.to_string(), json!(share)));
        ((*name).to_owned(), Value::Object(of.collect()))
    };
    let document = json!({
        "file": file, "model": answers.map(|(opened, _)| &opened.dir), "embeddings": embeds.map(|(opened, _)| &opened.dir),
        "questions": labelled.len(), "collection": passages.len(), "passages_read": args.passages,
        "recall": recalls.iter().map(recall_document).collect::<serde_json::Map<_, _>>(), "answers": scores,
        "index_seconds": indexed, "milliseconds_a_search": milliseconds, "wall_seconds": wall.elapsed().as_secs_f64(),
    });
    let lines = lines(&recalls, scores.as_ref(), labelled.len(), passages.len());
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let path = out.join(DOCUMENT);
        let text = serde_json::to_string_pretty(&document)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let curve = scores.as_ref().map(|scores| {
            let points = |of: fn(&crate::documents::measure::Point) -> f64| {
                scores.curve.iter().map(|point| (100.0 * point.coverage, 100.0 * of(point))).collect()
            };
            Curve { exact: points(|point| point.risk), f1: points(|point| point.f1_risk) }
        });
        let title = format!("Answers to {}", file.file_name().unwrap_or_default().to_string_lossy());
        let path = out.join(PAGE);
        Answers { title: &title, lines: &lines, curve }
            .write(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let human = lines.iter().map(|(what, value)| format!("{what:30} {value}")).collect::<Vec<_>>().join("\n");
    Ok(Outcome { json: document, human, code: 0 })
}

/// Passages found by vectors, and by both ways fused.
fn dense(
    session: &Session,
    (opened, embedder): (&Opened, &Embedder),
    index: &Index,
    labelled: &[Labelled],
    deep: usize,
) -> Result<Vec<(&'static str, Found)>> {
    let model = opened.model.as_ref();
    let vectors = embedder.index(model, None, index, &stop(session, "reading passages"))?;
    let questions: Vec<&str> = labelled.iter().map(|one| one.question.as_str()).collect();
    let asked = embedder.vectors(model, &questions, &stop(session, "reading questions"))?;
    session.progress.finish();
    let (mut near, mut both) = (Found::new(), Found::new());
    for (question, vector) in questions.iter().zip(&asked) {
        if signal::requested() {
            return Err(ssl_eval::Error::Stopped.into());
        }
        near.push(vectors.nearest(index, vector, deep));
        both.push(index.search_both(question, &vectors, vector, deep));
    }
    Ok(vec![("vectors", near), ("fused", both)])
}

/// Of the questions that have an answer, those whose passage is among the first.
fn recall(found: &Found, of: &[usize], labelled: &[Labelled]) -> Vec<Estimate> {
    let asked = || found.iter().zip(of).zip(labelled).filter(|(_, one)| !one.answers.is_empty());
    let at = |depth: &usize| share(asked().map(|((found, of), _)| found.iter().take(*depth).any(|one| one.0 == *of)));
    DEPTHS.iter().map(at).collect()
}

fn lines(recalls: &[(&str, Vec<Estimate>)], scores: Option<&Scores>, questions: usize, passages: usize) -> Vec<(String, String)> {
    let number = |estimate: &Estimate| match estimate.stderr {
        _ if estimate.n == 0 => "there are none".to_owned(),
        stderr if stderr.is_finite() => format!("{:.2} % ± {:.2}", 100.0 * estimate.value, 100.0 * stderr),
        // One question has no spread.
        _ => format!("{:.2} %", 100.0 * estimate.value),
    };
    let mut lines = vec![("questions".to_owned(), format!("{questions}, to {passages} passages"))];
    for (name, shares) in recalls {
        let each = DEPTHS.iter().zip(shares).map(|(depth, share)| (format!("recall@{depth}, {name}"), number(share)));
        lines.extend(each);
    }
    if let Some(scores) = scores {
        let wanted = scores
            .wanted
            .map_or_else(|| "at the threshold".to_owned(), |wanted| format!("for {:.0} % precision", 100.0 * wanted));
        lines.extend([
            ("exact match, all answered".into(), number(&scores.all.exact_match)),
            ("F1, all answered".into(), number(&scores.all.f1)),
            (format!("answered {wanted}"), format!("{:.2} % of the questions", 100.0 * scores.coverage)),
            ("exact match, of those".into(), number(&scores.given.exact_match)),
            ("F1, of those".into(), number(&scores.given.f1)),
            ("area under risk and coverage".into(), format!("{:.4}", scores.area_under_risk)),
        ]);
    }
    lines
}
