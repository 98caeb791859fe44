//! `ModernBERT`: an encoder with rotary positions, gated feed-forward, norms before each branch and mostly local attention.
//!
//! ```text
//! h0 = LayerNorm(E[x])
//! h  = h + Attention(turn(LayerNorm(h)))                    for each layer; the first has no norm here
//! h  = h + W2 (gelu(W1 LayerNorm(h)) * V LayerNorm(h))
//! p(x_t | masked x) = softmax(E LayerNorm(gelu(W LayerNorm(h_t))) + c)
//! ```
//!
//! Every third layer, from the first on, sees all positions and turns by slow angles; the others see `local-window / 2`
//! positions to either side and turn by faster ones. Linear maps and norms have no biases.
//!
//! Source: Warner et al. 2024, "Smarter, better, faster, longer: a modern bidirectional encoder", section 2.1.1 and
//! appendix A; the gate: Shazeer 2020, equation 6.
//!
//! Axes: b rows, t positions, d width, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::Batch;
use tch::{Kind, Tensor};

use crate::config::{Activation, Check};
use crate::init::{Role, Scheme};
use crate::layer::{
    Attention, Contrastive, ContrastiveConfig, LayerNorm, Linear, Mask, MaskedHead, MaskedHeadConfig, Reading, Recompute, Rotary,
    dropped, embedding, rate,
};
use crate::model::{Loss, Model, Pass};
use crate::params::Params;

/// The shape of a `ModernBERT`. Defaults are those of `ModernBERT`-base (Warner et al. 2024, table 4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ModernbertConfig {
    /// Layers.
    pub layers: u32,
    /// Heads.
    pub heads: u32,
    /// Features of the stream.
    pub width: u32,
    /// The most tokens read at once.
    pub context_tokens: u32,
    /// Features inside the feed-forward, after the gate.
    pub feed_forward_width: u32,
    /// Positions that a local layer sees, half of them to either side.
    pub local_window: u32,
    /// Every how many layers one sees all positions.
    pub global_every: u32,
    /// The base of the rotary angles in global layers.
    pub global_rope_base: f64,
    /// The base of the rotary angles in local layers.
    pub local_rope_base: f64,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Initial weights.
    pub init: Scheme,
    /// How texts are told apart, where the batches are texts.
    pub contrastive: ContrastiveConfig,
}

impl Default for ModernbertConfig {
    fn default() -> Self {
        Self {
            layers: 22,
            heads: 12,
            width: 768,
            context_tokens: 1024,
            feed_forward_width: 1152,
            local_window: 128,
            global_every: 3,
            global_rope_base: 160_000.0,
            local_rope_base: 10_000.0,
            dropout: 0.0,
            norm_eps: 1e-5,
            init: Scheme::Gpt2,
            contrastive: ContrastiveConfig::default(),
        }
    }
}

impl ModernbertConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.eps(self.norm_eps);
        check.sizes(&[
            ("layers", self.layers),
            ("width", self.width),
            ("context-tokens", self.context_tokens),
            ("feed-forward-width", self.feed_forward_width),
            ("local-window", self.local_window),
            ("global-every", self.global_every),
        ]);
        check.heads("heads", self.heads, self.width);
        check.pairs("heads", self.heads, self.width, self.context_tokens);
        check.share("dropout", self.dropout, "0 is the paper's");
        for (key, base) in [("global-rope-base", self.global_rope_base), ("local-rope-base", self.local_rope_base)] {
            check.that(base > 1.0, key, || (format!("{base} turns nothing"), "160000 and 10000 are the paper's".into()));
        }
        check.contrastive(&self.contrastive);
    }

    /// About how many numbers its layers have, and its table over a vocabulary.
    pub(crate) fn numbers(&self, vocab: u64) -> (u128, u128) {
        let [layers, d, up] = [self.layers, self.width, self.feed_forward_width].map(u128::from);
        (layers * d * (4 * d + 3 * up), d * u128::from(vocab))
    }
}

/// The model.
#[derive(Debug)]
pub struct Modernbert {
    config: ModernbertConfig,
    tokens_vd: Tensor,
    embedding_norm: LayerNorm,
    blocks: Vec<Recompute<Block>>,
    norm: LayerNorm,
    head: MaskedHead,
    global: Rotary,
    local: Rotary,
    contrastive: Contrastive,
    unread: Vec<Tensor>,
}

/// One layer: attention, then feed-forward, each added to the stream.
#[derive(Debug)]
struct Block {
    norm1: Option<LayerNorm>,
    qkv: Linear,
    merge: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
    attention: Attention,
    global: bool,
    dropout: f64,
}

