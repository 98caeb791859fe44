//! GPT-2: a decoder with learned positions and normalisation before each branch.
//!
//! ```text
//! h0 = E[x] + P[0..t]
//! h  = h + Attention(LayerNorm(h))        for each layer
//! h  = h + W2 gelu(W1 LayerNorm(h))
//! p(x_{t+1}) = softmax(E LayerNorm(h))
//! ```
//!
//! Source: Radford, Wu, Child, Luan, Amodei and Sutskever 2019, "Language models are unsupervised multitask learners",
//! section 2.3; the block is that of Radford et al. 2018.
//!
//! Differs: dropout is one rate for embeddings, attention and branches, as in the released model; biases can be left out.
//!
//! Axes: b rows, t positions, n = b t, d width, h heads, e features of a head, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::init::{Role, Scheme};
use crate::layer::{
    Activation, Attention, Conv1d, LayerNorm, Mask, Recompute, Step, dropped, embedding, rate, token_logits, token_loss,
};
use crate::model::{Cache, Decode, Loss, Model, Pass, Piece, rows};
use crate::params::Params;

/// The shape of a GPT-2. Defaults are those of the smallest released model (Radford et al. 2019, table 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GptConfig {
    /// Layers.
    pub layers: u32,
    /// Heads.
    pub heads: u32,
    /// Features of the stream.
    pub width: u32,
    /// The most tokens read at once.
    pub context_tokens: u32,
    /// Features inside the feed-forward; four times the width when absent.
    pub feed_forward_width: Option<u32>,
    /// The feed-forward's non-linearity.
    pub activation: Activation,
    /// Whether linear maps and norms have biases.
    pub bias: bool,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Initial weights.
    pub init: Scheme,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self {
            layers: 12,
            heads: 12,
            width: 768,
            context_tokens: 1024,
            feed_forward_width: None,
            activation: Activation::GeluTanh,
            bias: true,
            dropout: 0.1,
            norm_eps: 1e-5,
            init: Scheme::Gpt2,
        }
    }
}

impl GptConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.eps(self.norm_eps);
        check.share("dropout", self.dropout, "0.1 is GPT-2's");
        check.sizes(&[
            ("layers", self.layers),
            ("width", self.width),
            ("context-tokens", self.context_tokens),
            ("feed-forward-width", self.feed_forward()),
        ]);
        check.heads("heads", self.heads, self.width);
    }

    /// Features inside the feed-forward.
    #[must_use]
    pub fn feed_forward(&self) -> u32 {
        self.feed_forward_width.unwrap_or(self.width.saturating_mul(4))
    }
}

const NAME: &str = "gpt";

/// The model.
#[derive(Debug)]
pub struct Gpt {
    config: GptConfig,
    tokens_vd: Tensor,
    positions_td: Tensor,
    blocks: Vec<Recompute<Block>>,
    norm: LayerNorm,
}

/// One layer: attention, then feed-forward, each added to the stream.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Conv1d,
    merge: Conv1d,
    norm2: LayerNorm,
    up: Conv1d,
    down: Conv1d,
    attention: Attention,
    activation: Activation,
    dropout: f64,
}

impl Gpt {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &GptConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        let table = config.init.of(Role::Embedding);
        Self {
            tokens_vd: params.add("transformer.wte.weight", &[vocab, d], table),
            positions_td: params.add("transformer.wpe.weight", &[i64::from(config.context_tokens), d], table),
            blocks: (0..config.layers)
                .map(|i| Recompute::new(Block::new(config, &format!("transformer.h.{i}"), params)))
                .collect(),
            norm: LayerNorm::new(params, "transformer.ln_f", d, config.bias, config.norm_eps),
            config: config.clone(),
        }
    }

    /// The stream that enters the first layer, `[b, t, d]`; `positions` already embedded.
    fn first(&self, ids_bt: &Tensor, positions: &Tensor, pass: Pass) -> Tensor {
        dropped(&(embedding(&self.tokens_vd, ids_bt) + positions), self.config.dropout, pass)
    }

    /// The logits that a step wants.
    fn go_on(&self, step: Step<'_>) -> Tensor {
        let mut h = self.first(&step.ids, &embedding(&self.positions_td, &step.positions), Pass::Eval);
        for (layer, block) in self.blocks.iter().enumerate() {
            h = block.block().forward(&h, Pass::Eval, |by, qkv| step.attend_packed(layer, by, qkv));
        }
        step.finish(&self.norm.forward(&h), |h_nd| token_logits(h_nd, &self.tokens_vd, None, None))
    }

    /// The stream after the last normalisation, `[b, t, d]`.
    fn read(&self, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let t = rows.inputs.size().last().copied().unwrap_or(0);
        // One slice serves all rows, and its gradient is one sum, unless positions restart at documents.
        let positions = match rows.documents {
            None => self.positions_td.narrow(0, 0, t),
            Some(_) => embedding(&self.positions_td, &rows.positions),
        };
        let (first, mask, dropout) =
            (self.first(&rows.inputs, &positions, pass), Mask::of(rows), rate(self.config.dropout, pass));
        let h = self.blocks.iter().fold(first, |h, block| {
            let mask = mask.share();
            block.run(pass, &[&h], move |block, x| block.forward(&x[0], pass, |by, qkv| by.packed(qkv, &mask, dropout)))
        });
        self.norm.forward(&h)
    }
}

