//! Text from a model, one token after another.
//!
//! Source: temperature as in Ackley, Hinton and Sejnowski 1985; top-k: Fan, Lewis and Dauphin 2018; top-p: Holtzman et
//! al. 2020.

use ssl_data::rng::Rng;
use ssl_model::Model;
use tch::{Device, Tensor};

use crate::error::{Error, Result};

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by this; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Draw from the k likeliest only.
    pub top_k: Option<u32>,
    /// Draw from the smallest set that holds this share of the probability.
    pub top_p: f64,
    /// Token i is a function of the model, the text before it and (seed, i).
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: 1.0, seed: 0 }
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

/// Reads `prompt` (at least one token) and draws up to `max_tokens` more, handing each to `each`.
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
    each: &mut dyn FnMut(u32) -> Want,
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
        let id = pick(&logits, sampling, index);
        text.push(id);
        if each(id) == Want::Enough {
            break;
        }
    }
    Ok(())
}

/// Draws token number `index` from logits.
#[must_use]
pub fn pick(logits: &[f32], sampling: &Sampling, index: u64) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    // Equal logits keep the order of ids, so that a draw does not depend on the sort.
    let descending = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if sampling.temperature <= 0.0 {
        return order.into_iter().min_by(descending).unwrap_or(0);
    }
    order.sort_unstable_by(descending);
    order.truncate(sampling.top_k.map_or(order.len(), |k| (k as usize).max(1)));
    let Some(&first) = order.first() else { return 0 };
    let highest = f64::from(logits[first as usize]);
    let weights: Vec<f64> =
        order.iter().map(|&id| ((f64::from(logits[id as usize]) - highest) / sampling.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let (mut kept, mut mass) = (0, 0.0);
    while kept < weights.len() && (kept == 0 || mass < sampling.top_p * total) {
        mass += weights[kept];
        kept += 1;
    }
    let mut left = Rng::at(sampling.seed, STREAM, index).unit() * mass;
    for (&id, &weight) in order[..kept].iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    order[kept - 1]
}

/// Keeps sampling apart from the other uses of a seed.
const STREAM: u64 = 0x7361_6d70_6c65_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, -1.0];

    fn shares(sampling: &Sampling) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for index in 0..20_000 {
            counts[pick(&LOGITS, sampling, index) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        for temperature in [0.5, 1.0, 2.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let total: f64 = weights.iter().sum();
            let found = shares(&Sampling { temperature, ..Sampling::default() });
            for (share, weight) in found.iter().zip(weights) {
                // Four standard deviations of a share of 20 000 draws.
                assert!((share - weight / total).abs() < 4.0 * 0.0036, "{temperature}: {found:?}");
            }
        }
    }

    #[test]
    fn cuts_keep_the_likeliest() {
        let top_k = shares(&Sampling { top_k: Some(2), ..Sampling::default() });
        assert!(top_k[0] == 0.0 && top_k[3] == 0.0 && top_k[1] > top_k[2] && top_k[2] > 0.0);
        // The likeliest alone holds 0.64: a share of 0.6 needs only it, 0.7 needs the second.
        assert!((shares(&Sampling { top_p: 0.6, ..Sampling::default() })[1] - 1.0).abs() < 1e-9);
        let two = shares(&Sampling { top_p: 0.7, ..Sampling::default() });
        assert!(two[2] > 0.0 && two[0] == 0.0);
        assert_eq!(pick(&LOGITS, &Sampling { temperature: 0.0, ..Sampling::default() }, 3), 1);
    }

    #[test]
    fn a_draw_is_a_function_of_seed_and_index() {
        let sampling = Sampling { seed: 5, ..Sampling::default() };
        let drawn = |seed| (0..50).map(|i| pick(&LOGITS, &Sampling { seed, ..sampling }, i)).collect::<Vec<_>>();
        assert_eq!(drawn(5), drawn(5));
        assert_ne!(drawn(5), drawn(6));
    }
}
