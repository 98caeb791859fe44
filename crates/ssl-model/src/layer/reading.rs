//! What an encoder reads of a batch, whether rows with targets or texts without.

use ssl_data::batch::{Batch, Rows, Source};
use tch::{Kind, Tensor};

use super::Mask;

/// Tokens to be read from both sides.
#[derive(Debug)]
pub struct Reading {
    /// Token ids, i64, `[b, t]`.
    pub ids: Tensor,
    /// Positions, i64, `[b, t]`; absent where every row counts from 0.
    pub positions: Option<Tensor>,
    /// 0 for the first sentence, 1 for the second, i64, `[b, t]`; absent where all are 0.
    pub segments: Option<Tensor>,
    /// Who sees whom.
    pub mask: Mask,
}

impl Reading {
    /// What `batch` has to be read.
    ///
    /// # Panics
    /// When it is a pair, which no encoder alone reads; callers ask [`crate::config::ModelConfig::reads`].
    #[must_use]
    pub fn of(batch: &Batch<Tensor>) -> Self {
        match batch {
            Batch::Rows(rows) => Self::rows(rows),
            Batch::Texts(texts) => Self::texts(texts),
            Batch::Pair(..) => panic!("an encoder reads rows or texts"),
        }
    }

    /// The inputs of rows.
    #[must_use]
    pub fn rows(rows: &Rows<Tensor>) -> Self {
        Self {
            ids: rows.inputs.shallow_clone(),
            positions: rows.documents.is_some().then(|| rows.positions.shallow_clone()),
            segments: rows.sentences.as_ref().map(|sentences| sentences.segments.shallow_clone()),
            mask: Mask::of(rows),
        }
    }

    /// Texts, whose padding sees only itself: a position that saw nothing would have no attention to divide.
    #[must_use]
    pub fn texts(texts: &Source<Tensor>) -> Self {
        let present = &texts.present;
        let same = present.unsqueeze(2).eq_tensor(&present.unsqueeze(1)).unsqueeze(1);
        Self { ids: texts.ids.shallow_clone(), positions: None, segments: None, mask: Mask::Some(same) }
    }

    /// Rows, as `[b, t]`.
    #[must_use]
    pub fn size(&self) -> (i64, i64) {
        self.ids.size2().unwrap_or_default()
    }

    /// The positions as a table's rows: one row for all where every row counts from 0, `[1 or b, t]`.
    pub fn places(&self) -> Tensor {
        let (_, t) = self.size();
        self.positions
            .as_ref()
            .map_or_else(|| Tensor::arange(t, (Kind::Int64, self.ids.device())).unsqueeze(0), Tensor::shallow_clone)
    }
}

/// Which positions of rows are no padding: bool, `[b, t]`.
///
/// A batch does not say it in so many words. Padding is the last document of its row, without weight and all of one id; a
/// real document that looks like this is one token repeated and nowhere masked, which teaches nothing either.
pub fn present(rows: &Rows<Tensor>) -> Tensor {
    let Some(documents) = &rows.documents else { return rows.inputs.ones_like().to_kind(Kind::Bool) };
    let (_, t) = rows.inputs.size2().unwrap_or_default();
    let last = |x: &Tensor| x.narrow(1, t - 1, 1);
    let tail = documents.eq_tensor(&last(documents));
    let plain = rows.inputs.eq_tensor(&last(&rows.inputs)).logical_and(&rows.weights.eq(0.0));
    let padded = tail.logical_not().logical_or(&plain).all_dim(1, true);
    tail.logical_and(&padded).logical_not()
}
