//! Models under llama.cpp's names, for its runtime and every program that is built on it.
//!
//! Its `gpt2` has biases, learned positions and GELU by its tanh; its maps are `[out, in]`, where GPT-2's are `[in, out]`. Its `llama`
//! turns neighbouring features by the rotary angles, as the paper does, where transformers and we turn halves, so that the rows of
//! queries and keys stand in another order.
//!
//! Source: llama.cpp, `src/llama-arch.cpp` for the names, `conversion/llama.py` for the order of rows.

use std::path::Path;

use tch::Tensor;

use super::gguf::{Item, Numbers, Value, write};
use crate::config::{Activation, GptConfig, LlamaConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::params::Params;

/// The version of ggml's blocks of whole numbers.
const QUANTIZATION: u32 = 2;
/// A table that is read a row at a time and added to what is at 32 bits.
const POSITIONS: &str = "position_embd.weight";

/// What becomes of a weight besides its name.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// Nothing.
    Kept,
    /// `[in, out]` becomes `[out, in]`.
    Transposed,
    /// Rows of each head of queries go from halves to neighbours.
    Queries,
    /// The same of keys.
    Keys,
}

/// Our name of a part, theirs, and what becomes of its weight.
type Part = (&'static str, &'static str, Change);

/// A kind of model that llama.cpp runs.
struct Architecture {
    name: &'static str,
    /// What stands before the number of a layer.
    layers: &'static str,
    /// Parts of a layer.
    inner: &'static [Part],
    /// Parts of the model.
    outer: &'static [Part],
}

const GPT: Architecture = Architecture {
    name: "gpt2",
    layers: "transformer.h.",
    inner: &[
        ("ln_1", "attn_norm", Change::Kept),
        ("attn.c_attn", "attn_qkv", Change::Transposed),
        ("attn.c_proj", "attn_output", Change::Transposed),
        ("ln_2", "ffn_norm", Change::Kept),
        ("mlp.c_fc", "ffn_up", Change::Transposed),
        ("mlp.c_proj", "ffn_down", Change::Transposed),
    ],
    outer: &[
        ("transformer.wte", "token_embd", Change::Kept),
        ("transformer.wpe", "position_embd", Change::Kept),
        ("transformer.ln_f", "output_norm", Change::Kept),
    ],
};

const LLAMA: Architecture = Architecture {
    name: "llama",
    layers: "model.layers.",
    inner: &[
        ("input_layernorm", "attn_norm", Change::Kept),
        ("self_attn.q_proj", "attn_q", Change::Queries),
        ("self_attn.k_proj", "attn_k", Change::Keys),
        ("self_attn.v_proj", "attn_v", Change::Kept),
        ("self_attn.o_proj", "attn_output", Change::Kept),
        ("post_attention_layernorm", "ffn_norm", Change::Kept),
        ("mlp.gate_proj", "ffn_gate", Change::Kept),
        ("mlp.up_proj", "ffn_up", Change::Kept),
        ("mlp.down_proj", "ffn_down", Change::Kept),
    ],
    outer: &[
        ("model.embed_tokens", "token_embd", Change::Kept),
        ("model.norm", "output_norm", Change::Kept),
        ("lm_head", "output", Change::Kept),
    ],
};

/// Writes a GPT-2 or a Llama as a GGUF: the weights and `extra` tensors beside them, matrices as `numbers` and everything else at 32
/// bits; `about` is what else the file says, such as its tokenizer.
///
/// # Errors
/// When llama.cpp has no such model, the disk refuses, or a number does not fit its type.
pub fn export_gguf(
    path: &Path,
    config: &ModelConfig,
    vocab: u32,
    params: &Params,
    extra: &[(String, Tensor)],
    numbers: Numbers,
    about: Vec<(String, Value)>,
) -> Result<()> {
    let bad = |reason: String| Error::Gguf { path: path.into(), reason };
    let (theirs, shape) = match config {
        ModelConfig::Gpt(c) => (GPT, gpt(c)),
        ModelConfig::Llama(c) => (LLAMA, llama(c)),
        other => return Err(bad(format!("it can hold model.gpt and model.llama, and this is model.{}", other.name()))),
    };
    let mut says = vec![
        ("general.architecture".to_owned(), Value::Text(theirs.name.to_owned())),
        ("general.type".to_owned(), Value::Text("model".to_owned())),
        ("general.quantization_version".to_owned(), Value::U32(QUANTIZATION)),
        ("general.file_type".to_owned(), Value::U32(numbers.file_type())),
        (format!("{}.vocab_size", theirs.name), Value::U32(vocab)),
    ];
    says.extend(shape.into_iter().map(|(key, value)| (format!("{}.{key}", theirs.name), value)));
    says.extend(about);
    let weights = params.list().iter().map(|param| (&param.name, &param.master));
    let weights = weights.chain(extra.iter().map(|(name, tensor)| (name, tensor)));
    let items: Vec<Item> = weights
        .map(|(name, tensor)| {
            let no_place = || bad(format!("{name} has no place in llama.cpp's {}", theirs.name));
            let (name, change) = theirs.names(name).ok_or_else(no_place)?;
            let tensor = ssl_torch::guard(|| change.of(tensor, config))?;
            let matrix = tensor.dim() > 1 && name != POSITIONS;
            let numbers = if matrix { numbers.or_wider(&tensor) } else { Numbers::F32 };
            Ok(Item { name, tensor, numbers })
        })
        .collect::<Result<_>>()?;
    write(path, &says, &items)
}

