//! BERT: an encoder that predicts masked tokens from both sides, and whether one sentence follows another.
//!
//! ```text
//! h0 = LayerNorm(E[x] + S[segment] + P[position])
//! a  = LayerNorm(h + Attention(h))                          for each layer
//! h  = LayerNorm(a + W2 gelu(W1 a))
//! p(x_t | masked x) = softmax(E LayerNorm(gelu(W h_t + b)) + c)
//! p(random | x)     = softmax(V tanh(U h_0 + u) + v)
//! loss = mean over masked t of -log p(x_t) + mean over rows of -log p(random)
//! ```
//!
//! Source: Devlin, Chang, Lee and Toutanova 2019, "BERT: pre-training of deep bidirectional transformers for language
//! understanding", sections 3 and 3.1, appendix A. The variant: Liu et al. 2019, "`RoBERTa`: a robustly optimized BERT
//! pretraining approach", section 4.2 (no next sentence); its positions begin at 2, as in the released model.
//!
//! Axes: b rows, t positions, d width, e features of an embedding, p positions of the table, s segments, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows};
use tch::{Kind, Tensor};

use crate::config::{Activation, Check};
use crate::init::{Role, Scheme};
use crate::layer::{
    Attention, Contrastive, ContrastiveConfig, LayerNorm, Linear, Mask, MaskedHead, MaskedHeadConfig, Reading, Recompute,
    dropped, embedding, rate,
};
use crate::model::{Loss, Model, Pass};
use crate::params::Params;

/// The shape of a BERT. Defaults are those of BERT-base (Devlin et al. 2019, section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BertConfig {
    /// Whose names and positions.
    pub variant: Variant,
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
    /// The feed-forward's and the head's non-linearity.
    pub activation: Activation,
    /// Rows of the table of segments: 2 to tell two sentences apart, 1 for one sentence.
    pub segments: u32,
    /// Whether there is a head that says if the second sentence follows the first; it needs batches with two.
    pub next_sentence: bool,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Initial weights.
    pub init: Scheme,
    /// How texts are told apart, where the batches are texts.
    pub contrastive: ContrastiveConfig,
}

/// Which published model the names and positions are those of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// BERT.
    #[default]
    Bert,
    /// `RoBERTa`, whose table of positions has two rows in front that no token reads.
    Roberta,
}

impl Variant {
    /// Rows of the table of positions before that of the first token.
    #[must_use]
    pub fn offset(self) -> u32 {
        match self {
            Self::Bert => 0,
            Self::Roberta => 2,
        }
    }
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            variant: Variant::Bert,
            layers: 12,
            heads: 12,
            width: 768,
            context_tokens: 512,
            feed_forward_width: None,
            activation: Activation::Gelu,
            segments: 2,
            next_sentence: false,
            dropout: 0.1,
            norm_eps: 1e-12,
            init: Scheme::TruncatedNormal,
            contrastive: ContrastiveConfig::default(),
        }
    }
}

impl BertConfig {
    /// Features inside the feed-forward.
    #[must_use]
    pub fn feed_forward(&self) -> u32 {
        self.feed_forward_width.unwrap_or(self.width.saturating_mul(4))
    }

    fn stack(&self) -> Stack {
        Stack {
            layers: self.layers,
            heads: self.heads,
            width: self.width,
            feed_forward: self.feed_forward(),
            activation: self.activation,
            dropout: self.dropout,
            eps: self.norm_eps,
            init: self.init,
        }
    }

    pub(crate) fn check(&self, check: &mut Check) {
        self.stack().check(check);
        check.eps(self.norm_eps);
        check.sizes(&[("context-tokens", self.context_tokens), ("segments", self.segments)]);
        check.contrastive(&self.contrastive);
        let lone = self.variant == Variant::Roberta && self.next_sentence;
        let one = !lone && self.next_sentence && self.segments < 2;
        check.that(!one, "segments", || ("two sentences have two segments".into(), "give segments = 2".into()));
        check.that(!lone, "next-sentence", || ("RoBERTa has no such head".into(), "take variant = \"bert\"".into()));
    }

    /// About how many numbers its layers have, and its tables over a vocabulary.
    pub(crate) fn numbers(&self, vocab: u64) -> (u128, u128) {
        (self.stack().numbers(), u128::from(self.width) * (u128::from(vocab) + u128::from(self.context_tokens)))
    }
}

/// The shape of a stack of BERT's blocks, which other models have too.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    pub(crate) layers: u32,
    pub(crate) heads: u32,
    pub(crate) width: u32,
    pub(crate) feed_forward: u32,
    pub(crate) activation: Activation,
    pub(crate) dropout: f64,
    pub(crate) eps: f64,
    pub(crate) init: Scheme,
}

impl Stack {
    pub(crate) fn check(&self, check: &mut Check) {
        check.sizes(&[("layers", self.layers), ("width", self.width), ("feed-forward-width", self.feed_forward)]);
        check.heads("heads", self.heads, self.width);
        check.share("dropout", self.dropout, "0.1 is BERT's");
    }

