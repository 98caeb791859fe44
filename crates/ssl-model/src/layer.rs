//! Layers that more than one model is made of.

mod activation;
mod attention;
mod cache;
mod contrastive;
mod dropout;
mod linear;
mod lora;
mod masked_head;
mod norm;
mod quantised;
mod reading;
mod recompute;
mod rotary;
mod token_loss;
mod watch;

pub use activation::{Activation, swiglu};
pub use attention::{Attention, Mask};
pub(crate) use cache::one_by_one;
pub use cache::{Cache, Piece, Step, source_of};
pub(crate) use contrastive::LAYER as CONTRASTIVE_LAYER;
pub use contrastive::{Contrastive, ContrastiveConfig, Pooling, contrastive_loss};
pub use dropout::{dropped, rate};
pub use linear::{Conv1d, Linear, embedding, linear};
pub use lora::LoraConfig;
pub use masked_head::{MaskedHead, MaskedHeadConfig};
pub use norm::{LayerNorm, RmsNorm};
pub use quantised::quantised;
pub use reading::{Reading, present};
pub use recompute::Recompute;
pub use rotary::Rotary;
pub use token_loss::{counted, token_logits, token_loss, token_loss_at};
pub use watch::{Seen, Watched, watched};

/// What a kernel of `ssl-torch` made; a fault panics, as those of `tch`'s operations do.
fn whole<T>(made: ssl_torch::Result<T>) -> T {
    made.unwrap_or_else(|fault| panic!("{fault}"))
}
