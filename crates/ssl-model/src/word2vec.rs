//! `Word2Vec`: a vector a word, learned by telling a word's neighbours from words drawn at random.
//!
//! ```text
//! skip-gram     h = u_c            for each c within b places of w, b drawn from 1..=window
//! CBOW          h = mean of u_c
//! negatives     loss = -log s(v_w . h) - sum_{k=1..K} log s(-v_k . h)      k ~ count^0.75, k = w passed over
//! tree          loss = -sum_{j on the path to w} log s(+-v_j . h)          Huffman's tree over counts
//! kept          p(w) = (sqrt(f / t) + 1) t / f                             f = share of w in the text, t = subsample
//! ```
//!
//! Source: Mikolov, Chen, Corrado and Dean 2013, "Efficient estimation of word representations in vector space"; Mikolov,
//! Sutskever, Chen, Corrado and Dean 2013, "Distributed representations of words and phrases and their compositionality",
//! equations 4 and 5; their program word2vec.c, which settles what the papers leave open and where they differ (`p`, the
//! windows, the start of the tables). Irsoy, Benton and Stratos 2021, "Corrected CBOW performs as well as skip-gram".
//!
//! Differs: the sigmoid is computed, not looked up, and goes on beyond +-6; the predictions of one place are all scored before
//! they move the tables; sentences are cut before words are thinned out; the learning rate comes from outside.
//!
//! Axes: v words, d width, r output rows.

mod huffman;
mod noise;

use std::cell::OnceCell;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use ssl_data::batch::Batch;
use ssl_torch::word2vec::{Found, From, Plan, Step, Target, Units};
use tch::{Kind, Tensor};

use crate::config::Check;
use crate::init::Init;
use crate::model::{Loss, Model, Pass, SelfTaught, rows};
use crate::params::Params;

pub use huffman::huffman;
pub use noise::{keep, noise};

/// More neighbours or negatives than any model takes.
const MOST: u32 = 1000;

/// What a `Word2Vec` learns by. Defaults are those of the original program, with skip-gram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Word2VecConfig {
    /// Features of a vector.
    pub width: u32,
    /// The most words of a sentence; 1000 in the original program.
    pub context_tokens: u32,
    /// The farthest neighbour; each place draws its own reach from 1 to this.
    pub window: u32,
    /// Words drawn against each true one.
    pub negatives: u32,
    /// Negatives are drawn by count to this power.
    pub noise_power: f64,
    /// Words with a larger share of the text are thinned out; 0 keeps every occurrence. The second paper uses 1e-5 on a
    /// billion words, the program 1e-3.
    pub subsample: f64,
    /// Whether a tree takes the place of negatives (hierarchical softmax).
    pub hierarchical: bool,
    /// Whether the mean of the window predicts the word (CBOW), rather than each neighbour by itself (skip-gram).
    pub cbow: bool,
    /// Whether, under CBOW, a neighbour gets its own share of the gradient, as the loss says, or all of it, as the program does.
    pub cbow_exact: bool,
}

impl Default for Word2VecConfig {
    fn default() -> Self {
        Self {
            width: 100,
            context_tokens: 1000,
            window: 5,
            negatives: 5,
            noise_power: 0.75,
            subsample: 1e-3,
            hierarchical: false,
            cbow: false,
            cbow_exact: false,
        }
    }
}

impl Word2VecConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.sizes(&[("width", self.width), ("context-tokens", self.context_tokens)]);
        for (key, number) in [("window", self.window), ("negatives", self.negatives)] {
            check.that((1..=MOST).contains(&number), key, || (format!("{number} is outside 1..={MOST}"), "5 is common".into()));
        }
        // Counts to a larger power are no numbers any more.
        let fine = |number: f64| (0.0..=10.0).contains(&number);
        let why = |number: f64| (format!("{number} is outside 0..=10"), "the program's is the default".into());
        check.that(fine(self.noise_power), "noise-power", || why(self.noise_power));
        check.that(fine(self.subsample), "subsample", || why(self.subsample));
    }
}

/// Text to learn from or to measure.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// The document of each token; windows do not reach into another. Empty where all belong to one.
    pub documents: &'a [u32],
}

