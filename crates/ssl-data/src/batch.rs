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
    /// Whether it goes on where the window of the same stream before it ended.
    pub continues: bool,
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
    /// Ids in rows of `length`.
    #[must_use]
    pub fn ids(data: Vec<i64>, length: usize) -> Self {
        let shape = vec![(data.len() / length.max(1)) as i64, length as i64];
        Self::Ids { data, shape }
    }

    /// Reals in rows of `length`.
    #[must_use]
    pub fn reals(data: Vec<f32>, length: usize) -> Self {
        let shape = vec![(data.len() / length.max(1)) as i64, length as i64];
        Self::Reals { data, shape }
    }

    /// One real a row.
    #[must_use]
    pub fn column(data: Vec<f32>) -> Self {
        let shape = vec![data.len() as i64];
        Self::Reals { data, shape }
    }

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
pub enum Attend<T> {
    /// Itself and those before it.
    Causal,
    /// Those on both sides.
    Both,
    /// Itself, those before it, and in row i the first `prefix[i]` positions whatever the side (i64, `[b]`): 0 is causal, the
    /// row's length is both. Source: Raffel et al. 2020, section 3.2.1 (prefix language model).
    Prefix(T),
}

/// Rows of tokens with a target at each position, for every objective that predicts token by token.
///
/// # Shapes
/// Each array is `[b, t]` unless it says otherwise: b rows of t positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    /// Token ids that the model reads (i64).
    pub inputs: T,
    /// Token ids to predict (i64); a valid id even where the weight is 0.
    pub targets: T,
    /// What each target counts in the loss (f32); 0 is no loss.
    pub weights: T,
    /// What each row divides the loss by (f32, `[b]`): the sum of its weights, or the tokens that a bound is spread over.
    pub counts: T,
    /// The position of each token (i64), from 0; restarts at each document where documents are isolated.
    pub positions: T,
    /// The document of each token within its row (i64), present only when attention must stay inside documents, of which
    /// padding is one.
    pub documents: Option<T>,
    /// Two sentences to a row, for models that are asked whether one follows the other.
    pub sentences: Option<Sentences<T>>,
    /// Which positions a position may look at.
    pub attend: Attend<T>,
    /// Whether each row goes on where the same row of the batch before ended, for models that carry a state.
    pub continues: bool,
    /// An id that is never the answer, whose probability is 0: the mask of a diffusion.
    pub never: Option<i64>,
}

impl<T> Rows<T> {
    /// Rows that look back only, over one document each.
    pub fn new(inputs: T, targets: T, weights: T, counts: T, positions: T) -> Self {
        Self {
            inputs,
            targets,
            weights,
            counts,
            positions,
            documents: None,
            sentences: None,
            attend: Attend::Causal,
            continues: false,
            never: None,
        }
    }

    fn as_ref(&self) -> Rows<&T> {
        Rows {
            inputs: &self.inputs,
            targets: &self.targets,
            weights: &self.weights,
            counts: &self.counts,
            positions: &self.positions,
            documents: self.documents.as_ref(),
            sentences: self.sentences.as_ref().map(|Sentences { segments, random }| Sentences { segments, random }),
            attend: match &self.attend {
                Attend::Causal => Attend::Causal,
                Attend::Both => Attend::Both,
                Attend::Prefix(prefix) => Attend::Prefix(prefix),
            },
            continues: self.continues,
            never: self.never,
        }
    }

    fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Rows<U>, E> {
        Ok(Rows {
            inputs: f(self.inputs)?,
            targets: f(self.targets)?,
            weights: f(self.weights)?,
            counts: f(self.counts)?,
            positions: f(self.positions)?,
            documents: self.documents.map(&mut *f).transpose()?,
            sentences: match self.sentences {
                Some(Sentences { segments, random }) => Some(Sentences { segments: f(segments)?, random: f(random)? }),
                None => None,
            },
            attend: match self.attend {
                Attend::Causal => Attend::Causal,
                Attend::Both => Attend::Both,
                Attend::Prefix(prefix) => Attend::Prefix(f(prefix)?),
            },
            continues: self.continues,
            never: self.never,
        })
    }
}

