//! How likely a model finds a text: of a continuation after its context, of what stands in a gap, of a text as a whole.
//!
//! | the model reads | nats of a token are those of | given |
//! |---|---|---|
//! | rows that look back | the token | what stands before it, after the separator that begins a document |
//! | rows that look to both sides | the masked token | all others, but for those that follow it in its own word |
//! | a source and its target | the token | the source, and what stands before it in the target |
//!
//! The second is a pseudo-log-likelihood: it orders texts and is no probability of them. The nats are those of the model's own
//! loss, so that a task and a validation cannot disagree.
//!
//! Source: context and continuation are divided as lm-evaluation-harness divides them (Gao et al. 2021): encoded together, spaces
//! at the context's end counted to the continuation; pseudo-log-likelihood: Salazar et al. 2020, "Masked language model
//! scoring", section 2; masks over the rest of the word: Kauf and Ivanova 2023, "A better way to do masked language model
//! scoring".

mod fill;
mod plan;
mod tokens;

use std::ops::Range;

use ssl_data::batch::Attend;
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, Edges, MASK, PAD, Vocab, sentinel};
use ssl_model::{Model, Pass};
use tch::{Device, Kind};

use crate::bits_per_byte::upload;
use crate::error::{Error, Result};
use plan::{Plan, Row, windows};
pub use tokens::{Candidate, Token};

/// Positions of a batch, padding included: a few times what keeps two cores busy, and still few megabytes of hidden states.
const BATCH_TOKENS: usize = 8192;
/// Logits of a batch whose likeliest tokens are asked for.
const LOGIT_BYTES: usize = 256 << 20;
/// Requests that are laid out at once, so that memory does not grow with their number.
const CHUNK: usize = 4096;
/// The modes of a mixture of denoisers that go on with a text and that fill a short gap. Source: Tay et al. 2022, section 3.1.
pub(crate) const MODES: [&str; 2] = ["[S]", "[R]"];

/// What is to be scored, and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is given; empty begins a document.
    pub context: &'a str,
    /// What is scored.
    pub continuation: &'a str,
}

/// What is to be scored between two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap<'a> {
    /// What stands before.
    pub before: &'a str,
    /// What is scored.
    pub answer: &'a str,
    /// What stands after; a model that looks back only has to be given none.
    pub after: &'a str,
}

/// What a model says of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The sum of `-log p` over its tokens, in nats.
    pub nats: f64,
    /// Its tokens.
    pub tokens: u64,
    /// Its bytes in UTF-8.
    pub bytes: u64,
    /// Whether each of its tokens was the likeliest of all; false where [`Scorer::with_greedy`] did not ask for it.
    pub greedy: bool,
}

/// Lays out one request, and tells its tokens and bytes.
type Lay<'a> = dyn Fn(usize, &mut Plan) -> Result<(u64, u64)> + 'a;

/// How texts become rows.
#[derive(Debug, Clone)]
enum Frame {
    /// `SEP text`, each token from those before it.
    Back { separator: u32 },
    /// `begin text end`, tokens of it masked.
    Both { begin: u32, end: Option<u32>, mask: u32, never: Option<i64>, edges: Vec<Edges> },
    /// A source `before mark after end`, and a target `start mark text`; a mixture of denoisers, whose `modes` go on with a text or
    /// fill a gap in it, begins the source with one, and needs no mark at the source's end.
    Pair { start: u32, end: u32, mark: Option<u32>, modes: Option<[u32; 2]> },
}

/// Scores texts by a model.
#[derive(Clone)]
pub struct Scorer<'a> {
    model: &'a dyn Model,
    vocab: &'a Vocab,
    device: Device,
    frame: Frame,
    pad: u32,
    greedy: bool,
    batch_tokens: usize,
}

