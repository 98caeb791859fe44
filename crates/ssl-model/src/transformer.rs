//! The Transformer: an encoder reads a text at once, a decoder writes another from it.
//!
//! ```text
//! h0 = sqrt(d) E[x] + P,  P[t] = sin and cos of t / 10000^(2i/d)
//! h  = LayerNorm(h + Attention(h))                        for each layer
//! h  = LayerNorm(h + Attention(h, source))                in the decoder
//! h  = LayerNorm(h + W2 relu(W1 h))
//! p(y_t) = softmax(E h_t)
//! L  = sum_t (1 - eps) (-log p(y_t)) + eps mean_v (-log p(v)) in training
//! ```
//!
//! Source: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin 2017, "Attention is all you need",
//! sections 3 and 5.4; label smoothing: Szegedy et al. 2016, section 7. In the names of transformers' Marian, which is it.
//!
//! The smoothing needs no logits: with `z = E h` it adds `eps (z_y - mean_v z_v)`, which is `eps h . (E_y - mean_v E_v)`.
//!
//! Differs: sines come before cosines, as in the authors' code; maps have biases; attention weights drop out too, as there.
//!
//! Axes: b rows, s positions of the source, t of the target, d width, h heads, e features of a head, v vocabulary.

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Device, Kind, Tensor};

use crate::config::Check;
use crate::init::{Init, Role, Scheme};
use crate::layer::{Attention, LayerNorm, Linear, Mask, Recompute, Step, dropped, embedding, rate, token_logits, token_loss};
use crate::model::{Cache, Decode, Loss, Model, Pass, Piece};
use crate::params::Params;

/// The shape of a Transformer. Defaults are those of the base model (Vaswani et al. 2017, table 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TransformerConfig {
    /// Layers of the encoder, and of the decoder.
    pub layers: u32,
    /// Heads.
    pub heads: u32,
    /// Features of the stream.
    pub width: u32,
    /// Features inside the feed-forward.
    pub feed_forward_width: u32,
    /// The most tokens read or written at once.
    pub context_tokens: u32,
    /// The id that a decoder reads first, which is also the padding's.
    pub start_token: u32,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// The share of the probability that training takes from the answer and spreads over all ids.
    pub label_smoothing: f64,
    /// Initial weights.
    pub init: Scheme,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            layers: 6,
            heads: 8,
            width: 512,
            feed_forward_width: 2048,
            context_tokens: 256,
            start_token: 0,
            dropout: 0.1,
            label_smoothing: 0.1,
            init: Scheme::Xavier,
        }
    }
}

impl TransformerConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.sizes(&[
            ("layers", self.layers),
            ("width", self.width),
            ("feed-forward-width", self.feed_forward_width),
            ("context-tokens", self.context_tokens),
        ]);
        check.heads("heads", self.heads, self.width);
        check.share("dropout", self.dropout, "0.1 is the paper's");
        check.share("label-smoothing", self.label_smoothing, "0.1 is the paper's");
        let places = u64::from(self.width) * u64::from(self.context_tokens);
        let many = || {
            (
                format!("{} positions of width {} are too many", self.context_tokens, self.width),
                "read fewer tokens at once".into(),
            )
        };
        check.that(places <= 1 << 26, "context-tokens", many);
        let odd = || ("sines and cosines come in pairs".into(), "give an even width".into());
        check.that(self.width.is_multiple_of(2), "width", odd);
    }

    /// About how many numbers its layers have, and its table over a vocabulary.
    pub(crate) fn numbers(&self, vocab: u64) -> (u128, u128) {
        let [layers, d, up] = [self.layers, self.width, self.feed_forward_width].map(u128::from);
        (layers * (12 * d * d + 4 * d * up), d * u128::from(vocab))
    }
}

/// Added to the variance in norms.
const EPS: f64 = 1e-5;

/// The maps of one attention, and the norm after it.
#[derive(Debug)]
struct Heads {
    q: Linear,
    k: Linear,
    v: Linear,
    merge: Linear,
    norm: LayerNorm,
    attention: Attention,
}

impl Heads {
    fn new(c: &TransformerConfig, name: &str, params: &mut Params) -> Self {
        let (d, heads) = (i64::from(c.width), i64::from(c.heads));
        let role = Role::Matrix { inputs: d, outputs: d };
        let [q, k, v, merge] = ["q_proj", "k_proj", "v_proj", "out_proj"]
            .map(|part| Linear::with_bias(params, &format!("{name}.{part}"), c.init, role, true));
        let norm = LayerNorm::new(params, &format!("{name}_layer_norm"), d, true, EPS);
        Self { q, k, v, merge, norm, attention: Attention { heads, kv_heads: heads } }
    }

    fn keys(&self, x_bsd: &Tensor) -> (Tensor, Tensor) {
        let [k, v] = [&self.k, &self.v].map(|map| Attention::split(&map.forward(x_bsd), self.attention.heads));
        (k, v)
    }

