//! Translation: a target is written from its source, token by token.
//!
//! Loss: `-sum_t log p(y_t | y_1..y_{t-1}, x)`. Documents are pairs, their two texts parted by one token; windows hold one
//! document each (`[data.windows.segments]`).
//!
//! Source: Sutskever, Vinyals and Le 2014, "Sequence to sequence learning with neural networks", section 2.

use serde::{Deserialize, Serialize};

use super::fill::{source, text, written};
use crate::batch::{Batch, Grid, Window};
use crate::config::Fault;
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{PAD, TO, Vocab};

/// How long targets are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TranslationConfig {
    /// The most tokens of a target, its end included; the model's context when absent.
    pub target_tokens: Option<u32>,
}

impl TranslationConfig {
    /// Every fault of meaning, below `objective.translation`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let none = self.target_tokens == Some(0);
        let fault = || Fault::new("objective.translation.target-tokens", "nothing would be written", "leave it out");
        if none { vec![fault()] } else { Vec::new() }
    }
}

/// Pairs of texts; what goes past the length of either side is cut off.
#[derive(Debug)]
pub struct Translation {
    source_length: usize,
    target_length: usize,
    separator: u32,
    to: u32,
    pad: u32,
}

impl Translation {
    /// Sources of up to `length` tokens.
    ///
    /// # Errors
    /// When the vocabulary lacks `<|to|>` or `[PAD]`.
    pub fn new(config: TranslationConfig, length: usize, vocab: &Vocab) -> Result<Self> {
        let target_length = config.target_tokens.map_or(length, |tokens| tokens as usize);
        let (to, pad) = (vocab.special(TO)?, vocab.special(PAD)?);
        Ok(Self { source_length: length, target_length, separator: vocab.separator(), to, pad })
    }
}

impl Objective for Translation {
    fn window(&self) -> usize {
        // The separator before the pair, and the token between its sides.
        self.source_length + self.target_length + 2
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], _rngs: &mut [Rng]) -> Batch<Grid> {
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for window in windows {
            let text = text(window, self.separator);
            let at = text.iter().position(|&id| id == self.to);
            // Half a pair, as a document longer than a window leaves one, teaches nothing.
            let (from, to) = at.map_or((text, &[][..]), |at| (&text[..at], &text[at + 1..]));
            let ended = |side: &[u32], length: usize| {
                let side = &side[..side.len().min(length.saturating_sub(1))];
                [side, &[self.separator]].concat()
            };
            sources.push(ended(from, self.source_length));
            targets.push(if at.is_some() { ended(to, self.target_length) } else { Vec::new() });
        }
        // No longer than the longest of the batch: padding is work for nothing.
        let longest = |texts: &[Vec<u32>]| texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let rows = written(&targets, longest(&targets), self.pad, self.pad);
        Batch::Pair(source(&sources, longest(&sources), self.pad), rows)
    }
}
