//! LSTM: a recurrent language model, whose state goes on from one window to the next.
//!
//! ```text
//! i, f, g, o = W_x x_t + b_x + W_h h_{t-1} + b_h          split in four
//! c_t = sigma(f) c_{t-1} + sigma(i) tanh(g)
//! h_t = sigma(o) tanh(c_t)                                 for each layer, the x of the next
//! p(x_{t+1}) = softmax(W h_t + b)
//! ```
//!
//! Gradients reach back to the beginning of a window and no further (truncated back-propagation through time); with
//! `[data.windows.streams]` the state itself does not end there.
//!
//! Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; as a language model Zaremba, Sutskever
//! and Vinyals 2014, "Recurrent neural network regularization", section 3 (dropout between layers, not over time); Williams
//! and Peng 1990 (truncation); one table for input and output: Press and Wolf 2017. In PyTorch's names and order of gates.
//!
//! Axes: b rows, t positions, e features of an embedding, d features of a state, v vocabulary.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use ssl_data::batch::{Batch, Rows, Source};
use tch::{Kind, Tensor};

use crate::config::Check;
use crate::init::Init;
use crate::layer::{embedding, token_logits, token_loss};
use crate::model::{Cache, Decode, Loss, Model, Pass, rows};
use crate::params::Params;

/// The shape of an LSTM. Defaults are those of PyTorch's word language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LstmConfig {
    /// Layers.
    pub layers: u32,
    /// Features of a state and of an embedding.
    pub width: u32,
    /// Tokens through which gradients reach back.
    pub context_tokens: u32,
    /// Whether the output head is the table of embeddings.
    pub tied: bool,
    /// The share of features dropped in training: of embeddings, between layers, and before the head.
    pub dropout: f64,
    /// The bound of the uniform initial weights of tables.
    pub init_bound: f64,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self { layers: 2, width: 200, context_tokens: 35, tied: false, dropout: 0.2, init_bound: 0.1 }
    }
}

impl LstmConfig {
    pub(crate) fn check(&self, check: &mut Check) {
        check.share("dropout", self.dropout, "0.2 is common for small ones");
        let fine = self.init_bound.is_finite() && self.init_bound > 0.0;
        check.that(fine, "init-bound", || (format!("{} is not above 0", self.init_bound), "0.1 is common".into()));
        check.sizes(&[("layers", self.layers), ("width", self.width), ("context-tokens", self.context_tokens)]);
    }
}

const NAME: &str = "lstm";

/// The model.
#[derive(Debug)]
pub struct Lstm {
    config: LstmConfig,
    tokens_vd: Tensor,
    /// Per layer: `W_x`, `W_h`, `b_x`, `b_h`.
    weights: Vec<Tensor>,
    head_vd: Tensor,
    bias_v: Tensor,
    /// What the last batch of training left.
    training: RefCell<Option<State>>,
    /// What the last batch of a measurement left.
    measuring: RefCell<Option<State>>,
}

/// Hidden and cell state of all layers, `[layers, b, d]` each.
#[derive(Debug)]
struct State {
    h: Tensor,
    c: Tensor,
}

impl State {
    fn zeros(like: &Tensor, layers: i64, b: i64, d: i64) -> Self {
        let zeros = || Tensor::zeros([layers, b, d], (like.kind(), like.device()));
        Self { h: zeros(), c: zeros() }
    }
}

impl Lstm {
    /// A model over `vocab` ids, its weights added to `params` under PyTorch's names.
    pub fn new(config: &LstmConfig, vocab: u32, params: &mut Params) -> Self {
        let (d, vocab) = (i64::from(config.width), i64::from(vocab));
        let tokens_vd = params.add("encoder.weight", &[vocab, d], Init::Uniform(config.init_bound));
        // Each gate of a unit sees 2 d numbers of about 1 / sqrt(d).
        let init = Init::Uniform(1.0 / (d as f64).sqrt());
        let mut weights = Vec::new();
        for layer in 0..config.layers {
            for (name, shape) in
                [("weight_ih", &[4 * d, d][..]), ("weight_hh", &[4 * d, d]), ("bias_ih", &[4 * d]), ("bias_hh", &[4 * d])]
            {
                // Four gates stand on top of each other.
                let maps = if shape.len() == 2 { 4 } else { 0 };
                weights.push(params.add_maps(format!("rnn.{name}_l{layer}"), shape, init, (maps, 0)));
            }
        }
        let head_vd = if config.tied {
            tokens_vd.shallow_clone()
        } else {
            params.add("decoder.weight", &[vocab, d], Init::Uniform(config.init_bound))
        };
        let bias_v = params.add("decoder.bias", &[vocab], Init::Zeros);
        let (training, measuring) = (RefCell::default(), RefCell::default());
        Self { config: config.clone(), tokens_vd, weights, head_vd, bias_v, training, measuring }
    }

