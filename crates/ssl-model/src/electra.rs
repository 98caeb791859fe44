//! ELECTRA: a small generator fills masked positions, and a discriminator says of every token whether it was replaced.
//!
//! ```text
//! x'_t ~ p_G(x_t | masked x) at masked t, x'_t = x_t elsewhere         the generator is a small BERT
//! D_t  = sigmoid(w . gelu(W h_t(x') + b) + c)                          the discriminator is a BERT with another head
//! loss = mean over masked t of -log p_G(x_t) + lambda * mean over tokens of the binary cross-entropy of D_t and x'_t != x_t
//! ```
//!
//! Both read one set of tables; no gradient goes through the sample, and a sample that hits the original is original.
//!
//! Source: Clark, Luong, Le and Manning 2020, "ELECTRA: pre-training text encoders as discriminators rather than
//! generators", section 2, equations 1 to 4; the shared tables and their norm: section 3.2 and the released code.
//!
//! In sums: `total = mlm + lambda * sum over rows of (mean of the row's cross-entropies) * (count of the row)`.
//!
//! Axes: b rows, t positions, n masked positions, e features of an embedding, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows};
use ssl_data::rng;
use tch::{Kind, Reduction, Tensor};

use crate::bert::{Block, Embeddings, Stack};
use crate::config::{Activation, Check};
use crate::init::{Role, Scheme};
use crate::layer::{Contrastive, ContrastiveConfig, Linear, MaskedHead, MaskedHeadConfig, Reading, Recompute, counted, present};
use crate::model::{Loss, Model, Pass};
use crate::params::Params;

/// The shape of an ELECTRA. Defaults are those of ELECTRA-small (Clark et al. 2020, table 6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ElectraConfig {
    /// Which of the two there are.
    pub parts: Parts,
    /// Layers of the discriminator.
    pub layers: u32,
    /// Heads of the discriminator.
    pub heads: u32,
    /// Features of the discriminator's stream.
    pub width: u32,
    /// Features of an embedding, which a map brings to the width of a stack where they differ.
    pub embedding_width: u32,
    /// The most tokens read at once.
    pub context_tokens: u32,
    /// Features inside the discriminator's feed-forward; four times the width when absent.
    pub feed_forward_width: Option<u32>,
    /// The non-linearity.
    pub activation: Activation,
    /// Rows of the table of segments.
    pub segments: u32,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// What the discriminator's loss counts beside the generator's: the paper's lambda.
    pub discriminator_weight: f64,
    /// Initial weights.
    pub init: Scheme,
    /// Where the generator is not a quarter of the discriminator.
    pub generator: GeneratorConfig,
    /// How texts are told apart by the discriminator, where the batches are texts.
    pub contrastive: ContrastiveConfig,
}

/// Which of the two stacks a model has; only both can learn to discriminate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parts {
    /// Both, as in training.
    #[default]
    Both,
    /// The discriminator, as published for use.
    Discriminator,
}

/// The generator's shape; what is absent is the discriminator's, divided by four for heads and widths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GeneratorConfig {
    /// Layers.
    pub layers: Option<u32>,
    /// Heads.
    pub heads: Option<u32>,
    /// Features of the stream.
    pub width: Option<u32>,
    /// Features inside the feed-forward; four times the width when absent.
    pub feed_forward_width: Option<u32>,
}

impl Default for ElectraConfig {
    fn default() -> Self {
        Self {
            parts: Parts::Both,
            layers: 12,
            heads: 4,
            width: 256,
            embedding_width: 128,
            context_tokens: 512,
            feed_forward_width: None,
            activation: Activation::Gelu,
            segments: 2,
            dropout: 0.1,
            norm_eps: 1e-12,
            discriminator_weight: 50.0,
            init: Scheme::TruncatedNormal,
            generator: GeneratorConfig::default(),
            contrastive: ContrastiveConfig::default(),
        }
    }
}

impl ElectraConfig {
    pub(crate) fn discriminator(&self) -> Stack {
        Stack {
            layers: self.layers,
            heads: self.heads,
            width: self.width,
            feed_forward: self.feed_forward_width.unwrap_or(self.width.saturating_mul(4)),
            activation: self.activation,
            dropout: self.dropout,
            eps: self.norm_eps,
            init: self.init,
        }
    }

    pub(crate) fn generator(&self) -> Stack {
        let width = self.generator.width.unwrap_or(self.width / 4);
        Stack {
            layers: self.generator.layers.unwrap_or(self.layers),
            heads: self.generator.heads.unwrap_or((self.heads / 4).max(1)),
            width,
            feed_forward: self.generator.feed_forward_width.unwrap_or(width.saturating_mul(4)),
            ..self.discriminator()
        }
    }

    pub(crate) fn check(&self, check: &mut Check) {
        check.eps(self.norm_eps);
        self.discriminator().check(check);
        if self.parts == Parts::Both {
            check.inside("generator", |check| self.generator().check(check));
        }
        let sizes =
            [("embedding-width", self.embedding_width), ("context-tokens", self.context_tokens), ("segments", self.segments)];
        check.sizes(&sizes);
        let weight = self.discriminator_weight;
        let fine = weight.is_finite() && weight >= 0.0;
        check.that(fine, "discriminator-weight", || (format!("{weight} is no weight"), "50 is the paper's".into()));
        check.contrastive(&self.contrastive);
    }