impl Modernbert {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &ModernbertConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        let norm = |params: &mut Params, name: &str| LayerNorm::new(params, name, d, false, config.norm_eps);
        let tokens_vd = params.add("model.embeddings.tok_embeddings.weight", &[vocab, d], config.init.of(Role::Embedding));
        let embedding_norm = norm(params, "model.embeddings.norm");
        let blocks = (0..config.layers).map(|i| Recompute::new(Block::new(config, i, params))).collect();
        let last = norm(params, "model.final_norm");
        let first = params.list().len();
        let head = MaskedHeadConfig {
            dense: "head.dense",
            bias: false,
            norm: "head.norm",
            output: "decoder.bias",
            features: (d, d),
            vocab,
            activation: Activation::Gelu,
            eps: config.norm_eps,
            init: config.init,
        };
        let head = MaskedHead::new(params, &head);
        let unread = params.list()[first..].iter().map(|param| param.leaf.shallow_clone()).collect();
        let contrastive = Contrastive::new(params, config.contrastive, d, config.init);
        let (e, context) = (d / i64::from(config.heads), i64::from(config.context_tokens));
        let [global, local] = [config.global_rope_base, config.local_rope_base]
            .map(|base| Rotary::new(e, context, base, params.precision().kind(), params.device()));
        Self { config: config.clone(), tokens_vd, embedding_norm, blocks, norm: last, head, global, local, contrastive, unread }
    }

    /// The stream after the last normalisation, `[b, t, d]`.
    fn read(&self, reading: &Reading, pass: Pass) -> Tensor {
        let ((_, t), places) = (reading.size(), reading.places());
        let near = reading.mask.within(i64::from(self.config.local_window / 2), t, reading.ids.device());
        let (slow, fast) = (self.global.at(&places), self.local.at(&places));
        let mut h = dropped(&self.embedding_norm.forward(&embedding(&self.tokens_vd, &reading.ids)), self.config.dropout, pass);
        for block in &self.blocks {
            let global = block.block().global;
            let ((cos, sin), mask) = if global { (&slow, &reading.mask) } else { (&fast, &near) };
            let (turn, mask) = ((cos.shallow_clone(), sin.shallow_clone()), mask.share());
            h = block.run(pass, &[&h], move |block, x| block.forward(&x[0], &turn, &mask, pass));
        }
        self.norm.forward(&h)
    }
}

impl Block {
    fn new(config: &ModernbertConfig, layer: u32, params: &mut Params) -> Self {
        let (d, up, layers) = (i64::from(config.width), i64::from(config.feed_forward_width), i64::from(config.layers));
        let name = format!("model.layers.{layer}");
        let linear = |params: &mut Params, part: &str, role| Linear::new(params, &format!("{name}.{part}"), config.init, role);
        let norm = |params: &mut Params, part: &str| LayerNorm::new(params, &format!("{name}.{part}"), d, false, config.norm_eps);
        Self {
            norm1: (layer > 0).then(|| norm(params, "attn_norm")),
            qkv: linear(params, "attn.Wqkv", Role::Stacked { inputs: d, outputs: 3 * d, maps: 3 }),
            merge: linear(params, "attn.Wo", Role::Residual { inputs: d, outputs: d, layers }),
            norm2: norm(params, "mlp_norm"),
            up: linear(params, "mlp.Wi", Role::Stacked { inputs: d, outputs: 2 * up, maps: 2 }),
            down: linear(params, "mlp.Wo", Role::Residual { inputs: up, outputs: d, layers }),
            attention: Attention { heads: i64::from(config.heads), kv_heads: i64::from(config.heads) },
            global: layer.is_multiple_of(config.global_every),
            dropout: config.dropout,
        }
    }

    fn forward(&self, h: &Tensor, turn: &(Tensor, Tensor), mask: &Mask, pass: Pass) -> Tensor {
        // The first layer reads the norm of the embeddings as it is.
        let (h, x) = self.norm1.as_ref().map_or_else(|| (h.shallow_clone(), h.shallow_clone()), |norm| norm.beside(h));
        let qkv = self.qkv.forward(&x).chunk(3, -1);
        let split = |x: &Tensor| Attention::split(x, self.attention.heads);
        let (q, k) = (Rotary::turn(&split(&qkv[0]), turn), Rotary::turn(&split(&qkv[1]), turn));
        let attended = self.attention.forward(&q, &k, &split(&qkv[2]), mask, rate(self.dropout, pass));
        let (h, x) = self.norm2.after(&h, &dropped(&self.merge.forward(&attended), self.dropout, pass));
        let up = self.up.forward(&x).chunk(2, -1);
        let gated = Activation::Gelu.gate(&up[0], &up[1]);
        &h + self.down.forward(&dropped(&gated, self.dropout, pass))
    }
}

impl Model for Modernbert {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let reading = Reading::of(batch);
        match batch {
            Batch::Texts(texts) => self.contrastive.loss(texts, pass, &self.unread, &|pass| self.read(&reading, pass)),
            Batch::Rows(rows) | Batch::Pair(_, rows) => self.head.loss(&self.read(&reading, pass), &self.tokens_vd, rows),
        }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(&Reading::of(batch), pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        let never = batch.rows().and_then(|rows| rows.never);
        self.head.logits(&self.read(&Reading::of(batch), Pass::Eval), &self.tokens_vd, never)
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}
