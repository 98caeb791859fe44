//! Sentence embeddings by contrast: a text read twice under independent dropout is nearer to itself than to the others.
//!
//! ```text
//! l_i = -log exp(sim(h_i, h'_i) / tau) / sum_j exp(sim(h_i, h'_j) / tau)        sim the cosine
//! ```
//!
//! Source: Gao, Yao and Chen 2021, "`SimCSE`: simple contrastive learning of sentence embeddings", equation 4, section 3.
//!
//! Differs: a text can also be the mean of its tokens, which has no weights of its own and so is the default.

use serde::{Deserialize, Serialize};
use ssl_data::batch::Source;
use ssl_data::rng;
use tch::{Device, Kind, Tensor};

use super::Linear;
use crate::init::{Role, Scheme};
use crate::model::{Loss, Pass};
use crate::params::Params;

/// How texts are told apart. The temperature is the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ContrastiveConfig {
    /// How a text becomes one vector.
    pub pooling: Pooling,
    /// What similarities are divided by.
    pub temperature: f64,
}

impl Default for ContrastiveConfig {
    fn default() -> Self {
        Self { pooling: Pooling::Mean, temperature: 0.05 }
    }
}

/// One vector for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The mean of the hidden states of its tokens, padding left out.
    Mean,
    /// The hidden state of the first token.
    Cls,
    /// The same, in training through one more layer, `tanh(W h + b)`, that is then put aside: the paper's.
    ClsMlp,
}

/// The layer of [`Pooling::ClsMlp`], as in the paper's released models.
pub(crate) const LAYER: &str = "mlp.dense";

/// The part of an encoder that makes one vector of a text.
#[derive(Debug)]
pub struct Contrastive {
    config: ContrastiveConfig,
    layer: Option<Linear>,
}

impl Contrastive {
    /// Over `width` features.
    pub fn new(params: &mut Params, config: ContrastiveConfig, width: i64, init: Scheme) -> Self {
        let role = Role::Matrix { inputs: width, outputs: width };
        let layer = (config.pooling == Pooling::ClsMlp).then(|| Linear::with_bias(params, LAYER, init, role, true));
        Self { config, layer }
    }

    /// One vector a text: `hidden_bsd` to `[b, d]`, in fp32.
    pub fn pool(&self, hidden_bsd: &Tensor, texts: &Source<Tensor>, pass: Pass) -> Tensor {
        let first = |x: &Tensor| x.select(1, 0);
        match (&self.layer, self.config.pooling) {
            (Some(layer), _) if pass != Pass::Eval => layer.forward(&first(hidden_bsd)).tanh().to_kind(Kind::Float),
            (_, Pooling::Cls | Pooling::ClsMlp) => first(hidden_bsd).to_kind(Kind::Float),
            (_, Pooling::Mean) => {
                let present = texts.present.to_kind(Kind::Float).unsqueeze(2);
                let sum = (hidden_bsd.to_kind(Kind::Float) * &present).sum_dim_intlist(1, false, Kind::Float);
                sum / present.sum_dim_intlist(1, false, Kind::Float).clamp_min(1.0)
            }
        }
    }

    /// The loss of texts that `read` turns into hidden states `[b, s, d]`, twice. `unread` are the model's other weights,
    /// which texts do not reach: their gradient is 0.
    ///
    /// Without dropout two readings are one, and nothing is told by finding the one by the other. So dropout acts in use too,
    /// by chance that is a function of the texts.
    pub fn loss(&self, texts: &Source<Tensor>, pass: Pass, unread: &[Tensor], read: &dyn Fn(Pass) -> Tensor) -> Loss {
        if pass == Pass::Eval {
            let ids: Vec<i64> = (&texts.ids.flatten(0, -1).to_device(Device::Cpu)).try_into().unwrap_or_default();
            tch::manual_seed(ids.iter().fold(STREAM, |key, &id| rng::mix(key ^ id as u64)) as i64);
        }
        let chance = if pass == Pass::Eval { Pass::Train } else { pass };
        let [first, second] = [(); 2].map(|()| self.pool(&read(chance), texts, chance));
        let mut loss = contrastive_loss(&first, &second, self.config.temperature);
        if pass != Pass::Eval {
            for weight in unread {
                loss.total += weight.sum(Kind::Double) * 0.0;
            }
        }
        loss
    }
}

/// Keeps these draws apart from the other uses of a seed.
const STREAM: u64 = 0x7477_6f20_7669_6577;

/// The loss of two views of the same texts, both `[b, d]` in fp32; nats and weights are `[b, 1]`, every text counts 1.
#[must_use]
pub fn contrastive_loss(first_bd: &Tensor, second_bd: &Tensor, temperature: f64) -> Loss {
    let unit = |x: &Tensor| {
        // The paper's code divides by norms of at least this.
        let norm = x.norm_scalaropt_dim(2.0, [1], true).clamp_min(1e-8);
        x / norm
    };
    let similar = unit(first_bd).mm(&unit(second_bd).tr()) / temperature;
    let nats = -similar.log_softmax(1, Kind::Float).diagonal(0, 0, 1);
    let ones = nats.detach().ones_like();
    Loss { total: nats.sum(Kind::Double), nats: nats.detach().unsqueeze(1), weights: ones.unsqueeze(1), counts: ones }
}