/// Whether llama.cpp computes what the model does, up to rounding; it knows GELU by its tanh only, which is off by 0.0005 at most.
#[must_use]
pub fn gguf_is_faithful(config: &ModelConfig) -> bool {
    !matches!(config, ModelConfig::Gpt(GptConfig { activation: Activation::Gelu, .. }))
}

impl Architecture {
    /// Their name of a weight, and what becomes of it.
    fn names(&self, name: &str) -> Option<(String, Change)> {
        let (stem, end) = name.rsplit_once('.')?;
        let find = |parts: &[Part], stem: &str| parts.iter().find(|part| part.0 == stem).copied();
        let (theirs, change) = match stem.strip_prefix(self.layers) {
            Some(rest) => {
                let (layer, part) = rest.split_once('.')?;
                let (_, theirs, change) = find(self.inner, part)?;
                (format!("blk.{layer}.{theirs}.{end}"), change)
            }
            None => find(self.outer, stem).map(|(_, theirs, change)| (format!("{theirs}.{end}"), change))?,
        };
        Some((theirs, if end == "weight" { change } else { Change::Kept }))
    }
}

impl Change {
    fn of(self, tensor: &Tensor, config: &ModelConfig) -> Tensor {
        let (heads, kv_heads) = match config {
            ModelConfig::Llama(c) => (i64::from(c.heads), i64::from(c.kv_heads)),
            _ => (1, 1),
        };
        let tensor = tensor.detach();
        match self {
            Self::Kept => tensor,
            Self::Transposed => tensor.tr(),
            Self::Queries => neighbours(&tensor, heads),
            Self::Keys => neighbours(&tensor, kv_heads),
        }
    }
}

/// Rows `[h, half, e/2]` become `[h, e/2, half]`: what was turned with the row half a head further is now turned with the next.
fn neighbours(weight: &Tensor, heads: i64) -> Tensor {
    let size = weight.size();
    weight.reshape([heads, 2, -1, size[1]]).transpose(1, 2).reshape(size)
}

fn gpt(c: &GptConfig) -> Vec<(&'static str, Value)> {
    vec![
        ("context_length", Value::U32(c.context_tokens)),
        ("embedding_length", Value::U32(c.width)),
        ("block_count", Value::U32(c.layers)),
        ("feed_forward_length", Value::U32(c.feed_forward())),
        ("attention.head_count", Value::U32(c.heads)),
        ("attention.layer_norm_epsilon", Value::F32(c.norm_eps as f32)),
    ]
}

fn llama(c: &LlamaConfig) -> Vec<(&'static str, Value)> {
    let head = c.width / c.heads;
    vec![
        ("context_length", Value::U32(c.context_tokens)),
        ("embedding_length", Value::U32(c.width)),
        ("block_count", Value::U32(c.layers)),
        ("feed_forward_length", Value::U32(c.feed_forward_width)),
        ("attention.head_count", Value::U32(c.heads)),
        ("attention.head_count_kv", Value::U32(c.kv_heads)),
        ("attention.key_length", Value::U32(head)),
        ("attention.value_length", Value::U32(head)),
        ("attention.layer_norm_rms_epsilon", Value::F32(c.norm_eps as f32)),
        ("rope.dimension_count", Value::U32(head)),
        ("rope.freq_base", Value::F32(c.rope_base as f32)),
    ]
}
