//! The `[model]` section of a run: which model, and its shape.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_data::objective::Form;

use crate::bert::Bert;
pub use crate::bert::{BertConfig, Variant};
use crate::electra::Electra;
pub use crate::electra::{ElectraConfig, GeneratorConfig, Parts};
use crate::gpt::Gpt;
pub use crate::gpt::{Activation, GptConfig};
pub use crate::layer::{ContrastiveConfig, Pooling};
use crate::llama::Llama;
pub use crate::llama::LlamaConfig;
use crate::model::Model;
use crate::modernbert::Modernbert;
pub use crate::modernbert::ModernbertConfig;
use crate::params::Params;

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
    /// BERT and `RoBERTa`.
    Bert(BertConfig),
    /// `ModernBERT`.
    Modernbert(ModernbertConfig),
    /// ELECTRA.
    Electra(ElectraConfig),
}

impl ModelConfig {
    /// Makes the model over `vocab` ids, its weights in `params`.
    pub fn build(&self, vocab: u32, params: &mut Params) -> Box<dyn Model> {
        match self {
            Self::Gpt(config) => Box::new(Gpt::new(config, vocab, params)),
            Self::Llama(config) => Box::new(Llama::new(config, vocab, params)),
            Self::Bert(config) => Box::new(Bert::new(config, vocab, params)),
            Self::Modernbert(config) => Box::new(Modernbert::new(config, vocab, params)),
            Self::Electra(config) => Box::new(Electra::new(config, vocab, params)),
        }
    }

    /// Whether it reads batches of a form.
    #[must_use]
    pub fn reads(&self, form: Form) -> bool {
        match self {
            Self::Gpt(_) | Self::Llama(_) => matches!(form, Form::Causal | Form::Both | Form::Prefix),
            Self::Electra(config) if config.parts == Parts::Discriminator => form == Form::Texts,
            Self::Bert(_) | Self::Modernbert(_) | Self::Electra(_) => matches!(form, Form::Both | Form::Texts),
        }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gpt(_) => "gpt",
            Self::Llama(_) => "llama",
            Self::Bert(_) => "bert",
            Self::Modernbert(_) => "modernbert",
            Self::Electra(_) => "electra",
        }
    }

    /// The most tokens the model reads at once.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        match self {
            Self::Gpt(config) => config.context_tokens,
            Self::Llama(config) => config.context_tokens,
            Self::Bert(config) => config.context_tokens,
            Self::Modernbert(config) => config.context_tokens,
            Self::Electra(config) => config.context_tokens,
        }
    }

    /// Its shape in a few words, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let (layers, width, heads) = match self {
            Self::Gpt(c) => (c.layers, c.width, c.heads),
            Self::Llama(c) => (c.layers, c.width, c.heads),
            Self::Bert(c) => (c.layers, c.width, c.heads),
            Self::Modernbert(c) => (c.layers, c.width, c.heads),
            Self::Electra(c) => (c.layers, c.width, c.heads),
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
            Self::Gpt(c) => wide([c.layers, c.width, c.feed_forward()], 2),
            Self::Llama(c) => wide([c.layers, c.width, c.feed_forward_width], 3),
            Self::Bert(c) => c.numbers(u64::from(vocab)),
            Self::Modernbert(c) => c.numbers(u64::from(vocab)),
            Self::Electra(c) => c.numbers(u64::from(vocab)),
        }
    }

    /// Every fault of meaning. Paths begin with `model.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut check = Check::new(self.name());
        match self {
            Self::Gpt(c) => {
                check.share("dropout", c.dropout, "0.1 is GPT-2's");
                check.sizes(&[
                    ("layers", c.layers),
                    ("width", c.width),
                    ("context-tokens", c.context_tokens),
                    ("feed-forward-width", c.feed_forward()),
                ]);
                check.heads("heads", c.heads, c.width);
            }
            Self::Llama(c) => {
                let grouped = c.kv_heads > 0 && c.heads.is_multiple_of(c.kv_heads);
                let uneven = || (format!("{} heads cannot share {}", c.heads, c.kv_heads), "give a divisor of heads".into());
                check.that(grouped, "kv-heads", uneven);
                check.pairs("heads", c.heads, c.width, c.context_tokens);
                let still = || (format!("{} turns nothing", c.rope_base), "10000 is the paper's".into());
                check.that(c.rope_base > 1.0, "rope-base", still);
                check.sizes(&[
                    ("layers", c.layers),
                    ("kv-heads", c.kv_heads),
                    ("width", c.width),
                    ("context-tokens", c.context_tokens),
                    ("feed-forward-width", c.feed_forward_width),
                ]);
                check.heads("heads", c.heads, c.width);
            }
            Self::Bert(c) => c.check(&mut check),
            Self::Modernbert(c) => c.check(&mut check),
            Self::Electra(c) => c.check(&mut check),
        }
        check.faults()
    }
}