    pub(crate) fn blocks(&self, params: &mut Params, name: &str) -> Vec<Recompute<Block>> {
        (0..self.layers).map(|i| Recompute::new(Block::new(self, &format!("{name}.{i}"), params))).collect()
    }

    /// `[b, t, d]` through all blocks.
    pub(crate) fn forward(blocks: &[Recompute<Block>], h: Tensor, mask: &Mask, pass: Pass) -> Tensor {
        blocks.iter().fold(h, |h, block| {
            let mask = mask.share();
            block.run(pass, &[&h], move |block, x| block.forward(&x[0], &mask, pass))
        })
    }

    pub(crate) fn numbers(&self) -> u128 {
        let [layers, d, up] = [self.layers, self.width, self.feed_forward].map(u128::from);
        layers * d * (4 * d + 2 * up)
    }
}

/// Three tables, summed and normalised.
#[derive(Debug)]
pub(crate) struct Embeddings {
    pub(crate) tokens_ve: Tensor,
    positions_pe: Tensor,
    segments_se: Tensor,
    norm: LayerNorm,
    offset: i64,
    dropout: f64,
}

impl Embeddings {
    /// Tables of `width` features for `[ids, positions, segments]`; `offset` more positions that no token reads.
    pub(crate) fn new(params: &mut Params, name: &str, rows: [u32; 3], offset: u32, width: u32, stack: &Stack) -> Self {
        let [ids, positions, segments] = rows.map(i64::from);
        let (e, offset) = (i64::from(width), i64::from(offset));
        let mut table =
            |part: &str, rows| params.add(format!("{name}.{part}_embeddings.weight"), &[rows, e], stack.init.of(Role::Embedding));
        Self {
            tokens_ve: table("word", ids),
            positions_pe: table("position", positions + offset),
            segments_se: table("token_type", segments),
            norm: LayerNorm::new(params, &format!("{name}.LayerNorm"), e, true, stack.eps),
            offset,
            dropout: stack.dropout,
        }
    }

    /// `[b, t, e]`.
    pub(crate) fn forward(&self, reading: &Reading, pass: Pass) -> Tensor {
        let (_, t) = reading.size();
        let positions = match &reading.positions {
            None => self.positions_pe.narrow(0, self.offset, t),
            Some(positions) => embedding(&self.positions_pe, &(positions + self.offset)),
        };
        let segments = match &reading.segments {
            Some(segments) if self.segments_se.size()[0] > 1 => embedding(&self.segments_se, segments),
            _ => self.segments_se.narrow(0, 0, 1),
        };
        let sum = embedding(&self.tokens_ve, &reading.ids) + segments + positions;
        dropped(&self.norm.forward(&sum), self.dropout, pass)
    }
}

/// One layer: attention, then feed-forward, each added to the stream and normalised after.
#[derive(Debug)]
pub(crate) struct Block {
    q: Linear,
    k: Linear,
    v: Linear,
    merge: Linear,
    norm1: LayerNorm,
    up: Linear,
    down: Linear,
    norm2: LayerNorm,
    attention: Attention,
    activation: Activation,
    dropout: f64,
}

impl Block {
    fn new(stack: &Stack, name: &str, params: &mut Params) -> Self {
        let (d, up, layers) = (i64::from(stack.width), i64::from(stack.feed_forward), i64::from(stack.layers));
        let linear =
            |params: &mut Params, part: &str, role| Linear::with_bias(params, &format!("{name}.{part}"), stack.init, role, true);
        let norm = |params: &mut Params, part: &str| LayerNorm::new(params, &format!("{name}.{part}"), d, true, stack.eps);
        let square = Role::Matrix { inputs: d, outputs: d };
        Self {
            q: linear(params, "attention.self.query", square),
            k: linear(params, "attention.self.key", square),
            v: linear(params, "attention.self.value", square),
            merge: linear(params, "attention.output.dense", Role::Residual { inputs: d, outputs: d, layers }),
            norm1: norm(params, "attention.output.LayerNorm"),
            up: linear(params, "intermediate.dense", Role::Matrix { inputs: d, outputs: up }),
            down: linear(params, "output.dense", Role::Residual { inputs: up, outputs: d, layers }),
            norm2: norm(params, "output.LayerNorm"),
            attention: Attention { heads: i64::from(stack.heads), kv_heads: i64::from(stack.heads) },
            activation: stack.activation,
            dropout: stack.dropout,
        }
    }

    fn forward(&self, h_btd: &Tensor, mask: &Mask, pass: Pass) -> Tensor {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|map| Attention::split(&map.forward(h_btd), self.attention.heads));
        let attended = self.attention.forward(&q, &k, &v, mask, rate(self.dropout, pass));
        let h = self.norm1.after(h_btd, &dropped(&self.merge.forward(&attended), self.dropout, pass)).1;
        let up = self.activation.forward(&self.up.forward(&h));
        self.norm2.after(&h, &dropped(&self.down.forward(&up), self.dropout, pass)).1
    }
}

