//! The `[model]` section of a run: which model, and its shape.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;
use ssl_data::objective::Form;

use crate::gpt::Gpt;
pub use crate::gpt::{Activation, GptConfig};
use crate::llama::Llama;
pub use crate::llama::LlamaConfig;
use crate::lstm::Lstm;
pub use crate::lstm::LstmConfig;
use crate::model::Model;
use crate::multi_token::MultiToken;
pub use crate::multi_token::MultiTokenConfig;
use crate::params::Params;

/// One model, named by its table: `[model.gpt]` or `[model.llama]`.
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
}

impl ModelConfig {
    /// Makes the model over `vocab` ids, its weights in `params`.
    pub fn build(&self, vocab: u32, params: &mut Params) -> Box<dyn Model> {
        match self {
            Self::Gpt(config) => Box::new(Gpt::new(config, vocab, params)),
            Self::Llama(config) => Box::new(Llama::new(config, vocab, params)),
            Self::Lstm(config) => Box::new(Lstm::new(config, vocab, params)),
            Self::MultiToken(config) => Box::new(MultiToken::new(config, vocab, params)),
        }
    }

    /// Whether it reads batches of a form.
    #[must_use]
    pub fn reads(&self, form: Form) -> bool {
        match self {
            Self::Gpt(_) | Self::Llama(_) => matches!(form, Form::Causal | Form::Both | Form::Prefix),
            Self::Lstm(_) | Self::MultiToken(_) => form == Form::Causal,
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
        }
    }

    /// Every fault of meaning. Paths begin with `model.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let name = self.name();
        let mut check = |fine: bool, key: &str, message: String, hint: String| {
            if !fine {
                faults.push(Fault::new(&format!("model.{name}.{key}"), message, hint));
            }
        };
        let (sizes, heads, width) = match self {
            Self::Gpt(c) => {
                check(
                    (0.0..1.0).contains(&c.dropout),
                    "dropout",
                    format!("{} is not a share below 1", c.dropout),
                    "0.1 is GPT-2's".into(),
                );
                let sizes = vec![
                    ("layers", c.layers),
                    ("heads", c.heads),
                    ("width", c.width),
                    ("context-tokens", c.context_tokens),
                    ("feed-forward-width", c.feed_forward()),
                ];
                (sizes, c.heads, c.width)
            }
            Self::Llama(c) => {
                let grouped = c.kv_heads > 0 && c.heads.is_multiple_of(c.kv_heads);
                check(
                    grouped,
                    "kv-heads",
                    format!("{} heads cannot share {}", c.heads, c.kv_heads),
                    "give a divisor of heads".into(),
                );
                let even = c.heads == 0 || (c.width / c.heads).is_multiple_of(2);
                check(
                    even,
                    "heads",
                    format!("heads of {} features cannot be turned in pairs", c.width / c.heads.max(1)),
                    "make width / heads even".into(),
                );
                check(c.rope_base > 1.0, "rope-base", format!("{} turns nothing", c.rope_base), "10000 is the paper's".into());
                let sizes = vec![
                    ("layers", c.layers),
                    ("heads", c.heads),
                    ("kv-heads", c.kv_heads),
                    ("width", c.width),
                    ("context-tokens", c.context_tokens),
                    ("feed-forward-width", c.feed_forward_width),
                ];
                (sizes, c.heads, c.width)
            }
            Self::MultiToken(c) => {
                // The trunk's own faults, below its own table.
                let trunk = Self::Llama(c.llama.clone()).validate().into_iter();
                faults.extend(trunk.map(|fault| Fault { path: fault.path.replacen("model.", "model.multi-token.", 1), ..fault }));
                if !(1..=64).contains(&c.future_tokens) {
                    let message = format!("{} is outside 1..=64", c.future_tokens);
                    faults.push(Fault::new("model.multi-token.future-tokens", message, "4 is the paper's"));
                }
                return faults;
            }
            Self::Lstm(c) => {
                let share = (0.0..1.0).contains(&c.dropout);
                check(share, "dropout", format!("{} is not a share below 1", c.dropout), "0.2 is common for small ones".into());
                (vec![("layers", c.layers), ("width", c.width), ("context-tokens", c.context_tokens)], 1, c.width)
            }
        };
        for (key, size) in sizes {
            check((1..=1 << 20).contains(&size), key, format!("{size} is outside 1..=1048576"), "give a size".into());
        }
        if heads > 0 && !width.is_multiple_of(heads) {
            let near = (1..=width.min(1 << 20))
                .filter(|heads| width.is_multiple_of(*heads))
                .min_by_key(|near| near.abs_diff(heads))
                .unwrap_or(1);
            check(
                false,
                "heads",
                format!("{width} / {heads} leaves {}", width % heads),
                format!("use {near} heads of {}", width / near),
            );
        }
        faults
    }
}
