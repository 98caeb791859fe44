//! What adapted models do: tell classes, answer questions, translate, summarise. Each answers in whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use ssl_data::document::BORDER;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::task::{Content, TaskKind, WritingMetric};
use ssl_eval::adapted::{Asked, Said};
use ssl_eval::sample::{Sampling, Want};
use ssl_model::Model;

use super::ask::Ask;
use super::body;
use super::fault::{Fault, Result};
use super::served::{Served, example};
use crate::write::Writer;

/// The class of a text, or of two.
pub(super) async fn classify(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let TaskKind::Classification(config) = kind(&served, |kind| matches!(kind, TaskKind::Classification(_)), "tells no classes")?
    else {
        return Err(Fault::unfit(served.can()));
    };
    let (first, second) = (text(&ask, "text")?, ask.text("second")?.map(plain));
    if config.second.is_some() != second.is_some() {
        let message = if second.is_some() { "the model reads one text alone" } else { "the model reads two texts" };
        return Err(Fault::param("second", message));
    }
    let said = said(&served, Content::Texts { first, second, label: 0 }).await?;
    let Said::Class(probabilities) = said else { return Err(Fault::ours("the model told no class")) };
    let labels = served.skill.as_ref().map(|skill| skill.labels.as_slice()).unwrap_or_default();
    let mut told: Vec<(&String, f32)> = labels.iter().zip(probabilities).collect();
    told.sort_by(|a, b| b.1.total_cmp(&a.1));
    let all: Vec<Value> = told.iter().map(|(label, p)| json!({ "label": label, "probability": p })).collect();
    Ok(Json(json!({ "label": told.first().map(|(label, _)| label), "probabilities": all })))
}

/// Where a passage answers a question. The probability is that of the span against no answer, by the model's own scores.
pub(super) async fn answer(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let kind = kind(&served, |kind| matches!(kind, TaskKind::Extraction(_)), "answers no questions")?;
    let may_abstain = matches!(kind, TaskKind::Extraction(config) if config.unanswerable);
    let (question, passage) = (text(&ask, "question")?, text(&ask, "passage")?);
    let context = passage.clone();
    let said = said(&served, Content::Question { question, context, answers: Vec::new(), references: Vec::new() }).await?;
    let Said::Span { text, start, score, no_answer } = said else { return Err(Fault::ours("the model named no span")) };
    let probability = 1.0 / (1.0 + f64::from(no_answer).exp());
    let abstained = text.is_empty() || may_abstain && no_answer > 0.0;
    // What was found may begin with a space, which is none of the answer's.
    let start = start + passage.get(start..).map_or(0, |found| found.len() - found.trim_start().len());
    let place = json!({ "document": "passage", "start": start, "end": start + text.len(), "text": text, "score": score });
    let citations = if text.is_empty() { json!([]) } else { json!([place]) };
    Ok(Json(json!({ "answer": text, "probability": probability, "abstained": abstained, "citations": citations })))
}

/// A text in the other language.
pub(super) async fn translate(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    if served.skill.is_none() && matches!(served.objective, ObjectiveConfig::Translation(_)) {
        return directly(served, text(&ask, "text")?).await;
    }
    written(&served, &ask, &[WritingMetric::Bleu, WritingMetric::Chrf], "does not translate").await
}

/// A shorter text that says the same.
pub(super) async fn summarize(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    written(&served, &ask, &[WritingMetric::Rouge], "does not summarise").await
}

/// What a model writes that was adapted to write one text from another; which of its kinds, its metric says.
async fn written(served: &Arc<Served>, ask: &Ask, metrics: &[WritingMetric], cannot: &str) -> Result<Json<Value>> {
    kind(served, |kind| matches!(kind, TaskKind::Writing(config) if metrics.contains(&config.metric)), cannot)?;
    let source = text(ask, "text")?;
    match said(served, Content::Writing { source, targets: Vec::new() }).await? {
        Said::Text(text) => Ok(Json(json!({ "text": text }))),
        _ => Err(Fault::ours("the model wrote nothing")),
    }
}

/// What a model of two stacks writes that was trained to translate.
async fn directly(served: Arc<Served>, text: String) -> Result<Json<Value>> {
    let work = move |served: &Served, model: &dyn Model, device, _: &dyn Fn(f64) -> bool| {
        let writer = Writer { model, objective: &served.objective, vocab: &served.vocab, device, beam: None };
        let prompt = served.vocab.encode_foreign(&text)?;
        let mut ids = Vec::new();
        writer.write(&prompt, served.limits.tokens as u64, &Sampling::default(), &mut |id, _| {
            if id == served.vocab.separator() {
                return Want::Enough;
            }
            ids.push(id);
            Want::More
        })?;
        Ok(served.vocab.decode(&ids).trim().to_owned())
    };
    let text = served.on_model(work).await?;
    Ok(Json(json!({ "text": text })))
}

/// What the adapted model says of one example.
async fn said(served: &Arc<Served>, content: Content) -> Result<Said> {
    let work = move |served: &Served, model: &dyn Model, device, stop: &dyn Fn(f64) -> bool| {
        let skill = served.skill.as_ref().ok_or(ssl_eval::Error::Empty)?;
        let asked = Asked { model, encoder: &skill.encoder, kind: &skill.kind, labels: &skill.labels, device };
        asked.answer(&[example(content)], stop)?.pop().ok_or(ssl_eval::Error::Empty)
    };
    served.on_model(work).await
}

/// The task of a model that was adapted to such a one.
fn kind<'a>(served: &'a Served, fits: impl Fn(&TaskKind) -> bool, cannot: &str) -> Result<&'a TaskKind> {
    let kind = served.skill.as_ref().map(|skill| &skill.kind).filter(|kind| fits(kind));
    kind.ok_or_else(|| Fault::unfit(format!("this model {cannot}; {}", served.can())))
}

/// A text that must be there and say something.
pub(super) fn text(ask: &Ask, name: &str) -> Result<String> {
    let text = ask.needed(name)?;
    if text.trim().is_empty() { Err(Fault::param(name, format!("{name} is empty"))) } else { Ok(plain(text)) }
}

/// A text without what the project writes between two sides of a pair.
fn plain(text: &str) -> String {
    text.replace(BORDER, " ")
}
