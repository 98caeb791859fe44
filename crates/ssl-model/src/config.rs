//! The `[model]` section of a run: which model, and its shape.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_data::objective::Form;

use crate::bert::Bert;
pub use crate::bert::{BertConfig, Variant};
use crate::electra::Electra;
pub use crate::electra::{ElectraConfig, GeneratorConfig, Parts};
use crate::gpt::Gpt;
pub use crate::gpt::GptConfig;
pub use crate::layer::Activation;
pub use crate::layer::{ContrastiveConfig, Pooling};
use crate::llama::Llama;
pub use crate::llama::LlamaConfig;
use crate::lstm::Lstm;
pub use crate::lstm::LstmConfig;
use crate::model::Model;
use crate::modernbert::Modernbert;
pub use crate::modernbert::ModernbertConfig;
use crate::multi_token::MultiToken;
pub use crate::multi_token::MultiTokenConfig;
use crate::params::Params;
use crate::t5::T5;
pub use crate::t5::T5Config;
use crate::transformer::Transformer;
pub use crate::transformer::TransformerConfig;
use crate::word2vec::Word2Vec;
pub use crate::word2vec::Word2VecConfig;

mod check;

pub(crate) use check::Check;

/// One model, named by its table, such as `[model.gpt]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum ModelConfig {
    /// GPT-2.
    Gpt(GptConfig),
    /// Llama.
    Llama(LlamaConfig),
    /// A recurrent model.
    Lstm(LstmConfig),
    /// A Llama that foretells several tokens at once.
    MultiToken(MultiTokenConfig),
    /// BERT and `RoBERTa`.
    Bert(BertConfig),
    /// `ModernBERT`.
    Modernbert(ModernbertConfig),
    /// ELECTRA.
    Electra(ElectraConfig),
    /// T5.
    T5(T5Config),
    /// The Transformer of 2017.
    Transformer(TransformerConfig),
    /// Word vectors.
    Word2vec(Word2VecConfig),
}

impl ModelConfig {
    /// Makes the model over `vocab` ids, its weights in `params`.
    pub fn build(&self, vocab: u32, params: &mut Params) -> Box<dyn Model> {
        match self {
            Self::Gpt(config) => Box::new(Gpt::new(config, vocab, params)),
            Self::Llama(config) => Box::new(Llama::new(config, vocab, params)),
            Self::Lstm(config) => Box::new(Lstm::new(config, vocab, params)),
            Self::MultiToken(config) => Box::new(MultiToken::new(config, vocab, params)),
            Self::Bert(config) => Box::new(Bert::new(config, vocab, params)),
            Self::Modernbert(config) => Box::new(Modernbert::new(config, vocab, params)),
            Self::Electra(config) => Box::new(Electra::new(config, vocab, params)),
            Self::T5(config) => Box::new(T5::new(config, vocab, params)),
            Self::Transformer(config) => Box::new(Transformer::new(config, vocab, params)),
            Self::Word2vec(config) => Box::new(Word2Vec::new(config, vocab, params)),
        }
    }

    /// Tells a model that writes from a source with which id its texts begin.
    pub fn starts_with(&mut self, id: u32) {
        match self {
            Self::T5(config) => config.start_token = id,
            Self::Transformer(config) => config.start_token = id,
            _ => {}
        }
    }

    /// The id that its texts begin with, of a model that writes from a source.
    #[must_use]
    pub fn start_token(&self) -> Option<u32> {
        match self {
            Self::T5(config) => Some(config.start_token),
            Self::Transformer(config) => Some(config.start_token),
            _ => None,
        }
    }