    fn queries(&self, x_btd: &Tensor) -> Tensor {
        Attention::split(&self.q.forward(x_btd), self.attention.heads)
    }

    /// The stream after this branch, which read `seen_btd`.
    fn join(&self, h: &Tensor, seen_btd: &Tensor, dropout: f64, pass: Pass) -> Tensor {
        self.norm.after(h, &dropped(&self.merge.forward(seen_btd), dropout, pass)).1
    }
}

/// One layer.
#[derive(Debug)]
struct Block {
    own: Heads,
    cross: Option<Heads>,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    dropout: f64,
}

impl Block {
    fn new(c: &TransformerConfig, name: &str, decoder: bool, params: &mut Params) -> Self {
        let (d, up) = (i64::from(c.width), i64::from(c.feed_forward_width));
        let own = Heads::new(c, &format!("{name}.self_attn"), params);
        let cross = decoder.then(|| Heads::new(c, &format!("{name}.encoder_attn"), params));
        let raise = Role::Matrix { inputs: d, outputs: up };
        let fall = Role::Matrix { inputs: up, outputs: d };
        Self {
            own,
            cross,
            up: Linear::with_bias(params, &format!("{name}.fc1"), c.init, raise, true),
            down: Linear::with_bias(params, &format!("{name}.fc2"), c.init, fall, true),
            norm: LayerNorm::new(params, &format!("{name}.final_layer_norm"), d, true, EPS),
            dropout: c.dropout,
        }
    }

    /// `own` is attention over all that is seen of its own stack, `across` that over the source.
    fn forward(
        &self,
        h: &Tensor,
        pass: Pass,
        own: impl FnOnce(Attention, &Tensor, &Tensor, &Tensor) -> Tensor,
        across: impl FnOnce(Attention, &Tensor) -> Tensor,
    ) -> Tensor {
        let (k, v) = self.own.keys(h);
        let seen = own(self.own.attention, &self.own.queries(h), &k, &v);
        let mut h = self.own.join(h, &seen, self.dropout, pass);
        if let Some(cross) = &self.cross {
            let seen = across(cross.attention, &cross.queries(&h));
            h = cross.join(&h, &seen, self.dropout, pass);
        }
        let fed = self.down.forward(&self.up.forward(&h).relu());
        self.norm.after(&h, &dropped(&fed, self.dropout, pass)).1
    }
}

/// The model.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    tokens_vd: Tensor,
    positions_td: Tensor,
    encoder: Vec<Recompute<Block>>,
    decoder: Vec<Recompute<Block>>,
}

impl Transformer {
    /// A model over `vocab` ids, its weights added to `params` under Hugging Face's names.
    pub fn new(config: &TransformerConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        // Scaled by √d on the way in, an embedding is then as long as a position.
        let tokens_vd = params.add("model.shared.weight", &[vocab, d], Init::Normal((d as f64).powf(-0.5)));
        let mut stack = |name: &str, decoder| {
            let block = |i| Recompute::new(Block::new(config, &format!("model.{name}.layers.{i}"), decoder, params));
            (0..config.layers).map(block).collect()
        };
        let (encoder, decoder) = (stack("encoder", false), stack("decoder", true));
        let positions = sinusoids(i64::from(config.context_tokens), d);
        let positions_td = positions.to_kind(params.precision().kind()).to_device(params.device());
        Self { config: config.clone(), tokens_vd, positions_td, encoder, decoder }
    }

    /// Embeddings of tokens that stand at 0 and later.
    fn embed(&self, ids_bt: &Tensor, pass: Pass) -> Tensor {
        let (_, t) = ids_bt.size2().unwrap_or_default();
        dropped(&self.placed(ids_bt, &self.places(t).narrow(0, 0, t)), self.config.dropout, pass)
    }

    /// The positions below `count` and perhaps more. A target may be longer than any source; its positions are as well defined.
    fn places(&self, count: i64) -> Tensor {
        if count <= self.positions_td.size()[0] {
            return self.positions_td.shallow_clone();
        }
        let further = sinusoids(count, i64::from(self.config.width));
        further.to_kind(self.positions_td.kind()).to_device(self.positions_td.device())
    }

    fn placed(&self, ids_bt: &Tensor, places: &Tensor) -> Tensor {
        embedding(&self.tokens_vd, ids_bt) * f64::from(self.config.width).sqrt() + places
    }

    /// The encoder's last state, `[b, s, d]`.
    fn read(&self, source: &Source<Tensor>, pass: Pass) -> Tensor {
        let (seen, dropout) = (Mask::Some(present(source)), rate(self.config.dropout, pass));
        self.encoder.iter().fold(self.embed(&source.ids, pass), |h, block| {
            let seen = seen.share();
            block.run(pass, &[&h], move |block, x| {
                // An encoder's block has nothing to look across at.
                block.forward(&x[0], pass, |by, q, k, v| by.forward(q, k, v, &seen, dropout), |_, q| q.shallow_clone())
            })
        })
    }

