//! The head of masked language models: what stood at a masked position, from the hidden state there.
//!
//! `softmax(E LayerNorm(gelu(W h + b)) + c)`, with `E` the table of token embeddings.
//!
//! Source: Devlin et al. 2019, appendix A; the code released with it, `get_masked_lm_output`.

use ssl_data::batch::Rows;
use tch::Tensor;

use super::{LayerNorm, Linear, token_logits, token_loss_at};
use crate::config::Activation;
use crate::init::{Init, Role, Scheme};
use crate::model::Loss;
use crate::params::Params;

/// The head, without the table that it shares with the embeddings.
#[derive(Debug)]
pub struct MaskedHead {
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
    bias_v: Tensor,
}

/// Names and shape of a [`MaskedHead`].
#[derive(Debug)]
pub struct MaskedHeadConfig<'a> {
    /// The name of the map.
    pub dense: &'a str,
    /// Whether the map has a bias, and the norm.
    pub bias: bool,
    /// The name of the norm.
    pub norm: &'a str,
    /// The whole name of the bias over the vocabulary.
    pub output: &'a str,
    /// Features in and out: those of the stream and those of the embeddings.
    pub features: (i64, i64),
    /// Ids.
    pub vocab: i64,
    /// The non-linearity.
    pub activation: Activation,
    /// Added to the variance in the norm.
    pub eps: f64,
    /// Initial weights.
    pub init: Scheme,
}

impl MaskedHead {
    /// A head with its weights in `params`.
    pub fn new(params: &mut Params, config: &MaskedHeadConfig<'_>) -> Self {
        let (inputs, outputs) = config.features;
        let role = Role::Matrix { inputs, outputs };
        Self {
            dense: Linear::with_bias(params, config.dense, config.init, role, config.bias),
            activation: config.activation,
            norm: LayerNorm::new(params, config.norm, outputs, config.bias, config.eps),
            bias_v: params.add(config.output, &[config.vocab], Init::Zeros),
        }
    }

    /// The vector that is compared with each token's embedding, `[.., d]` to `[.., e]`.
    pub fn transform(&self, hidden: &Tensor) -> Tensor {
        self.norm.forward(&self.activation.forward(&self.dense.forward(hidden)))
    }

    /// The loss of rows; the head reads only the positions that count.
    #[must_use]
    pub fn loss(&self, hidden_btd: &Tensor, table_ve: &Tensor, rows: &Rows<Tensor>) -> Loss {
        token_loss_at(hidden_btd, &|hidden_nd| self.transform(hidden_nd), table_ve, Some(&self.bias_v), rows)
    }

    /// Logits in fp32, `[.., d]` to `[.., v]`.
    pub fn logits(&self, hidden: &Tensor, table_ve: &Tensor, never: Option<i64>) -> Tensor {
        token_logits(&self.transform(hidden), table_ve, Some(&self.bias_v), never)
    }
}
