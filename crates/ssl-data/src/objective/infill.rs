//! Fill in the middle: a causal model learns to write what stands between two given parts.
//!
//! With probability `rate` a document is cut at two of its characters, and its parts go in another order, each after a
//! mark: `PRE prefix SUF suffix MID middle`, or half of the time `PRE SUF suffix MID prefix middle`. Every token counts in
//! the loss, as in causal language modelling.
//!
//! Source: Bavarian et al. 2022, "Efficient training of language models to fill in the middle", sections 3 and 3.1 (both
//! orders, cuts at characters, at the level of the context: after the text was cut into windows).

use serde::{Deserialize, Serialize};

use super::fill::Filler;
use crate::batch::{Attend, Batch, Grid, Window};
use crate::config::Fault;
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::Vocab;

/// The marks before prefix, suffix and middle.
pub const MARKS: [&str; 3] = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];

/// How often documents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct InfillConfig {
    /// The share of documents; the paper finds no loss of left-to-right ability up to 0.9.
    pub rate: f64,
}

impl Default for InfillConfig {
    fn default() -> Self {
        Self { rate: 0.5 }
    }
}

impl InfillConfig {
    /// Every fault of meaning, below `objective.infill`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let fine = (0.0..=1.0).contains(&self.rate);
        let fault = || Fault::new("objective.infill.rate", format!("{} is not a share", self.rate), "0.5 is common");
        if fine { Vec::new() } else { vec![fault()] }
    }
}

/// Causal rows, some of whose documents are reordered.
#[derive(Debug)]
pub struct Infill {
    config: InfillConfig,
    length: usize,
    vocab: Vocab,
    marks: [u32; 3],
}

impl Infill {
    /// Rows of `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks a mark.
    pub fn new(config: InfillConfig, length: usize, vocab: &Vocab) -> Result<Self> {
        let [prefix, suffix, middle] = MARKS;
        let marks = [vocab.special(prefix)?, vocab.special(suffix)?, vocab.special(middle)?];
        Ok(Self { config, length, vocab: vocab.clone(), marks })
    }

    /// A document in another order, or as it was where it cannot be cut.
    fn reorder(&self, ids: &[u32], rng: &mut Rng) -> Vec<u32> {
        let text = self.vocab.decode(ids);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut cut = || places[rng.below(places.len() as u64) as usize];
        let (a, b) = (cut(), cut());
        let spm = rng.below(2) == 1;
        // Half a character at a window's border would come back as another text.
        if text.contains('\u{fffd}') {
            return ids.to_vec();
        }
        let (begin, end) = (a.min(b), a.max(b));
        let encode = |part: &str| self.vocab.encode(part);
        // Where a cut makes other text of other tokens, the document stays as it was.
        let (Ok(prefix), Ok(middle), Ok(suffix)) = (encode(&text[..begin]), encode(&text[begin..end]), encode(&text[end..]))
        else {
            return ids.to_vec();
        };
        if self.vocab.decode(&[&prefix[..], &middle, &suffix].concat()) != text {
            return ids.to_vec();
        }
        let [p, s, m] = self.marks.map(|mark| vec![mark]);
        if spm { [p, s, suffix, m, prefix, middle].concat() } else { [p, prefix, s, suffix, m, middle].concat() }
    }
}

impl Objective for Infill {
    fn window(&self) -> usize {
        self.length
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let separator = self.vocab.separator();
        let mut filler = Filler::new(self.length, separator);
        for (window, rng) in windows.iter().zip(rngs) {
            let mut row = Vec::with_capacity(self.length + 8);
            for (k, document) in window.tokens.split(|&id| id == separator).enumerate() {
                if k > 0 {
                    row.push(separator);
                }
                let cut = rng.unit() < self.config.rate && !document.is_empty();
                row.extend(if cut { self.reorder(document, rng) } else { document.to_vec() });
            }
            // Marks make a row longer: what goes past the end is left out, as in the paper.
            row.truncate(self.length + 1);
            let n = row.len().saturating_sub(1);
            filler.push(&row[..n], row.get(1..).unwrap_or_default(), &vec![1.0; n], n as f32);
        }
        Batch::Rows(filler.rows(Attend::Causal))
    }
}
