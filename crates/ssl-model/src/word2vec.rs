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
//! Differs: the sigmoid is computed, not looked up, and goes on beyond +-6; the learning rate comes from outside.
//!
//! Axes: v words, d width, r output rows.

mod huffman;
mod noise;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use ssl_torch::word2vec::{Found, From, Plan, Step, Target, Units};
use tch::Tensor;

use crate::error::Result;
use crate::init::Init;
use crate::params::Params;

pub use huffman::huffman;
pub use noise::{keep, noise};

/// What a `Word2Vec` learns by. Defaults are those of the original program, with skip-gram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Word2VecConfig {
    /// Features of a vector.
    pub width: u32,
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

/// Text to learn from or to measure.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// The document of each token; windows do not reach into another. Empty where all belong to one.
    pub documents: &'a [u32],
}

/// The model: two tables, and how they are learned.
#[derive(Debug)]
pub struct Word2Vec {
    input_vd: Tensor,
    output_rd: Tensor,
    plan: Plan,
    separator: Option<u32>,
}

impl Word2Vec {
    /// A model over `counts.len()` words that occur so often; its tables are added to `params`, which must be on the CPU in fp32.
    ///
    /// A word with count 0 is taken out of every text, as the original takes out words below its minimum count: so are the
    /// unknown and the separator to be given. At `separator`, and where the document changes, windows end.
    ///
    /// # Errors
    /// When a number of the configuration is 0 or absurd.
    pub fn new(config: &Word2VecConfig, counts: &[u64], separator: Option<u32>, params: &mut Params) -> Result<Self> {
        let (v, d) = (counts.len() as i64, i64::from(config.width.max(1)));
        let target = if config.hierarchical {
            huffman(counts)
        } else {
            Target::Negatives { count: config.negatives, alias: noise(counts, config.noise_power) }
        };
        let from = if config.cbow { From::Mean { exact: config.cbow_exact } } else { From::Each };
        let plan = Plan::new(keep(counts, config.subsample), target, from, config.window)?;
        let rows = if config.hierarchical { (v - 1).max(1) } else { v };
        Ok(Self {
            input_vd: params.add("word2vec.input.weight", &[v, d], Init::Uniform(0.5 / d as f64)),
            output_rd: params.add("word2vec.output.weight", &[rows, d], Init::Zeros),
            plan,
            separator,
        })
    }

    /// One step: learns from every word of a chunk in turn, at a learning rate, on `threads` threads without locks.
    ///
    /// `draws` decides all randomness, so that one thread repeats itself to the bit. Returns the loss met on the way, each
    /// prediction's before its own update.
    ///
    /// # Errors
    /// When a token lies outside the vocabulary, or tokens and documents differ in number.
    pub fn update(&self, chunk: Chunk<'_>, lr: f64, draws: u64, threads: usize) -> Result<Found> {
        self.run(chunk, &Step { lr: Some(lr as f32), key: draws, threads, units: Units::Best })
    }

    /// The loss on a chunk, as `nats` over `predictions`; negatives, windows and kept words are drawn by `draws`.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn loss(&self, chunk: Chunk<'_>, draws: u64, threads: usize) -> Result<Found> {
        self.run(chunk, &Step { lr: None, key: draws, threads, units: Units::Best })
    }

    fn run(&self, chunk: Chunk<'_>, step: &Step) -> Result<Found> {
        Ok(self.plan.run(&self.input_vd, &self.output_rd, chunk.tokens, &sentences(chunk, self.separator)?, step)?)
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

/// The runs of tokens that no window leaves.
fn sentences(chunk: Chunk<'_>, separator: Option<u32>) -> Result<Vec<Range<usize>>> {
    let Chunk { tokens, documents } = chunk;
    if !documents.is_empty() && documents.len() != tokens.len() {
        let message = format!("{} tokens of {} documents", tokens.len(), documents.len());
        return Err(ssl_torch::Error::Operation { message, at: None }.into());
    }
    let (mut list, mut from) = (Vec::new(), 0);
    for at in 1..tokens.len() {
        if Some(tokens[at]) == separator || (!documents.is_empty() && documents[at] != documents[at - 1]) {
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
