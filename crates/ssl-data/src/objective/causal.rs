//! Causal language modelling: predict each token from those before it.
//!
//! Loss: `-sum_t w_t log p(x_{t+1} | x_1..x_t)`, with `w_t = 0` at padding and at targets that an earlier window counted.
//!
//! Source: Bengio et al. 2003, "A neural probabilistic language model"; Radford et al. 2018, "Improving language
//! understanding by generative pre-training". Isolated documents: Dubey et al. 2024, "The Llama 3 herd of models", 3.2.

use crate::batch::{Batch, Grid, Rows, Window};
use crate::config::WindowConfig;
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;
use crate::vocab::Vocab;

/// How far attention reaches within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Over the whole window, past the documents' separators.
    Window,
    /// Within one document: positions restart at each, and the batch says which token belongs to which.
    Document,
}

impl From<&WindowConfig> for Reach {
    /// Only isolated windows need the batch to mark documents; segments and slides never hold two.
    fn from(windows: &WindowConfig) -> Self {
        match windows {
            WindowConfig::Isolated { .. } => Self::Document,
            _ => Self::Window,
        }
    }
}

/// Next-token prediction over rows of a fixed length.
#[derive(Debug, Clone)]
pub struct Causal {
    length: usize,
    pad: u32,
    reach: Reach,
    meaning: Meaning,
}

impl Causal {
    /// Rows of `length` positions; shorter windows are filled with `pad` (the corpus' separator) at weight 0.
    #[must_use]
    pub fn new(length: usize, pad: u32, reach: Reach) -> Self {
        Self { length, pad, reach, meaning: Meaning::Likelihood }
    }

    /// The same over the ids of a vocabulary: of one that loses part of the text, the loss is not the text's likelihood.
    #[must_use]
    pub fn over(self, vocab: &Vocab) -> Self {
        Self { meaning: if vocab.is_lossless() { Meaning::Likelihood } else { Meaning::Task }, ..self }
    }
}

impl Objective for Causal {
    fn window(&self) -> usize {
        self.length
    }

    fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// # Shapes
    /// Every array is `[windows, length]`, whatever the windows hold: one shape for the whole run.
    ///
    /// # Panics
    /// When a window holds more than length + 1 tokens.
    fn collate(&self, windows: &[Window], _rngs: &mut [Rng]) -> Batch<Grid> {
        let size = windows.len() * self.length;
        let mut inputs = Vec::with_capacity(size);
        let mut targets = Vec::with_capacity(size);
        let mut weights = Vec::with_capacity(size);
        let mut positions = Vec::with_capacity(size);
        let mut documents = Vec::with_capacity(if self.reach == Reach::Document { size } else { 0 });
        let mut counts = Vec::with_capacity(windows.len());
        for (row, window) in windows.iter().enumerate() {
            let n = window.tokens.len().saturating_sub(1);
            assert!(n <= self.length, "a window of {n} targets in rows of {}", self.length);
            let end = (row + 1) * self.length;
            inputs.extend(window.tokens[..n].iter().map(|&id| i64::from(id)));
            inputs.resize(end, i64::from(self.pad));
            targets.extend(window.tokens.iter().skip(1).map(|&id| i64::from(id)));
            targets.resize(end, i64::from(self.pad));
            weights.resize(end - self.length + window.fresh.min(n), 0.0);
            weights.resize(end - self.length + n, 1.0);
            weights.resize(end, 0.0);
            counts.push(n.saturating_sub(window.fresh) as f32);
            match self.reach {
                Reach::Window => positions.extend(0..self.length as i64),
                Reach::Document => place(&window.document[..n], self.length, &mut positions, &mut documents),
            }
        }
        let ids = |data| Grid::ids(data, self.length);
        let weights = Grid::reals(weights, self.length);
        Batch::Rows(Rows {
            documents: (self.reach == Reach::Document).then(|| ids(documents)),
            continues: windows.iter().all(|window| window.continues),
            ..Rows::new(ids(inputs), ids(targets), weights, Grid::column(counts), ids(positions))
        })
    }
}

/// Appends one row of positions and document numbers; padding is a document of its own, so that it always sees itself.
fn place(ordinals: &[u32], length: usize, positions: &mut Vec<i64>, documents: &mut Vec<i64>) {
    let padding = ordinals.last().map_or(0, |&last| last + 1);
    let padded = ordinals.iter().copied().chain(std::iter::repeat(padding)).take(length);
    let mut previous = None;
    let mut position = 0;
    for ordinal in padded {
        position = if previous == Some(ordinal) { position + 1 } else { 0 };
        previous = Some(ordinal);
        positions.push(position);
        documents.push(i64::from(ordinal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Attend;

    fn collate(reach: Reach, windows: &[Window]) -> Rows<Grid> {
        let Batch::Rows(rows) = Causal::new(4, 9, reach).collate(windows, &mut []) else { unreachable!("it makes rows") };
        rows
    }

    fn ids(data: &[i64]) -> Grid {
        Grid::Ids { data: data.to_vec(), shape: vec![data.len() as i64 / 4, 4] }
    }

    #[test]
    fn targets_are_the_inputs_one_later_and_padding_has_no_weight() {
        let full = Window { tokens: vec![1, 2, 3, 4, 5], document: vec![0; 5], fresh: 0, continues: false };
        let short = Window { tokens: vec![6, 7, 8], document: vec![0; 3], fresh: 1, continues: false };
        let rows = collate(Reach::Window, &[full, short]);
        assert_eq!(rows.inputs, ids(&[1, 2, 3, 4, 6, 7, 9, 9]));
        assert_eq!(rows.targets, ids(&[2, 3, 4, 5, 7, 8, 9, 9]));
        assert_eq!(rows.weights, Grid::Reals { data: vec![1., 1., 1., 1., 0., 1., 0., 0.], shape: vec![2, 4] });
        assert_eq!(rows.counts, Grid::column(vec![4., 1.]));
        assert_eq!(rows.positions, ids(&[0, 1, 2, 3, 0, 1, 2, 3]));
        assert_eq!((rows.documents, rows.attend), (None, Attend::Causal));
    }

    #[test]
    fn isolated_positions_restart_at_documents_and_at_padding() {
        let window = Window { tokens: vec![1, 9, 2, 9], document: vec![0, 1, 1, 2], fresh: 0, continues: false };
        let rows = collate(Reach::Document, &[window]);
        assert_eq!(rows.positions, ids(&[0, 0, 1, 0]));
        assert_eq!(rows.documents, Some(ids(&[0, 1, 1, 2])));
    }
}