    /// Each decoder layer's keys and values of the source.
    fn keys(&self, read_bsd: &Tensor) -> Vec<(Tensor, Tensor)> {
        self.decoder.iter().filter_map(|block| Some(block.block().cross.as_ref()?.keys(read_bsd))).collect()
    }

    /// The decoder's last state of every row of a batch, `[b, t, d]`.
    fn written(&self, source: &Source<Tensor>, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let (known, seen) = (self.keys(&self.read(source, pass)), Mask::Some(present(source)));
        let dropout = rate(self.config.dropout, pass);
        let layers = self.decoder.iter().zip(&known);
        layers.fold(self.embed(&rows.inputs, pass), |h, (block, (k, v))| {
            let seen = seen.share();
            block.run(pass, &[&h, k, v], move |block, x| {
                let own = |by: Attention, q: &Tensor, k: &Tensor, v: &Tensor| by.forward(q, k, v, &Mask::Causal, dropout);
                block.forward(&x[0], pass, own, |by, q| by.forward(q, &x[1], &x[2], &seen, dropout))
            })
        })
    }

    /// The logits that a step wants.
    fn go_on(&self, step: Step<'_>) -> Tensor {
        let seen: Vec<Mask> = step.sources().map(Mask::Some).collect();
        let places = embedding(&self.places(step.longest()), &step.positions);
        let mut h = self.placed(&step.ids, &places);
        for (layer, block) in self.decoder.iter().enumerate() {
            let own = |by, q: &Tensor, k: &Tensor, v: &Tensor| step.attend(layer, by, q, k, v);
            let across =
                |by: Attention, q: &Tensor| step.across(layer, q, |piece, q, k, v| by.forward(q, k, v, &seen[piece], 0.0));
            h = block.block().forward(&h, Pass::Eval, own, across);
        }
        step.finish(&h, |h_nd| token_logits(h_nd, &self.tokens_vd, None, None))
    }

    /// What smoothing adds to the weighted nats: `eps sum_t w_t h_t . (E_y - mean_v E_v)`, `[]`.
    fn smoothing(&self, hidden_btd: &Tensor, rows: &Rows<Tensor>) -> Tensor {
        let mean = self.tokens_vd.mean_dim(0, false, Kind::Float);
        let apart = embedding(&self.tokens_vd, &rows.targets).to_kind(Kind::Float) - mean;
        let gained = (hidden_btd.to_kind(Kind::Float) * apart).sum_dim_intlist(-1, false, Kind::Float);
        (gained * &rows.weights).sum(Kind::Double) * self.config.label_smoothing
    }
}

/// `[sin | cos]` of position over 10000^(2i/d), `[t, d]`, computed in fp64.
fn sinusoids(context: i64, d: i64) -> Tensor {
    let wide = (Kind::Double, Device::Cpu);
    let exponents = Tensor::arange(d / 2, wide) * (2.0 / d as f64);
    let rates = (exponents * -10_000_f64.ln()).exp();
    let angles = Tensor::arange(context, wide).unsqueeze(1) * rates.unsqueeze(0);
    Tensor::cat(&[angles.sin(), angles.cos()], 1).to_kind(Kind::Float)
}

/// Where a source is no padding: bool, `[b, 1, 1, s]`. Its first token is always seen, so that no row sees nothing.
fn present(source: &Source<Tensor>) -> Tensor {
    let seen = source.present.ne(0);
    let _ = seen.narrow(1, 0, 1).fill_(1);
    seen.unsqueeze(1).unsqueeze(1)
}

fn pair(batch: &Batch<Tensor>) -> (&Source<Tensor>, &Rows<Tensor>) {
    match batch {
        Batch::Pair(source, rows) => (source, rows),
        Batch::Rows(_) | Batch::Texts(_) => panic!("transformer reads pairs"),
    }
}

impl Model for Transformer {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let (source, rows) = pair(batch);
        let hidden = self.written(source, rows, pass);
        let plain = token_loss(&hidden, &self.tokens_vd, None, rows);
        if pass == Pass::Eval || self.config.label_smoothing == 0.0 {
            return plain;
        }
        Loss { total: &plain.total + self.smoothing(&hidden, rows), ..plain }
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.read(pair(batch).0, pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        let (source, rows) = pair(batch);
        token_logits(&self.written(source, rows, Pass::Eval), &self.tokens_vd, None, rows.never)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}

impl Decode for Transformer {
    fn cache(&self, source: Option<&Source<Tensor>>) -> Cache {
        let Some(source) = source else { panic!("transformer writes from a source, and none was given") };
        let keys = self.keys(&self.read(source, Pass::Eval));
        Cache { source: keys, present: Some(present(source)), ..Cache::new(self.decoder.len()) }
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
