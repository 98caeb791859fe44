//! Every family as stacks of layers and heads, with what each of them reads.

use super::Size;
use crate::config::{BertConfig, LlamaConfig, LstmConfig, ModelConfig};

/// A stack of layers.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own, all of them occur")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stack {
    pub(super) layers: u64,
    pub(super) width: u64,
    pub(super) heads: u64,
    /// Features of all queries, and of all keys.
    pub(super) inner: u64,
    pub(super) shared: u64,
    /// Features inside the feed-forward, and how they come about.
    pub(super) up: u64,
    pub(super) feed: Feed,
    /// Whether queries and keys are turned by their positions.
    pub(super) rotary: bool,
    pub(super) dropout: bool,
    /// Whether scores are learned too, so that attention cannot be fused.
    pub(super) scored: bool,
    /// Whether each layer also looks at the source.
    pub(super) cross: bool,
    /// Layers that look no farther than so many positions in all.
    pub(super) near: Option<(u64, u64)>,
}

/// A feed-forward, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Feed {
    /// The gates of an LSTM instead of attention and feed-forward.
    #[default]
    Recurrent,
    /// Two matrices with a GELU between.
    Gelu,
    /// Two with a `ReLU`, whose result is all that its gradient needs.
    Relu,
    /// Three: one of two branches opens the other.
    Gated,
}

/// What a stack reads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) rows: u64,
    pub(super) tokens: u64,
    pub(super) source: u64,
    pub(super) causal: bool,
    pub(super) masked: bool,
}

/// A head over the vocabulary.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) positions: u64,
    pub(super) width: u64,
    pub(super) vocab: u64,
    /// Features in and out of the map before it, where there is one.
    pub(super) transform: Option<(u64, u64)>,
    pub(super) bias: bool,
}

/// A model at work on a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub(super) stacks: Vec<(Stack, Load)>,
    pub(super) heads: Vec<Head>,
    /// Multiplications of the few maps that belong to neither.
    pub(super) others: u64,
}

impl Load {
    pub(super) fn positions(&self) -> u64 {
        self.rows * self.tokens
    }
}

impl Stack {
    /// Multiplications with weights on `load`.
    fn weights(&self, load: &Load) -> u64 {
        let Self { layers, width: d, inner, shared, up, .. } = *self;
        let (n, source) = (load.positions(), load.rows * load.source);
        let maps = match self.feed {
            Feed::Recurrent => return layers * n * 8 * d * d,
            Feed::Gelu | Feed::Relu => 2,
            Feed::Gated => 3,
        };
        let cross = if self.cross { n * 2 * d * inner + source * 2 * d * shared } else { 0 };
        layers * (n * (2 * d * inner + 2 * d * shared + maps * d * up) + cross)
    }

    /// Operations of attention on `load`, and those of them that are hidden.
    pub(super) fn attention(&self, load: &Load) -> (u64, u64) {
        if self.feed == Feed::Recurrent {
            return (0, 0);
        }
        let pair = 12 * self.inner * load.rows;
        let (t, s) = (load.tokens, load.source);
        let all = self.layers * pair * t * (t + if self.cross { s } else { 0 });
        let (near, window) = self.near.unwrap_or((0, t));
        let unseen = near * (t - window.min(t)) * t;
        let later = if load.causal { (self.layers - near) * t * t.saturating_sub(1) / 2 } else { 0 };
        (all, pair * (unseen + later))
    }
}

impl Parts {
    /// Multiplications with weights in one pass forwards.
    pub(super) fn weights(&self) -> u64 {
        let head = |head: &Head| head.positions * (head.width * head.vocab + head.transform.map_or(0, |(from, to)| from * to));
        let stacks: u64 = self.stacks.iter().map(|(stack, load)| stack.weights(load)).sum();
        stacks + self.heads.iter().map(head).sum::<u64>() + self.others
    }

