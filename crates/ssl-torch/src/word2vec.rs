//! The lock-free inner loop of `Word2Vec` over a run of token ids: skip-gram and CBOW, by negatives or by a tree.
//!
//! Threads write two tables of floats without locks, as the original program does. Every draw is a function of a key and of
//! the sentence's place in the call, so one thread alone gives the same bits each time; with several, only the order of
//! writes differs.
//!
//! Source: Mikolov, Chen, Corrado and Dean 2013, arXiv 1301.3781; Mikolov, Sutskever, Chen, Corrado and Dean 2013, arXiv
//! 1310.4546; their program word2vec.c. Niu, Recht, Re and Wright 2011, "Hogwild" (writing without locks).

use std::ops::Range;
use std::ptr;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi::{RawWord2Vec, check, handle, ssl_word2vec};

/// Longer sentences are cut here, as in the original program (`MAX_SENTENCE_LENGTH`).
pub const SENTENCE: usize = 1000;
/// More neighbours, negatives or turns of a path than anyone asks for; the loop's room is reckoned from them.
const MOST: u32 = 4096;

/// One slot of an alias table: a draw below `threshold` (of 2^32) means the slot's own word, else `other`.
///
/// Source: Walker 1977; Vose 1991.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Alias {
    /// The share of the slot that is its own, times 2^32.
    pub threshold: u32,
    /// The word that has the rest of the slot.
    pub other: u32,
}

/// What a word is told apart from.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Itself against `count` draws from an alias table with a slot a word; a draw of the word itself is passed over.
    Negatives {
        /// Draws a prediction.
        count: u32,
        /// One slot a word.
        alias: Vec<Alias>,
    },
    /// The turns on its path through a binary tree (hierarchical softmax).
    Tree {
        /// Where the path of each word begins in the two lists, and where the last ends: v + 1 places.
        starts: Vec<u32>,
        /// The inner nodes on each path: rows of the output table.
        nodes: Vec<u32>,
        /// 1 where the path takes the first branch (code 0), 0 where it takes the second.
        labels: Vec<f32>,
    },
}

/// What is predicted from what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Each word of the window by itself predicts the middle one (skip-gram, in the original program's direction).
    Each,
    /// The mean of the window predicts the middle word (CBOW).
    Mean {
        /// Whether a word of the window gets its share of the gradient, or the whole of it, as the original program gives.
        exact: bool,
    },
}

/// A checked description of what to learn; made once, run many times.
#[derive(Debug)]
pub struct Plan {
    keep: Vec<u32>,
    target: Target,
    from: From,
    window: u32,
    rows: u32,
    longest: usize,
}

/// The vector units a run may use; the machine's best below that is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Units {
    /// What every machine has.
    Portable,
    /// AVX2 at most.
    Avx2,
    /// AVX-512 at most.
    #[default]
    Best,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The learning rate; `None` leaves the tables alone and only measures.
    pub lr: Option<f32>,
    /// Decides every draw.
    pub key: u64,
    /// Threads that share the run, at least 1.
    pub threads: usize,
    /// The vector units allowed.
    pub units: Units,
}

/// What a run found on its way: `nats / predictions` is the loss before each update.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Found {
    /// The summed loss.
    pub nats: f64,
    /// Pairs of words (skip-gram), or places with a window (CBOW).
    pub predictions: u64,
}

fn bad(message: String) -> Error {
    Error::Operation { message, at: None }
}

impl Plan {
    /// Checks a description for a vocabulary of `keep.len()` words.
    ///
    /// `keep[id]` is the chance, times 2^32, that an occurrence is kept (subsampling): 0 drops the word wherever it stands, as
    /// if it were not in the text, and `u32::MAX` keeps it always. Windows reach 1..=`window` words to both sides, drawn evenly
    /// for each place.
    ///
    /// # Errors
    /// When a number is 0 or absurd, a list has another length than the vocabulary asks for, or an id lies outside.
    pub fn new(keep: Vec<u32>, target: Target, from: From, window: u32) -> Result<Self> {
        let v = keep.len();
        if v == 0 || v > 1 << 31 {
            return Err(bad(format!("a vocabulary of {v} words")));
        }
        if !(1..=MOST).contains(&window) {
            return Err(bad(format!("a window of {window} words is outside 1..={MOST}")));
        }
        let (rows, longest) = match &target {
            Target::Negatives { count, alias } => {
                if !(1..=MOST).contains(count) {
                    return Err(bad(format!("{count} negatives are outside 1..={MOST}")));
                }
                if alias.len() != v || alias.iter().any(|slot| slot.other as usize >= v) {
                    return Err(bad(format!("the alias table does not fit {v} words")));
                }
                (v as u32, 0)
            }
            Target::Tree { starts, nodes, labels } => {
                let ordered = starts.first() == Some(&0) && starts.is_sorted();
                if starts.len() != v + 1 || !ordered || starts[v] as usize != nodes.len() || nodes.len() != labels.len() {
                    return Err(bad(format!("the tree does not fit {v} words")));
                }
                let longest = starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
                if longest > MOST {
                    return Err(bad(format!("a path of {longest} turns is longer than {MOST}")));
                }
                (nodes.iter().max().map_or(1, |&node| node.saturating_add(1)), longest as usize)
            }
        };
        Ok(Self { keep, target, from, window, rows, longest })
    }

