//! Continuous generation: one thread owns a model, and texts join and leave between its steps.
//!
//! A step reads one token of every running text and a piece of the prompts that wait to be read, so that a long prompt holds no
//! text up for longer than a piece takes. Source: Yu et al. 2022, "Orca", section 3.1 (scheduling step by step); Agrawal et
//! al. 2024, "Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve", section 4 (pieces of prompts beside
//! running texts). What was read of a finished text is kept for a while, and a prompt that begins alike starts from there.
//!
//! What a text becomes is a function of its request, whoever runs beside it and however its prompt is cut: up to the rounding of sums,
//! whose order follows how many rows a step has, and which two all but equal logits could show.

mod kept;
mod text;
pub mod voice;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ssl_model::Model;
use tch::Device;

use crate::error::{Error, Result};
use crate::sample::{Sampling, Want};
use worker::{Shared, Waiting, Worker};

/// How much runs, waits and is kept at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Texts that run at once; at least one.
    pub rows: usize,
    /// Requests that wait for their turn.
    pub queue: usize,
    /// Tokens of prompts that are read in one step; at least one.
    pub piece: usize,
    /// Tokens of finished texts that are kept for prompts that begin alike.
    pub kept_tokens: usize,
    /// Whether a model that foretells several tokens drafts them, for the next step to verify: the same texts in fewer steps. Each text is
    /// drafted for by itself, so that it pays where few run at once.
    pub drafts: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 16, queue: 256, piece: 256, kept_tokens: 8192, drafts: false }
    }
}

/// A text to be written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// What the text goes on from, at least one token; of a model that writes from a source, the source.
    pub prompt: Vec<u32>,
    /// The most tokens written.
    pub max_tokens: usize,
    /// How they are drawn.
    pub sampling: Sampling,
    /// Tokens that end the text and are not told.
    pub ends: Vec<u32>,
    /// How many alternatives are told beside each token, with log-probabilities; `None` asks for no log-probabilities.
    pub logprobs: Option<usize>,
    /// Whether the prompt's own tokens are told too, scored where log-probabilities are asked for.
    pub echo: bool,
}

/// A token of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Which.
    pub id: u32,
    /// Its log-probability under the model's own distribution, before temperature and cuts; absent where not asked for, and of
    /// tokens that the model does not predict: a prompt's first, and a source's.
    pub logprob: Option<f32>,
    /// The likeliest tokens of its place with their log-probabilities, the best first.
    pub top: Vec<(u32, f32)>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The prompt's tokens, once and first, of a request that asks for an echo.
    Prompt(Vec<Token>),
    /// One more token.
    Token(Token),
    /// The end: exactly once and last.
    End(End),
}

/// Why a text ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A token of [`Request::ends`] was drawn.
    Stop,
    /// As many tokens as were asked for, or as the model reads at once.
    Length,
    /// Its reader wanted no more, or the engine stopped.
    Cancelled,
    /// What went wrong; others go on.
    Failed(String),
}

/// Hears what happens to a request, on the engine's thread: it should return soon. [`Want::Enough`] cancels the request.
pub type Sink = Box<dyn FnMut(Event) -> Want + Send>;

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Refused {
    #[error("{waiting} requests wait already")]
    Full { waiting: usize },
    #[error("a prompt needs at least one token")]
    Empty,
    #[error("a prompt of {tokens} tokens leaves no room to write in a context of {context}")]
    Prompt { tokens: usize, context: usize },
    #[error("token {id} lies outside the model's vocabulary of {vocab}")]
    Token { id: u32, vocab: usize },
    #[error("this model does not write text")]
    NoDecoder,
    #[error("the engine has stopped")]
    Stopped,
}

/// Counters of an engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Texts that run.
    pub running: usize,
    /// Tokens of prompts that were read, since the start.
    pub prompt_tokens: u64,
    /// Tokens that were written, since the start.
    pub written_tokens: u64,
    /// Tokens of prompts that did not have to be read, since the start.
    pub reused_tokens: u64,
    /// Tokens of finished texts that are kept now.
    pub kept_tokens: usize,
    /// Steps made, since the start.
    pub steps: u64,
}

/// A handle to a running engine; clones share it, and the last one dropped ends it.
#[derive(Debug, Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
        // A sink may hold the last handle; the thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Engine {
    /// Starts a thread that owns `model`, whose weights are on `device`.
    ///
    /// # Panics
    /// When the system has no thread left to give.
    #[must_use]
    pub fn start(model: Box<dyn Model>, device: Device, limits: Limits) -> Self {
        let limits = Limits { rows: limits.rows.max(1), piece: limits.piece.max(1), ..limits };
        let shared = Arc::new(Shared::new(model.as_ref(), limits));
        let of_thread = Arc::clone(&shared);
        // The loops of this thread, which made the model, are over.
        ssl_torch::rest();
        let thread = thread::spawn(move || Worker::new(model, device, of_thread).run());
        Self { handle: Arc::new(Handle { shared, thread: Some(thread) }) }
    }

    /// Takes a request; `sink` hears what becomes of it. Dropping the ticket cancels the request.
    ///
    /// # Errors
    /// When it cannot be taken, now or ever.
    pub fn submit(&self, request: Request, sink: Sink) -> std::result::Result<Ticket, Refused> {
        let shared = &self.handle.shared;
        shared.check(&request)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        shared.enqueue(Waiting { request, sink, cancelled: Arc::clone(&cancelled) })?;
        Ok(Ticket { cancelled: Some(cancelled) })
    }

    /// Runs other work on the model between two steps, and waits for it. Not to be called by a sink, which would wait for itself.
    ///
    /// # Errors
    /// When the work panics, or the engine has stopped.
    pub fn with<T: Send + 'static>(&self, work: impl FnOnce(&dyn Model, Device) -> T + Send + 'static) -> Result<T> {
        let (send, receive) = mpsc::channel();
        self.handle.shared.employ(Box::new(move |model, device| {
            let done = ssl_torch::guard(|| tch::no_grad(|| work(model, device)));
            // Who asked may have gone.
            let _ = send.send(done);
        }))?;
        Ok(receive.recv().map_err(|_| Error::Stopped)??)
    }

    /// The most tokens of a text, prompt included.
    #[must_use]
    pub fn context(&self) -> usize {
        self.handle.shared.context
    }

    /// What it does at this moment, and has done.
    #[must_use]
    pub fn state(&self) -> State {
        let state = *lock(&self.handle.shared.state);
        State { waiting: lock(&self.handle.shared.inbox).requests.len(), ..state }
    }
}

/// A request on its way: dropping it cancels the request.
#[derive(Debug)]
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket {
    cancelled: Option<Arc<AtomicBool>>,
}

impl Ticket {
    /// Lets the request run to its end.
    pub fn detach(mut self) {
        self.cancelled = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(cancelled) = &self.cancelled {
            cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// A lock whose holder never leaves halves behind, so that a panic in it is none for others.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
