//! What every request is answered from: the model at work, what it can do, and what may be asked of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use ssl_data::document::Origin;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::task::{Content, Encoder, Example, TaskKind, WritingMetric};
use ssl_data::vocab::Vocab;
use ssl_eval::engine::Engine;
use ssl_model::Model;
use tch::Device;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::ask::Ask;
use super::chat::Turns;
use super::door::Keys;
use super::fault::{Fault, Result};
use super::metrics::Metrics;
use crate::documents::Library;
use crate::rewrite::Rewriter;

/// Works on the whole model that may wait on threads of their own.
pub(super) const TURNS: usize = 4;

/// Windows of one text that are read without a break.
const WINDOWS: usize = 64;

/// What every request is answered from.
pub(super) struct Served {
    /// The model, which writes many texts at once.
    pub(super) engine: Engine,
    /// Its tokenizer.
    pub(super) vocab: Vocab,
    /// What it was trained for.
    pub(super) objective: ObjectiveConfig,
    /// What it was adapted to.
    pub(super) skill: Option<Skill>,
    /// How it writes one text from another.
    pub(super) rewriter: Option<Rewriter>,
    /// The documents that it answers from.
    pub(super) library: Option<Library>,
    /// How a conversation becomes a text.
    pub(super) turns: Turns,
    /// What clients are told of it.
    pub(super) about: About,
    /// What may be asked.
    pub(super) limits: Limits,
    /// Who may ask.
    pub(super) keys: Keys,
    /// What was asked so far.
    pub(super) metrics: Metrics,
    /// Whether answers have to end now.
    pub(super) closing: watch::Receiver<bool>,
    /// Room for those who wait for the whole model.
    pub(super) places: Arc<Semaphore>,
    /// Those of them whose turn it is.
    pub(super) at_once: Arc<Semaphore>,
}

/// A task that a model was adapted to.
pub(super) struct Skill {
    /// Its kind.
    pub(super) kind: TaskKind,
    /// Its classes or tags.
    pub(super) labels: Vec<String>,
    /// How examples become rows.
    pub(super) encoder: Encoder,
}

/// What clients are told of a model.
#[derive(Debug, Clone)]
pub(super) struct About {
    /// What clients call it.
    pub(super) id: String,
    /// Unix seconds since which it is served.
    pub(super) created: u64,
    /// Weights.
    pub(super) parameters: u64,
    /// The most tokens it reads at once.
    pub(super) context: usize,
    /// Ids.
    pub(super) vocab_size: u32,
    /// Whether it goes on with texts, token by token.
    pub(super) goes_on: bool,
    /// Whether it fills gaps.
    pub(super) fills: bool,
    /// Whether it has attention to be looked at.
    pub(super) attends: bool,
    /// What a model of two stacks writes after.
    pub(super) start: Option<u32>,
}

/// What may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a body.
    pub(super) body: usize,
    /// Tokens of a prompt.
    pub(super) prompt: usize,
    /// Tokens of an answer.
    pub(super) tokens: usize,
    /// Texts of one request.
    pub(super) texts: usize,
    /// How long a request may take.
    pub(super) request: Duration,
    /// How long a client may pause.
    pub(super) client: Duration,
}

impl Served {
    /// Ends when a request that began at `begun` has to.
    pub(super) async fn over(&self, begun: Instant) {
        let mut closing = self.closing.clone();
        let cut = async {
            // Where nobody is left who could say so, it does not come.
            if closing.wait_for(|closing| *closing).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep_until(begun + self.limits.request) => {}
            () = cut => {}
        }
    }

    /// Does work that needs a processor and not the model, away from the threads that connections need.
    pub(super) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let served = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&served)).await;
        done.map_err(|_| Fault::ours("the request could not be read"))?
    }

    /// Does work on the whole model, between two steps of the texts that it writes; the work is told to stop where its client has left.
    pub(super) async fn on_model<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &dyn Model, Device, &dyn Fn(f64) -> bool) -> ssl_eval::Result<T> + Send + 'static,
    ) -> Result<T> {
        let begun = Instant::now();
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Fault::busy())?;
        let wanted = Arc::new(());
        let (served, waiting) = (Arc::clone(self), Arc::downgrade(&wanted));
        let done = async {
            let turn = Arc::clone(&self.at_once).acquire_owned().await;
            let work = move || {
                let (engine, _room) = (served.engine.clone(), (place, turn));
                engine.with(move |model, device| {
                    let left = |_| waiting.strong_count() == 0;
                    if left(0.0) { Err(ssl_eval::Error::Stopped) } else { work(&served, model, device, &left) }
                })
            };
            tokio::task::spawn_blocking(work).await
        };
        tokio::select! {
            done = done => Ok(done.map_err(|_| Fault::ours("the work on the model broke off"))???),
            () = self.over(begun) => Err(Fault::late()),
        }
    }

    /// The most tokens of a text that is read window by window, while others wait for the model.
    pub(super) fn longest(&self) -> usize {
        self.about.context.saturating_mul(WINDOWS)
    }

    /// Refuses a request for another model.
    pub(super) fn called(&self, ask: &Ask) -> Result<()> {
        match ask.text("model")? {
            Some(model) if model != self.about.id => {
                let message = format!("there is no model {model:?} here, but {:?}", self.about.id);
                Err(Fault::param("model", message).missing().coded("model_not_found"))
            }
            _ => Ok(()),
        }
    }

    /// The model as `/v1/models` tells of it.
    pub(super) fn model_json(&self) -> Value {
        let (about, task) = (&self.about, self.skill.as_ref());
        json!({
            "id": about.id, "object": "model", "created": about.created, "owned_by": "ssl",
            "ssl": {
                "parameters": about.parameters, "context": about.context, "objective": self.objective.name(),
                "writes": about.goes_on, "fills": about.fills, "embeds": true, "attends": about.attends,
                "task": task.map(|task| task.kind.name()), "labels": task.map_or(&[][..], |task| &task.labels),
                "answers": self.library.is_some() || task.is_some_and(|task| matches!(task.kind, TaskKind::Extraction(_))),
                "documents": self.library.as_ref().map(Library::documents),
            },
        })
    }

    /// What the model does, for those who asked for something else.
    pub(super) fn can(&self) -> String {
        let mut can = Vec::new();
        if self.about.goes_on {
            can.push("goes on with texts (/v1/completions)");
        }
        if self.about.fills {
            can.push("fills gaps (/x/fill-mask)");
        }
        can.push("makes vectors of texts (/v1/embeddings)");
        match self.skill.as_ref().map(|skill| &skill.kind) {
            Some(TaskKind::Classification(_)) => can.push("tells classes (/x/classify)"),
            Some(TaskKind::Extraction(_)) => can.push("answers questions (/x/answer)"),
            Some(TaskKind::Writing(config)) if config.metric == WritingMetric::Rouge => can.push("summarises (/x/summarize)"),
            Some(TaskKind::Writing(_)) => can.push("translates (/x/translate)"),
            None if matches!(self.objective, ObjectiveConfig::Translation(_)) => can.push("translates (/x/translate)"),
            _ if self.library.is_some() => can.push("answers questions from documents (/x/answer)"),
            _ => {}
        }
        format!("it {}", can.join(", "))
    }
}

/// An example as a task has it, made of a request.
pub(super) fn example(content: Content) -> Example {
    let origin = Origin { path: Path::new("request").into(), line: 0, address: None };
    Example { id: String::new(), origin, content }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
