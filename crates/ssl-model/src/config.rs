//! The `[model]` section of a run: which model, and its shape.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;

use crate::gpt::Gpt;
use crate::init::Scheme;
use crate::llama::Llama;
use crate::model::Model;
use crate::params::Params;

/// One model, named by its table: `[model.gpt]` or `[model.llama]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum ModelConfig {
    /// GPT-2.
    Gpt(GptConfig),
    /// Llama.
    Llama(LlamaConfig),
}

/// The shape of a GPT-2. Defaults are those of the smallest released model (Radford et al. 2019, table 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GptConfig {
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
    /// The feed-forward's non-linearity.
    pub activation: Activation,
    /// Whether linear maps and norms have biases.
    pub bias: bool,
    /// The share of features dropped in training.
    pub dropout: f64,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Initial weights.
    pub init: Scheme,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self {
            layers: 12,
            heads: 12,
            width: 768,
            context_tokens: 1024,
            feed_forward_width: None,
            activation: Activation::GeluTanh,
            bias: true,
            dropout: 0.1,
            norm_eps: 1e-5,
            init: Scheme::Gpt2,
        }
    }
}

impl GptConfig {
    /// Features inside the feed-forward.
    #[must_use]
    pub fn feed_forward(&self) -> u32 {
        self.feed_forward_width.unwrap_or(self.width.saturating_mul(4))
    }
}

/// The Gaussian error linear unit, `x Phi(x)`. Source: Hendrycks and Gimpel 2016, section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// By the error function.
    Gelu,
    /// By a hyperbolic tangent, as GPT-2 was trained.
    GeluTanh,
}

impl Activation {
    /// libtorch's name of the approximation.
    #[must_use]
    pub fn approximate(self) -> &'static str {
        match self {
            Self::Gelu => "none",
            Self::GeluTanh => "tanh",
        }
    }
}

/// The shape of a Llama. The base of the angles is Su et al.'s (2021, section 3.2.2), the rest must be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LlamaConfig {
    /// Layers.
    pub layers: u32,
    /// Heads of queries.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Features of the stream.
    pub width: u32,
    /// Features inside the feed-forward.
    pub feed_forward_width: u32,
    /// The most tokens read at once.
    pub context_tokens: u32,
    /// The base of the rotary angles.
    #[serde(default = "default_base")]
    pub rope_base: f64,
    /// Added to the mean square in norms.
    #[serde(default = "default_eps")]
    pub norm_eps: f64,
    /// Whether the output head is the embedding table.
    #[serde(default)]
    pub tied: bool,
    /// Initial weights.
    #[serde(default)]
    pub init: Scheme,
}

const fn default_base() -> f64 {
    10_000.0
}

const fn default_eps() -> f64 {
    1e-5
}

impl ModelConfig {
    /// Makes the model over `vocab` ids, its weights in `params`.
    pub fn build(&self, vocab: u32, params: &mut Params) -> Box<dyn Model> {
        match self {
            Self::Gpt(config) => Box::new(Gpt::new(config, vocab, params)),
            Self::Llama(config) => Box::new(Llama::new(config, vocab, params)),
        }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gpt(_) => "gpt",
            Self::Llama(_) => "llama",
        }
    }

    /// The most tokens the model reads at once.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        match self {
            Self::Gpt(config) => config.context_tokens,
            Self::Llama(config) => config.context_tokens,
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
