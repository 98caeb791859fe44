//! T5: an encoder reads the source, a decoder writes from it; positions are numbers added to the scores of attention.
//!
//! ```text
//! s0 = E[x]                                             h0 = E[y shifted right]
//! s  = s + Attention(N(s), bias_both)                   h  = h + Attention(N(h), bias_causal)     for each layer
//!                                                       h  = h + Attention(N(h), keys of N(s_L))
//! s  = s + W2 f(N(s))                                   h  = h + W2 f(N(h))
//! p(y_t) = softmax(E N(h_L) / sqrt(d)), in version 1.1 softmax(O N(h_L))
//! Attention = softmax(q kᵀ + B[bucket(distance)]) v,  N(h) = h / sqrt(mean h² + eps) * g
//! f(x) = relu(W1 x), in version 1.1 gelu(W1 x) * W3 x
//! ```
//!
//! Source: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text transformer",
//! section 2.1 (buckets, one table a stack; norms without a bias); version 1.1: the authors' release notes, and Shazeer 2020,
//! equation 6. Buckets, scales and initial weights are those of the authors' code (mesh-tensorflow), as transformers has them.
//!
//! Axes: b rows, t positions that ask, s positions that answer, d width, h heads, n buckets, v vocabulary.

mod positions;

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::init::{Init, Role, Scheme};
use crate::layer::{Activation, Attention, Linear, Recompute, RmsNorm, Step, dropped, embedding, rate, token_logits, token_loss};
use crate::model::{Cache, Decode, Loss, Model, Pass, Piece};
use crate::params::Params;
pub use positions::buckets;
use positions::{Positions, UNSEEN};

/// The shape of a T5. Defaults are those of the paper's base model (Raffel et al. 2020, section 3.1.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct T5Config {
    /// Layers of the encoder.
    pub layers: u32,
    /// Layers of the decoder; as many as the encoder's when absent.
    pub decoder_layers: Option<u32>,
    /// Heads.
    pub heads: u32,
    /// Features of a head, whatever the width.
    pub head_width: u32,
    /// Features of the stream.
    pub width: u32,
    /// Features inside the feed-forward.
    pub feed_forward_width: u32,
    /// Whether the feed-forward is a gated GELU, as in version 1.1, rather than a `ReLU`.
    pub gated: bool,
    /// Whether the output head is the embedding table, over a state divided by √width; not so in version 1.1.
    pub tied: bool,
    /// Buckets that distances fall into.
    pub buckets: u32,
    /// Distances of this many tokens and more share a bucket.
    pub reach: u32,
    /// The most tokens read at once, by each stack.
    pub context_tokens: u32,
    /// The id that a decoder reads first, which is also the padding's.
    pub start_token: u32,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the mean square in norms.
    pub norm_eps: f64,
    /// Initial weights; those of the authors' code when absent.
    pub init: Option<Scheme>,
}

impl Default for T5Config {
    fn default() -> Self {
        Self {
            layers: 12,
            decoder_layers: None,
            heads: 12,
            head_width: 64,
            width: 768,
            feed_forward_width: 3072,
            gated: false,
            tied: true,
            buckets: 32,
            reach: 128,
            context_tokens: 512,
            start_token: 0,
            dropout: 0.1,
            norm_eps: 1e-6,
            init: None,
        }
    }
}

impl T5Config {
    pub(crate) fn check(&self, check: &mut Check) {
        check.eps(self.norm_eps);
        check.sizes(&[
            ("layers", self.layers),
            ("decoder-layers", self.decoder_layers()),
            ("heads", self.heads),
            ("head-width", self.head_width),
            ("width", self.width),
            ("feed-forward-width", self.feed_forward_width),
            ("buckets", self.buckets),
            ("reach", self.reach),
            ("context-tokens", self.context_tokens),
        ]);
        check.share("dropout", self.dropout, "0.1 is T5's");
        let few = || (format!("{} cannot tell near from far on both sides", self.buckets), "32 is T5's".into());
        check.that(self.buckets >= 4, "buckets", few);
        let short = || (format!("{} is near for {} buckets", self.reach, self.buckets), "128 is T5's, for 32 buckets".into());
        check.that(self.reach > self.buckets / 2, "reach", short);
    }

    /// Layers of the decoder.
    #[must_use]
    pub fn decoder_layers(&self) -> u32 {
        self.decoder_layers.unwrap_or(self.layers)
    }

