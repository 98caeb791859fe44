//! The thread that owns the model: who joins, what is read in each step, and who leaves.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ssl_model::{Decode, Model};
use tch::Device;

use super::kept::Shelf;
use super::text::{Due, Text, tell};
use super::{End, Event, Limits, Refused, Request, Sink, State, lock};
use crate::error::{Error, Result};

/// A request that waits for its turn.
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) sink: Sink,
    pub(super) cancelled: Arc<AtomicBool>,
}

/// What there is to do before a step: other work, requests whose reader has gone, and requests whose turn it is.
type Round = (Option<Job>, VecDeque<Waiting>, VecDeque<Waiting>);

/// Other work on the model.
type Job = Box<dyn FnOnce(&dyn Model, Device) + Send>;

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) requests: VecDeque<Waiting>,
    work: VecDeque<Job>,
    stopped: bool,
}

/// What handles and the thread share.
pub(super) struct Shared {
    pub(super) context: usize,
    /// Ids that the model knows; absent where it writes nothing.
    vocab: Option<usize>,
    source: bool,
    limits: Limits,
    pub(super) inbox: Mutex<Inbox>,
    wake: Condvar,
    pub(super) state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(model: &dyn Model, limits: Limits) -> Self {
        let decoder = model.decoder();
        // A state that is carried along has no end.
        let context = if decoder.is_some_and(Decode::carries) { ENDLESS } else { model.context() };
        let (vocab, source) = (decoder.map(Decode::vocab), decoder.is_some_and(|decoder| decoder.start().is_some()));
        Self { context, vocab, source, limits, inbox: Mutex::default(), wake: Condvar::new(), state: Mutex::default() }
    }

    /// Whether a request can be served at all.
    pub(super) fn check(&self, request: &Request) -> std::result::Result<(), Refused> {
        let vocab = self.vocab.ok_or(Refused::NoDecoder)?;
        let tokens = request.prompt.len();
        let room = usize::from(request.max_tokens > 0 && !self.source);
        match request.prompt.iter().find(|&&id| id as usize >= vocab) {
            _ if tokens == 0 => Err(Refused::Empty),
            _ if tokens + room > self.context => Err(Refused::Prompt { tokens, context: self.context }),
            Some(&id) => Err(Refused::Token { id, vocab }),
            None => Ok(()),
        }
    }

    /// Puts a request behind the others.
    pub(super) fn enqueue(&self, waiting: Waiting) -> std::result::Result<(), Refused> {
        let mut inbox = lock(&self.inbox);
        if inbox.stopped {
            return Err(Refused::Stopped);
        }
        if inbox.requests.len() >= self.limits.queue {
            return Err(Refused::Full { waiting: inbox.requests.len() });
        }
        inbox.requests.push_back(waiting);
        self.wake.notify_all();
        Ok(())
    }

    /// Puts other work before the next step.
    pub(super) fn employ(&self, job: Job) -> Result<()> {
        let mut inbox = lock(&self.inbox);
        if inbox.stopped {
            return Err(Error::Stopped);
        }
        inbox.work.push_back(job);
        self.wake.notify_all();
        Ok(())
    }

    /// Ends the thread after its step.
    pub(super) fn stop(&self) {
        lock(&self.inbox).stopped = true;
        self.wake.notify_all();
    }
}

/// What stands for no limit, and leaves room to add to it.
const ENDLESS: usize = usize::MAX / 4;

/// The thread's own.
pub(super) struct Worker {
    model: Box<dyn Model>,
    device: Device,
    shared: Arc<Shared>,
    running: Vec<Text>,
    shelf: Shelf,
    /// What was counted since the counters were last shown.
    counted: State,
}

impl Worker {
    pub(super) fn new(model: Box<dyn Model>, device: Device, shared: Arc<Shared>) -> Self {
        let whole = model.decoder().is_some_and(Decode::carries);
        let shelf = Shelf::new(shared.limits.kept_tokens, whole);
        Self { model, device, shared, running: Vec::new(), shelf, counted: State::default() }
    }

    /// Works until the last handle is gone; then every request ends.
    pub(super) fn run(mut self) {
        while let Some(round) = self.take() {
            // Nothing in a round is expected to panic outside the guards within it; if it does, the round's texts end and no others.
            if let Err(fault) = ssl_torch::guard(|| self.round(round)) {
                for text in mem::take(&mut self.running) {
                    text.end(End::Failed(fault.to_string()), &mut self.shelf);
                }
            }
            self.show();
        }
        let waiting = mem::take(&mut lock(&self.shared.inbox).requests);
        for mut waiting in waiting {
            tell(&mut waiting.sink, Event::End(End::Cancelled));
        }
        for text in mem::take(&mut self.running) {
            text.end(End::Cancelled, &mut self.shelf);
        }
        // Whoever waits for work that will not be done hears so.
        lock(&self.shared.inbox).work.clear();
    }

