//! The loss of every objective that predicts token by token.

use ssl_data::batch::Rows;
use tch::Tensor;

use crate::model::Loss;

/// Cross-entropy of `hidden_btd` under the output head `head_vd` against the targets of `rows`.
///
/// # Panics
/// When libtorch refuses, as any operation does.
#[must_use]
pub fn token_loss(hidden_btd: &Tensor, head_vd: &Tensor, rows: &Rows<Tensor>) -> Loss {
    let hidden = hidden_btd.flatten(0, -2);
    match ssl_torch::kernels::linear_cross_entropy(&hidden, head_vd, &rows.targets, &rows.weights) {
        Ok((total, nats)) => Loss { total, nats: nats.view_as(&rows.targets), weights: rows.weights.shallow_clone() },
        Err(fault) => panic!("{fault}"),
    }
}
