//! Contrastive sentence embeddings: two readings of a text under different dropout are near, other texts far.
//!
//! `-log exp(sim(h_i, h'_i) / tau) / sum_j exp(sim(h_i, h'_j) / tau)`, which the model computes: the objective only gives it
//! the texts. They are best cut by `[data.windows.segments]` from documents that are single sentences (`document = "line"`).
//!
//! Source: Gao, Yao and Chen 2021, "SimCSE", section 3 (unsupervised).

use super::fill::{source, text};
use crate::batch::{Batch, Grid, Window};
use crate::error::Result;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::{CLASS, END, PAD, Vocab};

/// Texts `[CLS] text [SEP]`.
#[derive(Debug)]
pub struct Contrastive {
    length: usize,
    separator: u32,
    class: u32,
    end: u32,
    pad: u32,
}

impl Contrastive {
    /// Texts of up to `length` positions.
    ///
    /// # Errors
    /// When the vocabulary lacks `[CLS]`, `[SEP]` or `[PAD]`.
    pub fn new(length: usize, vocab: &Vocab) -> Result<Self> {
        let (class, end, pad) = (vocab.special(CLASS)?, vocab.special(END)?, vocab.special(PAD)?);
        Ok(Self { length, separator: vocab.separator(), class, end, pad })
    }
}

impl Objective for Contrastive {
    fn window(&self) -> usize {
        self.length.saturating_sub(2).max(1)
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    fn collate(&self, windows: &[Window], _rngs: &mut [Rng]) -> Batch<Grid> {
        let whole = |window| [&[self.class], text(window, self.separator), &[self.end]].concat();
        let texts: Vec<Vec<u32>> = windows.iter().map(whole).collect();
        // No longer than the longest text: attention over padding is wasted.
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1).min(self.length);
        Batch::Texts(source(&texts, longest, self.pad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_whole_between_their_marks() {
        let objective = Contrastive { length: 6, separator: 0, class: 1, end: 2, pad: 3 };
        let window =
            |tokens: &[u32]| Window { tokens: tokens.into(), document: vec![0; tokens.len()], fresh: 0, continues: false };
        let Batch::Texts(texts) = objective.collate(&[window(&[0, 7, 8, 9, 0]), window(&[0, 5, 0])], &mut []) else {
            panic!("texts were expected")
        };
        assert_eq!(texts.ids, Grid::ids(vec![1, 7, 8, 9, 2, 1, 5, 2, 3, 3], 5));
        assert_eq!(texts.present, Grid::ids(vec![1, 1, 1, 1, 1, 1, 1, 1, 0, 0], 5));
    }
}