    /// The model of `config` on a batch of `size`.
    pub(super) fn of(config: &ModelConfig, vocab: u64, size: &Size) -> Self {
        let readings = if size.texts { 2 } else { 1 };
        let rows = size.rows * readings;
        let own = Load { rows, tokens: size.tokens, source: 0, causal: size.causal, masked: size.masked };
        let all = Head { positions: own.positions(), vocab, ..Head::default() };
        let few = Head { positions: size.targets, bias: true, ..all };
        match config {
            ModelConfig::Gpt(c) => {
                let [layers, width, heads, up] = [c.layers, c.width, c.heads, c.feed_forward()].map(u64::from);
                let stack = Stack { layers, width, heads, inner: width, shared: width, up, feed: Feed::Gelu, ..Stack::default() };
                Self::one(Stack { dropout: c.dropout > 0.0, ..stack }, own, Head { width, ..all })
            }
            ModelConfig::Llama(c) => Self::one(llama(c), own, Head { width: c.width.into(), ..all }),
            ModelConfig::MultiToken(c) => {
                let (stack, further) = (llama(&c.llama), u64::from(c.future_tokens) - 1);
                let head = |ahead| Head { positions: size.rows * size.tokens.saturating_sub(ahead), width: stack.width, ..all };
                let layers = stack.layers + further;
                let heads = (0..=further).map(head).collect();
                Self { stacks: vec![(Stack { layers, ..stack }, own)], heads, others: 0 }
            }
            ModelConfig::Lstm(c) => Self::one(lstm(c), own, Head { width: c.width.into(), bias: true, ..all }),
            ModelConfig::Bert(c) => {
                let (stack, d) = (bert(c), u64::from(c.width));
                let mut parts = Self::one(stack, own, Head { width: d, transform: Some((d, d)), ..few });
                parts.others = if c.next_sentence { size.rows * (d * d + 2 * d) } else { 0 };
                parts
            }
            ModelConfig::Modernbert(c) => {
                let [layers, width, heads, up] = [c.layers, c.width, c.heads, c.feed_forward_width].map(u64::from);
                let near = layers - u64::from(c.layers.div_ceil(c.global_every));
                let stack =
                    Stack { layers, width, heads, inner: width, shared: width, up, feed: Feed::Gated, ..Stack::default() };
                let near = Some((near, u64::from(c.local_window / 2) * 2 + 1));
                let stack = Stack { near, rotary: true, dropout: c.dropout > 0.0, ..stack };
                Self::one(stack, own, Head { width, transform: Some((width, width)), ..few })
            }
            ModelConfig::Electra(c) => {
                let [generator, discriminator] = [c.generator(), c.discriminator()].map(|stack| Stack {
                    layers: stack.layers.into(),
                    width: stack.width.into(),
                    heads: stack.heads.into(),
                    inner: stack.width.into(),
                    shared: stack.width.into(),
                    up: stack.feed_forward.into(),
                    feed: Feed::Gelu,
                    dropout: c.dropout > 0.0,
                    ..Stack::default()
                });
                let (e, n) = (u64::from(c.embedding_width), own.positions());
                let project = |stack: &Stack| if stack.width == e { 0 } else { n * e * stack.width };
                let d = discriminator.width;
                if size.texts {
                    return Self { stacks: vec![(discriminator, own)], heads: Vec::new(), others: project(&discriminator) };
                }
                let mut parts = Self::one(generator, own, Head { width: e, transform: Some((generator.width, e)), ..few });
                parts.stacks.push((discriminator, own));
                parts.others = project(&generator) + project(&discriminator) + n * (d * d + d);
                parts
            }
            ModelConfig::T5(c) => {
                let [width, heads, e, up] = [c.width, c.heads, c.head_width, c.feed_forward_width].map(u64::from);
                let inner = heads * e;
                let feed = if c.gated { Feed::Gated } else { Feed::Relu };
                let stack = Stack { width, heads, inner, shared: inner, up, feed, scored: true, ..Stack::default() };
                let stack = Stack { dropout: c.dropout > 0.0, ..stack };
                Self::pair(stack, [c.layers, c.decoder_layers()], size, Head { width, ..all })
            }
            ModelConfig::Transformer(c) => {
                let [width, heads, up] = [c.width, c.heads, c.feed_forward_width].map(u64::from);
                let stack = Stack { width, heads, inner: width, shared: width, up, feed: Feed::Relu, ..Stack::default() };
                Self::pair(Stack { dropout: c.dropout > 0.0, ..stack }, [c.layers; 2], size, Head { width, ..all })
            }
            ModelConfig::Word2vec(_) => Self::default(),
        }
    }

    fn one(stack: Stack, load: Load, head: Head) -> Self {
        // Texts reach no head over the vocabulary.
        let heads = if head.positions > 0 { vec![head] } else { Vec::new() };
        Self { stacks: vec![(stack, load)], heads, others: 0 }
    }

    /// An encoder of the source and a decoder of the rows.
    fn pair(stack: Stack, layers: [u32; 2], size: &Size, head: Head) -> Self {
        let [encoder, decoder] = layers.map(u64::from);
        let read = Load { rows: size.rows, tokens: size.source, masked: true, ..Load::default() };
        let write = Load { tokens: size.tokens, source: size.source, causal: true, ..read };
        let stacks = vec![(Stack { layers: encoder, ..stack }, read), (Stack { layers: decoder, cross: true, ..stack }, write)];
        Self { stacks, heads: vec![head], others: 0 }
    }
}

fn llama(c: &LlamaConfig) -> Stack {
    let [layers, width, heads, kv, up] = [c.layers, c.width, c.heads, c.kv_heads, c.feed_forward_width].map(u64::from);
    let shared = width / heads.max(1) * kv;
    Stack { layers, width, heads, inner: width, shared, up, feed: Feed::Gated, rotary: true, ..Stack::default() }
}

fn bert(c: &BertConfig) -> Stack {
    let [layers, width, heads, up] = [c.layers, c.width, c.heads, c.feed_forward()].map(u64::from);
    let stack = Stack { layers, width, heads, inner: width, shared: width, up, feed: Feed::Gelu, ..Stack::default() };
    Stack { dropout: c.dropout > 0.0, ..stack }
}

fn lstm(c: &LstmConfig) -> Stack {
    let dropout = c.dropout > 0.0;
    Stack { layers: c.layers.into(), width: c.width.into(), feed: Feed::Recurrent, dropout, ..Stack::default() }
}
