//! Masked diffusion: predict all that a random share of masks hides, for every share from none to all.
//!
//! With `t` uniform on (0, 1) and each token hidden with probability `t`, the loss
//! `-(1 / t) sum over the hidden of log p(x_i | what is left)` is an upper bound on the negative log-likelihood of the text
//! in expectation over `t` (linear schedule), so that its mean bounds perplexity and bits per byte.
//!
//! Source: Sahoo et al. 2024, "Simple and effective masked diffusion language models", equation 10 and section 3.2: the mask
//! is never an answer, and what is not hidden is known; Nie et al. 2025, "LLaDA", equation 3.
//!
//! Differs: `t` is drawn for each row alone, not spread over the batch, so that a row does not depend on its neighbours.

use super::fill::Filler;
use crate::batch::{Attend, Batch, Grid, Rows, Window};
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{MASK, PAD, Vocab};

/// The smallest share of masks, which bounds the weight of a token by its inverse. Source: Sahoo et al. 2024, their code.
const LEAST: f64 = 1e-3;

/// Masked diffusion over rows of text, separators included.
#[derive(Debug)]
pub struct Diffusion {
    length: usize,
    mask: u32,
    pad: u32,
    lossless: bool,
}

impl Diffusion {
    /// Rows of `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks `[MASK]` or `[PAD]`.
    pub fn new(length: usize, vocab: &Vocab) -> Result<Self> {
        Ok(Self { length, mask: vocab.special(MASK)?, pad: vocab.special(PAD)?, lossless: vocab.is_lossless() })
    }
}

impl Objective for Diffusion {
    fn window(&self) -> usize {
        self.length
    }

    fn meaning(&self) -> Meaning {
        if self.lossless { Meaning::Bound } else { Meaning::Task }
    }

    fn collate(&self, windows: &[Window], rngs: &mut [Rng]) -> Batch<Grid> {
        let mut filler = Filler::new(self.length, self.pad);
        for (window, rng) in windows.iter().zip(rngs) {
            // The targets of a window are counted once over a pass, its first token by the window before.
            let text = window.tokens.get(1..).unwrap_or_default();
            let share = LEAST + (1.0 - LEAST) * rng.unit();
            let (mut inputs, mut weights) = (text.to_vec(), vec![0.0; text.len()]);
            for at in 0..text.len() {
                let hidden = rng.unit() < share;
                if hidden {
                    inputs[at] = self.mask;
                }
                if hidden && at >= window.fresh {
                    weights[at] = (1.0 / share) as f32;
                }
            }
            filler.push(&inputs, text, &weights, text.len().saturating_sub(window.fresh) as f32);
        }
        Batch::Rows(Rows { never: Some(i64::from(self.mask)), ..filler.rows(Attend::Both) })
    }
}
