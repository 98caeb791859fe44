//! A look inside: what a model makes of texts that it reads whole, with nothing predicted.
//!
//! | file | shows |
//! |---|---|
//! | `look/embed.rs` | a text as one vector |
//! | `look/attention.rs` | which tokens look at which, head by head |
//!
//! How likely it finds each token, and what it would put into a gap, are questions of likelihood: [`crate::likelihood`].

mod attention;
mod embed;

use std::iter::repeat_n;

use ssl_data::batch::{Attend, Batch, Grid, Rows, Source};
use ssl_data::objective::Form;
use ssl_data::vocab::{CLASS, END, PAD, Vocab};
use ssl_model::Model;
use tch::{Device, Tensor};

pub use attention::View;
pub use embed::Embedding;

use crate::bits_per_byte::upload;
use crate::error::{Error, Result};
use crate::likelihood::MODES;

/// A model that is looked into, and between which marks it reads a text.
#[derive(Clone)]
pub struct Look<'a> {
    model: &'a dyn Model,
    device: Device,
    form: Form,
    begin: Option<u32>,
    end: Option<u32>,
    pad: u32,
    /// The id that a decoder would begin with.
    start: u32,
    vocab: u32,
}

impl<'a> Look<'a> {
    /// Of a model that reads batches of the form `reads`, by the marks that its objective taught it; `start` is the id that a model of
    /// two stacks writes after, its padding when absent.
    #[must_use]
    pub fn new(model: &'a dyn Model, vocab: &Vocab, reads: Form, start: Option<u32>, device: Device) -> Self {
        let separator = vocab.separator();
        let special = |name: &str| vocab.special(name).ok();
        let pad = special(PAD).unwrap_or(separator);
        let (begin, end) = match reads {
            Form::Causal | Form::Prefix => (Some(separator), None),
            Form::Both | Form::Texts => match (special(CLASS), special(END)) {
                (Some(class), Some(end)) => (Some(class), Some(end)),
                _ => (Some(separator), None),
            },
            Form::Pair => (special(MODES[1]), Some(separator)),
            Form::Words => (None, None),
        };
        Self { model, device, form: reads, begin, end, pad, start: start.unwrap_or(pad), vocab: vocab.size() }
    }

    /// Tokens of a text that are read at once.
    #[must_use]
    pub fn room(&self) -> usize {
        self.model.context().saturating_sub(usize::from(self.begin.is_some()) + usize::from(self.end.is_some())).max(1)
    }

    /// A text between its marks.
    fn row(&self, text: &[u32]) -> Vec<u32> {
        self.begin.into_iter().chain(text.iter().copied()).chain(self.end).collect()
    }

    /// Texts in one batch, filled up on the right so that nothing looks at what fills.
    fn batch(&self, texts: &[&[u32]]) -> Batch<Tensor> {
        let rows: Vec<Vec<u32>> = texts.iter().map(|text| self.row(text)).collect();
        let t = rows.iter().map(Vec::len).max().unwrap_or_default();
        let filled = |fill: i64, of: &dyn Fn(u32) -> i64| -> Grid {
            let row = |row: &Vec<u32>| row.iter().map(|&id| of(id)).chain(repeat_n(fill, t - row.len())).collect::<Vec<_>>();
            Grid::ids(rows.iter().flat_map(row).collect(), t)
        };
        let (ids, present) = (filled(i64::from(self.pad), &|id| i64::from(id)), filled(0, &|_| 1));
        let zeros = |t: usize| Grid::reals(vec![0.0; rows.len() * t], t);
        let unasked = |inputs: Grid, t: usize| {
            let positions = Grid::ids(rows.iter().flat_map(|_| 0..t as i64).collect(), t);
            Rows::new(inputs.clone(), inputs, zeros(t), Grid::column(vec![0.0; rows.len()]), positions)
        };
        let batch = match self.form {
            Form::Pair => {
                let starts = Grid::ids(vec![i64::from(self.start); rows.len()], 1);
                Batch::Pair(Source { ids, present }, unasked(starts, 1))
            }
            Form::Both | Form::Texts => {
                let apart = rows.iter().any(|row| row.len() < t).then_some(present);
                Batch::Rows(Rows { attend: Attend::Both, documents: apart, ..unasked(ids, t) })
            }
            Form::Causal | Form::Prefix | Form::Words => Batch::Rows(unasked(ids, t)),
        };
        upload(batch, self.device)
    }

    /// Refuses ids that the model has not.
    fn check(&self, ids: &[u32]) -> Result<()> {
        let outside = ids.iter().find(|&&id| id >= self.vocab);
        outside.map_or(Ok(()), |&id| Err(Error::Token { id, vocab: self.vocab as usize }))
    }
}

impl std::fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").field("form", &self.form).field("device", &self.device).finish_non_exhaustive()
    }
}