    /// Every hidden state of the last layer, `[b, t, d]`, and the state that is left.
    fn run(&self, ids_bt: &Tensor, from: &State, pass: Pass) -> (Tensor, State) {
        let train = pass != Pass::Eval && self.config.dropout > 0.0;
        let drop = |x: Tensor| if train { x.dropout(self.config.dropout, true) } else { x };
        let x = drop(embedding(&self.tokens_vd, ids_bt));
        let layers = i64::from(self.config.layers);
        let rate = if train { self.config.dropout } else { 0.0 };
        // `train` chooses a kernel that keeps what gradients need.
        let training = pass != Pass::Eval;
        let weights: Vec<&Tensor> = self.weights.iter().collect();
        let (y, h, c) = x.lstm(&[&from.h, &from.c], &weights, true, layers, rate, training, false, true);
        (drop(y), State { h: h.detach(), c: c.detach() })
    }

    /// Reads rows on from where the batch before ended, if they say so.
    fn read(&self, rows: &Rows<Tensor>, pass: Pass) -> Tensor {
        let carried = if pass == Pass::Eval { &self.measuring } else { &self.training };
        let (b, _) = rows.inputs.size2().unwrap_or_default();
        let before = carried.take().filter(|state| rows.continues && state.h.size()[1] == b);
        let (y, left) = self.run(&rows.inputs, &before.unwrap_or_else(|| self.fresh(b)), pass);
        carried.replace(Some(left));
        y
    }

    fn fresh(&self, b: i64) -> State {
        State::zeros(&self.tokens_vd, i64::from(self.config.layers), b, i64::from(self.config.width))
    }

    /// Reads a batch by itself.
    fn alone(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        let ids = &rows(batch, NAME).inputs;
        self.run(ids, &self.fresh(ids.size()[0]), pass).0
    }
}

impl Model for Lstm {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        let rows = rows(batch, NAME);
        token_loss(&self.read(rows, pass), &self.head_vd, Some(&self.bias_v), rows)
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.alone(batch, pass).to_kind(Kind::Float)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        token_logits(&self.alone(batch, Pass::Eval), &self.head_vd, Some(&self.bias_v), rows(batch, NAME).never)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn carried(&self) -> Vec<Tensor> {
        let state = self.training.borrow();
        state.iter().flat_map(|state| [&state.h, &state.c]).map(|x| x.to_kind(Kind::Float)).collect()
    }

    fn carry(&self, state: Vec<Tensor>) {
        let state = <[Tensor; 2]>::try_from(state).ok();
        let kind = self.tokens_vd.kind();
        self.training.replace(state.map(|[h, c]| State { h: h.to_kind(kind), c: c.to_kind(kind) }));
    }

    fn context(&self) -> usize {
        self.config.context_tokens as usize
    }
}

impl Decode for Lstm {
    fn cache(&self, _source: Option<&Source<Tensor>>) -> Cache {
        Cache::new(self.config.layers as usize)
    }

    /// The state holds all that was read, so that no number of tokens fills the cache.
    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor {
        let (b, s) = tokens_bs.size2().unwrap_or_default();
        let held: Option<(Vec<Tensor>, Vec<Tensor>)> =
            cache.layers.drain(..).collect::<Option<Vec<_>>>().map(|all| all.into_iter().unzip());
        let from = held.map_or_else(|| self.fresh(b), |(h, c)| State { h: Tensor::stack(&h, 0), c: Tensor::stack(&c, 0) });
        let (y, State { h, c }) = self.run(tokens_bs, &from, Pass::Eval);
        cache.layers = h.unbind(0).into_iter().zip(c.unbind(0)).map(Some).collect();
        token_logits(&y.narrow(1, s - 1, 1).squeeze_dim(1), &self.head_vd, Some(&self.bias_v), None)
    }
    fn vocab(&self) -> usize {
        self.tokens_vd.size()[0] as usize
    }

    fn carries(&self) -> bool {
        true
    }
}
