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

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::init::{Init, Role, Scheme};
use crate::layer::{Activation, Attention, Linear, Recompute, RmsNorm, dropped, embedding, rate, token_logits, token_loss};
use crate::model::{Cache, Decode, Loss, Model, Pass};
use crate::params::Params;

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

/// A score no position has: out of sight, and still finite, so that a row that sees nothing is no fault.
const UNSEEN: f64 = -1e9;

/// The bucket of each distance from `-reach` to `reach`, key minus query: i64, `[2 reach + 1]`. Half of `count` are for one
/// distance each, the others grow with its logarithm; a causal stack has all of them for the past.
pub fn buckets(count: u32, reach: u32, causal: bool) -> Tensor {
    let (count, reach) = (i64::from(count), i64::from(reach));
    let at = Tensor::arange_start(-reach, reach + 1, (Kind::Int64, Device::Cpu));
    let (side, far, count) =
        if causal { (at.zeros_like(), -at.clamp_max(0), count) } else { (at.gt(0) * (count / 2), at.abs(), count / 2) };
    let exact = count / 2;
    // In fp32 and in this order, as the published models were trained: a bucket's edge is a matter of rounding.
    let logarithm = (far.clamp_min(1).to_kind(Kind::Float) / exact as f64).log();
    let grown = logarithm / (reach as f64 / exact as f64).ln() * (count - exact) as f64;
    let large = (grown.to_kind(Kind::Int64) + exact).clamp_max(count - 1);
    far.where_self(&far.lt(exact), &large) + side
}

/// What the positions of a stack add to its scores.
#[derive(Debug)]
struct Positions {
    table_nh: Tensor,
    buckets: Tensor,
    reach: i64,
    causal: bool,
}

impl Positions {
    /// For queries at `from..to` and keys at `0..to`, `[1, h, t, s]`.
    fn scores(&self, from: i64, to: i64) -> Tensor {
        let at = Tensor::arange(to, (Kind::Int64, self.buckets.device()));
        let distance = at.unsqueeze(0) - at.narrow(0, from, to - from).unsqueeze(1);
        let buckets = self.buckets.take(&(distance.clamp(-self.reach, self.reach) + self.reach));
        let scores = embedding(&self.table_nh, &buckets).permute([2, 0, 1]).contiguous().unsqueeze(0);
        if self.causal { scores.masked_fill(&distance.gt(0), UNSEEN) } else { scores }
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

    fn attend(&self, x_btd: &Tensor, (k, v): (&Tensor, &Tensor), scores: &Tensor, dropout: f64) -> Tensor {
        let q = Attention::split(&self.q.forward(x_btd), self.attention.heads);
        self.merge.forward(&self.attention.added(&q, k, v, scores, dropout))
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
    /// `x` are the stream and its scores, and in a decoder what [`T5::known`] says of this layer.
    fn forward(&self, x: &[Tensor], cache: Option<(&mut Cache, usize)>, pass: Pass) -> Tensor {
        let (scores, weights) = (&x[1], rate(self.dropout, pass));
        let drop = |x: &Tensor| dropped(x, self.dropout, pass);
        let (mut h, normed) = self.own.norm.beside(&x[0]);
        let (mut k, mut v) = self.own.keys(&normed);
        if let Some((cache, layer)) = cache {
            (k, v) = cache.extend(layer, k, v);
        }
        let mut branch = drop(&self.own.attend(&normed, (&k, &v), scores, weights));
        if let (Some(cross), [k, v, hiding]) = (&self.cross, &x[2..]) {
            let (stream, normed) = cross.norm.after(&h, &branch);
            (h, branch) = (stream, drop(&cross.attend(&normed, (k, v), hiding, weights)));
        }
        let (h, normed) = self.feed.norm.after(&h, &branch);
        &h + drop(&self.feed.forward(&normed, self.dropout, pass))
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

    /// `[b, t, d]` from embeddings; `scores` meet `[b, h, t, s]`.
    fn forward(&self, e: &Tensor, scores: &Tensor, source: &[[Tensor; 3]], mut cache: Option<&mut Cache>, pass: Pass) -> Tensor {
        let mut h = dropped(e, self.dropout, pass);
        for (layer, block) in self.blocks.iter().enumerate() {
            let own = [h.shallow_clone(), scores.shallow_clone()];
            let source = source.get(layer).into_iter().flatten().map(Tensor::shallow_clone);
            let x: Vec<Tensor> = own.into_iter().chain(source).collect();
            h = match cache.as_deref_mut() {
                Some(cache) => block.block().forward(&x, Some((cache, layer)), pass),
                None => block.run(pass, &x, move |block, x| block.forward(x, None, pass)),
            };
        }
        dropped(&self.norm.forward(&h), self.dropout, pass)
    }
}

/// The model.
#[derive(Debug)]
pub struct T5 {
    config: T5Config,
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
        Self { config: config.clone(), tokens_vd, encoder, decoder, head_vd }
    }

    /// The encoder's last state, `[b, s, d]`.
    fn read(&self, source: &Source<Tensor>, pass: Pass) -> Tensor {
        let (_, s) = source.ids.size2().unwrap_or_default();
        let scores = self.encoder.positions.scores(0, s).masked_fill(&present(source).logical_not(), UNSEEN);
        self.encoder.forward(&embedding(&self.tokens_vd, &source.ids), &scores, &[], None, pass)
    }

    /// Each layer's keys and values of the source.
    fn keys(&self, read_bsd: &Tensor) -> Vec<(Tensor, Tensor)> {
        self.decoder.blocks.iter().filter_map(|block| Some(block.block().cross.as_ref()?.keys(read_bsd))).collect()
    }

    /// What each decoder layer knows of the source: its keys, its values, and the scores that hide padding, of [`present`].
    fn known(&self, keys: &[(Tensor, Tensor)], present: &Tensor) -> Vec<[Tensor; 3]> {
        let zero = Tensor::zeros(present.size(), (self.tokens_vd.kind(), present.device()));
        let hiding = zero.masked_fill(&present.logical_not(), UNSEEN);
        keys.iter().map(|(k, v)| [k, v, &hiding].map(Tensor::shallow_clone)).collect()
    }

    /// The decoder's last state as the head reads it, `[b, t, d]`.
    fn write(&self, ids_bt: &Tensor, known: &[[Tensor; 3]], cache: Option<&mut Cache>, pass: Pass) -> Tensor {
        let (_, t) = ids_bt.size2().unwrap_or_default();
        let from = cache.as_ref().map_or(0, |cache| cache.tokens);
        let scores = self.decoder.positions.scores(from, from + t);
        let h = self.decoder.forward(&embedding(&self.tokens_vd, ids_bt), &scores, known, cache, pass);
        if self.config.tied { h * f64::from(self.config.width).powf(-0.5) } else { h }
    }

    /// The same for every row of a batch.
    fn written(&self, source: &Source<Tensor>, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let known = self.known(&self.keys(&self.read(source, pass)), &present(source));
        self.write(&rows.inputs, &known, None, pass)
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
        let Some(known) = cache.present.as_ref().map(|present| self.known(&cache.source, present)) else {
            panic!("t5 writes from a source, and the cache has none")
        };
        let (_, t) = tokens_bs.size2().unwrap_or_default();
        let h = self.write(tokens_bs, &known, Some(&mut *cache), Pass::Eval);
        cache.tokens += t;
        h.narrow(1, t - 1, 1).squeeze_dim(1).linear(&self.head_vd, None::<&Tensor>).to_kind(Kind::Float)
    }
}