/// Which sentence each token is of, and whether the second is the first one's own continuation.
///
/// Source: Devlin et al. 2019, section 3.1, task 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentences<T> {
    /// 0 for the first sentence, 1 for the second (i64, `[b, t]`).
    pub segments: T,
    /// 0 where the second follows the first, 1 where it was drawn from elsewhere (i64, `[b]`).
    pub random: T,
}

/// Text that is read from both sides and not predicted.
///
/// # Shapes
/// Both are `[b, s]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source<T> {
    /// Token ids (i64).
    pub ids: T,
    /// 1 for a token, 0 for padding (i64).
    pub present: T,
}

impl<T> Source<T> {
    fn as_ref(&self) -> Source<&T> {
        Source { ids: &self.ids, present: &self.present }
    }

    fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Source<U>, E> {
        Ok(Source { ids: f(self.ids)?, present: f(self.present)? })
    }
}

/// What an objective hands to a model in one micro-step.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch<T> {
    /// Rows of tokens.
    Rows(Rows<T>),
    /// A source each, and the rows that are written from it; the two have lengths of their own.
    Pair(Source<T>, Rows<T>),
    /// Texts to be told apart.
    Texts(Source<T>),
}

impl<T> Batch<T> {
    /// Converts every array with `f`, in the order of the fields: one call uploads a whole batch.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Batch<U>, E> {
        Ok(match self {
            Self::Rows(rows) => Batch::Rows(rows.try_map(f)?),
            Self::Pair(source, rows) => Batch::Pair(source.try_map(f)?, rows.try_map(f)?),
            Self::Texts(texts) => Batch::Texts(texts.try_map(f)?),
        })
    }

    /// The same batch with its arrays borrowed.
    pub fn as_ref(&self) -> Batch<&T> {
        match self {
            Self::Rows(rows) => Batch::Rows(rows.as_ref()),
            Self::Pair(source, rows) => Batch::Pair(source.as_ref(), rows.as_ref()),
            Self::Texts(texts) => Batch::Texts(texts.as_ref()),
        }
    }

    /// The rows that are predicted, where there are any.
    pub fn rows(&self) -> Option<&Rows<T>> {
        match self {
            Self::Rows(rows) | Self::Pair(_, rows) => Some(rows),
            Self::Texts(_) => None,
        }
    }
}

impl Batch<Grid> {
    /// What the whole batch divides its loss by.
    #[must_use]
    pub fn count(&self) -> f64 {
        match self {
            Self::Rows(rows) | Self::Pair(_, rows) => match &rows.counts {
                Grid::Reals { data, .. } => data.iter().map(|&count| f64::from(count)).sum(),
                Grid::Ids { data, .. } => data.iter().sum::<i64>() as f64,
            },
            Self::Texts(texts) => texts.ids.shape()[0] as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows<i32> {
        let sentences = Some(Sentences { segments: 7, random: 8 });
        Rows { documents: Some(6), sentences, attend: Attend::Prefix(9), continues: true, ..Rows::new(1, 2, 3, 4, 5) }
    }

    #[test]
    fn mapping_keeps_the_fields_in_place() {
        let mapped: Result<_, ()> = Batch::Pair(Source { ids: 10, present: 11 }, rows()).try_map(&mut |n| Ok(i64::from(n) * 10));
        let sentences = Some(Sentences { segments: 70, random: 80 });
        let expect =
            Rows { documents: Some(60), sentences, attend: Attend::Prefix(90), continues: true, ..Rows::new(10, 20, 30, 40, 50) };
        assert_eq!(mapped, Ok(Batch::Pair(Source { ids: 100, present: 110 }, expect)));
    }

    #[test]
    fn borrowing_keeps_the_fields_in_place() {
        for batch in [
            Batch::Rows(rows()),
            Batch::Pair(Source { ids: 10, present: 11 }, rows()),
            Batch::Texts(Source { ids: 10, present: 11 }),
        ] {
            assert_eq!(batch.as_ref().try_map(&mut |n| Ok::<_, ()>(*n)), Ok(batch));
        }
    }

    #[test]
    fn mapping_stops_at_the_first_error() {
        let mut calls = 0;
        let mapped: Result<Batch<i32>, i32> = Batch::Rows(rows()).try_map(&mut |n| {
            calls += 1;
            if n == 3 { Err(n) } else { Ok(n) }
        });
        assert_eq!((mapped, calls), (Err(3), 3));
    }
}
