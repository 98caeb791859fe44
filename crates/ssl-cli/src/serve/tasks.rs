//! What adapted models do: tell classes, answer questions, translate, summarise. Each answers in whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use ssl_data::document::BORDER;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::task::{Content, TaskKind, WritingMetric};
use ssl_eval::adapted::{Asked, Said};
use ssl_model::Model;

use super::ask::Ask;
use super::body;
use super::fault::{Fault, Result};
use super::served::{Served, example};
use crate::rewrite::Rewriter;

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

/// The answer to a question: from a passage that comes with it, or from the documents that the server has.
pub(super) async fn answer(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let question = text(&ask, "question")?;
    let work = move |served: &Served| Ok((served.vocab.encode_foreign(&question)?.len(), question));
    let (tokens, question) = served.aside(work).await?;
    if tokens > served.limits.prompt {
        let message = format!("question has {tokens} tokens, and at most {} are read", served.limits.prompt);
        return Err(Fault::param("question", message));
    }
    if ask.text("passage")?.is_none() && served.library.is_some() {
        return from_documents(&served, question).await;
    }
    from_passage(&served, question, text(&ask, "passage")?).await
}

/// What the documents say, with the places where they do.
async fn from_documents(served: &Arc<Served>, question: String) -> Result<Json<Value>> {
    let work = move |served: &Served, model: &dyn Model, _, stop: &dyn Fn(f64) -> bool| {
        let library = served.library.as_ref().ok_or(ssl_eval::Error::Empty)?;
        library.answer(model, question, stop)
    };
    let answered = served.on_model(work).await?;
    Ok(Json(json!({
        "answer": answered.answer, "probability": answered.probability, "abstained": answered.abstained,
        "citations": answered.citations,
    })))
}

/// Where a passage answers a question. The probability is that of the span against no answer, by the model's own scores.
async fn from_passage(served: &Arc<Served>, question: String, passage: String) -> Result<Json<Value>> {
    let kind = kind(served, |kind| matches!(kind, TaskKind::Extraction(_)), "answers no questions about a passage")?;
    let may_abstain = matches!(kind, TaskKind::Extraction(config) if config.unanswerable);
    let context = passage.clone();
    let said = said(served, Content::Question { question, context, answers: Vec::new(), references: Vec::new() }).await?;
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
    let of = |kind: &TaskKind| matches!(kind, TaskKind::Writing(config) if config.metric != WritingMetric::Rouge);
    let trained = served.skill.is_none() && matches!(served.objective, ObjectiveConfig::Translation(_));
    if !trained {
        kind(&served, of, "does not translate")?;
    }
    rewrite(served, request, Rewriter::translate).await
}

/// A shorter text that says the same.
pub(super) async fn summarize(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let of = |kind: &TaskKind| matches!(kind, TaskKind::Writing(config) if config.metric == WritingMetric::Rouge);
    kind(&served, of, "does not summarise")?;
    rewrite(served, request, Rewriter::summarize).await
}

/// Writes a text from another of any length.
type Rewrite = fn(
    &Rewriter,
    &dyn Model,
    &str,
    &mut crate::rewrite::Listener<'_>,
    &dyn Fn() -> bool,
) -> std::result::Result<usize, ssl_eval::Error>;

async fn rewrite(served: Arc<Served>, request: Request, how: Rewrite) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let source = text(&ask, "text")?;
    let work = move |served: &Served| Ok((served.vocab.encode_foreign(&source)?.len(), source));
    let (tokens, source) = served.aside(work).await?;
    if tokens > served.longest() {
        let message =
            format!("text has {tokens} tokens, and at most {} are read; the verbs of ssl read any number", served.longest());
        return Err(Fault::param("text", message));
    }
    let work = move |served: &Served, model: &dyn Model, _, left: &dyn Fn(f64) -> bool| {
        let rewriter = served.rewriter.as_ref().ok_or(ssl_eval::Error::NoDecoder)?;
        let mut written = String::new();
        let mut each = |piece: &str| {
            written.push_str(piece);
            true
        };
        how(rewriter, model, &source, &mut each, &|| left(0.0))?;
        Ok(written.trim().to_owned())
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
