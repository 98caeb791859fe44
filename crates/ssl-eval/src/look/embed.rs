//! A text as one vector: the hidden states of its tokens pooled.
//!
//! A text longer than the model reads at once is divided into windows of about one length, whose vectors are averaged, each by its
//! tokens. A vector does not depend on the texts beside it.

use std::ops::Range;

use ssl_model::Pass;
use ssl_model::head::Pool;
use tch::{Device, Tensor};

use super::Look;
use crate::error::{Error, Result};

/// Positions of a batch, padding included.
const BATCH_TOKENS: usize = 8192;

/// How a text becomes a vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Embedding {
    /// Which hidden states: by default the mean over the text's own tokens, marks left out. The first is that of the mark before the
    /// text, where the model has one; a pooler is not asked.
    pub pool: Pool,
    /// Whether vectors are divided by their length, so that a product of two is their cosine.
    pub normalize: bool,
}

/// A part of a text that is read at once.
struct Window {
    text: usize,
    tokens: Range<usize>,
}

impl Look<'_> {
    /// One vector of the model's width for each text, in their order. `stop` is told the share that is done between batches, and asked.
    ///
    /// # Errors
    /// When a text has no token, an id is outside the vocabulary, the model's output is not finite, an operation fails, or `stop`
    /// says so.
    pub fn embed(&self, texts: &[Vec<u32>], how: Embedding, stop: &dyn Fn(f64) -> bool) -> Result<Vec<Vec<f32>>> {
        let mut windows = Vec::new();
        for (text, ids) in texts.iter().enumerate() {
            if ids.is_empty() {
                return Err(Error::NoTokens { at: text });
            }
            self.check(ids)?;
            let (n, count) = (ids.len(), ids.len().div_ceil(self.room()));
            windows.extend((0..count).map(|k| Window { text, tokens: n * k / count..n * (k + 1) / count }));
        }
        windows.sort_by_key(|window| window.tokens.len());
        let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        let mut done = 0;
        while done < windows.len() {
            if stop(done as f64 / windows.len() as f64) {
                return Err(Error::Stopped);
            }
            // The last of a batch is its longest.
            let marks = self.row(&[]).len();
            let fits = |count: &usize| count * (marks + windows[done + count - 1].tokens.len()) <= BATCH_TOKENS;
            let count = (1..=windows.len() - done).take_while(fits).last().unwrap_or(1);
            let batch = &windows[done..done + count];
            for (window, vector) in batch.iter().zip(self.pooled(texts, batch, how.pool)?) {
                let share = window.tokens.len() as f32 / texts[window.text].len() as f32;
                let sum = &mut vectors[window.text];
                sum.resize(vector.len(), 0.0);
                sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += share * x);
            }
            done += count;
        }
        for (vector, text) in vectors.iter_mut().zip(texts) {
            if vector.iter().any(|x| !x.is_finite()) {
                return Err(Error::NonFinite { tokens: text.len() as u64 });
            }
            if how.normalize {
                let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
                for x in vector {
                    *x = (f64::from(*x) / length) as f32;
                }
            }
        }
        Ok(vectors)
    }

    /// The vector of each window of one batch.
    fn pooled(&self, texts: &[Vec<u32>], windows: &[Window], pool: Pool) -> Result<Vec<Vec<f32>>> {
        let parts: Vec<&[u32]> = windows.iter().map(|window| &texts[window.text][window.tokens.clone()]).collect();
        let before = usize::from(self.begin.is_some());
        let pooled = ssl_torch::guard(|| {
            let hidden = tch::no_grad(|| self.model.hidden(&self.batch(&parts), Pass::Eval));
            let (b, t, _) = hidden.size3().unwrap_or_default();
            // What each position counts: a product with it pools in every way.
            let counts: Vec<f32> = parts
                .iter()
                .flat_map(|part| {
                    let own = before..before + part.len();
                    (0..t as usize).map(move |at| match pool {
                        Pool::Mean if own.contains(&at) => 1.0 / own.len() as f32,
                        Pool::First | Pool::Pooler if at == 0 => 1.0,
                        Pool::Last if at + 1 == own.end => 1.0,
                        _ => 0.0,
                    })
                })
                .collect();
            let counts = Tensor::from_slice(&counts).view([b, 1, t]).to_device(self.device);
            counts.bmm(&hidden).squeeze_dim(1).to_device(Device::Cpu)
        })?;
        Ok((0..windows.len()).map(|row| Vec::<f32>::try_from(pooled.get(row as i64)).unwrap_or_default()).collect())
    }
}
