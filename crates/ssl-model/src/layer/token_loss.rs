//! The loss of every objective that predicts token by token.

use ssl_data::batch::Rows;
use tch::{Kind, Tensor};

use crate::model::Loss;

/// Cross-entropy of `hidden_btd` under the output head `head_vd`, and its bias where it has one, against the targets of
/// `rows`.
///
/// # Panics
/// When libtorch refuses, as any operation does.
#[must_use]
pub fn token_loss(hidden_btd: &Tensor, head_vd: &Tensor, bias_v: Option<&Tensor>, rows: &Rows<Tensor>) -> Loss {
    let hidden = hidden_btd.flatten(0, -2);
    let bias = barred(bias_v, head_vd, rows.never);
    // A bias is the weight of a feature that is always 1.
    let (hidden, head) = match &bias {
        None => (hidden, head_vd.shallow_clone()),
        Some(bias) => {
            let one = hidden.new_ones([hidden.size()[0], 1], (hidden.kind(), hidden.device()));
            (Tensor::cat(&[hidden, one], 1), Tensor::cat(&[head_vd, &bias.unsqueeze(1)], 1))
        }
    };
    match ssl_torch::kernels::linear_cross_entropy(&hidden, &head, &rows.targets, &rows.weights) {
        Ok((total, nats)) => Loss {
            total,
            nats: nats.view_as(&rows.targets),
            weights: rows.weights.shallow_clone(),
            counts: rows.counts.shallow_clone(),
        },
        Err(fault) => panic!("{fault}"),
    }
}

/// Logits in fp32, `[b, t, v]`, under the same head.
pub fn token_logits(hidden_btd: &Tensor, head_vd: &Tensor, bias_v: Option<&Tensor>, never: Option<i64>) -> Tensor {
    hidden_btd.linear(head_vd, barred(bias_v, head_vd, never).as_ref()).to_kind(Kind::Float)
}

/// The bias that leaves no probability to an id that is never the answer.
fn barred(bias_v: Option<&Tensor>, head_vd: &Tensor, never: Option<i64>) -> Option<Tensor> {
    let Some(id) = never else { return bias_v.map(Tensor::shallow_clone) };
    let v = head_vd.size()[0];
    let barrier = Tensor::zeros([v], (head_vd.kind(), head_vd.device()));
    // Far below any logit and still finite, so that no product with it is undefined.
    let _ = barrier.narrow(0, id, 1).fill_(-1e9);
    Some(bias_v.map_or_else(|| barrier.shallow_clone(), |bias| bias + &barrier))
}