    /// Learns from sentences, or measures them: `input_vd` `[v, d]` and `output_rd` `[r, d]` are written in place.
    ///
    /// Each of `sentences` is a range of `tokens`; no window crosses its ends, and those longer than [`SENTENCE`] are cut.
    ///
    /// # Errors
    /// When a table is not a contiguous float matrix on the CPU of the right extent, both are the same memory, or a token or
    /// range lies outside.
    pub fn run(
        &self,
        input_vd: &Tensor,
        output_rd: &Tensor,
        tokens: &[u32],
        sentences: &[Range<usize>],
        step: &Step,
    ) -> Result<Found> {
        let v = self.keep.len();
        let (inputs, outputs) = (input_vd.size(), output_rd.size());
        let matrices = inputs.len() == 2 && outputs.len() == 2 && inputs[1] == outputs[1] && inputs[1] > 0;
        if !matrices || inputs[0] != v as i64 || outputs[0] < i64::from(self.rows) {
            return Err(bad(format!("tables {inputs:?} and {outputs:?} do not fit {v} words and {} output rows", self.rows)));
        }
        if input_vd.data_ptr() == output_rd.data_ptr() {
            return Err(bad("the two tables are one".into()));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= v) {
            return Err(bad(format!("token {token} is outside the vocabulary of {v}")));
        }
        if step.lr.is_some_and(|lr| !lr.is_finite()) {
            return Err(bad("the learning rate is not a number".into()));
        }
        let mut pieces = Vec::with_capacity(sentences.len() + tokens.len() / SENTENCE);
        for sentence in sentences {
            if sentence.start > sentence.end || sentence.end > tokens.len() {
                return Err(bad(format!("sentence {sentence:?} is outside {} tokens", tokens.len())));
            }
            let cuts = sentence.clone().step_by(SENTENCE);
            pieces.extend(cuts.map(|start| [start as i64, sentence.end.min(start + SENTENCE) as i64]));
        }
        let mut raw = RawWord2Vec {
            input: ptr::null_mut(),
            output: ptr::null_mut(),
            d: inputs[1],
            tokens: tokens.as_ptr(),
            pieces: pieces.as_ptr(),
            count: pieces.len() as i64,
            keep: self.keep.as_ptr(),
            alias: ptr::null(),
            words: v as i64,
            negatives: 0,
            starts: ptr::null(),
            nodes: ptr::null(),
            labels: ptr::null(),
            longest: self.longest as i64,
            window: i64::from(self.window),
            cbow: i32::from(self.from != From::Each),
            exact: i32::from(self.from == From::Mean { exact: true }),
            train: i32::from(step.lr.is_some()),
            lr: step.lr.unwrap_or(0.0),
            key: step.key,
        };
        match &self.target {
            Target::Negatives { count, alias } => {
                raw.alias = alias.as_ptr();
                raw.negatives = i64::from(*count);
            }
            Target::Tree { starts, nodes, labels } => {
                raw.starts = starts.as_ptr();
                raw.nodes = nodes.as_ptr();
                raw.labels = labels.as_ptr();
            }
        }
        let threads = step.threads.clamp(1, pieces.len().max(1)) as i32;
        let (mut nats, mut predictions) = (0.0, 0_i64);
        // SAFETY: every list lives through the call and has the length that `new` and the checks above established: ids, path
        // places and output rows lie inside the tables, and the pieces inside `tokens`. The tables are distinct tensors of this
        // width, which C++ checks to be contiguous floats on the CPU. Their memory is written through the tensors' own handles,
        // to which no Rust reference exists.
        check(unsafe {
            ssl_word2vec(
                handle(input_vd),
                handle(output_rd),
                &raw mut raw,
                threads,
                step.units as i32,
                &raw mut nats,
                &raw mut predictions,
            )
        })?;
        Ok(Found { nats, predictions: predictions as u64 })
    }
}
