//! Text from a model, in the way that its objective taught it to write.

use ssl_data::batch::Source;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::vocab::{MASK, PAD, Vocab};
use ssl_eval::beam::Beam;
use ssl_eval::sample::{Sampling, Want, generate};
use ssl_eval::unmask::unmask;
use ssl_model::Model;
use tch::{Device, Tensor};

/// A diffusion writes this many tokens in a step, on average.
const TOKENS_A_STEP: u64 = 2;

/// A model that may write, and what it needs for that.
pub(crate) struct Writer<'a> {
    pub(crate) model: &'a dyn Model,
    /// What it was trained under.
    pub(crate) objective: &'a ObjectiveConfig,
    pub(crate) vocab: &'a Vocab,
    pub(crate) device: Device,
    /// How wide a model that writes from a source searches; the published width when absent.
    pub(crate) beam: Option<usize>,
}

impl Writer<'_> {
    /// Whether the model goes on with a text.
    pub(crate) fn writes(&self) -> bool {
        match self.objective {
            ObjectiveConfig::Diffusion {} | ObjectiveConfig::Translation(_) => true,
            ObjectiveConfig::Causal {} | ObjectiveConfig::Infill(_) | ObjectiveConfig::Hybrid(_) => {
                self.model.decoder().is_some()
            }
            _ => false,
        }
    }

    /// Whether what is written goes on with the prompt, rather than answers it.
    pub(crate) fn goes_on(&self) -> bool {
        !matches!(self.objective, ObjectiveConfig::Translation(_))
    }

    /// Writes up to `tokens` after `prompt`, handing each to `each` as it comes, or all at the end where they come together; with
    /// the logits it was drawn from, of a model that draws one after another.
    pub(crate) fn write(
        &self,
        prompt: &[u32],
        tokens: u64,
        sampling: &Sampling,
        each: &mut dyn FnMut(u32, &[f32]) -> Want,
    ) -> Result<(), ssl_eval::Error> {
        if !self.writes() {
            return Err(ssl_eval::Error::NoDecoder);
        }
        let written = match self.objective {
            ObjectiveConfig::Diffusion {} => {
                let (mask, steps) = (self.vocab.special(MASK)?, tokens.div_ceil(TOKENS_A_STEP));
                unmask(self.model, self.device, prompt, tokens as usize, mask, steps, sampling)?
            }
            ObjectiveConfig::Translation(_) => {
                let text = prompt.strip_prefix(&[self.vocab.separator()]).unwrap_or(prompt);
                let (source, start) = sources(&[text], self.vocab, self.model.context(), self.device)?;
                let width = self.beam.unwrap_or(Beam::default().width);
                let beam = Beam { width, max_tokens: self.model.context().min(tokens as usize), ..Beam::default() };
                beam.search(self.model, &source, start, self.vocab.separator())?.swap_remove(0)
            }
            _ => return generate(self.model, self.device, prompt, tokens, sampling, each),
        };
        // A reader may want no more.
        let _ = written.into_iter().find(|&id| each(id, &[]) == Want::Enough);
        Ok(())
    }
}

/// Texts as the encoder reads them, cut to `context`, and the id that a decoder begins with.
pub(crate) fn sources(
    texts: &[&[u32]],
    vocab: &Vocab,
    context: usize,
    device: Device,
) -> Result<(Source<Tensor>, u32), ssl_eval::Error> {
    let pad = vocab.special(PAD)?;
    let longest = texts.iter().map(|text| text.len() + 1).max().unwrap_or(1).min(context);
    let (mut ids, mut present) = (Vec::new(), Vec::new());
    for text in texts {
        let text: Vec<u32> = text.iter().copied().take(longest - 1).chain([vocab.separator()]).collect();
        ids.extend((0..longest).map(|at| i64::from(text.get(at).copied().unwrap_or(pad))));
        present.extend((0..longest).map(|at| i64::from(at < text.len())));
    }
    let source = ssl_torch::guard(|| {
        let upload = |data: &[i64]| Tensor::from_slice(data).view([-1, longest as i64]).to_device(device);
        Source { ids: upload(&ids), present: upload(&present) }
    })?;
    Ok((source, pad))
}