impl Block {
    fn new(config: &GptConfig, name: &str, params: &mut Params) -> Self {
        let (d, up, layers) = (i64::from(config.width), i64::from(config.feed_forward()), i64::from(config.layers));
        let GptConfig { init, bias, norm_eps, .. } = *config;
        Self {
            norm1: LayerNorm::new(params, &format!("{name}.ln_1"), d, bias, norm_eps),
            qkv: Conv1d::new(
                params,
                &format!("{name}.attn.c_attn"),
                init,
                Role::Stacked { inputs: d, outputs: 3 * d, maps: 3 },
                bias,
            ),
            merge: Conv1d::new(
                params,
                &format!("{name}.attn.c_proj"),
                init,
                Role::Residual { inputs: d, outputs: d, layers },
                bias,
            ),
            norm2: LayerNorm::new(params, &format!("{name}.ln_2"), d, bias, norm_eps),
            up: Conv1d::new(params, &format!("{name}.mlp.c_fc"), init, Role::Matrix { inputs: d, outputs: up }, bias),
            down: Conv1d::new(
                params,
                &format!("{name}.mlp.c_proj"),
                init,
                Role::Residual { inputs: up, outputs: d, layers },
                bias,
            ),
            attention: Attention { heads: i64::from(config.heads), kv_heads: i64::from(config.heads) },
            activation: config.activation,
            dropout: config.dropout,
        }
    }

    /// `attend` is attention over all that is seen, from queries, keys and values side by side, `[b, t, 3 d]`, to `[b, t, d]`.
    fn forward(&self, h_btd: &Tensor, pass: Pass, attend: impl FnOnce(Attention, &Tensor) -> Tensor) -> Tensor {
        let (b, t, d) = h_btd.size3().unwrap_or_default();
        let rows = |x: &Tensor| x.reshape([b * t, -1]);
        let (h, x) = self.norm1.beside(h_btd);
        let attended = attend(self.attention, &self.qkv.forward(&rows(&x)).view([b, t, 3 * d]));
        let (h, x) = self.norm2.after(&h, &dropped(&self.merge.forward(&rows(&attended)).view([b, t, d]), self.dropout, pass));
        let up = self.activation.forward(&self.up.forward(&rows(&x)));
        &h + dropped(&self.down.forward(&up).view([b, t, d]), self.dropout, pass)
    }
}

impl Model for Gpt {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let rows = rows(batch, NAME);
        token_loss(&self.read(rows, pass), &self.tokens_vd, None, rows)
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(rows(batch, NAME), pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        token_logits(&self.read(rows(batch, NAME), Pass::Eval), &self.tokens_vd, None, rows(batch, NAME).never)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn steady(&self) -> bool {
        true
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}

impl Decode for Gpt {
    fn cache(&self, _source: Option<&Source<Tensor>>) -> Cache {
        Cache::new(self.blocks.len())
    }

    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor {
        self.go_on(Step::rows(tokens_bs, cache))
    }

    fn step(&self, pieces: &mut [Piece<'_>], device: Device) -> Tensor {
        self.go_on(Step::pieces(pieces, device))
    }

    fn vocab(&self) -> usize {
        self.tokens_vd.size()[0] as usize
    }
}
