//! Which tokens look at which: the weights of every head of one layer over a text.

use ssl_model::Pass;
use ssl_model::layer::watched;
use tch::{Device, Tensor};

use super::Look;
use crate::error::{Error, Result};

/// Attention of one layer over a text.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The ids that the model read, its marks included.
    pub ids: Vec<u32>,
    /// Layers that the model has; of two stacks those of the encoder.
    pub layers: usize,
    /// The layer shown, counted from 0.
    pub layer: usize,
    /// `weights[head][t][s]` is the share of its attention that token t gives to token s; each row is a sum of 1.
    pub weights: Vec<Vec<Vec<f32>>>,
}

impl Look<'_> {
    /// The tokens of a text that are shown at most, marks included: a picture of more says nothing, and grows with their square.
    pub const TOKENS: usize = 256;

    /// The weights of each head of a layer, counted from 0.
    ///
    /// # Errors
    /// When the text is longer than [`Self::TOKENS`] or than the model reads at once, an id is outside the vocabulary, the model has no
    /// such layer or no attention, its weights are not finite, or an operation fails.
    pub fn attention(&self, text: &[u32], layer: usize) -> Result<View> {
        self.check(text)?;
        let (ids, most) = (self.row(text), Self::TOKENS.min(self.model.context()));
        if ids.len() > most {
            return Err(Error::TooLong { tokens: ids.len(), most });
        }
        if ids.is_empty() {
            return Err(Error::NoTokens { at: 0 });
        }
        let (weights, layers) = ssl_torch::guard(|| {
            let batch = self.batch(&[text]);
            let (_, watched) = watched(layer, || tch::no_grad(|| self.model.hidden(&batch, Pass::Eval)));
            let weights = watched.seen.map(|seen| seen.weights.squeeze_dim(0).to_device(Device::Cpu).contiguous());
            (weights.map(|weights| rows(&weights)), watched.layers)
        })?;
        match weights {
            Some(weights) if weights.iter().flatten().flatten().all(|weight| weight.is_finite()) => {
                Ok(View { ids, layers, layer, weights })
            }
            Some(_) => Err(Error::NonFinite { tokens: ids.len() as u64 }),
            None if layers == 0 => Err(Error::NoAttention),
            None => Err(Error::Layer { layer, layers }),
        }
    }
}

/// `[h, t, s]` as nested lists.
fn rows(weights_hts: &Tensor) -> Vec<Vec<Vec<f32>>> {
    let (_, t, s) = weights_hts.size3().unwrap_or_default();
    let flat = Vec::<f32>::try_from(weights_hts.view([-1])).unwrap_or_default();
    let row = |row: &[f32]| row.to_vec();
    flat.chunks((t * s).max(1) as usize).map(|head| head.chunks(s.max(1) as usize).map(row).collect()).collect()
}
