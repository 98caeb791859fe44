//! Texts while they are written: the engine's tokens become pieces of text, until each text ends or time is up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ssl_eval::engine::voice::Voice;
use ssl_eval::engine::{End, Event, Request, Ticket, Token};
use ssl_eval::sample::Want;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fault::Result;
use super::order::Order;
use super::served::Served;

/// What is told of one text.
#[derive(Debug)]
pub(super) enum Piece {
    /// A part of it, which may be empty, with the tokens that it was made of where they were asked for.
    Part(String, Vec<Token>),
    /// It is over.
    End(Finish),
}

/// How a text ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    /// By itself, or by a stop text.
    Stop,
    /// There was no more room.
    Length,
    /// There was no more time.
    Late,
    /// By a fault of ours.
    Failed(String),
}

impl Finish {
    /// As OpenAI's clients know it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length | Self::Late => "length",
            Self::Failed(_) => "error",
        }
    }
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Read, each prompt once.
    pub(super) prompt: usize,
    /// Written.
    pub(super) written: usize,
}

/// Texts that the engine was asked for. When this is dropped, those that are not over are given up.
pub(super) struct Running {
    served: Arc<Served>,
    order: Order,
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    begun: Instant,
    texts: Vec<Text>,
}

/// One of them.
struct Text {
    /// Gives the text up when dropped.
    ticket: Option<Ticket>,
    written: usize,
    last: Instant,
    over: bool,
}

impl Running {
    /// Asks the engine for every text, or for none.
    pub(super) fn start(served: &Arc<Served>, order: Order) -> Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let mut texts = Vec::new();
        for index in 0..order.prompts.len() * order.n {
            let sampling = &order.request.sampling;
            let seed = sampling.seed.wrapping_add(index as u64);
            let request = Request {
                prompt: order.prompts[index / order.n].ids.clone(),
                sampling: ssl_eval::sample::Sampling { seed, ..sampling.clone() },
                ..order.request.clone()
            };
            let sender = sender.clone();
            let sink = move |event| if sender.send((index, event)).is_ok() { Want::More } else { Want::Enough };
            let ticket = served.engine.submit(request, Box::new(sink))?;
            texts.push(Text { ticket: Some(ticket), written: 0, last: begun, over: false });
        }
        Ok(Self { served: Arc::clone(served), order, events, begun, texts })
    }

    /// Tells every piece of every text, by number, until all are over.
    pub(super) async fn run(mut self, each: &mut (dyn FnMut(usize, Piece) + Send)) -> Usage {
        let served = Arc::clone(&self.served);
        let (stops, logprobs) = (self.order.stops.clone(), self.order.request.logprobs.is_some());
        let mut voices: Vec<Voice<'_>> = self.texts.iter().map(|_| Voice::new(served.vocab.stream(), stops.clone())).collect();
        // Where prompts are scored, they come with their tokens.
        if self.order.echo && !self.order.request.echo {
            for index in 0..self.texts.len() {
                each(index, Piece::Part(self.order.prompts[index / self.order.n].text.clone(), Vec::new()));
            }
        }
        let mut over = pin!(served.over(self.begun));
        while self.texts.iter().any(|text| !text.over) {
            let heard = tokio::select! {
                heard = self.events.recv() => heard,
                () = &mut over => {
                    self.end_all(&mut voices, &Finish::Late, each);
                    break;
                }
            };
            let Some((index, event)) = heard else {
                self.end_all(&mut voices, &Finish::Failed("the engine has stopped".into()), each);
                break;
            };
            // A text that was given up may have been going on meanwhile.
            if self.texts[index].over {
                continue;
            }
            match event {
                Event::Prompt(mut tokens) => {
                    let prompt = &self.order.prompts[index / self.order.n];
                    tokens.drain(..prompt.added.min(tokens.len()));
                    each(index, Piece::Part(prompt.text.clone(), tokens));
                }
                // To the engine it was a token like any other.
                Event::Token(token) if self.order.told_ends.contains(&token.id) => {
                    each(index, Piece::Part(voices[index].finish(), vec![token]));
                    self.end(index, Finish::Stop, each);
                }
                Event::Token(token) => {
                    self.count(index);
                    let spoken = voices[index].push(token.id);
                    let tokens = if logprobs { vec![token] } else { Vec::new() };
                    if !spoken.text.is_empty() || !tokens.is_empty() {
                        each(index, Piece::Part(spoken.text, tokens));
                    }
                    if spoken.stopped {
                        self.end(index, Finish::Stop, each);
                    }
                }
                Event::End(end) => {
                    let rest = voices[index].finish();
                    if !rest.is_empty() {
                        each(index, Piece::Part(rest, Vec::new()));
                    }
                    let finish = match end {
                        End::Stop => Finish::Stop,
                        End::Length => Finish::Length,
                        // Nobody but us gives a text up.
                        End::Cancelled => Finish::Failed("the text was given up".into()),
                        End::Failed(what) => Finish::Failed(what),
                    };
                    self.end(index, finish, each);
                }
            }
        }
        let prompt = self.order.prompts.iter().map(|prompt| prompt.ids.len()).sum();
        Usage { prompt, written: self.texts.iter().map(|text| text.written).sum() }
    }

    /// Counts a token that was written.
    fn count(&mut self, index: usize) {
        let (text, now) = (&mut self.texts[index], Instant::now());
        let since: Duration = now - text.last;
        let timings = &self.served.metrics;
        if text.written == 0 { &timings.first_token } else { &timings.next_token }.record(since);
        text.written += 1;
        text.last = now;
    }

    /// Ends a text, whose ticket is given back.
    fn end(&mut self, index: usize, finish: Finish, each: &mut (dyn FnMut(usize, Piece) + Send)) {
        let text = &mut self.texts[index];
        (text.over, text.ticket) = (true, None);
        self.served.metrics.finished(finish.name());
        self.served.metrics.whole.record(self.begun.elapsed());
        each(index, Piece::End(finish));
    }

    /// Ends all that are left.
    fn end_all(&mut self, voices: &mut [Voice<'_>], finish: &Finish, each: &mut (dyn FnMut(usize, Piece) + Send)) {
        for (index, voice) in voices.iter_mut().enumerate() {
            if !self.texts[index].over {
                each(index, Piece::Part(voice.finish(), Vec::new()));
                self.end(index, finish.clone(), each);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for _ in self.texts.iter().filter(|text| !text.over) {
            self.served.metrics.finished("abort");
        }
    }
}
