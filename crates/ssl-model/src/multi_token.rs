//! Multi-token prediction: a Llama that learns to foretell the next n tokens at once, over one trunk.
//!
//! ```text
//! z = the stream before the last layer
//! p_i(x_{t+i}) = softmax(O RMSNorm(layer_i(z_t)))          i = 1..n, a layer each, the output head shared
//! L = - sum_t sum_i log p_i(x_{t+i})
//! ```
//!
//! Head 1 is the Llama's own last layer, so that a model used or measured is a plain Llama: the others teach the trunk, and draft.
//!
//! Source: Gloeckle, Idrissi, Roziere, Lopez-Paz and Synnaeve 2024, "Better and faster large language models via multi-token
//! prediction", section 2, whose n is 4.
//!
//! Differs: heads beyond the first are added to the layers, not taken from them.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::layer::{Mask, Recompute, Step, embedding, token_logits, token_loss};
use crate::llama::{Block, Llama, LlamaConfig};
use crate::model::{Cache, Decode, Loss, Model, Pass, Piece, rows};
use crate::params::Params;

/// A Llama and how far it looks ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MultiTokenConfig {
    /// Tokens foretold at each position, the next one included.
    #[serde(default = "four")]
    pub future_tokens: u32,
    /// The trunk and its first head.
    pub llama: LlamaConfig,
}

impl MultiTokenConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        let few = (1..=64).contains(&self.future_tokens);
        check.that(few, "future-tokens", || (format!("{} is outside 1..=64", self.future_tokens), "4 is the paper's".into()));
        let short = self.llama.context_tokens < self.future_tokens;
        let none = || (format!("rows of {} tokens have no token so far ahead", self.llama.context_tokens), "give fewer".into());
        check.that(!short, "future-tokens", none);
        check.inside("llama", |check| self.llama.check(check));
    }
}

const fn four() -> u32 {
    4
}

const NAME: &str = "multi-token";

/// The model.
#[derive(Debug)]
pub struct MultiToken {
    llama: Llama,
    /// The heads of the second token and further.
    further: Vec<Recompute<Block>>,
}

impl MultiToken {
    /// A model over `vocab` ids: a Llama's weights, and a layer for each further token.
    pub fn new(config: &MultiTokenConfig, vocab: u32, params: &mut Params) -> Self {
        let llama = Llama::new(&config.llama, vocab, params);
        let heads = 1..config.future_tokens;
        let block = |i| Recompute::new(Block::new(&config.llama, &format!("model.future.{}", i - 1), params));
        let further = heads.map(block).collect();
        Self { llama, further }
    }
}

impl Model for MultiToken {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        if pass == Pass::Eval {
            return self.llama.loss(batch, pass);
        }
        let rows = rows(batch, NAME);
        let (turn, mask) = (self.llama.rotary.at(&Llama::positions(rows)), Mask::of(rows));
        let mut z = embedding(&self.llama.tokens_vd, &rows.inputs);
        let Some((last, trunk)) = self.llama.blocks.split_last() else { return self.llama.loss(batch, pass) };
        for block in trunk {
            z = Llama::layer(block, &z, &turn, &mask, pass);
        }
        let head = |block: &Recompute<Block>, ahead: i64| {
            // Through a view of its own each head's gradients are summed before they meet, whether it is recomputed or not.
            let y = self.llama.norm.forward(&Llama::layer(block, &z.view_as(&z), &turn, &mask, pass));
            let rows = later(rows, ahead);
            token_loss(&y.narrow(1, 0, rows.inputs.size()[1]), &self.llama.head_vd, None, &rows)
        };
        let first = head(last, 0);
        let t = rows.inputs.size()[1];
        let further = self.further.iter().zip(1..t).map(|(block, ahead)| head(block, ahead).total);
        let total = further.fold(first.total, |sum, total| sum + total);
        Loss { total, ..first }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.llama.hidden(batch, pass)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.llama.logits(batch)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn context(&self) -> usize {
        self.llama.context()
    }
}

/// Writes as its Llama does. The further heads draft what comes behind the next token, for one step to verify them all: greedy
/// self-speculative decoding (section 3.2; Stern, Shazeer and Uszkoreit 2018, "Blockwise parallel decoding for deep autoregressive
/// models", section 3).
impl Decode for MultiToken {
    fn cache(&self, _source: Option<&Source<Tensor>>) -> Cache {
        Cache::new(self.llama.blocks.len() + self.further.len())
    }

    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor {
        self.llama.next(tokens_bs, cache)
    }

    fn step(&self, pieces: &mut [Piece<'_>], device: Device) -> Tensor {
        self.llama.go_on(Step::pieces(pieces, device), |step, z| {
            step.keep(z);
        })
    }

    fn vocab(&self) -> usize {
        self.llama.vocab()
    }

    fn draft(&self, cache: &mut Cache, kept: i64) -> Vec<u32> {
        let Some(z) = cache.ahead.take().filter(|_| kept > 0) else { return Vec::new() };
        let z = z.narrow(1, 0, kept);
        let (step, first) = (Step::again(cache, kept, z.device()), self.llama.blocks.len());
        let turn = self.llama.rotary.at(&step.positions);
        let mut last = Vec::new();
        for (layer, block) in self.further.iter().enumerate() {
            let h = block.block().forward(&z, &turn, |by, q, k, v| step.attend(first + layer, by, q, k, v));
            last.push(h.narrow(1, kept - 1, 1));
        }
        let logits = |h: &Tensor| token_logits(&self.llama.norm.forward(h), &self.llama.head_vd, None, None);
        let drafts = if last.is_empty() { Vec::new() } else { likeliest(&logits(&Tensor::cat(&last, 1))) };
        let _ = step.finish(&z, Tensor::shallow_clone);
        drafts
    }
}

/// The likeliest id of each place, `[1, t, v]`.
fn likeliest(logits: &Tensor) -> Vec<u32> {
    let ids: Vec<i64> = logits.argmax(-1, false).view([-1]).try_into().unwrap_or_default();
    ids.into_iter().map(|id| id as u32).collect()
}

/// The rows as seen from `ahead` tokens earlier: each position's target is so much further on, and inside its document.
fn later(rows: &Rows<Tensor>, ahead: i64) -> Rows<Tensor> {
    let left = rows.inputs.size()[1] - ahead;
    let cut = |x: &Tensor, from: i64| x.narrow(1, from, left).contiguous();
    let mut weights = cut(&rows.weights, ahead);
    if let Some(documents) = &rows.documents {
        weights *= cut(documents, 0).eq_tensor(&cut(documents, ahead)).to_kind(Kind::Float);
    }
    let counts = rows.counts.shallow_clone();
    Rows::new(cut(&rows.inputs, 0), cut(&rows.targets, ahead), weights, counts, cut(&rows.positions, 0))
}