    /// Whether it reads batches of a form.
    #[must_use]
    pub fn reads(&self, form: Form) -> bool {
        match self {
            Self::Gpt(_) | Self::Llama(_) => matches!(form, Form::Causal | Form::Both | Form::Prefix),
            Self::Lstm(_) | Self::MultiToken(_) => form == Form::Causal,
            Self::Electra(config) if config.parts == Parts::Discriminator => form == Form::Texts,
            Self::Bert(_) | Self::Modernbert(_) | Self::Electra(_) => matches!(form, Form::Both | Form::Texts),
            Self::T5(_) | Self::Transformer(_) => form == Form::Pair,
            Self::Word2vec(_) => form == Form::Words,
        }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gpt(_) => "gpt",
            Self::Llama(_) => "llama",
            Self::Lstm(_) => "lstm",
            Self::MultiToken(_) => "multi-token",
            Self::Bert(_) => "bert",
            Self::Modernbert(_) => "modernbert",
            Self::Electra(_) => "electra",
            Self::T5(_) => "t5",
            Self::Transformer(_) => "transformer",
            Self::Word2vec(_) => "word2vec",
        }
    }

    /// The most tokens the model reads at once.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        match self {
            Self::Gpt(config) => config.context_tokens,
            Self::Llama(config) => config.context_tokens,
            Self::Lstm(config) => config.context_tokens,
            Self::MultiToken(config) => config.llama.context_tokens,
            Self::Bert(config) => config.context_tokens,
            Self::Modernbert(config) => config.context_tokens,
            Self::Electra(config) => config.context_tokens,
            Self::T5(config) => config.context_tokens,
            Self::Transformer(config) => config.context_tokens,
            Self::Word2vec(config) => config.context_tokens,
        }
    }

    /// Features of a hidden state.
    #[must_use]
    pub fn width(&self) -> u32 {
        match self {
            Self::Gpt(config) => config.width,
            Self::Llama(config) => config.width,
            Self::Lstm(config) => config.width,
            Self::MultiToken(config) => config.llama.width,
            Self::Bert(config) => config.width,
            Self::Modernbert(config) => config.width,
            Self::Electra(config) => config.width,
            Self::T5(config) => config.width,
            Self::Transformer(config) => config.width,
            Self::Word2vec(config) => config.width,
        }
    }

    /// Its dropout and how it tells texts apart, of a model that can.
    #[must_use]
    pub fn contrastive(&self) -> Option<(f64, Pooling)> {
        match self {
            Self::Bert(c) => Some((c.dropout, c.contrastive.pooling)),
            Self::Modernbert(c) => Some((c.dropout, c.contrastive.pooling)),
            Self::Electra(c) => Some((c.dropout, c.contrastive.pooling)),
            _ => None,
        }
    }

    /// Whether it moves its own weights, in fp32 on the CPU, with no optimizer but a learning rate.
    #[must_use]
    pub fn is_self_taught(&self) -> bool {
        matches!(self, Self::Word2vec(_))
    }

    /// Whether it has attention.
    #[must_use]
    pub fn attends(&self) -> bool {
        !matches!(self, Self::Lstm(_) | Self::Word2vec(_))
    }

    /// Whether it has blocks whose inner values can be computed again instead of kept.
    #[must_use]
    pub fn recomputes(&self) -> bool {
        !matches!(self, Self::Lstm(_) | Self::Word2vec(_))
    }

    /// The same without what only training has: an ELECTRA's generator, the layer of [`Pooling::ClsMlp`].
    #[must_use]
    pub fn in_use(&self) -> Self {
        let mut used = self.clone();
        let contrastive = match &mut used {
            Self::Bert(c) => &mut c.contrastive,
            Self::Modernbert(c) => &mut c.contrastive,
            Self::Electra(c) => {
                c.parts = Parts::Discriminator;
                &mut c.contrastive
            }
            _ => return used,
        };
        if contrastive.pooling == Pooling::ClsMlp {
            contrastive.pooling = Pooling::Cls;
        }
        used
    }

    /// Whether its weights can be rounded to eight bits for use.
    #[must_use]
    pub fn quantises(&self) -> bool {
        matches!(self, Self::Gpt(_) | Self::Llama(_) | Self::MultiToken(_) | Self::T5(_) | Self::Transformer(_))
    }

    /// Its shape in a few words, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let (layers, width, heads) = match self {
            Self::Gpt(c) => (c.layers, c.width, c.heads),
            Self::Llama(c) => (c.layers, c.width, c.heads),
            Self::Lstm(c) => (c.layers, c.width, 1),
            Self::MultiToken(c) => (c.llama.layers, c.llama.width, c.llama.heads),
            Self::Bert(c) => (c.layers, c.width, c.heads),
            Self::Modernbert(c) => (c.layers, c.width, c.heads),
            Self::Electra(c) => (c.layers, c.width, c.heads),
            Self::T5(c) => (c.layers.saturating_add(c.decoder_layers()), c.width, c.heads),
            Self::Transformer(c) => (c.layers.saturating_mul(2), c.width, c.heads),
            Self::Word2vec(c) => return describe_words(c),
        };
        let (name, context) = (self.name(), self.context_tokens());
        format!("{name}, {layers} layers of width {width}, {heads} heads, context {context}")
    }

    /// About how many numbers the layers have, and the tables over `vocab` ids: never more than a model really has.
    pub(crate) fn numbers(&self, vocab: u32) -> (u128, u128) {
        let wide = |[layers, d, up]: [u32; 3], maps: u128| {
            let [layers, d, up] = [layers, d, up].map(u128::from);
            (layers * (2 * d * d + maps * d * up), d * u128::from(vocab))
        };
        match self {
            Self::Gpt(c) => {
                let (layers, tables) = wide([c.layers, c.width, c.feed_forward()], 2);
                (layers, tables + u128::from(c.width) * u128::from(c.context_tokens))
            }
            Self::Llama(c) => wide([c.layers, c.width, c.feed_forward_width], 3),
            Self::Lstm(c) => wide([c.layers, c.width, c.width], 6),
            Self::MultiToken(c) => {
                let l = &c.llama;
                wide([l.layers.saturating_add(c.future_tokens).saturating_sub(1), l.width, l.feed_forward_width], 3)
            }
            Self::Bert(c) => c.numbers(u64::from(vocab)),
            Self::Modernbert(c) => c.numbers(u64::from(vocab)),
            Self::Electra(c) => c.numbers(u64::from(vocab)),
            Self::T5(c) => c.numbers(u64::from(vocab)),
            Self::Transformer(c) => c.numbers(u64::from(vocab)),
            Self::Word2vec(c) => (0, 2 * u128::from(c.width) * u128::from(vocab.saturating_sub(1))),
        }
    }

    /// Every fault of meaning. Paths begin with `model.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut check = Check::new(self.name());
        match self {
            Self::Gpt(c) => c.check(&mut check),
            Self::Llama(c) => c.check(&mut check),
            Self::Lstm(c) => c.check(&mut check),
            Self::MultiToken(c) => c.check(&mut check),
            Self::Bert(c) => c.check(&mut check),
            Self::Modernbert(c) => c.check(&mut check),
            Self::Electra(c) => c.check(&mut check),
            Self::T5(c) => c.check(&mut check),
            Self::Transformer(c) => c.check(&mut check),
            Self::Word2vec(c) => c.check(&mut check),
        }
        check.faults()
    }
}

fn describe_words(c: &Word2VecConfig) -> String {
    let from = if c.cbow { "CBOW" } else { "skip-gram" };
    let to = if c.hierarchical { "a tree".into() } else { format!("{} negatives", c.negatives) };
    format!("word2vec, vectors of width {}, {from} with {to}, windows of {}", c.width, c.window)
}
