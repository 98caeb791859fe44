//! A pretrained model with the head of a task: the class of a text, the tag of each word, or where an answer begins and ends.
//!
//! ```text
//! classes   p(c | x)   = softmax(W pool(h) + b)
//! tags      p(c_t | x) = softmax(W h_t + b)
//! span      p(begins at t | x) = softmax over t of w · h_t + b, and so its end
//! ```
//!
//! Rows say what is asked as in pretraining: `weights` say where, `targets` what. A class stands at a row's first position; a tag at
//! its word's first token; of a span, bit 0 of a target says that it begins there and bit 1 that it ends there.
//!
//! Source: Devlin et al. 2019, section 4 and appendix A.5; Radford et al. 2018, section 3.3 (the last token of a model that looks back).
//!
//! Axes: b rows, t positions, d width, c classes.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Source};
use tch::{Kind, Tensor};

use crate::config::ModelConfig;
use crate::init::{Role, Scheme};
use crate::layer::{Linear, dropped, present};
use crate::model::{Decode, Loss, Model, Pass};
use crate::params::Params;

/// What a head predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum HeadConfig {
    /// One class of a row.
    Classes {
        /// How many there are.
        count: u32,
        /// How a row becomes one vector.
        pool: Pool,
    },
    /// One tag of each word.
    Tags {
        /// How many there are.
        count: u32,
    },
    /// Where an answer begins and ends.
    Span {},
}

/// One vector for a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The mean of its tokens, padding left out.
    #[default]
    Mean,
    /// Its first token.
    First,
    /// Its last token, the usual choice where models look back.
    Last,
    /// Its first token through `tanh(W h + b)`, BERT's own.
    Pooler,
}

/// The model with its head.
pub struct Headed {
    base: Box<dyn Model>,
    config: HeadConfig,
    pooler: Option<Linear>,
    map: Linear,
    dropout: f64,
}

impl Headed {
    /// A head on `base`, whose weights stand in `params` already; the head's are added under transformers' names.
    pub fn new(base: Box<dyn Model>, model: &ModelConfig, config: &HeadConfig, dropout: f64, params: &mut Params) -> Self {
        params.adapt(None);
        let inputs = i64::from(model.width());
        let (name, outputs, bias) = match config {
            HeadConfig::Span {} => ("qa_outputs", 2, true),
            // transformers keeps a head of a model that looks back under another name, without a bias.
            HeadConfig::Classes { count, pool: Pool::Last } => ("score", i64::from(*count), false),
            HeadConfig::Classes { count, .. } | HeadConfig::Tags { count } => ("classifier", i64::from(*count), true),
        };
        let square = Role::Matrix { inputs, outputs: inputs };
        let pooled = matches!(config, HeadConfig::Classes { pool: Pool::Pooler, .. });
        let pooler = pooled.then(|| Linear::with_bias(params, POOLER, Scheme::TruncatedNormal, square, true));
        let map = Linear::with_bias(params, name, Scheme::TruncatedNormal, Role::Head { inputs, outputs }, bias);
        Self { base, config: config.clone(), pooler, map, dropout }
    }

    /// Logits in fp32: `[b, 1, c]` of classes, `[b, t, c]` of tags, `[b, t, 2]` of a span, its padding far below the rest.
    fn judge(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        let h_btd = self.base.hidden(batch, pass);
        let present = present_of(batch);
        let map = |h: &Tensor| {
            let h = dropped(h, self.dropout, pass);
            self.map.forward(&h.to_kind(self.map.kind())).to_kind(Kind::Float)
        };
        match &self.config {
            HeadConfig::Tags { .. } => map(&h_btd),
            HeadConfig::Span {} => map(&h_btd).masked_fill(&present.logical_not().unsqueeze(2), UNSEEN),
            HeadConfig::Classes { pool, .. } => {
                let pooled = pool.of(&h_btd, &present);
                let pooled = match &self.pooler {
                    Some(pooler) => pooler.forward(&pooled.to_kind(self.map.kind())).tanh(),
                    None => pooled,
                };
                map(&pooled).unsqueeze(1)
            }
        }
    }
}

impl Pool {
    /// One vector a row: `hidden_btd` to `[b, d]` in fp32; `present_bt` is false for padding.
    pub fn of(self, hidden_btd: &Tensor, present_bt: &Tensor) -> Tensor {
        let hidden = hidden_btd.to_kind(Kind::Float);
        match self {
            Self::First | Self::Pooler => hidden.select(1, 0),
            Self::Mean => {
                let present = present_bt.to_kind(Kind::Float).unsqueeze(2);
                let sum = (hidden * &present).sum_dim_intlist(1, false, Kind::Float);
                sum / present.sum_dim_intlist(1, false, Kind::Float).clamp_min(1.0)
            }
            Self::Last => {
                let last = (present_bt.to_kind(Kind::Int64).sum_dim_intlist(1, true, Kind::Int64) - 1).clamp_min(0);
                let d = hidden.size()[2];
                hidden.gather(1, &last.unsqueeze(2).expand([-1, 1, d], false), false).squeeze_dim(1)
            }
        }
    }
}

/// Where a batch has tokens, `[b, t]`: of the source where there are two sides.
pub fn present_of(batch: &Batch<Tensor>) -> Tensor {
    match batch {
        Batch::Rows(rows) => present(rows),
        Batch::Pair(Source { present, .. }, _) | Batch::Texts(Source { present, .. }) => present.ne(0),
    }
}

impl Model for Headed {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let Some(rows) = batch.rows() else { panic!("a head is asked by rows") };
        let logits = self.judge(batch, pass);
        let nats = match &self.config {
            HeadConfig::Tags { .. } => of_classes(&logits, &rows.targets),
            HeadConfig::Classes { .. } => of_classes(&logits, &rows.targets.narrow(1, 0, 1)),
            HeadConfig::Span {} => of_span(&logits, &rows.targets),
        };
        let weights = rows.weights.narrow(1, 0, nats.size()[1]);
        let total = (nats.to_kind(Kind::Double) * &weights).sum(Kind::Double);
        Loss { total, nats: nats.detach(), weights, counts: rows.counts.shallow_clone() }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.base.hidden(batch, pass)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.judge(batch, Pass::Eval)
    }

    /// The base's own: what was adapted still writes.
    fn decoder(&self) -> Option<&dyn Decode> {
        self.base.decoder()
    }

    fn context(&self) -> usize {
        self.base.context()
    }
}

/// Nats of the targets, `[b, t]`, under logits `[b, t, c]`.
fn of_classes(logits_btc: &Tensor, targets_bt: &Tensor) -> Tensor {
    -logits_btc.log_softmax(2, Kind::Float).gather(2, &targets_bt.unsqueeze(2), false).squeeze_dim(2)
}

/// Nats of beginnings and ends at their positions, `[b, t]`, under logits `[b, t, 2]`: their mean where both stand at one; 0 where
/// neither does.
fn of_span(logits_bt2: &Tensor, targets_bt: &Tensor) -> Tensor {
    let log = logits_bt2.log_softmax(1, Kind::Float);
    let asked = Tensor::stack(&[targets_bt.remainder(2), targets_bt.eq(2).logical_or(&targets_bt.eq(3)).to_kind(Kind::Int64)], 2);
    let count = asked.sum_dim_intlist(2, false, Kind::Float).clamp_min(1.0);
    -(log * asked).sum_dim_intlist(2, false, Kind::Float) / count
}

/// Below any logit, and finite.
const UNSEEN: f64 = -1e9;
/// BERT's pooler under transformers' name.
const POOLER: &str = "bert.pooler.dense";