/// The model: two tables, how often words occur, and how it learns.
#[derive(Debug)]
pub struct Word2Vec {
    config: Word2VecConfig,
    input_vd: Tensor,
    output_rd: Tensor,
    counts_v: Tensor,
    /// Made from the counts when they are first needed: they come from the text, or with stored weights.
    plan: OnceCell<Plan>,
}

impl Word2Vec {
    /// A model over `vocab` ids; its tables are added to `params`, which must be on the CPU in fp32.
    ///
    /// It learns once it knows [`SelfTaught::count`]. A word with count 0 is taken out of every text, as the original takes out
    /// words below its minimum count: so are the unknown and the separator to be given. Where the document changes, windows end.
    #[must_use]
    pub fn new(config: &Word2VecConfig, vocab: u32, params: &mut Params) -> Self {
        let (v, d) = (i64::from(vocab), i64::from(config.width));
        let rows = if config.hierarchical { (v - 1).max(1) } else { v };
        Self {
            config: config.clone(),
            input_vd: params.add("word2vec.input.weight", &[v, d], Init::Uniform(0.5 / d as f64)),
            output_rd: params.add("word2vec.output.weight", &[rows, d], Init::Zeros),
            counts_v: params.add("word2vec.counts", &[v], Init::Zeros),
            plan: OnceCell::new(),
        }
    }

    /// One step: learns from every word of a chunk in turn, at a learning rate, on `threads` threads without locks.
    ///
    /// `draws` decides all randomness, so that one thread repeats itself to the bit. Returns the loss met on the way, each
    /// prediction's before its own update.
    ///
    /// # Errors
    /// When a token lies outside the vocabulary, tokens and documents differ in number, or no word was counted.
    pub fn update(&self, chunk: Chunk<'_>, lr: f64, draws: u64, threads: usize) -> ssl_torch::Result<Found> {
        self.run(chunk, &Step { lr: Some(lr as f32), key: draws, threads, units: Units::Best })
    }

    /// The loss on a chunk, as `nats` over `predictions`; negatives, windows and kept words are drawn by `draws`.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn measure(&self, chunk: Chunk<'_>, draws: u64, threads: usize) -> ssl_torch::Result<Found> {
        self.run(chunk, &Step { lr: None, key: draws, threads, units: Units::Best })
    }

    fn run(&self, chunk: Chunk<'_>, step: &Step) -> ssl_torch::Result<Found> {
        let plan = if let Some(plan) = self.plan.get() {
            plan
        } else {
            let plan = self.plan()?;
            self.plan.get_or_init(|| plan)
        };
        plan.run(&self.input_vd, &self.output_rd, chunk.tokens, &sentences(chunk)?, step)
    }

    fn plan(&self) -> ssl_torch::Result<Plan> {
        let (c, counts) = (&self.config, self.counts());
        if counts.iter().all(|&count| count == 0) {
            return Err(bad("the words were not counted before the first step".into()));
        }
        let target = if c.hierarchical {
            huffman(&counts)
        } else {
            Target::Negatives { count: c.negatives, alias: noise(&counts, c.noise_power) }
        };
        Plan::new(
            keep(&counts, c.subsample),
            target,
            if c.cbow { From::Mean { exact: c.cbow_exact } } else { From::Each },
            c.window,
        )
    }

    /// As they are stored: in floats, which are exact to 16 million.
    fn counts(&self) -> Vec<u64> {
        let counts: Vec<f32> = (&self.counts_v.detach()).try_into().unwrap_or_default();
        counts.into_iter().map(|count| count as u64).collect()
    }

    /// The vectors of words, `[v, d]`: what is kept when training is over.
    pub fn vectors(&self) -> &Tensor {
        &self.input_vd
    }

    /// The vectors that words are predicted with, `[v, d]`; of a tree's inner nodes, `[v - 1, d]`.
    pub fn outputs(&self) -> &Tensor {
        &self.output_rd
    }
}

impl SelfTaught for Word2Vec {
    fn count(&self, counts: &[u64]) {
        let counts: Vec<f32> = counts.iter().map(|&count| count as f32).collect();
        tch::no_grad(|| self.counts_v.shallow_clone().copy_(&Tensor::from_slice(&counts)));
    }

