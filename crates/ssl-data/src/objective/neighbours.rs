//! Words as they stand, to be told from the words around them: what `Word2Vec` reads.
//!
//! The objective cuts the text; the model draws windows, negatives and the occurrences it keeps, as its paper does, since
//! all three depend on how often words occur.
//!
//! Source: Mikolov, Chen, Corrado and Dean 2013, "Efficient estimation of word representations in vector space".

use crate::batch::{Batch, Grid, Rows, Window};
use crate::objective::{Meaning, Objective};
use crate::rng::Rng;

/// Rows of a fixed length, each token with the number of its document.
#[derive(Debug, Clone)]
pub struct Neighbours {
    length: usize,
    separator: u32,
}

impl Neighbours {
    /// Rows of `length` tokens; shorter windows are filled with `separator` at weight 0.
    #[must_use]
    pub fn new(length: usize, separator: u32) -> Self {
        Self { length, separator }
    }
}

impl Objective for Neighbours {
    fn window(&self) -> usize {
        self.length
    }

    fn meaning(&self) -> Meaning {
        Meaning::Task
    }

    /// # Shapes
    /// Every array is `[windows, length]`. Inputs and targets are the same tokens.
    ///
    /// # Panics
    /// When a window holds more than length + 1 tokens.
    fn collate(&self, windows: &[Window], _rngs: &mut [Rng]) -> Batch<Grid> {
        let (mut words, mut weights, mut documents) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counts, mut document) = (Vec::new(), 0);
        for (row, window) in windows.iter().enumerate() {
            // The first token is the last of the window before.
            let fresh = window.tokens.get(1..).unwrap_or_default();
            assert!(fresh.len() <= self.length, "a window of {} words in rows of {}", fresh.len(), self.length);
            let end = (row + 1) * self.length;
            words.extend(fresh.iter().map(|&id| i64::from(id)));
            words.resize(end, i64::from(self.separator));
            weights.resize(end - self.length + fresh.len(), 1.0);
            weights.resize(end, 0.0);
            counts.push(fresh.len() as f32);
            // No window of words reaches over a separator or into another row.
            document += 1;
            for &id in &words[end - self.length..] {
                document += i64::from(id == i64::from(self.separator));
                documents.push(document);
            }
        }
        let ids = |data| Grid::ids(data, self.length);
        let positions = ids((0..windows.len()).flat_map(|_| 0..self.length as i64).collect());
        Batch::Rows(Rows {
            documents: Some(ids(documents)),
            ..Rows::new(ids(words.clone()), ids(words), Grid::reals(weights, self.length), Grid::column(counts), positions)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_comes_once_and_no_document_reaches_over_a_separator() {
        let window =
            |tokens: &[u32]| Window { tokens: tokens.into(), document: vec![0; tokens.len()], fresh: 0, continues: false };
        let batch = Neighbours::new(4, 9).collate(&[window(&[9, 1, 2, 9, 3]), window(&[3, 4, 5])], &mut []);
        let Batch::Rows(rows) = batch else { panic!("rows were expected") };
        assert_eq!(rows.inputs, Grid::ids(vec![1, 2, 9, 3, 4, 5, 9, 9], 4));
        assert_eq!(rows.weights, Grid::reals(vec![1., 1., 1., 1., 1., 1., 0., 0.], 4));
        assert_eq!(rows.documents, Some(Grid::ids(vec![1, 1, 2, 2, 3, 3, 4, 5], 4)));
        assert_eq!(rows.counts, Grid::column(vec![4., 2.]));
    }
}
