//! Text from a model, in the way that its objective taught it to write.

use ssl_data::objective::ObjectiveConfig;
use ssl_data::vocab::{MASK, Vocab};
use ssl_eval::sample::{Sampling, Want, generate};
use ssl_eval::unmask::unmask;
use ssl_model::Model;
use tch::Device;

/// A diffusion writes this many tokens in a step, on average.
const TOKENS_A_STEP: u64 = 2;

/// A model that may write, and what it needs for that.
pub(crate) struct Writer<'a> {
    pub(crate) model: &'a dyn Model,
    /// What it was trained under.
    pub(crate) objective: &'a ObjectiveConfig,
    pub(crate) vocab: &'a Vocab,
    pub(crate) device: Device,
}

impl Writer<'_> {
    /// Whether the model goes on with a text.
    pub(crate) fn writes(&self) -> bool {
        match self.objective {
            ObjectiveConfig::Diffusion {} => true,
            ObjectiveConfig::Causal {} | ObjectiveConfig::Infill(_) | ObjectiveConfig::Hybrid(_) => {
                self.model.decoder().is_some()
            }
            _ => false,
        }
    }

    /// Writes up to `tokens` after `prompt`, handing each to `each` as it comes, or all at the end where they come together.
    pub(crate) fn write(
        &self,
        prompt: &[u32],
        tokens: u64,
        sampling: &Sampling,
        each: &mut dyn FnMut(u32) -> Want,
    ) -> Result<(), ssl_eval::Error> {
        if !self.writes() {
            return Err(ssl_eval::Error::NoDecoder);
        }
        if *self.objective != (ObjectiveConfig::Diffusion {}) {
            return generate(self.model, self.device, prompt, tokens, sampling, each);
        }
        let (mask, steps) = (self.vocab.special(MASK)?, tokens.div_ceil(TOKENS_A_STEP));
        let written = unmask(self.model, self.device, prompt, tokens as usize, mask, steps, sampling)?;
        // A reader may want no more.
        let _ = written.into_iter().find(|&id| each(id) == Want::Enough);
        Ok(())
    }
}