    /// About how many numbers its layers have, and its tables over a vocabulary.
    pub(crate) fn numbers(&self, vocab: u64) -> (u128, u128) {
        let more = if self.parts == Parts::Both { self.generator().numbers() } else { 0 };
        let table = u128::from(self.embedding_width) * (u128::from(vocab) + u128::from(self.context_tokens));
        (self.discriminator().numbers() + more, table)
    }
}

/// The model.
#[derive(Debug)]
pub struct Electra {
    config: ElectraConfig,
    vocab: i64,
    embeddings: Embeddings,
    discriminator: Encoder,
    dense: Linear,
    judge: Linear,
    generator: Option<(Encoder, MaskedHead)>,
    contrastive: Contrastive,
    unread: Vec<Tensor>,
}

/// One of the two stacks, over the tables of both.
#[derive(Debug)]
struct Encoder {
    project: Option<Linear>,
    blocks: Vec<Recompute<Block>>,
}

impl Encoder {
    fn new(params: &mut Params, name: &str, embedding: i64, stack: &Stack) -> Self {
        let role = Role::Matrix { inputs: embedding, outputs: i64::from(stack.width) };
        let project = format!("{name}.embeddings_project");
        Self {
            project: (embedding != i64::from(stack.width)).then(|| Linear::with_bias(params, &project, stack.init, role, true)),
            blocks: stack.blocks(params, &format!("{name}.encoder.layer")),
        }
    }

    fn forward(&self, embedded_bte: &Tensor, reading: &Reading, pass: Pass) -> Tensor {
        let h = self.project.as_ref().map_or_else(|| embedded_bte.shallow_clone(), |map| map.forward(embedded_bte));
        Stack::forward(&self.blocks, h, &reading.mask, pass)
    }
}