    fn learn(&self, batch: &Batch<Tensor>, lr: f64, draws: u64) -> ssl_torch::Result<(f64, f64)> {
        let (tokens, documents) = host(batch);
        let found = self.update(Chunk { tokens: &tokens, documents: &documents }, lr, draws, threads())?;
        Ok((found.nats, found.predictions as f64))
    }

    fn by_frequency(&self) -> f64 {
        let (c, counts) = (&self.config, self.counts());
        let weight = |count: &u64, keep: u32| *count as f64 * f64::from(keep);
        let kept: Vec<f64> = counts.iter().zip(keep(&counts, c.subsample)).map(|(count, keep)| weight(count, keep)).collect();
        let all: f64 = kept.iter().sum();
        let shares = kept.iter().map(|kept| kept / all);
        if c.hierarchical {
            // Any tree that knows the shares has their entropy.
            return shares.filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
        }
        let drawn: Vec<f64> =
            counts.iter().map(|&count| if count > 0 { (count as f64).powf(c.noise_power) } else { 0.0 }).collect();
        let total: f64 = drawn.iter().sum();
        // A word is true with weight p, and drawn against another with weight q; the best logit is log(p / q).
        let nats = |(p, drawn): (f64, &f64)| {
            let q = f64::from(c.negatives) * drawn / total * (1.0 - p);
            let part = |a: f64, b: f64| if a > 0.0 { a * ((a + b) / a).ln() } else { 0.0 };
            part(p, q) + part(q, p)
        };
        shares.zip(&drawn).map(nats).sum()
    }
}

impl Model for Word2Vec {
    /// Row by row, without gradient; chance is a function of the row's place in the batch.
    fn loss(&self, batch: &Batch<Tensor>, _pass: Pass) -> Loss {
        let (tokens, documents) = host(batch);
        let length = rows(batch, "a Word2Vec").inputs.size()[1] as usize;
        let (mut nats, mut counts) = (Vec::new(), Vec::new());
        for (row, (tokens, documents)) in tokens.chunks(length).zip(documents.chunks(length)).enumerate() {
            match self.measure(Chunk { tokens, documents }, row as u64, 1) {
                Ok(found) => {
                    nats.push(found.nats as f32);
                    counts.push(found.predictions as f32);
                }
                Err(fault) => panic!("{fault}"),
            }
        }
        let (nats, counts) = (Tensor::from_slice(&nats), Tensor::from_slice(&counts));
        let nats = nats.unsqueeze(1);
        Loss { total: nats.sum(Kind::Double), weights: nats.ones_like(), nats, counts }
    }

    fn hidden(&self, batch: &Batch<Tensor>, _pass: Pass) -> Tensor {
        Tensor::embedding(&self.input_vd, &rows(batch, "a Word2Vec").inputs, -1, false, false)
    }

    /// Of each word beside the one at the position; of the inner nodes, where there is a tree.
    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.hidden(batch, Pass::Eval).matmul(&self.output_rd.tr())
    }

    fn self_taught(&self) -> Option<&dyn SelfTaught> {
        Some(self)
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}

/// A batch's tokens and documents; rows have documents of their own.
fn host(batch: &Batch<Tensor>) -> (Vec<u32>, Vec<u32>) {
    let rows = rows(batch, "a Word2Vec");
    let read = |ids: &Tensor| -> Vec<u32> {
        let ids = Vec::<i64>::try_from(ids.view([-1])).unwrap_or_default();
        ids.into_iter().map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect()
    };
    (read(&rows.inputs), rows.documents.as_ref().map(read).unwrap_or_default())
}

/// As many as libtorch was started with.
fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

fn bad(message: String) -> ssl_torch::Error {
    ssl_torch::Error::Operation { message, at: None }
}

/// The runs of tokens that no window leaves.
fn sentences(chunk: Chunk<'_>) -> ssl_torch::Result<Vec<Range<usize>>> {
    let Chunk { tokens, documents } = chunk;
    if !documents.is_empty() && documents.len() != tokens.len() {
        return Err(bad(format!("{} tokens of {} documents", tokens.len(), documents.len())));
    }
    let (mut list, mut from) = (Vec::new(), 0);
    for at in 1..tokens.len() {
        if !documents.is_empty() && documents[at] != documents[at - 1] {
            list.push(from..at);
            from = at;
        }
    }
    if !tokens.is_empty() {
        list.push(from..tokens.len());
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
