//! Layers that more than one model is made of.

mod attention;
mod contrastive;
mod dropout;
mod linear;
mod masked_head;
mod norm;
mod reading;
mod recompute;
mod rotary;
mod token_loss;

pub use attention::{Attention, Mask};
pub(crate) use contrastive::LAYER as CONTRASTIVE_LAYER;
pub use contrastive::{Contrastive, ContrastiveConfig, Pooling, contrastive_loss};
pub use dropout::{dropped, rate};
pub use linear::{Conv1d, Linear, embedding};
pub use masked_head::{MaskedHead, MaskedHeadConfig};
pub use norm::{LayerNorm, RmsNorm};
pub use reading::{Reading, present};
pub use recompute::Recompute;
pub use rotary::Rotary;
pub use token_loss::{counted, token_logits, token_loss, token_loss_at};