impl Electra {
    /// A model over `vocab` ids. The discriminator's weights have Hugging Face's names, the generator's the same after
    /// `generator.`, and the tables of both are stored once, as the discriminator's.
    pub fn new(config: &ElectraConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, e, ids) = (i64::from(config.width), i64::from(config.embedding_width), i64::from(vocab));
        let (stack, rows) = (config.discriminator(), [vocab, config.context_tokens, config.segments]);
        let embeddings = Embeddings::new(params, "electra.embeddings", rows, 0, config.embedding_width, &stack);
        let discriminator = Encoder::new(params, "electra", e, &stack);
        let first = params.list().len();
        let map = |params: &mut Params, part: &str, role| {
            Linear::with_bias(params, &format!("discriminator_predictions.{part}"), config.init, role, true)
        };
        let dense = map(params, "dense", Role::Matrix { inputs: d, outputs: d });
        let judge = map(params, "dense_prediction", Role::Head { inputs: d, outputs: 1 });
        let generator = (config.parts == Parts::Both).then(|| {
            let stack = config.generator();
            let encoder = Encoder::new(params, "generator.electra", e, &stack);
            let head = MaskedHeadConfig {
                dense: "generator.generator_predictions.dense",
                bias: true,
                norm: "generator.generator_predictions.LayerNorm",
                output: "generator.generator_lm_head.bias",
                features: (i64::from(stack.width), e),
                vocab: ids,
                // The published code has this one here whatever the stacks have.
                activation: Activation::Gelu,
                eps: config.norm_eps,
                init: config.init,
            };
            (encoder, MaskedHead::new(params, &head))
        });
        let unread = params.list()[first..].iter().map(|param| param.leaf.shallow_clone()).collect();
        let contrastive = Contrastive::new(params, config.contrastive, d, config.init);
        Self { config: config.clone(), vocab: ids, embeddings, discriminator, dense, judge, generator, contrastive, unread }
    }

    fn read(&self, reading: &Reading, pass: Pass) -> Tensor {
        self.discriminator.forward(&self.embeddings.forward(reading, pass), reading, pass)
    }

    fn judged(&self, hidden_btd: &Tensor) -> Tensor {
        let inner = self.config.activation.forward(&self.dense.forward(hidden_btd));
        self.judge.forward(&inner).to_kind(Kind::Float)
    }

    /// The generator's hidden states of rows, `[b, t, its width]`.
    ///
    /// # Panics
    /// When the model has no generator; see [`Parts`].
    pub fn generator_hidden(&self, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let reading = Reading::rows(rows);
        self.both().0.forward(&self.embeddings.forward(&reading, pass), &reading, pass)
    }

    /// The generator's logits in fp32, `[.., its width]` to `[.., v]`.
    ///
    /// # Panics
    /// When the model has no generator.
    pub fn generator_logits(&self, hidden: &Tensor, never: Option<i64>) -> Tensor {
        self.both().1.logits(hidden, &self.embeddings.tokens_ve, never)
    }

    fn both(&self) -> &(Encoder, MaskedHead) {
        self.generator.as_ref().expect("a discriminator alone reads no rows with targets")
    }

    /// The tokens that the generator puts at the `n` positions of `at`, i64, `[n]`; without gradient.
    ///
    /// In training its chance is libtorch's generator. In use it is a function of each row's ids, so that a score is the same
    /// each time and whatever other rows are in the batch.
    fn sample(&self, hidden_btd: &Tensor, at: &Tensor, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let n = at.size()[0];
        let chance = match pass {
            Pass::Train | Pass::Recompute => Tensor::rand([n, 1], (Kind::Float, at.device())),
            Pass::Eval => fixed_chance(&rows.inputs, at).to_device(at.device()).unsqueeze(1),
        };
        let hidden = hidden_btd.detach().flatten(0, 1).index_select(0, at);
        tch::no_grad(|| {
            let parts = (0..n).step_by(CHUNK).map(|from| {
                let count = (n - from).min(CHUNK as i64);
                let logits = self.generator_logits(&hidden.narrow(0, from, count), rows.never);
                let below = logits.softmax(1, Kind::Float).cumsum(1, Kind::Float);
                // Rounding leaves the last sum near 1; chance is spread over what is there.
                let level = chance.narrow(0, from, count) * below.narrow(1, self.vocab - 1, 1);
                below.le_tensor(&level).sum_dim_intlist(1, false, Kind::Int64).clamp_max(self.vocab - 1)
            });
            let parts: Vec<Tensor> = parts.collect();
            if parts.is_empty() { at.shallow_clone() } else { Tensor::cat(&parts, 0) }
        })
    }

    /// The loss of rows, with `words` (i64, `[n]`) at the positions that count instead of a sample where they are given.
    ///
    /// # Panics
    /// When the model has no generator; see [`Parts`].
    #[must_use]
    pub fn loss_with(&self, rows: &Rows<Tensor>, words: Option<&Tensor>, pass: Pass) -> Loss {
        let h = self.generator_hidden(rows, pass);
        let Loss { total, nats, weights, counts } = self.both().1.loss(&h, &self.embeddings.tokens_ve, rows);
        let at = counted(rows);
        let words = words.map_or_else(|| self.sample(&h, &at, rows, pass), Tensor::shallow_clone);
        let same = |x: Tensor| x.view_as(&rows.inputs);
        let read = same(rows.inputs.flatten(0, 1).index_copy(0, &at, &words));
        let original = same(rows.inputs.flatten(0, 1).index_copy(0, &at, &rows.targets.flatten(0, 1).index_select(0, &at)));
        let replaced = read.ne_tensor(&original).to_kind(Kind::Float);
        let logits = self.judged(&self.read(&Reading { ids: read, ..Reading::rows(rows) }, pass)).squeeze_dim(2);
        let each = logits.binary_cross_entropy_with_logits(&replaced, None::<&Tensor>, None::<&Tensor>, Reduction::None);
        let real = present(rows).to_kind(Kind::Float);
        let share = &counts.unsqueeze(1) / real.sum_dim_intlist(1, true, Kind::Float) * self.config.discriminator_weight;
        let each = each * share * &real;
        Loss {
            total: total + each.sum(Kind::Double),
            // Both losses at once, so that every token counts 1.
            nats: nats * weights + each.detach(),
            weights: real,
            counts,
        }
    }
}

/// Positions that are sampled at a time, each of them a row of probabilities.
const CHUNK: usize = 1024;

/// A number in `[0, 1)` for each position of `at`, from the ids of its row and its place among the row's, f32, `[n]`.
fn fixed_chance(inputs_bt: &Tensor, at: &Tensor) -> Tensor {
    let (_, t) = inputs_bt.size2().unwrap_or_default();
    let host = |x: &Tensor| -> Vec<i64> { (&x.flatten(0, -1).to_device(tch::Device::Cpu)).try_into().unwrap_or_default() };
    let keys: Vec<u64> = host(inputs_bt)
        .chunks(t.max(1) as usize)
        .map(|row| row.iter().fold(STREAM, |key, &id| rng::mix(key ^ id as u64)))
        .collect();
    let draw = |place: i64| rng::Rng::at(keys[(place / t) as usize], STREAM, (place % t) as u64).unit() as f32;
    // The largest f32 below 1: a draw rounded up to 1 would name no token.
    let chance: Vec<f32> = host(at).into_iter().map(|place| draw(place).min(1.0 - f32::EPSILON / 2.0)).collect();
    Tensor::from_slice(&chance)
}

/// Keeps these draws apart from the other uses of a seed.
const STREAM: u64 = 0x656c_6563_7472_6100;

impl Model for Electra {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        match batch {
            Batch::Texts(texts) => {
                let reading = Reading::texts(texts);
                self.contrastive.loss(texts, pass, &self.unread, &|pass| self.read(&reading, pass))
            }
            Batch::Rows(rows) | Batch::Pair(_, rows) => self.loss_with(rows, None, pass),
        }
    }

    /// The discriminator's, of the ids as they are.
    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(&Reading::of(batch), pass).to_kind(Kind::Float)
    }

    /// The discriminator's, `[b, t, 1]`: above 0 where it takes a token for replaced.
    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.judged(&self.read(&Reading::of(batch), Pass::Eval))
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}