/// The model.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    embeddings: Embeddings,
    blocks: Vec<Recompute<Block>>,
    head: MaskedHead,
    next: Option<NextSentence>,
    contrastive: Contrastive,
    unread: Vec<Tensor>,
}

/// The pooler, and the map to two classes.
#[derive(Debug)]
struct NextSentence {
    pooler: Linear,
    map: Linear,
}

impl Bert {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &BertConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, stack) = (i64::from(config.width), config.stack());
        let (base, dense, norm, output) = match config.variant {
            Variant::Bert => {
                let part = "cls.predictions";
                ("bert", format!("{part}.transform.dense"), format!("{part}.transform.LayerNorm"), format!("{part}.bias"))
            }
            Variant::Roberta => ("roberta", "lm_head.dense".into(), "lm_head.layer_norm".into(), "lm_head.bias".into()),
        };
        let rows = [vocab, config.context_tokens, config.segments];
        let name = format!("{base}.embeddings");
        let embeddings = Embeddings::new(params, &name, rows, config.variant.offset(), config.width, &stack);
        let blocks = stack.blocks(params, &format!("{base}.encoder.layer"));
        let first = params.list().len();
        let next = config.next_sentence.then(|| NextSentence {
            pooler: Linear::with_bias(params, "bert.pooler.dense", config.init, Role::Matrix { inputs: d, outputs: d }, true),
            map: Linear::with_bias(params, "cls.seq_relationship", config.init, Role::Head { inputs: d, outputs: 2 }, true),
        });
        let head = MaskedHeadConfig {
            dense: &dense,
            bias: true,
            norm: &norm,
            output: &output,
            features: (d, d),
            vocab: i64::from(vocab),
            activation: config.activation,
            eps: config.norm_eps,
            init: config.init,
        };
        let head = MaskedHead::new(params, &head);
        let unread = params.list()[first..].iter().map(|param| param.leaf.shallow_clone()).collect();
        let contrastive = Contrastive::new(params, config.contrastive, d, config.init);
        Self { config: config.clone(), embeddings, blocks, head, next, contrastive, unread }
    }

    fn read(&self, reading: &Reading, pass: Pass) -> Tensor {
        let h = self.embeddings.forward(reading, pass);
        Stack::forward(&self.blocks, h, &reading.mask, pass)
    }

    /// The loss of rows: of masked tokens, and of the next sentence where rows and model have one.
    fn rows(&self, reading: &Reading, rows: &Rows<Tensor>, pass: Pass) -> Loss {
        let h = self.read(reading, pass);
        let loss = self.head.loss(&h, &self.embeddings.tokens_ve, rows);
        match (&self.next, &rows.sentences) {
            (Some(next), Some(sentences)) => with_row_nats(loss, &next.nats(&h, &sentences.random)),
            _ => loss,
        }
    }
}

impl NextSentence {
    /// Nats of each row, `[b]`, in fp32.
    fn nats(&self, h_btd: &Tensor, random_b: &Tensor) -> Tensor {
        let logits = self.map.forward(&self.pooler.forward(&h_btd.select(1, 0)).tanh());
        let log = logits.to_kind(Kind::Float).log_softmax(1, Kind::Float);
        -log.gather(1, &random_b.unsqueeze(1), false).squeeze_dim(1)
    }
}

/// Adds a loss of each row that weighs as much as the mean over the row's targets. It stands at the row's first position,
/// `[CLS]`, which it was read from and which is never masked.
fn with_row_nats(loss: Loss, nats_b: &Tensor) -> Loss {
    let Loss { total, nats, weights, counts } = loss;
    let total = total + (nats_b * &counts).sum(Kind::Double);
    let (first, own) = (nats.narrow(1, 0, 1), weights.narrow(1, 0, 1));
    let more = counts.unsqueeze(1);
    let weight = &own + &more;
    let joint = (first * own + nats_b.detach().unsqueeze(1) * &more) / weight.clamp_min(f64::from(f32::MIN_POSITIVE));
    let t = nats.size()[1];
    let replaced = |x: &Tensor, first: &Tensor| Tensor::cat(&[first, &x.narrow(1, 1, t - 1)], 1);
    Loss { total, nats: replaced(&nats, &joint), weights: replaced(&weights, &weight), counts }
}

impl Model for Bert {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let reading = Reading::of(batch);
        match batch {
            Batch::Texts(texts) => self.contrastive.loss(texts, pass, &self.unread, &|pass| self.read(&reading, pass)),
            Batch::Rows(rows) | Batch::Pair(_, rows) => self.rows(&reading, rows, pass),
        }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(&Reading::of(batch), pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        let never = batch.rows().and_then(|rows| rows.never);
        self.head.logits(&self.read(&Reading::of(batch), Pass::Eval), &self.embeddings.tokens_ve, never)
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}
