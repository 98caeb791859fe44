//! Llama: a decoder with rotary positions, root-mean-square norms, a gated feed-forward and grouped heads, without biases.
//!
//! ```text
//! h0 = E[x]
//! h  = h + Attention(turn(RMSNorm(h)))                    for each layer
//! h  = h + W3 (silu(W1 RMSNorm(h)) * W2 RMSNorm(h))
//! p(x_{t+1}) = softmax(O RMSNorm(h))
//! ```
//!
//! Source: Touvron et al. 2023, "`LLaMA`: open and efficient foundation language models", section 2.2; grouped heads:
//! Touvron et al. 2023, "Llama 2", section 2.2; the gate: Shazeer 2020, equation 6.
//!
//! Axes: b rows, t positions, d width, g heads of keys and values, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::init::{Role, Scheme};
use crate::layer::{Attention, Linear, Mask, Recompute, RmsNorm, Rotary, Step, embedding, swiglu, token_logits, token_loss};
use crate::model::{Cache, Decode, Loss, Model, Pass, Piece, rows};
use crate::params::Params;

/// The shape of a Llama. The base of the angles is Su et al.'s (2021, section 3.2.2), the rest must be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LlamaConfig {
    /// Layers.
    pub layers: u32,
    /// Heads of queries.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Features of the stream.
    pub width: u32,
    /// Features inside the feed-forward.
    pub feed_forward_width: u32,
    /// The most tokens read at once.
    pub context_tokens: u32,
    /// The base of the rotary angles.
    #[serde(default = "default_base")]
    pub rope_base: f64,
    /// Added to the mean square in norms.
    #[serde(default = "default_eps")]
    pub norm_eps: f64,
    /// Whether the output head is the embedding table.
    #[serde(default)]
    pub tied: bool,
    /// Initial weights.
    #[serde(default)]
    pub init: Scheme,
}

impl LlamaConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.eps(self.norm_eps);
        let grouped = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        let uneven = || (format!("{} heads cannot share {}", self.heads, self.kv_heads), "give a divisor of heads".into());
        check.that(grouped, "kv-heads", uneven);
        check.pairs("heads", self.heads, self.width, self.context_tokens);
        let still = || (format!("{} turns nothing", self.rope_base), "10000 is the paper's".into());
        check.that(self.rope_base > 1.0, "rope-base", still);
        check.sizes(&[
            ("layers", self.layers),
            ("kv-heads", self.kv_heads),
            ("width", self.width),
            ("context-tokens", self.context_tokens),
            ("feed-forward-width", self.feed_forward_width),
        ]);
        check.heads("heads", self.heads, self.width);
    }
}

const fn default_base() -> f64 {
    10_000.0
}

const fn default_eps() -> f64 {
    1e-5
}

const NAME: &str = "llama";

/// The model.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    pub(crate) tokens_vd: Tensor,
    pub(crate) blocks: Vec<Recompute<Block>>,
    pub(crate) norm: RmsNorm,
    pub(crate) head_vd: Tensor,
    pub(crate) rotary: Rotary,
}

/// One layer: attention, then feed-forward, each added to the stream.
#[derive(Debug)]
pub(crate) struct Block {
    norm1: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    merge: Linear,
    norm2: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    attention: Attention,
}

impl Llama {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &LlamaConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        let tokens_vd = params.add("model.embed_tokens.weight", &[vocab, d], config.init.of(Role::Embedding));
        let block = |i| Recompute::new(Block::new(config, &format!("model.layers.{i}"), params));
        let blocks = (0..config.layers).map(block).collect();
        let norm = RmsNorm::new(params, "model.norm", d, config.norm_eps);
        let head_vd = if config.tied {
            tokens_vd.shallow_clone()
        } else {
            params.add("lm_head.weight", &[vocab, d], config.init.of(Role::Matrix { inputs: d, outputs: vocab }))
        };
        let (e, context) = (d / i64::from(config.heads), i64::from(config.context_tokens));
        let rotary = Rotary::new(e, context, config.rope_base, params.precision().kind(), params.device());
        Self { config: config.clone(), tokens_vd, blocks, norm, head_vd, rotary }
    }

    /// The stream after the last normalisation, `[b, t, d]`.
    fn stream(&self, ids_bt: &Tensor, positions_bt: &Tensor, mask: &Mask, pass: Pass) -> Tensor {
        let turn = self.rotary.at(positions_bt);
        let first = embedding(&self.tokens_vd, ids_bt);
        let h = self.blocks.iter().fold(first, |h, block| Self::layer(block, &h, &turn, mask, pass));
        self.norm.forward(&h)
    }

    /// One layer on rows that are read whole.
    pub(crate) fn layer(block: &Recompute<Block>, h: &Tensor, turn: &(Tensor, Tensor), mask: &Mask, pass: Pass) -> Tensor {
        let (turn, mask) = ((turn.0.shallow_clone(), turn.1.shallow_clone()), mask.share());
        block.run(pass, &[h], move |block, x| block.forward(&x[0], &turn, |by, q, k, v| by.forward(q, k, v, &mask, 0.0)))
    }

    /// The logits that a step wants; `trunk` is shown the stream before the last layer.
    pub(crate) fn go_on(&self, step: Step<'_>, trunk: impl Fn(&Step<'_>, &Tensor)) -> Tensor {
        let turn = self.rotary.at(&step.positions);
        let mut h = embedding(&self.tokens_vd, &step.ids);
        for (layer, block) in self.blocks.iter().enumerate() {
            if layer + 1 == self.blocks.len() {
                trunk(&step, &h);
            }
            h = block.block().forward(&h, &turn, |by, q, k, v| step.attend(layer, by, q, k, v));
        }
        step.finish(&self.norm.forward(&h), |h_nd| token_logits(h_nd, &self.head_vd, None, None))
    }

    fn read(&self, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        self.stream(&rows.inputs, &Self::positions(rows), &Mask::of(rows), pass)
    }

    /// The positions to turn by: without documents every row counts from 0, so that one row of angles serves all.
    pub(crate) fn positions(rows: &Rows<Tensor>) -> Tensor {
        if rows.documents.is_some() { rows.positions.shallow_clone() } else { rows.positions.narrow(0, 0, 1) }
    }
}

