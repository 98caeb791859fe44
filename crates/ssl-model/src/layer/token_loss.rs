//! The loss of every objective that predicts token by token.

use ssl_data::batch::Rows;
use tch::{Kind, Tensor};

use super::linear;
use super::quantised::restored;
use crate::model::Loss;

/// Cross-entropy of `hidden_btd` under the output head `head_vd`, and its bias where it has one, against the targets of
/// `rows`.
///
/// # Panics
/// When libtorch refuses, as any operation does.
#[must_use]
pub fn token_loss(hidden_btd: &Tensor, head_vd: &Tensor, bias_v: Option<&Tensor>, rows: &Rows<Tensor>) -> Loss {
    let hidden = hidden_btd.flatten(0, -2);
    let (total, nats) = cross_entropy(hidden, head_vd, bias_v, rows.never, &rows.targets, &rows.weights);
    Loss { total, nats: nats.view_as(&rows.targets), weights: rows.weights.shallow_clone(), counts: rows.counts.shallow_clone() }
}

/// The same where most positions have no weight, as with masks: only those that count go through `transform`
/// (`[n, d]` to `[n, e]`) and the head `head_ve`; the nats of the others are left at 0.
///
/// # Panics
/// When libtorch refuses, as any operation does.
#[must_use]
pub fn token_loss_at(
    hidden_btd: &Tensor,
    transform: &dyn Fn(&Tensor) -> Tensor,
    head_ve: &Tensor,
    bias_v: Option<&Tensor>,
    rows: &Rows<Tensor>,
) -> Loss {
    let at = counted(rows);
    let pick = |x: &Tensor| x.flatten(0, 1).index_select(0, &at);
    let hidden = transform(&pick(hidden_btd));
    let (total, nats) = cross_entropy(hidden, head_ve, bias_v, rows.never, &pick(&rows.targets), &pick(&rows.weights));
    let nats = rows.weights.zeros_like().flatten(0, 1).index_copy(0, &at, &nats).view_as(&rows.targets);
    Loss { total, nats, weights: rows.weights.shallow_clone(), counts: rows.counts.shallow_clone() }
}

/// The positions whose targets have a weight, counted through all rows: i64, `[n]`.
pub fn counted(rows: &Rows<Tensor>) -> Tensor {
    rows.weights.flatten(0, 1).nonzero().squeeze_dim(1)
}

/// Weighted total and nats, `[n]`, of `hidden_nd` under a head.
fn cross_entropy(
    hidden_nd: Tensor,
    head_vd: &Tensor,
    bias_v: Option<&Tensor>,
    never: Option<i64>,
    targets: &Tensor,
    weights: &Tensor,
) -> (Tensor, Tensor) {
    // A head of eight bits is given its width back, so that its loss is that of what it rounds to.
    let held = (head_vd.kind() == Kind::Int8).then(|| restored(head_vd).to_kind(hidden_nd.kind()));
    let head_vd = held.as_ref().unwrap_or(head_vd);
    // A bias is the weight of a feature that is always 1.
    let (hidden, head) = match &barred(bias_v, head_vd, never) {
        None => (hidden_nd, head_vd.shallow_clone()),
        Some(bias) => {
            let one = hidden_nd.new_ones([hidden_nd.size()[0], 1], (hidden_nd.kind(), hidden_nd.device()));
            (Tensor::cat(&[hidden_nd, one], 1), Tensor::cat(&[head_vd, &bias.unsqueeze(1)], 1))
        }
    };
    match ssl_torch::kernels::linear_cross_entropy(&hidden, &head, targets, weights) {
        Ok(found) => found,
        Err(fault) => panic!("{fault}"),
    }
}

/// Logits in fp32, `[b, t, v]`, under the same head.
pub fn token_logits(hidden_btd: &Tensor, head_vd: &Tensor, bias_v: Option<&Tensor>, never: Option<i64>) -> Tensor {
    linear(hidden_btd, head_vd, barred(bias_v, head_vd, never).as_ref()).to_kind(Kind::Float)
}

/// The bias that leaves no probability to an id that is never the answer.
fn barred(bias_v: Option<&Tensor>, head_vd: &Tensor, never: Option<i64>) -> Option<Tensor> {
    let Some(id) = never else { return bias_v.map(Tensor::shallow_clone) };
    let v = head_vd.size()[0];
    // Weights of eight bits have biases of their own.
    let kind = if head_vd.kind() == Kind::Int8 { Kind::Float } else { head_vd.kind() };
    let barrier = Tensor::zeros([v], (kind, head_vd.device()));
    // Far below any logit and still finite, so that no product with it is undefined.
    let _ = barrier.narrow(0, id, 1).fill_(-1e9);
    Some(bias_v.map_or_else(|| barrier.shallow_clone(), |bias| bias + &barrier))
}
