//! Direct preference optimisation: of two answers to a prompt the better one becomes likelier than under a reference model.
//!
//! ```text
//! m = beta ((log p(chosen) - log p(rejected)) - (log q(chosen) - log q(rejected)))
//! loss = -log sigmoid(m)                                  p the model, q the reference, which stays
//! ```
//!
//! Source: Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a reward model", equation 7.
//!
//! The loss depends on the weights only through each row's nats, so its gradient is that of the nats under weights of their own,
//! d loss / d nats = ± beta sigmoid(-m): the model's one loss, over the same rows, serves for it. Dropout is off.

use ssl_data::batch::Batch;
use tch::{Kind, Tensor};

use crate::model::{Loss, Model, Pass};

/// A model that learns preferences. Row 2i of a batch is the chosen answer of pair i, row 2i + 1 the rejected one.
pub struct Dpo {
    model: Box<dyn Model>,
    reference: Box<dyn Model>,
    beta: f64,
}

impl Dpo {
    /// `model` begins as `reference`; `beta` says how far it may leave it.
    #[must_use]
    pub fn new(model: Box<dyn Model>, reference: Box<dyn Model>, beta: f64) -> Self {
        Self { model, reference, beta }
    }

    /// The model that learns.
    #[must_use]
    pub fn policy(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// The margin of each pair, `[b / 2]`, in f64, without gradient.
    pub fn margins(&self, batch: &Batch<Tensor>) -> Tensor {
        let nats = |model: &dyn Model| {
            let loss = tch::no_grad(|| model.loss(batch, Pass::Eval));
            (loss.nats.to_kind(Kind::Double) * loss.weights).sum_dim_intlist(1, false, Kind::Double).view([-1, 2])
        };
        let beyond = nats(self.model.as_ref()) - nats(self.reference.as_ref());
        (beyond.select(1, 1) - beyond.select(1, 0)) * self.beta
    }
}

impl Model for Dpo {
    /// The nats are the loss of each pair, at its chosen row.
    fn loss(&self, batch: &Batch<Tensor>, _pass: Pass) -> Loss {
        let margins = self.margins(batch);
        let value = -margins.log_sigmoid();
        let pull = (-&margins).sigmoid() * self.beta;
        let factors = Tensor::stack(&[&pull, &-&pull], 1).view([-1, 1]).to_kind(Kind::Float);
        let weighed = scaled(batch, &factors);
        let surrogate = self.model.loss(&weighed, Pass::Eval).total;
        let total = &surrogate - surrogate.detach() + value.sum(Kind::Double);
        let beside = |chosen: &Tensor| Tensor::stack(&[chosen, &chosen.zeros_like()], 1).view([-1, 1]).to_kind(Kind::Float);
        let weights = beside(&value.ones_like());
        Loss { total, nats: beside(&value), counts: weights.squeeze_dim(1), weights }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.model.hidden(batch, pass)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.model.logits(batch)
    }

    fn context(&self) -> usize {
        self.model.context()
    }
}

/// The same batch, each row's weights multiplied by its factor, `[b, 1]`.
fn scaled(batch: &Batch<Tensor>, factors: &Tensor) -> Batch<Tensor> {
    let Ok(mut own) = batch.as_ref().try_map(&mut |array| Ok::<_, std::convert::Infallible>(array.shallow_clone()));
    match &mut own {
        Batch::Rows(rows) | Batch::Pair(_, rows) => rows.weights = &rows.weights * factors,
        Batch::Texts(_) => panic!("preferences are rows"),
    }
    own
}
