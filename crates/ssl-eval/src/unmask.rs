//! Text from a masked diffusion: every token begins hidden, and in each step some are written.
//!
//! From `t` to `s < t` each hidden token is written with probability `(t - s) / t`, by a draw from the model's answer; what
//! is written stays. Source: Sahoo et al. 2024, "Simple and effective masked diffusion language models", equation 6.

use ssl_data::batch::{Attend, Batch, Rows};
use ssl_data::rng::Rng;
use ssl_model::Model;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::sample::{Sampling, pick};

/// Keeps the order of writing apart from the other uses of a seed.
const STREAM: u64 = 0x756e_6d61_736b_0000;

/// Writes `length` tokens after `prompt` in `steps` steps. Together they are cut to the model's context: the prompt at its
/// beginning, so that half of the context or more is left to write in.
///
/// # Errors
/// When an id is outside the vocabulary, the model's output is not finite, or an operation fails.
pub fn unmask(
    model: &dyn Model,
    device: Device,
    prompt: &[u32],
    length: usize,
    mask: u32,
    steps: u64,
    sampling: &Sampling,
) -> Result<Vec<u32>> {
    let room = length.min(model.context().div_ceil(2));
    let prompt = &prompt[prompt.len().saturating_sub(model.context() - room)..];
    let n = (prompt.len() + length).min(model.context());
    let mut text: Vec<u32> = prompt.iter().copied().chain(std::iter::repeat(mask)).take(n).collect();
    let mut hidden: Vec<usize> = (prompt.len().min(n)..n).collect();
    for step in 0..steps.max(1) {
        if hidden.is_empty() {
            break;
        }
        // The last step writes all that is left: t - s is then t.
        let share = 1.0 / (steps.max(1) - step) as f64;
        let (now, later): (Vec<usize>, Vec<usize>) = hidden
            .iter()
            .partition(|&&at| Rng::at(sampling.seed, STREAM, step * model.context() as u64 + at as u64).unit() < share);
        hidden = later;
        if now.is_empty() {
            continue;
        }
        let logits = ask(model, device, &text, mask, &now)?;
        let vocab = logits.first().map_or(0, Vec::len);
        if let Some(&id) = text.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Token { id, vocab });
        }
        for (at, logits) in now.into_iter().zip(logits) {
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(Error::NonFinite { tokens: at as u64 });
            }
            text[at] = pick(&logits, sampling, at as u64);
        }
    }
    Ok(text[prompt.len().min(n)..].to_vec())
}

/// The model's answers at some places.
fn ask(model: &dyn Model, device: Device, text: &[u32], mask: u32, places: &[usize]) -> Result<Vec<Vec<f32>>> {
    let ids: Vec<i64> = text.iter().map(|&id| i64::from(id)).collect();
    let at: Vec<i64> = places.iter().map(|&at| at as i64).collect();
    let t = ids.len() as i64;
    let asked = ssl_torch::guard(|| {
        let inputs = Tensor::from_slice(&ids).view([1, t]).to_device(device);
        let weights = Tensor::zeros([1, t], (Kind::Float, device));
        let counts = Tensor::zeros([1], (Kind::Float, device));
        let positions = Tensor::arange(t, (Kind::Int64, device)).view([1, t]);
        let rows = Rows::new(inputs.shallow_clone(), inputs, weights, counts, positions);
        let batch = Batch::Rows(Rows { attend: Attend::Both, never: Some(i64::from(mask)), ..rows });
        let logits = tch::no_grad(|| model.logits(&batch)).squeeze_dim(0);
        let rows = logits.index_select(0, &Tensor::from_slice(&at).to_device(device)).to_device(Device::Cpu);
        Vec::<Vec<f32>>::try_from(rows)
    })?;
    Ok(asked.unwrap_or_default())
}
