//! Objectives: how windows of a corpus become a batch, that is, what is predicted from what.

pub mod causal;
pub mod contrastive;
pub mod diffusion;
mod fill;
pub mod hybrid;
pub mod infill;
pub mod masked;
pub mod mixture;
pub mod neighbours;
pub mod span;
pub mod translation;

use serde::{Deserialize, Serialize};

pub use causal::Causal;
pub use contrastive::Contrastive;
pub use diffusion::Diffusion;
pub use hybrid::{Hybrid, HybridConfig};
pub use infill::{Infill, InfillConfig};
pub use masked::{Masked, MaskedConfig};
pub use mixture::Mixture;
pub use neighbours::Neighbours;
pub use span::{Span, SpanConfig};
pub use translation::{Translation, TranslationConfig};

use self::causal::Reach;
use crate::batch::{Batch, Grid, Window};
use crate::config::{Fault, WindowConfig};
use crate::error::Result;
use crate::rng::Rng;
use crate::vocab::{MASK, PAD, TO, Vocab};

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
    /// Words and those around them.
    Words,
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
    /// Tokens that were taken out, from both sides. Source: Devlin et al. 2019.
    Masked(MaskedConfig),
    /// Runs of tokens that were taken out, written one after another. Source: Raffel et al. 2020.
    Span(SpanConfig),
    /// Seven ways to take text out, each with its mode token. Source: Tay et al. 2022 (UL2).
    Mixture {},
    /// Everything that a random share of masks hides. Source: Sahoo et al. 2024 (MDLM).
    Diffusion {},
    /// Causal rows and masked ones in one stack. Source: Charpentier and Samuel 2024 (GPT-BERT).
    Hybrid(HybridConfig),
    /// Causal rows, some of which move their middle to the end. Source: Bavarian et al. 2022.
    Infill(InfillConfig),
    /// Two readings of a text against other texts. Source: Gao et al. 2021 (`SimCSE`).
    Contrastive {},
    /// Words from those around them, or those around from the word. Source: Mikolov et al. 2013.
    Neighbours {},
    /// The other side of a pair, written from the one. Source: Sutskever et al. 2014.
    Translation(TranslationConfig),
}

impl ObjectiveConfig {
    /// The objective for rows of `length` positions over a vocabulary.
    ///
    /// # Errors
    /// When the vocabulary lacks a special token.
    pub fn build(&self, windows: &WindowConfig, length: usize, vocab: &Vocab) -> Result<Box<dyn Objective>> {
        let reach = Reach::from(windows);
        Ok(match self {
            Self::Causal {} => Box::new(Causal::new(length, vocab.separator(), reach).over(vocab)),
            Self::Masked(config) => Box::new(Masked::new(config, length, vocab)?),
            Self::Span(config) => Box::new(Span::new(*config, length, vocab)?),
            Self::Mixture {} => Box::new(Mixture::new(length, vocab)?),
            Self::Diffusion {} => Box::new(Diffusion::new(length, vocab)?),
            Self::Hybrid(config) => Box::new(Hybrid::new(config, length, vocab)?),
            Self::Infill(config) => Box::new(Infill::new(*config, length, vocab)?),
            Self::Contrastive {} => Box::new(Contrastive::new(length, vocab)?),
            Self::Neighbours {} => Box::new(Neighbours::new(length, vocab.separator())),
            Self::Translation(config) => Box::new(Translation::new(*config, length, vocab)?),
        })
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Causal {} => "causal",
            Self::Masked(_) => "masked",
            Self::Span(_) => "span",
            Self::Mixture {} => "mixture",
            Self::Diffusion {} => "diffusion",
            Self::Hybrid(_) => "hybrid",
            Self::Infill(_) => "infill",
            Self::Contrastive {} => "contrastive",
            Self::Neighbours {} => "neighbours",
            Self::Translation(_) => "translation",
        }
    }

    /// What its batches ask of a model.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::Causal {} | Self::Infill(_) => Form::Causal,
            Self::Masked(_) | Self::Diffusion {} => Form::Both,
            Self::Hybrid(_) => Form::Prefix,
            Self::Span(_) | Self::Mixture {} | Self::Translation(_) => Form::Pair,
            Self::Contrastive {} => Form::Texts,
            Self::Neighbours {} => Form::Words,
        }
    }

    /// The special tokens that it needs beside the separator.
    #[must_use]
    pub fn special_tokens(&self) -> Vec<String> {
        match self {
            Self::Causal {} | Self::Neighbours {} => Vec::new(),
            Self::Masked(_) | Self::Contrastive {} => Masked::special_tokens(),
            Self::Span(_) => Span::special_tokens(),
            Self::Mixture {} => Mixture::special_tokens(),
            Self::Translation(_) => [PAD, TO].map(String::from).to_vec(),
            Self::Diffusion {} | Self::Hybrid(_) => [PAD, MASK].map(String::from).to_vec(),
            Self::Infill(_) => infill::MARKS.map(String::from).to_vec(),
        }
    }

    /// Every fault of meaning. Paths begin with `objective.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        match self {
            Self::Masked(config) => config.validate(),
            Self::Span(config) => config.validate(),
            Self::Hybrid(config) => config.validate(),
            Self::Infill(config) => config.validate(),
            Self::Translation(config) => config.validate(),
            Self::Causal {} | Self::Mixture {} | Self::Diffusion {} | Self::Contrastive {} | Self::Neighbours {} => Vec::new(),
        }
    }
}
