//! Layers that more than one model is made of.

mod attention;
mod linear;
mod norm;
mod rotary;
mod token_loss;

pub use attention::{Attention, Mask};
pub use linear::{Conv1d, Linear, embedding};
pub use norm::{LayerNorm, RmsNorm};
pub use rotary::Rotary;
pub use token_loss::{token_logits, token_loss};