impl<'a> Scorer<'a> {
    /// A scorer of a model that reads batches of the form `reads`; `start` is the id that a model of two stacks writes after, its
    /// padding when absent.
    ///
    /// Rows that look to both sides begin and end with `[CLS]` and `[SEP]`; without these in the vocabulary they are those of a
    /// diffusion, which begin with the separator. A source holds a sentinel for what is scored where the vocabulary has any.
    ///
    /// # Errors
    /// When the model does not predict tokens, or the vocabulary lacks a special token.
    pub fn new(model: &'a dyn Model, vocab: &'a Vocab, reads: Form, start: Option<u32>, device: Device) -> Result<Self> {
        let separator = vocab.separator();
        let (frame, pad) = match reads {
            // Rows that say how far they look ahead are causal where they say nought.
            Form::Causal | Form::Prefix => (Frame::Back { separator }, separator),
            Form::Both => {
                let mask = vocab.special(MASK)?;
                let (begin, end, never) = match (vocab.special(CLASS), vocab.special(END)) {
                    (Ok(class), Ok(end)) => (class, Some(end), None),
                    _ => (separator, None, Some(i64::from(mask))),
                };
                (Frame::Both { begin, end, mask, never, edges: vocab.edges() }, vocab.special(PAD)?)
            }
            Form::Pair => {
                let pad = vocab.special(PAD)?;
                let [goes_on, fills] = MODES.map(|mode| vocab.special(mode).ok());
                let modes = goes_on.zip(fills).map(|(goes_on, fills)| [goes_on, fills]);
                (Frame::Pair { start: start.unwrap_or(pad), end: separator, mark: vocab.special(&sentinel(0)).ok(), modes }, pad)
            }
            Form::Texts | Form::Words => return Err(Error::NotPredicting),
        };
        let scorer = Self { model, vocab, device, frame, pad, greedy: false, batch_tokens: BATCH_TOKENS };
        scorer.check()?;
        Ok(scorer)
    }

    /// Whether to find out if each token is the likeliest, for which all logits have to be there.
    #[must_use]
    pub fn with_greedy(self, greedy: bool) -> Self {
        Self { greedy, ..self }
    }

    /// The most positions of a batch, padding included; a row that is longer stands alone. Scores do not depend on it.
    #[must_use]
    pub fn with_batch_tokens(self, batch_tokens: usize) -> Self {
        Self { batch_tokens, ..self }
    }

    /// Whether what it scores may have text after it.
    #[must_use]
    pub fn fills_gaps(&self) -> bool {
        matches!(self.frame, Frame::Both { .. } | Frame::Pair { mark: Some(_), .. })
    }

    /// Whether the model reads a text from both sides, so that its nats are a pseudo-log-likelihood.
    #[must_use]
    pub fn is_pseudo(&self) -> bool {
        matches!(self.frame, Frame::Both { .. })
    }

