//! What a model reads: a window cut from the corpus, and a batch that an objective makes of several windows.
//!
//! A batch is generic over its arrays: here `Grid`, plain host memory; a tensor once it is uploaded.

/// A run of consecutive tokens of one split, as a sampler cuts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Token ids: the inputs and one more, the last target. At least two, at most length + 1.
    pub tokens: Vec<u32>,
    /// The document of each token, counted from 0 at the window's start; all 0 where windows do not isolate documents.
    pub document: Vec<u32>,
    /// Targets before this index were already counted by an earlier window, so that they must not count again.
    pub fresh: usize,
}

/// A dense array in host memory, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Grid {
    /// Token ids, positions, document numbers.
    Ids {
        /// The elements.
        data: Vec<i64>,
        /// The extent of each axis; their product is the number of elements.
        shape: Vec<i64>,
    },
    /// Weights and other real numbers.
    Reals {
        /// The elements.
        data: Vec<f32>,
        /// The extent of each axis; their product is the number of elements.
        shape: Vec<i64>,
    },
}

impl Grid {
    /// The extent of each axis.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        match self {
            Self::Ids { shape, .. } | Self::Reals { shape, .. } => shape,
        }
    }
}

/// Which positions a position may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attend {
    /// Itself and those before it.
    Causal,
    /// Those on both sides.
    Both,
}

/// Rows of tokens with a target at each position, for every objective that predicts token by token.
///
/// # Shapes
/// Each array is `[b, t]`: b rows of t positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    /// Token ids that the model reads (i64).
    pub inputs: T,
    /// Token ids to predict (i64); a valid id even where the weight is 0.
    pub targets: T,
    /// What each target counts in the loss (f32); 0 is no loss.
    pub weights: T,
    /// The position of each token (i64), from 0; restarts at each document where documents are isolated.
    pub positions: T,
    /// The document of each token within its row (i64), present only when attention must stay inside documents.
    pub documents: Option<T>,
    /// Which positions a position may look at.
    pub attend: Attend,
}

/// What an objective hands to a model in one micro-step.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch<T> {
    /// Rows of tokens.
    Rows(Rows<T>),
}

impl<T> Batch<T> {
    /// Converts every array with `f`, in the order of the fields: one call uploads a whole batch.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Batch<U>, E> {
        let Self::Rows(rows) = self;
        Ok(Batch::Rows(Rows {
            inputs: f(rows.inputs)?,
            targets: f(rows.targets)?,
            weights: f(rows.weights)?,
            positions: f(rows.positions)?,
            documents: rows.documents.map(f).transpose()?,
            attend: rows.attend,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(documents: Option<i32>) -> Batch<i32> {
        Batch::Rows(Rows { inputs: 1, targets: 2, weights: 3, positions: 4, documents, attend: Attend::Both })
    }

    #[test]
    fn mapping_keeps_the_fields_in_place() {
        let mapped: Result<_, ()> = rows(Some(5)).try_map(&mut |n| Ok(i64::from(n) * 10));
        let expect = Rows { inputs: 10, targets: 20, weights: 30, positions: 40, documents: Some(50), attend: Attend::Both };
        assert_eq!(mapped, Ok(Batch::Rows(expect)));
    }

    #[test]
    fn mapping_stops_at_the_first_error() {
        let mut calls = 0;
        let mapped: Result<Batch<i32>, i32> = rows(None).try_map(&mut |n| {
            calls += 1;
            if n == 3 { Err(n) } else { Ok(n) }
        });
        assert_eq!((mapped, calls), (Err(3), 3));
    }
}