    /// Numbers in the matrices of a layer of the encoder, and of the decoder.
    fn layer(&self) -> [u128; 2] {
        let [d, heads, e, up] = [self.width, self.heads, self.head_width, self.feed_forward_width].map(u128::from);
        let feed = d * up * if self.gated { 3 } else { 2 };
        [4 * d * heads * e + feed, 8 * d * heads * e + feed]
    }

    /// About how many numbers its layers have, and its tables over a vocabulary.
    pub(crate) fn numbers(&self, vocab: u64) -> (u128, u128) {
        let [encoder, decoder] = self.layer();
        let layers = u128::from(self.layers) * encoder + u128::from(self.decoder_layers()) * decoder;
        (layers, u128::from(self.width) * u128::from(vocab) * if self.tied { 1 } else { 2 })
    }

    fn begin(&self, deviation: f64, role: Role) -> Init {
        self.init.map_or(Init::Normal(deviation), |scheme| scheme.of(role))
    }
}

/// The maps of one attention, and the norm before it.
#[derive(Debug)]
struct Heads {
    norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    merge: Linear,
    attention: Attention,
}

impl Heads {
    /// `place` and `part` are the two ends of the published names.
    fn new(c: &T5Config, place: &str, part: &str, params: &mut Params) -> Self {
        let (d, heads, e, layers) = (i64::from(c.width), i64::from(c.heads), i64::from(c.head_width), i64::from(c.layers));
        let into = Role::Matrix { inputs: d, outputs: heads * e };
        let out = Role::Residual { inputs: heads * e, outputs: d, layers };
        let mut map = |name: &str, role, deviation: f64| {
            Linear::begun(params, &format!("{place}.{part}.{name}"), role, c.begin(deviation, role))
        };
        // Without a division by sqrt(e) the queries begin that much smaller.
        let q = map("q", into, ((d * e) as f64).powf(-0.5));
        let [k, v] = ["k", "v"].map(|name| map(name, into, (d as f64).powf(-0.5)));
        let merge = map("o", out, ((heads * e) as f64).powf(-0.5));
        let norm = RmsNorm::new(params, &format!("{place}.layer_norm"), d, c.norm_eps);
        Self { norm, q, k, v, merge, attention: Attention { heads, kv_heads: heads } }
    }

    /// Keys and values of `x_bsd`.
    fn keys(&self, x_bsd: &Tensor) -> (Tensor, Tensor) {
        let [k, v] = [&self.k, &self.v].map(|map| Attention::split(&map.forward(x_bsd), self.attention.heads));
        (k, v)
    }

    fn queries(&self, x_btd: &Tensor) -> Tensor {
        Attention::split(&self.q.forward(x_btd), self.attention.heads)
    }
}

/// The feed-forward and the norm before it.
#[derive(Debug)]
struct Feed {
    norm: RmsNorm,
    gate: Linear,
    up: Option<Linear>,
    down: Linear,
}

impl Feed {
    fn new(c: &T5Config, place: &str, params: &mut Params) -> Self {
        let (d, up, layers) = (i64::from(c.width), i64::from(c.feed_forward_width), i64::from(c.layers));
        let (into, out) = (Role::Matrix { inputs: d, outputs: up }, Role::Residual { inputs: up, outputs: d, layers });
        let mut map = |name: &str, role, inputs: i64| {
            Linear::begun(params, &format!("{place}.DenseReluDense.{name}"), role, c.begin((inputs as f64).powf(-0.5), role))
        };
        let gate = map(if c.gated { "wi_0" } else { "wi" }, into, d);
        let raise = c.gated.then(|| map("wi_1", into, d));
        let down = map("wo", out, up);
        Self { norm: RmsNorm::new(params, &format!("{place}.layer_norm"), d, c.norm_eps), gate, up: raise, down }
    }

    /// Of what `norm` made.
    fn forward(&self, x: &Tensor, dropout: f64, pass: Pass) -> Tensor {
        let inside = match &self.up {
            None => self.gate.forward(x).relu(),
            Some(up) => Activation::GeluTanh.gate(&self.gate.forward(x), &up.forward(x)),
        };
        self.down.forward(&dropped(&inside, dropout, pass))
    }
}

/// One layer: attention to its own stack, in the decoder to the source too, then feed-forward, each added to the stream.
#[derive(Debug)]
struct Block {
    own: Heads,
    cross: Option<Heads>,
    feed: Feed,
    dropout: f64,
}

