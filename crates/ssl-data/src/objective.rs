//! Objectives: how windows of a corpus become a batch, that is, what is predicted from what.

pub mod causal;

use serde::{Deserialize, Serialize};

pub use causal::Causal;

use self::causal::Reach;
use crate::batch::{Batch, Grid, Window};
use crate::config::{Fault, WindowConfig};
use crate::error::Result;
use crate::rng::Rng;
use crate::vocab::Vocab;

/// Turns windows into one batch; pure, so that a batch is a function of the corpus, the configuration, the seed and the samples.
pub trait Objective: Send + Sync {
    /// The most targets of a window: the length that a sampler must be made with.
    fn window(&self) -> usize;

    /// What its loss says about a text.
    fn meaning(&self) -> Meaning;

    /// How many windows one row is made of.
    fn windows_per_row(&self) -> usize {
        1
    }

    /// Makes a batch from windows in their order, each [`Objective::windows_per_row`] of them a row.
    ///
    /// A row draws only from the generators of its own windows, so that it does not depend on its neighbours; an objective
    /// without chance reads none.
    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid>;
}

/// What a batch asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Rows that look back only.
    Causal,
    /// Rows that look to both sides.
    Both,
    /// Rows of which each says how far it looks ahead.
    Prefix,
    /// A source and the rows written from it.
    Pair,
    /// Texts to be told apart.
    Texts,
}

/// What a loss says about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is the text's negative log-likelihood, token by token.
    Likelihood,
    /// It is an upper bound on that.
    Bound,
    /// Neither: it is measured on a part of the text, given the rest.
    Task,
}

/// What is learned, named by its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum ObjectiveConfig {
    /// Every token from those before it. Source: Bengio et al. 2003; Radford et al. 2018.
    Causal {},
}

impl ObjectiveConfig {
    /// The objective for rows of `length` positions over a vocabulary.
    ///
    /// # Errors
    /// When the vocabulary lacks a special token.
    pub fn build(&self, windows: &WindowConfig, length: usize, vocab: &Vocab) -> Result<Box<dyn Objective>> {
        let reach = Reach::from(windows);
        Ok(match self {
            Self::Causal {} => Box::new(Causal::new(length, vocab.separator(), reach)),
        })
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Causal {} => "causal",
        }
    }

    /// What its batches ask of a model.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::Causal {} => Form::Causal,
        }
    }

    /// The special tokens that it needs beside the separator.
    #[must_use]
    pub fn special_tokens(&self) -> Vec<String> {
        match self {
            Self::Causal {} => Vec::new(),
        }
    }

    /// Every fault of meaning. Paths begin with `objective.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        match self {
            Self::Causal {} => Vec::new(),
        }
    }
}
