//! Dropout: in training each feature is left out with a probability, and the rest grows to keep the mean.
//!
//! Source: Srivastava et al. 2014, section 4.

use tch::Tensor;

use crate::model::Pass;

/// The probability that acts in a pass: none in use.
#[must_use]
pub fn rate(dropout: f64, pass: Pass) -> f64 {
    if pass == Pass::Eval { 0.0 } else { dropout }
}

/// `x` with features left out, of any shape.
pub fn dropped(x: &Tensor, dropout: f64, pass: Pass) -> Tensor {
    if rate(dropout, pass) > 0.0 { x.dropout(dropout, true) } else { x.shallow_clone() }
}
