//! Word vectors as the scores read them: words, and a row of numbers each.

use std::collections::HashMap;

/// Words and their vectors, with the lengths taken out.
#[derive(Debug)]
pub struct Table<'a> {
    words: &'a [String],
    index: HashMap<&'a str, usize>,
    /// `[v, d]`, every row of length 1, or 0 where the vector is 0.
    unit: Vec<f32>,
    width: usize,
}

impl<'a> Table<'a> {
    /// Of `words` and their vectors one after another, `[v, d]` with d = `width`. Of a word that comes twice the first counts.
    ///
    /// # Panics
    /// When the numbers are not `words.len() * width`.
    #[must_use]
    pub fn new(words: &'a [String], numbers: &[f32], width: usize) -> Self {
        assert!(width > 0 && numbers.len() == words.len() * width, "a vector a word");
        let mut index = HashMap::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            index.entry(word.as_str()).or_insert(at);
        }
        let mut unit = numbers.to_vec();
        for row in unit.chunks_exact_mut(width) {
            let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                for x in row {
                    *x = (f64::from(*x) / length) as f32;
                }
            }
        }
        Self { words, index, unit, width }
    }

    /// The place of a word as written, or of its lower case.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<usize> {
        self.index.get(word).or_else(|| self.index.get(word.to_lowercase().as_str())).copied()
    }

    /// The cosine of two places.
    #[must_use]
    pub fn cosine(&self, a: usize, b: usize) -> f64 {
        self.row(a).iter().zip(self.row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    /// The vector of a place, of length 1.
    #[must_use]
    pub fn row(&self, at: usize) -> &[f32] {
        &self.unit[at * self.width..(at + 1) * self.width]
    }

    /// All words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        self.words
    }

    /// All vectors, `[v, d]`, of length 1.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.unit
    }

    /// Features of a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }
}
