//! Text from a model, one token after another.

mod draw;

pub use draw::{Past, draw, log_probs, pick};
use ssl_model::Model;
use tch::{Device, Tensor};

use crate::error::{Error, Result};

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Logits are divided by this; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Draw from the k likeliest only.
    pub top_k: Option<u32>,
    /// Draw from the smallest set that holds this share of the probability.
    pub top_p: f64,
    /// Draw only what is at least this share as likely as the likeliest; 0 lets all through.
    pub min_p: f64,
    /// Divides the logits of what the text has, prompt included, where they are above 0, and multiplies those below; 1 does nothing.
    pub repetition_penalty: f64,
    /// Taken from the logit of a token for each time that it was written.
    pub frequency_penalty: f64,
    /// Taken from the logits of all that was written.
    pub presence_penalty: f64,
    /// Added to the logits of some tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Token i is a function of the model, the text before it and (seed, i).
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }
}

/// Whether more tokens are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Another one.
    More,
    /// None.
    Enough,
}

/// Reads `prompt` (at least one token) and draws up to `max_tokens` more, handing each to `each` with the logits it was drawn from.
///
/// A text longer than the model's context is slid over: the newer half of it is read again, and the text goes on.
///
/// # Errors
/// When an id is outside the vocabulary, the model's output is not finite, or an operation fails.
pub fn generate(
    model: &dyn Model,
    device: Device,
    prompt: &[u32],
    max_tokens: u64,
    sampling: &Sampling,
    each: &mut dyn FnMut(u32, &[f32]) -> Want,
) -> Result<()> {
    let context = model.context();
    let decoder = model.decoder().ok_or(Error::NoDecoder)?;
    let mut text = prompt.to_vec();
    let mut cache = decoder.cache(None);
    let mut unread = text.len().saturating_sub(context);
    for index in 0..max_tokens {
        if cache.tokens as usize + (text.len() - unread) > context {
            unread = text.len() - (context / 2).max(1);
            cache = decoder.cache(None);
        }
        let ids: Vec<i64> = text[unread..].iter().map(|&id| i64::from(id)).collect();
        let logits = ssl_torch::guard(|| {
            let tokens = Tensor::from_slice(&ids).unsqueeze(0).to_device(device);
            Vec::<f32>::try_from(tch::no_grad(|| decoder.next(&tokens, &mut cache)).view([-1]).to_device(Device::Cpu))
        })?;
        let logits = logits.unwrap_or_default();
        unread = text.len();
        if let Some(&id) = text.iter().find(|&&id| id as usize >= logits.len()) {
            return Err(Error::Token { id, vocab: logits.len() });
        }
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::NonFinite { tokens: text.len() as u64 });
        }
        let (prompt, written) = text.split_at(prompt.len());
        let id = draw(&logits, sampling, Past { prompt, written }, index);
        text.push(id);
        if each(id, &logits) == Want::Enough {
            break;
        }
    }
    Ok(())
}
