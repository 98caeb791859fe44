//! Rows of one length from texts of several: what the objectives that look to both sides share.

use crate::batch::{Attend, Grid, Rows, Source, Window};
use crate::rng::Rng;

/// The text of a window without its last target and without the separator before it.
pub(super) fn text(window: &Window, separator: u32) -> &[u32] {
    let inputs = &window.tokens[..window.tokens.len().saturating_sub(1)];
    inputs.strip_prefix(&[separator]).unwrap_or(inputs)
}

/// Rows under construction, each filled up with padding that has no weight and that no token looks at.
pub(super) struct Filler {
    length: usize,
    pad: i64,
    inputs: Vec<i64>,
    targets: Vec<i64>,
    weights: Vec<f32>,
    counts: Vec<f32>,
    used: Vec<usize>,
}

impl Filler {
    pub(super) fn new(length: usize, pad: u32) -> Self {
        let pad = i64::from(pad);
        Self { length, pad, inputs: vec![], targets: vec![], weights: vec![], counts: vec![], used: vec![] }
    }

    /// Adds a row; what goes past the length is cut off.
    pub(super) fn push(&mut self, inputs: &[u32], targets: &[u32], weights: &[f32], count: f32) {
        let n = inputs.len().min(self.length);
        let end = self.inputs.len() + self.length;
        self.inputs.extend(inputs[..n].iter().map(|&id| i64::from(id)));
        self.inputs.resize(end, self.pad);
        self.targets.extend(targets[..n].iter().map(|&id| i64::from(id)));
        self.targets.resize(end, self.pad);
        self.weights.extend(&weights[..n]);
        self.weights.resize(end, 0.0);
        self.counts.push(count);
        self.used.push(n);
    }

    /// The rows; padding is a document of its own where there is any.
    pub(super) fn rows(self, attend: Attend<Grid>) -> Rows<Grid> {
        let ids = |data| Grid::ids(data, self.length);
        let positions = self.used.iter().flat_map(|_| 0..self.length as i64).collect();
        // Rows that look back never see the padding behind them.
        let padded = attend != Attend::Causal && self.used.iter().any(|&n| n < self.length);
        let padding = || self.used.iter().flat_map(|&n| (0..self.length).map(move |i| i64::from(i >= n))).collect();
        Rows {
            documents: padded.then(|| ids(padding())),
            attend,
            ..Rows::new(
                ids(self.inputs),
                ids(self.targets),
                Grid::reals(self.weights, self.length),
                Grid::column(self.counts),
                ids(positions),
            )
        }
    }
}

/// A source from texts, each filled up to one length; what goes past it is cut off.
pub(super) fn source(texts: &[Vec<u32>], length: usize, pad: u32) -> Source<Grid> {
    let padded = |text: &Vec<u32>, fill: i64, of: fn(u32) -> i64| -> Vec<i64> {
        text.iter().map(|&id| of(id)).chain(std::iter::repeat(fill)).take(length).collect()
    };
    let ids = texts.iter().flat_map(|text| padded(text, i64::from(pad), i64::from)).collect();
    let present = texts.iter().flat_map(|text| padded(text, 0, |_| 1)).collect();
    Source { ids: Grid::ids(ids, length), present: Grid::ids(present, length) }
}

/// What a decoder reads to write each text: the text one place later, after `start`.
pub(super) fn written(texts: &[Vec<u32>], length: usize, start: u32, pad: u32) -> Rows<Grid> {
    let mut filler = Filler::new(length, pad);
    for text in texts {
        let inputs: Vec<u32> = std::iter::once(start).chain(text.iter().copied()).take(text.len()).collect();
        filler.push(&inputs, text, &vec![1.0; text.len()], text.len().min(length) as f32);
    }
    filler.rows(Attend::Causal)
}

/// Puts a list in a random order. Source: Fisher and Yates 1938, in Durstenfeld's form (1964).
pub(super) fn shuffle<T>(list: &mut [T], rng: &mut Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, rng.below(last as u64 + 1) as usize);
    }
}