    /// Scores each continuation, in the order of the requests. `stop` is told the share that is done between batches, and asked.
    ///
    /// A context that is too long loses its beginning; a continuation longer than the model reads at once is slid over, by half of
    /// that. A model of two stacks scores the continuation without its end.
    ///
    /// # Errors
    /// When a continuation has no token, the model's output is not finite, an operation fails, or `stop` says so.
    pub fn continuations(&self, requests: &[Request<'_>], stop: &dyn Fn(f64) -> bool) -> Result<Vec<Scored>> {
        self.run(requests.len(), stop, &|at, plan| {
            let Request { context, continuation } = requests[at];
            self.lay(at, Gap { before: context, answer: continuation, after: "" }, false, plan)
        })
    }

    /// Scores what stands in each gap. A model that looks to both sides sees a mask for each token of the answer, all at once, so
    /// that the nats are those of independent guesses.
    ///
    /// # Errors
    /// As [`Self::continuations`], and when text stands after a gap and the model cannot read it.
    pub fn gaps(&self, gaps: &[Gap<'_>], stop: &dyn Fn(f64) -> bool) -> Result<Vec<Scored>> {
        if let Some(at) = gaps.iter().position(|gap| !gap.after.is_empty() && !self.fills_gaps()) {
            return Err(Error::Gap { at });
        }
        self.run(gaps.len(), stop, &|at, plan| self.lay(at, gaps[at], true, plan))
    }

    /// Scores whole texts, each token once. Texts longer than the model reads at once are slid over: each further window scores
    /// half of what is read at once, given what stands before. An empty text has no token and no nats.
    ///
    /// # Errors
    /// When the model's output is not finite, an operation fails, or `stop` says so.
    pub fn text_nats(&self, texts: &[&str], stop: &dyn Fn(f64) -> bool) -> Result<Vec<Scored>> {
        self.run(texts.len(), stop, &|at, plan| {
            let ids = self.vocab.encode(texts[at])?;
            self.add(at, &ids, &(0..ids.len()), false, plan);
            Ok((ids.len() as u64, texts[at].len() as u64))
        })
    }

    /// Lays out one gap; its tokens and bytes.
    fn lay(&self, at: usize, gap: Gap<'_>, together: bool, plan: &mut Plan) -> Result<(u64, u64)> {
        let (ids, asked) = divide(self.vocab, gap)?;
        if asked.is_empty() {
            return Err(Error::NoTokens { at });
        }
        self.add(at, &ids, &asked, together, plan);
        Ok((asked.len() as u64, gap.answer.len() as u64))
    }

    /// Adds the rows of request `of`, whose tokens `asked` of `ids` are scored.
    fn add(&self, of: usize, ids: &[u32], asked: &Range<usize>, together: bool, plan: &mut Plan) {
        let context = self.model.context();
        let stride = (context / 2).max(1);
        match &self.frame {
            Frame::Back { separator } => {
                let ids = [&[*separator], &ids[..asked.end]].concat();
                // A window's first id is read and not predicted, its last one predicted and not read.
                for (window, from) in windows(ids.len(), asked.start + 1, context + 1, stride, 1) {
                    let scored = from - window.start..window.len();
                    plan.push(of, Row { source: Vec::new(), ids: ids[window].to_vec() }, [(0..0, scored)]);
                }
            }
            Frame::Both { begin, end, edges, .. } => {
                let room = context.saturating_sub(1 + usize::from(end.is_some())).max(1);
                let after = after(ids.len(), asked, room);
                for (window, from) in windows(asked.end + after, asked.start, room, stride.min(room), 0) {
                    let until = window.end.min(asked.end);
                    let row: Vec<u32> = [*begin].into_iter().chain(ids[window.clone()].iter().copied()).chain(*end).collect();
                    let place = |at: usize| at - window.start + 1;
                    let row = Row { source: Vec::new(), ids: row };
                    if together {
                        let scored = place(from)..place(until);
                        plan.push(of, row, [(scored.clone(), scored)]);
                    } else {
                        let goes_on = |at: usize| edge(edges, ids[at]).goes_on(edge(edges, ids[at - 1]));
                        let word_end = |at: usize| (at + 1..until).find(|&next| !goes_on(next)).unwrap_or(until);
                        let masks = (from..until).map(|at| (place(at)..place(word_end(at)), place(at)..place(at + 1)));
                        plan.push(of, row, masks);
                    }
                }
            }
            Frame::Pair { start, end, mark, modes } => {
                let (mode, mark) = match modes {
                    Some([goes_on, _]) if asked.end == ids.len() => (Some(goes_on), None),
                    Some([_, fills]) => (Some(fills), mark.as_ref()),
                    None => (None, mark.as_ref()),
                };
                let marks = usize::from(mark.is_some());
                let room = context.saturating_sub(1 + marks + usize::from(mode.is_some())).max(1);
                let (most, mut at) = (context.saturating_sub(marks).max(1), asked.start);
                while at < asked.end {
                    let until = asked.end.min(at + if at == asked.start { most } else { stride.min(most) });
                    let after = after(ids.len(), &(at..asked.end), room + asked.end - at);
                    let before = &ids[at - at.min(room - after)..at];
                    let follows = &ids[asked.end..asked.end + after];
                    let source = mode.into_iter().chain(before).chain(mark).chain(follows).chain([end]).copied().collect();
                    let target: Vec<u32> = [start].into_iter().chain(mark).chain(&ids[at..until]).copied().collect();
                    let scored = 1 + marks..target.len();
                    plan.push(of, Row { source, ids: target }, [(0..0, scored)]);
                    at = until;
                }
            }
        }
    }

    /// Lays requests out with `lay`, which gives tokens and bytes, and scores them.
    fn run(&self, requests: usize, stop: &dyn Fn(f64) -> bool, lay: &Lay<'_>) -> Result<Vec<Scored>> {
        let mut scored = Vec::with_capacity(requests);
        for begin in (0..requests).step_by(CHUNK) {
            let chunk = begin..requests.min(begin + CHUNK);
            let mut plan = Plan::default();
            for at in chunk.clone() {
                let (tokens, bytes) = lay(at, &mut plan)?;
                scored.push(Scored { nats: 0.0, tokens, bytes, greedy: self.greedy });
            }
            let share = |part: f64| (begin as f64 + part * chunk.len() as f64) / requests as f64;
            // Summed in the order in which they were laid out, whatever the batches.
            for (of, (nats, greedy)) in plan.owners().zip(self.score(&plan, &|part| stop(share(part)))?) {
                scored[of].nats += nats;
                scored[of].greedy &= greedy;
            }
        }
        Ok(scored)
    }

    /// Of each question of a plan, in order: nats, and whether all tokens were the likeliest.
    fn score(&self, plan: &Plan, stop: &dyn Fn(f64) -> bool) -> Result<Vec<(f64, bool)>> {
        let mut found = vec![(0.0, false); plan.owners().len()];
        let budget = if self.greedy { self.logit_budget() } else { self.batch_tokens };
        let mut done = 0;
        for batch in plan.batches(budget) {
            if stop(done as f64 / found.len() as f64) {
                return Err(Error::Stopped);
            }
            for (&at, (nats, greedy)) in batch.iter().zip(self.ask(plan, &batch)?) {
                if !nats.is_finite() {
                    return Err(Error::NonFinite { tokens: plan.row(at).ids.len() as u64 });
                }
                found[at] = (nats, greedy);
            }
            done += batch.len();
        }
        Ok(found)
    }

    /// The most positions of a batch whose logits are all there at once.
    fn logit_budget(&self) -> usize {
        self.batch_tokens.min(LOGIT_BYTES / 4 / (self.vocab.size() as usize).max(1))
    }

    /// Nats of each question of one batch, and whether its tokens were the likeliest.
    fn ask(&self, plan: &Plan, batch: &[usize]) -> Result<Vec<(f64, bool)>> {
        let (attend, mask, never) = self.reading();
        let batch = upload(plan.batch(batch, attend, mask, self.pad, never), self.device);
        let answers = ssl_torch::guard(|| {
            tch::no_grad(|| -> Vec<(f64, bool)> {
                let nats = self.model.loss(&batch, Pass::Eval).rows();
                let Some(rows) = batch.rows().filter(|_| self.greedy) else {
                    return nats.into_iter().map(|(nats, _)| (nats, false)).collect();
                };
                let right = self.model.logits(&batch).argmax(-1, false).eq_tensor(&rows.targets);
                let all = right.logical_or(&rows.weights.eq(0.0)).all_dim(1, false).to_kind(Kind::Int64);
                let all = Vec::<i64>::try_from(all.to_device(Device::Cpu)).unwrap_or_default();
                nats.into_iter().zip(all).map(|((nats, _), all)| (nats, all != 0)).collect()
            })
        })?;
        Ok(answers)
    }

    /// Refuses a model whose logits are not over the vocabulary, such as an ELECTRA's, which tell replaced tokens.
    fn check(&self) -> Result<()> {
        let Frame::Both { .. } = self.frame else { return Ok(()) };
        let mut plan = Plan::default();
        plan.push(0, Row { source: Vec::new(), ids: vec![self.pad] }, [(0..0, 0..0)]);
        let batch = upload(plan.batch(&[0], Attend::Both, self.pad, self.pad, None), self.device);
        let shape = ssl_torch::guard(|| tch::no_grad(|| self.model.logits(&batch)).size())?;
        if shape.last() == Some(&i64::from(self.vocab.size())) { Ok(()) } else { Err(Error::NotPredicting) }
    }
}

impl std::fmt::Debug for Scorer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer").field("device", &self.device).field("greedy", &self.greedy).finish_non_exhaustive()
    }
}