impl Block {
    /// `own` is attention over all that is seen of its own stack, `across` that over the source.
    fn forward(
        &self,
        h: &Tensor,
        pass: Pass,
        own: impl FnOnce(Attention, &Tensor, &Tensor, &Tensor) -> Tensor,
        across: impl FnOnce(Attention, &Tensor) -> Tensor,
    ) -> Tensor {
        let branch = |heads: &Heads, seen: &Tensor| dropped(&heads.merge.forward(seen), self.dropout, pass);
        let (mut h, normed) = self.own.norm.beside(h);
        let (k, v) = self.own.keys(&normed);
        let mut added = branch(&self.own, &own(self.own.attention, &self.own.queries(&normed), &k, &v));
        if let Some(cross) = &self.cross {
            let (stream, normed) = cross.norm.after(&h, &added);
            (h, added) = (stream, branch(cross, &across(cross.attention, &cross.queries(&normed))));
        }
        let (h, normed) = self.feed.norm.after(&h, &added);
        &h + dropped(&self.feed.forward(&normed, self.dropout, pass), self.dropout, pass)
    }
}

/// The layers of an encoder or a decoder.
#[derive(Debug)]
struct Stack {
    blocks: Vec<Recompute<Block>>,
    norm: RmsNorm,
    positions: Positions,
    dropout: f64,
}

impl Stack {
    fn new(c: &T5Config, name: &str, layers: u32, decoder: bool, params: &mut Params) -> Self {
        let table = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let init = c.begin(f64::from(c.width).powf(-0.5), Role::Embedding);
        let table_nh = params.add(table, &[i64::from(c.buckets), i64::from(c.heads)], init);
        let block = |i: u32| {
            let place = |part: u32| format!("{name}.block.{i}.layer.{part}");
            Recompute::new(Block {
                own: Heads::new(c, &place(0), "SelfAttention", params),
                cross: decoder.then(|| Heads::new(c, &place(1), "EncDecAttention", params)),
                feed: Feed::new(c, &place(1 + u32::from(decoder)), params),
                dropout: c.dropout,
            })
        };
        let blocks = (0..layers).map(block).collect();
        let norm = RmsNorm::new(params, &format!("{name}.final_layer_norm"), i64::from(c.width), c.norm_eps);
        let buckets = buckets(c.buckets, c.reach, decoder).to_device(params.device());
        let positions = Positions { table_nh, buckets, reach: i64::from(c.reach), causal: decoder };
        Self { blocks, norm, positions, dropout: c.dropout }
    }

    /// `[b, t, d]` from embeddings; `scores` meet `[b, h, t, s]`, and `source` is what [`T5::known`] says of each layer.
    fn forward(&self, e: &Tensor, scores: &Tensor, source: &[[Tensor; 3]], pass: Pass) -> Tensor {
        let (mut h, dropout) = (dropped(e, self.dropout, pass), rate(self.dropout, pass));
        for (layer, block) in self.blocks.iter().enumerate() {
            let x: Vec<&Tensor> = [&h, scores].into_iter().chain(source.get(layer).into_iter().flatten()).collect();
            h = block.run(pass, &x, move |block, x| {
                let own = |by: Attention, q: &Tensor, k: &Tensor, v: &Tensor| by.added(q, k, v, &x[1], dropout);
                block.forward(&x[0], pass, own, |by, q| by.added(q, &x[2], &x[3], &x[4], dropout))
            });
        }
        dropped(&self.norm.forward(&h), self.dropout, pass)
    }

    /// The same of a step's embeddings, text by text from its own offset.
    fn step(&self, e: Tensor, step: &Step<'_>, hiding: &[Tensor]) -> Tensor {
        let scores: Vec<Tensor> = step.spans().map(|(from, to)| self.positions.scores(from, to)).collect();
        let mut h = e;
        for (layer, block) in self.blocks.iter().enumerate() {
            let own = |by: Attention, q: &Tensor, k: &Tensor, v: &Tensor| {
                step.extended(layer, (q, k, v), |piece, q, k, v, _| by.added(q, k, v, &scores[piece], 0.0))
            };
            let across =
                |by: Attention, q: &Tensor| step.across(layer, q, |piece, q, k, v| by.added(q, k, v, &hiding[piece], 0.0));
            h = block.block().forward(&h, Pass::Eval, own, across);
        }
        self.norm.forward(&h)
    }
}

/// The model.
#[derive(Debug)]
pub struct T5 {
    config: T5Config,
    /// What it computes in.
    kind: Kind,
    tokens_vd: Tensor,
    encoder: Stack,
    decoder: Stack,
    head_vd: Tensor,
}

