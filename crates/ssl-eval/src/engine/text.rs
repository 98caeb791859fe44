//! One running text: what is read of it next, and what the answer makes of it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ssl_model::layer::source_of;
use ssl_model::{Cache, Decode, Piece};
use tch::Device;

use super::kept::Shelf;
use super::worker::Waiting;
use super::{End, Event, Request, Sink, Token};
use crate::error::Error;
use crate::sample::{Past, Want, draw, log_probs};

/// A text and who waits for it.
pub(super) struct Text {
    request: Request,
    sink: Sink,
    cancelled: Arc<AtomicBool>,
    cache: Cache,
    /// What the text begins with, then what was written.
    ids: Vec<u32>,
    /// How many of the ids it began with.
    given: usize,
    /// How many of the ids have been read.
    read: usize,
    /// Whether the prompt is a source, which the ids do not hold.
    source: bool,
    /// What is known of the prompt's own tokens, until it is told.
    echo: Vec<Token>,
    /// What may follow the last id, to be verified.
    drafts: Vec<u32>,
    /// What was read of it last, drafts included.
    piece: Vec<u32>,
}

/// What is read of a text in a step: so many tokens, and the answers to the last so many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) tokens: usize,
    pub(super) wanted: usize,
}

impl Text {
    /// A text that begins where a kept one allows it. Reads the source of a model that writes from one.
    pub(super) fn begin(waiting: Waiting, decoder: &dyn Decode, device: Device, shelf: &mut Shelf) -> Result<Self, (Sink, End)> {
        let Waiting { request, sink, cancelled } = waiting;
        let start = decoder.start();
        let begun = ssl_torch::guard(|| {
            tch::no_grad(|| {
                if start.is_some() {
                    return (0, decoder.cache(Some(&source_of(&request.prompt, device))));
                }
                // The answers to all of a prompt that is scored are wanted, so all of it is read.
                let kept = if request.scores() { None } else { shelf.longest(&request.prompt) };
                kept.unwrap_or_else(|| (0, decoder.cache(None)))
            })
        });
        let (read, cache) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Err((sink, End::Failed(fault.to_string()))),
        };
        let bare = |&id: &u32| Token { id, logprob: None, top: Vec::new() };
        // Of a prompt that is to be scored only the first token is known so far.
        let known = if request.scores() && start.is_none() { 1 } else { request.prompt.len() };
        let echo = if request.echo { request.prompt[..known].iter().map(bare).collect() } else { Vec::new() };
        let ids = start.map_or_else(|| request.prompt.clone(), |start| vec![start]);
        Ok(Self {
            given: ids.len(),
            source: start.is_some(),
            request,
            sink,
            cancelled,
            cache,
            ids,
            read,
            echo,
            drafts: Vec::new(),
            piece: Vec::new(),
        })
    }

    /// Whether its reader has gone.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether its prompt is still being read.
    pub(super) fn is_prompt(&self) -> bool {
        self.read < self.given
    }

    /// How many ids are to be read in all, by now: the last token of a prompt is read for what follows it.
    fn goal(&self) -> usize {
        let scoring = self.request.scores() && !self.source;
        match self.request.max_tokens {
            0 if scoring => self.given - 1,
            0 => self.read,
            _ => self.ids.len(),
        }
    }

    /// What to read next of it, with room for so many tokens of prompts.
    pub(super) fn due(&self, room: usize) -> Due {
        let left = self.goal() - self.read;
        if !self.is_prompt() {
            let tokens = left + self.drafts.len();
            return Due { tokens, wanted: tokens };
        }
        let tokens = left.min(room);
        let last = usize::from(tokens > 0 && self.read + tokens == self.ids.len());
        Due { tokens, wanted: if self.request.scores() && !self.source { tokens } else { last } }
    }

    /// That, as the model reads it.
    pub(super) fn piece(&mut self, due: Due) -> Piece<'_> {
        self.piece.clear();
        self.piece.extend(self.ids[self.read..].iter().chain(&self.drafts).take(due.tokens));
        Piece { cache: &mut self.cache, tokens: &self.piece, wanted: due.wanted }
    }

    /// Takes the answers to what was due, one slice of logits a wanted token; says when the text has ended.
    pub(super) fn answer(&mut self, due: Due, mut answers: std::slice::Chunks<'_, f32>, context: usize) -> Option<End> {
        let (before, first) = (self.read, self.read + due.tokens - due.wanted);
        self.read += due.tokens;
        self.drafts.clear();
        for place in first + 1..=self.read {
            let logits = answers.next().unwrap_or_default();
            if logits.is_empty() || logits.iter().any(|logit| !logit.is_finite()) {
                return Some(End::Failed(Error::NonFinite { tokens: place as u64 }.to_string()));
            }
            if place < self.given {
                let token = self.token(logits, self.ids[place]);
                self.echo.push(token);
            } else {
                // Before the first token that is written.
                if place == self.given && self.tell_echo() == Want::Enough {
                    return Some(End::Cancelled);
                }
                let end = self.write(logits, context);
                // A draft that was read in this place stands if it is what has been drawn.
                let stands = self.read > place && self.ids.get(place) == self.piece.get(place - before);
                if end.is_some() || !stands {
                    self.cut(place);
                    return end;
                }
            }
        }
        self.finished()
    }

    /// Takes back what was read from this place on.
    fn cut(&mut self, place: usize) {
        let over = self.read.saturating_sub(place);
        if over > 0 {
            self.cache.tokens -= over as i64;
            self.read = place;
        }
    }

    /// Asks for drafts behind the token that was drawn last, after `kept` tokens were read and stayed; no more than may be written.
    pub(super) fn foretell(&mut self, decoder: &dyn Decode, kept: usize, context: usize) {
        let (tokens, cache) = (self.cache.tokens, &mut self.cache);
        let drafts = ssl_torch::guard(|| tch::no_grad(|| decoder.draft(cache, kept as i64)));
        if drafts.is_err() {
            self.cache.tokens = tokens;
        }
        let room = self.request.max_tokens.saturating_sub(self.written() + 1).min(context.saturating_sub(self.ids.len() + 1));
        // A draft is never needed: whoever cannot make one goes on without.
        self.drafts = if self.is_prompt() { Vec::new() } else { drafts.unwrap_or_default() };
        self.drafts.truncate(room);
    }

    /// How many ids have been read.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// The end of a text that is to be read and not written, once it has been read.
    pub(super) fn finished(&mut self) -> Option<End> {
        let over = self.request.max_tokens == 0 && self.read == self.goal();
        over.then(|| if self.tell_echo() == Want::Enough { End::Cancelled } else { End::Length })
    }

    fn write(&mut self, logits: &[f32], context: usize) -> Option<End> {
        let (prompt, written) = self.ids.split_at(self.given);
        let id = draw(logits, &self.request.sampling, Past { prompt, written }, written.len() as u64);
        if self.request.ends.contains(&id) {
            return Some(End::Stop);
        }
        let token = self.token(logits, id);
        self.ids.push(id);
        if self.tell(Event::Token(token)) == Want::Enough {
            return Some(End::Cancelled);
        }
        let full = self.written() >= self.request.max_tokens || self.ids.len() - usize::from(self.source) >= context;
        full.then_some(End::Length)
    }

    /// How many tokens were written.
    pub(super) fn written(&self) -> usize {
        self.ids.len() - self.given
    }

    fn token(&self, logits: &[f32], id: u32) -> Token {
        let Some(top) = self.request.logprobs else { return Token { id, logprob: None, top: Vec::new() } };
        let (own, top) = log_probs(logits, id, top);
        Token { id, logprob: Some(own), top }
    }

    fn tell_echo(&mut self) -> Want {
        let echo = mem::take(&mut self.echo);
        if self.request.echo { self.tell(Event::Prompt(echo)) } else { Want::More }
    }

    fn tell(&mut self, event: Event) -> Want {
        tell(&mut self.sink, event)
    }

    /// Says how it ended; what was read of it is kept where it may be of use.
    pub(super) fn end(mut self, end: End, shelf: &mut Shelf) {
        if !self.source && !matches!(end, End::Failed(_)) {
            self.ids.truncate(self.read);
            shelf.keep(mem::take(&mut self.ids), &self.cache);
        }
        self.tell(Event::End(end));
    }
}

impl Request {
    /// Whether the prompt's own tokens are to be scored.
    fn scores(&self) -> bool {
        self.echo && self.logprobs.is_some()
    }
}

/// Tells an event; a sink that panics wants no more.
pub(super) fn tell(sink: &mut Sink, event: Event) -> Want {
    ssl_torch::guard(|| sink(event)).unwrap_or(Want::Enough)
}