    /// What there is to do before the next step. Waits while there is nothing at all; `None` ends the thread.
    fn take(&self) -> Option<Round> {
        let mut inbox = lock(&self.shared.inbox);
        while !inbox.stopped && inbox.requests.is_empty() && inbox.work.is_empty() && self.running.is_empty() {
            inbox = self.shared.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        if inbox.stopped {
            return None;
        }
        let has_gone = |waiting: &Waiting| waiting.cancelled.load(Ordering::Relaxed);
        let (cancelled, waiting): (VecDeque<_>, VecDeque<_>) = mem::take(&mut inbox.requests).into_iter().partition(has_gone);
        inbox.requests = waiting;
        // A source is read at once, so that only one is read between two steps.
        let most = if self.shared.source { 1 } else { self.shared.limits.rows };
        let free = most.min(self.shared.limits.rows - self.running.len()).min(inbox.requests.len());
        let admitted = inbox.requests.drain(..free).collect();
        Some((inbox.work.pop_front(), cancelled, admitted))
    }

    fn round(&mut self, (job, cancelled, admitted): Round) {
        if let Some(job) = job {
            job(self.model.as_ref(), self.device);
        }
        for mut waiting in cancelled {
            tell(&mut waiting.sink, Event::End(End::Cancelled));
        }
        self.leave(|text| text.is_cancelled().then_some(End::Cancelled));
        self.admit(admitted);
        self.leave(Text::finished);
        self.show();
        if !self.running.is_empty() {
            self.step();
        }
    }

    fn admit(&mut self, admitted: VecDeque<Waiting>) {
        let Some(decoder) = self.model.decoder() else { return };
        for waiting in admitted {
            match Text::begin(waiting, decoder, self.device, &mut self.shelf) {
                Ok(text) => {
                    self.counted.reused_tokens += text.read() as u64;
                    self.running.push(text);
                }
                Err((mut sink, end)) => {
                    tell(&mut sink, Event::End(end));
                }
            }
        }
    }

    /// Ends the texts for which `over` says how.
    fn leave(&mut self, mut over: impl FnMut(&mut Text) -> Option<End>) {
        for mut text in mem::take(&mut self.running) {
            match over(&mut text) {
                Some(end) => text.end(end, &mut self.shelf),
                None => self.running.push(text),
            }
        }
    }

    /// One step of all texts, as far as there is room for the prompts that are being read.
    fn step(&mut self) {
        let mut room = self.shared.limits.piece;
        let due = |text: &Text| {
            let due = text.due(room);
            room -= if text.is_prompt() { due.tokens } else { 0 };
            due
        };
        let plan: Vec<Due> = self.running.iter().map(due).collect();
        let alone = |at: usize| {
            let nothing = Due { tokens: 0, wanted: 0 };
            plan.iter().enumerate().map(|(i, &due)| if i == at { due } else { nothing }).collect::<Vec<_>>()
        };
        self.counted.steps += 1;
        let mut ends: Vec<Option<End>> = plan.iter().map(|_| None).collect();
        match self.read(&plan) {
            Ok(logits) => self.answer(&plan, &logits, &mut ends),
            // Nobody has been read on in; whoever fails alone is the one.
            Err(_) => {
                for at in (0..plan.len()).filter(|&at| plan[at].tokens > 0) {
                    match self.read(&alone(at)) {
                        Ok(logits) => self.answer(&alone(at), &logits, &mut ends),
                        Err(fault) => ends[at] = Some(End::Failed(fault.to_string())),
                    }
                }
            }
        }
        // Whoever hears of an end finds its tokens counted.
        self.show();
        let mut ends = ends.into_iter();
        self.leave(|_| ends.next().flatten());
    }

    /// The logits that a plan wants, side by side.
    fn read(&mut self, plan: &[Due]) -> Result<Vec<f32>> {
        let decoder = self.model.decoder().ok_or(Error::NoDecoder)?;
        let due = self.running.iter_mut().zip(plan).filter(|(_, due)| due.tokens > 0);
        let mut pieces: Vec<_> = due.map(|(text, due)| text.piece(*due)).collect();
        let device = self.device;
        let read = ssl_torch::guard(|| {
            let logits = tch::no_grad(|| decoder.step(&mut pieces, device));
            Vec::<f32>::try_from(logits.view([-1]).to_device(Device::Cpu))
        })?;
        Ok(read.unwrap_or_default())
    }

    fn answer(&mut self, plan: &[Due], logits: &[f32], ends: &mut [Option<End>]) {
        let wanted: usize = plan.iter().map(|due| due.wanted).sum();
        let vocab = (logits.len() / wanted.max(1)).max(1);
        let mut from = 0;
        for ((text, &due), end) in self.running.iter_mut().zip(plan).zip(ends) {
            if due.tokens > 0 {
                let own = logits.get(from * vocab..(from + due.wanted) * vocab).unwrap_or_default();
                from += due.wanted;
                let (prompt, before, read) = (text.is_prompt(), text.written(), text.read());
                *end = text.answer(due, own.chunks(vocab), self.shared.context);
                self.counted.prompt_tokens += if prompt { due.tokens as u64 } else { 0 };
                self.counted.written_tokens += (text.written() - before) as u64;
                if let (true, None, Some(decoder)) = (self.shared.limits.drafts, &*end, self.model.decoder()) {
                    text.foretell(decoder, text.read() - read, self.shared.context);
                }
            }
        }
    }

    /// Shows the counters.
    fn show(&mut self) {
        let more = mem::take(&mut self.counted);
        let mut state = lock(&self.shared.state);
        state.running = self.running.len();
        state.kept_tokens = self.shelf.tokens();
        state.steps += more.steps;
        state.prompt_tokens += more.prompt_tokens;
        state.written_tokens += more.written_tokens;
        state.reused_tokens += more.reused_tokens;
    }
}