impl Block {
    pub(crate) fn new(config: &LlamaConfig, name: &str, params: &mut Params) -> Self {
        let (d, up, layers) = (i64::from(config.width), i64::from(config.feed_forward_width), i64::from(config.layers));
        let narrow = d / i64::from(config.heads) * i64::from(config.kv_heads);
        let mut linear = |part: &str, role| Linear::new(params, &format!("{name}.{part}"), config.init, role);
        let q = linear("self_attn.q_proj", Role::Matrix { inputs: d, outputs: d });
        let k = linear("self_attn.k_proj", Role::Matrix { inputs: d, outputs: narrow });
        let v = linear("self_attn.v_proj", Role::Matrix { inputs: d, outputs: narrow });
        let merge = linear("self_attn.o_proj", Role::Residual { inputs: d, outputs: d, layers });
        let gate = linear("mlp.gate_proj", Role::Matrix { inputs: d, outputs: up });
        let raise = linear("mlp.up_proj", Role::Matrix { inputs: d, outputs: up });
        let down = linear("mlp.down_proj", Role::Residual { inputs: up, outputs: d, layers });
        Self {
            norm1: RmsNorm::new(params, &format!("{name}.input_layernorm"), d, config.norm_eps),
            norm2: RmsNorm::new(params, &format!("{name}.post_attention_layernorm"), d, config.norm_eps),
            attention: Attention { heads: i64::from(config.heads), kv_heads: i64::from(config.kv_heads) },
            q,
            k,
            v,
            merge,
            gate,
            up: raise,
            down,
        }
    }

    /// `attend` is attention over all that is seen, `[b, h, t, e]` each to `[b, t, d]`.
    pub(crate) fn forward(
        &self,
        h: &Tensor,
        turn: &(Tensor, Tensor),
        attend: impl FnOnce(Attention, &Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let (h, x) = self.norm1.beside(h);
        let Attention { heads, kv_heads } = self.attention;
        let [q, k, v] = Linear::together([&self.q, &self.k, &self.v], &x);
        let q = Rotary::turn(&Attention::split(&q, heads), turn);
        let k = Rotary::turn(&Attention::split(&k, kv_heads), turn);
        let v = Attention::split(&v, kv_heads);
        let (h, x) = self.norm2.after(&h, &self.merge.forward(&attend(self.attention, &q, &k, &v)));
        let [gate, up] = Linear::together([&self.gate, &self.up], &x);
        &h + self.down.forward(&swiglu(&gate, &up))
    }
}

impl Model for Llama {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let rows = rows(batch, NAME);
        token_loss(&self.read(rows, pass), &self.head_vd, None, rows)
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(rows(batch, NAME), pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        token_logits(&self.read(rows(batch, NAME), Pass::Eval), &self.head_vd, None, rows(batch, NAME).never)
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

impl Decode for Llama {
    fn cache(&self, _source: Option<&Source<Tensor>>) -> Cache {
        Cache::new(self.blocks.len())
    }

    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor {
        self.go_on(Step::rows(tokens_bs, cache), |_, _| {})
    }

    fn step(&self, pieces: &mut [Piece<'_>], device: Device) -> Tensor {
        self.go_on(Step::pieces(pieces, device), |_, _| {})
    }

    fn vocab(&self) -> usize {
        self.tokens_vd.size()[0] as usize
    }
}