/// The ids of all three texts, and which of them the answer is.
///
/// Where the answer begins inside a token, that token is the context's: what lies beyond the ids of the context alone is scored.
/// Where nothing does, the parts are encoded one by one.
fn divide(vocab: &Vocab, gap: Gap<'_>) -> Result<(Vec<u32>, Range<usize>)> {
    let before = gap.before.trim_end();
    let with_answer = [gap.before, gap.answer].concat();
    let ids = vocab.encode(&[&with_answer, gap.after].concat())?;
    let from = vocab.encode(before)?.len();
    let until = if gap.after.is_empty() { ids.len() } else { vocab.encode(&with_answer)?.len().min(ids.len()) };
    if from < until {
        return Ok((ids, from..until));
    }
    let mut ids = vocab.encode(before)?;
    ids.extend(vocab.encode(&with_answer[before.len()..])?);
    let until = ids.len();
    ids.extend(vocab.encode(gap.after)?);
    Ok((ids, from..until))
}

/// How many ids after those asked for are read, of `room` for all: half of what is left, or all that those before leave.
fn after(ids: usize, asked: &Range<usize>, room: usize) -> usize {
    let left = room.saturating_sub(asked.len());
    (ids - asked.end).min((left / 2).max(left.saturating_sub(asked.start)))
}

/// The edges of an id; one without is a word of its own.
fn edge(edges: &[Edges], id: u32) -> Edges {
    edges.get(id as usize).copied().unwrap_or_default()
}
