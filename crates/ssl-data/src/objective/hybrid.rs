//! Causal and masked language modelling in one stack: each row is one or the other.
//!
//! A causal row predicts each token from those before it. A masked row looks to both sides, and the position *before* a
//! masked token predicts it, so that in both the answer to token i + 1 stands at position i.
//!
//! Source: Charpentier and Samuel 2024, "GPT or BERT: why not both?", section 2 (masked next-token prediction).
//!
//! Differs: rows are mixed within a batch, not over devices, and every row weighs as much as its tokens.

use serde::{Deserialize, Serialize};

use super::fill::Filler;
use super::masked::{MaskedConfig, Noise};
use crate::batch::{Attend, Batch, Grid, Window};
use crate::config::Fault;
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{PAD, Vocab};

/// How the two are mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HybridConfig {
    /// The share of rows that are causal; the paper finds 1/16 to serve both uses, and 1/2 to write best.
    pub causal: f64,
    /// The share of tokens that a masked row predicts.
    pub rate: f64,
}

impl Default for HybridConfig {
    fn default() -> Self {
        Self { causal: 1.0 / 16.0, rate: 0.15 }
    }
}

impl HybridConfig {
    /// Every fault of meaning, below `objective.hybrid`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let shares = [("causal", self.causal), ("rate", self.rate)];
        let wrong = shares.into_iter().filter(|(_, share)| !(0.0..=1.0).contains(share));
        let fault = |(key, share)| Fault::new(&format!("objective.hybrid.{key}"), format!("{share} is not a share"), "0.15");
        wrong.map(fault).collect()
    }
}

/// Masked next-token prediction beside causal language modelling.
#[derive(Debug)]
pub struct Hybrid {
    config: HybridConfig,
    length: usize,
    pad: u32,
    noise: Noise,
}

impl Hybrid {
    /// Rows of `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks `[MASK]` or `[PAD]`.
    pub fn new(config: &HybridConfig, length: usize, vocab: &Vocab) -> Result<Self> {
        let masked = MaskedConfig { rate: config.rate, ..MaskedConfig::default() };
        Ok(Self { config: config.clone(), length, pad: vocab.special(PAD)?, noise: Noise::new(&masked, vocab)? })
    }
}

impl Objective for Hybrid {
    fn window(&self) -> usize {
        self.length
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let mut filler = Filler::new(self.length, self.pad);
        let mut prefixes = Vec::with_capacity(windows.len());
        for (window, rng) in windows.iter().zip(rngs) {
            let n = window.tokens.len().saturating_sub(1);
            let targets = window.tokens.get(1..).unwrap_or_default();
            let fresh = |at: usize| if at < window.fresh { 0.0 } else { 1.0 };
            let count = n.saturating_sub(window.fresh) as f32;
            if rng.unit() < self.config.causal {
                let weights: Vec<f32> = (0..n).map(fresh).collect();
                filler.push(&window.tokens[..n], targets, &weights, count);
                prefixes.push(0);
            } else {
                // The last token is never read, so the noise touches it only to be predicted; the first has none before it.
                let (noised, chosen) = self.noise.apply(targets, rng);
                let inputs = [&window.tokens[..n.min(1)], &noised[..n.saturating_sub(1)]].concat();
                let sum: f32 = chosen.iter().enumerate().map(|(at, weight)| weight * fresh(at)).sum();
                let scale = if sum > 0.0 { count / sum } else { 0.0 };
                let weights: Vec<f32> = chosen.iter().enumerate().map(|(at, weight)| weight * fresh(at) * scale).collect();
                filler.push(&inputs, targets, &weights, if sum > 0.0 { count } else { 0.0 });
                prefixes.push(self.length as i64);
            }
        }
        let prefix = Grid::Ids { shape: vec![prefixes.len() as i64], data: prefixes };
        Batch::Rows(filler.rows(Attend::Prefix(prefix)))
    }
}