impl T5 {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &T5Config, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        let tokens_vd = params.add("shared.weight", &[vocab, d], config.begin(1.0, Role::Embedding));
        let encoder = Stack::new(config, "encoder", config.layers, false, params);
        let decoder = Stack::new(config, "decoder", config.decoder_layers(), true, params);
        let head_vd = if config.tied {
            tokens_vd.shallow_clone()
        } else {
            let init = config.begin((d as f64).powf(-0.5), Role::Matrix { inputs: d, outputs: vocab });
            params.add("lm_head.weight", &[vocab, d], init)
        };
        Self { config: config.clone(), kind: params.precision().kind(), tokens_vd, encoder, decoder, head_vd }
    }

    /// The encoder's last state, `[b, s, d]`.
    fn read(&self, source: &Source<Tensor>, pass: Pass) -> Tensor {
        let (_, s) = source.ids.size2().unwrap_or_default();
        let scores = self.encoder.positions.scores(0, s).masked_fill(&present(source).logical_not(), UNSEEN);
        self.encoder.forward(&embedding(&self.tokens_vd, &source.ids), &scores, &[], pass)
    }

    /// Each layer's keys and values of the source.
    fn keys(&self, read_bsd: &Tensor) -> Vec<(Tensor, Tensor)> {
        self.decoder.blocks.iter().filter_map(|block| Some(block.block().cross.as_ref()?.keys(read_bsd))).collect()
    }

    /// The scores that hide padding, of [`present`].
    fn hiding(&self, present: &Tensor) -> Tensor {
        let zero = Tensor::zeros(present.size(), (self.kind, present.device()));
        zero.masked_fill(&present.logical_not(), UNSEEN)
    }

    /// What each decoder layer knows of the source: its keys, its values, and the scores that hide padding.
    fn known(&self, keys: &[(Tensor, Tensor)], present: &Tensor) -> Vec<[Tensor; 3]> {
        let hiding = self.hiding(present);
        keys.iter().map(|(k, v)| [k, v, &hiding].map(Tensor::shallow_clone)).collect()
    }

    /// The decoder's last state as the head reads it.
    fn scaled(&self, h: Tensor) -> Tensor {
        if self.config.tied { h * f64::from(self.config.width).powf(-0.5) } else { h }
    }

    /// That of every row of a batch, `[b, t, d]`.
    fn written(&self, source: &Source<Tensor>, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let known = self.known(&self.keys(&self.read(source, pass)), &present(source));
        let (_, t) = rows.inputs.size2().unwrap_or_default();
        let scores = self.decoder.positions.scores(0, t);
        self.scaled(self.decoder.forward(&embedding(&self.tokens_vd, &rows.inputs), &scores, &known, pass))
    }

    /// The logits that a step wants.
    fn go_on(&self, step: Step<'_>) -> Tensor {
        let hiding: Vec<Tensor> = step.sources().map(|present| self.hiding(&present)).collect();
        let h = self.decoder.step(embedding(&self.tokens_vd, &step.ids), &step, &hiding);
        step.finish(&self.scaled(h), |h_nd| token_logits(h_nd, &self.head_vd, None, None))
    }
}

/// Where a source is no padding: bool, `[b, 1, 1, s]`.
fn present(source: &Source<Tensor>) -> Tensor {
    source.present.ne(0).unsqueeze(1).unsqueeze(1)
}

fn pair(batch: &Batch<Tensor>) -> (&Source<Tensor>, &Rows<Tensor>) {
    match batch {
        Batch::Pair(source, rows) => (source, rows),
        Batch::Rows(_) | Batch::Texts(_) => panic!("t5 reads pairs"),
    }
}

impl Model for T5 {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let (source, rows) = pair(batch);
        token_loss(&self.written(source, rows, pass), &self.head_vd, None, rows)
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(pair(batch).0, pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        let (source, rows) = pair(batch);
        token_logits(&self.written(source, rows, Pass::Eval), &self.head_vd, None, rows.never)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}

impl Decode for T5 {
    fn cache(&self, source: Option<&Source<Tensor>>) -> Cache {
        let Some(source) = source else { panic!("t5 writes from a source, and none was given") };
        let keys = self.keys(&self.read(source, Pass::Eval));
        Cache { source: keys, present: Some(present(source)), ..Cache::new(self.decoder.blocks.len()) }
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

    fn start(&self) -> Option<u32> {
        Some(self.config.start_token)
    }
}
