//! `config.json` as Hugging Face transformers writes it, to and from our own configuration.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{Activation, GptConfig, LlamaConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::init::Scheme;

/// The type of models that transformers does not have, and the field that holds their shape.
const OWN: &str = "ssl";

/// Reads a model's shape and its vocabulary from the `config.json` at `path`.
///
/// # Errors
/// When it is not JSON, of another kind of model, or a field is missing, of another type, or asks for what is not built here.
pub fn read_config(path: &Path) -> Result<(ModelConfig, u32)> {
    let text = fs::read(path).map_err(|source| Error::Io { action: "read", path: path.into(), source })?;
    let json: Value = serde_json::from_slice(&text).map_err(|fault| Error::Config {
        path: path.into(),
        field: "file".into(),
        reason: fault.to_string(),
    })?;
    let fields = Fields { path, json: &json };
    let config = match fields.text("model_type")? {
        "gpt2" => ModelConfig::Gpt(GptConfig {
            layers: fields.size("n_layer")?,
            heads: fields.size("n_head")?,
            width: fields.size("n_embd")?,
            context_tokens: fields.size("n_positions")?,
            feed_forward_width: fields.optional("n_inner").then(|| fields.size("n_inner")).transpose()?,
            activation: match fields.text("activation_function")? {
                "gelu" => Activation::Gelu,
                "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
                other => return Err(fields.fault("activation_function", format!("{other:?} is not gelu or gelu_new"))),
            },
            bias: true,
            dropout: fields.number("resid_pdrop").unwrap_or(0.0),
            norm_eps: fields.number("layer_norm_epsilon")?,
            init: Scheme::Gpt2,
        }),
        "llama" => {
            fields.must("hidden_act", &json!("silu"))?;
            fields.must("attention_bias", &json!(false))?;
            fields.must("mlp_bias", &json!(false))?;
            let heads = fields.size("num_attention_heads")?;
            ModelConfig::Llama(LlamaConfig {
                layers: fields.size("num_hidden_layers")?,
                heads,
                kv_heads: if fields.optional("num_key_value_heads") { fields.size("num_key_value_heads")? } else { heads },
                width: fields.size("hidden_size")?,
                feed_forward_width: fields.size("intermediate_size")?,
                context_tokens: fields.size("max_position_embeddings")?,
                rope_base: fields.rope_base()?,
                norm_eps: fields.number("rms_norm_eps")?,
                tied: json.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
                init: Scheme::Gpt2,
            })
        }
        // What transformers does not know is written as our own configuration.
        OWN => {
            let own = json.get(OWN).cloned().unwrap_or_default();
            serde_json::from_value(own).map_err(|fault| fields.fault(OWN, fault.to_string()))?
        }
        other => {
            return Err(fields.fault("model_type", format!("{:?} is not built here", other.chars().take(60).collect::<String>())));
        }
    };
    let vocab = fields.size("vocab_size")?;
    if let Some(fault) = config.validate().into_iter().next() {
        return Err(fields.fault(&fault.path, format!("{}; {}", fault.message, fault.hint)));
    }
    Ok((config, vocab))
}

/// Writes `config.json` for transformers, whole or not at all; `separator`, where known, begins and ends documents.
///
/// # Errors
/// When the disk refuses.
pub fn write_config(path: &Path, config: &ModelConfig, vocab: u32, separator: Option<u32>) -> Result<()> {
    let mut json = match config {
        ModelConfig::Gpt(c) => json!({
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
            "n_layer": c.layers, "n_head": c.heads, "n_embd": c.width, "n_positions": c.context_tokens, "n_ctx": c.context_tokens,
            "n_inner": c.feed_forward_width,
            "activation_function": if c.activation == Activation::Gelu { "gelu" } else { "gelu_new" },
            "layer_norm_epsilon": c.norm_eps, "resid_pdrop": c.dropout, "embd_pdrop": c.dropout, "attn_pdrop": c.dropout,
            "tie_word_embeddings": true,
        }),
        ModelConfig::Llama(c) => json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"],
            "num_hidden_layers": c.layers, "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads, "hidden_size": c.width,
            "head_dim": c.width / c.heads, "intermediate_size": c.feed_forward_width, "max_position_embeddings": c.context_tokens,
            "rope_theta": c.rope_base, "rope_parameters": { "rope_type": "default", "rope_theta": c.rope_base },
            "rms_norm_eps": c.norm_eps, "tie_word_embeddings": c.tied, "hidden_act": "silu",
            "attention_bias": false, "mlp_bias": false,
        }),
        ModelConfig::Lstm(_) | ModelConfig::MultiToken(_) => json!({ "model_type": OWN, OWN: config }),
    };
    let more = json!({ "vocab_size": vocab, "bos_token_id": separator, "eos_token_id": separator, "torch_dtype": "float32" });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend::<Map<String, Value>>(more);
    }
    let io = |source| Error::Io { action: "write", path: path.into(), source };
    let partial = path.with_extension("json.tmp");
    let attempt = || -> std::io::Result<()> {
        let mut file = fs::File::create(&partial)?;
        writeln!(file, "{json:#}")?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(io)
}

/// A JSON object whose fields are asked for by name and type.
struct Fields<'a> {
    path: &'a Path,
    json: &'a Value,
}

impl Fields<'_> {
    fn fault(&self, field: &str, reason: String) -> Error {
        Error::Config { path: self.path.into(), field: field.into(), reason }
    }

    fn optional(&self, field: &str) -> bool {
        self.json.get(field).is_some_and(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> Result<&str> {
        self.json.get(field).and_then(Value::as_str).ok_or_else(|| self.fault(field, "a text was expected".into()))
    }

    fn number(&self, field: &str) -> Result<f64> {
        let number = self.json.get(field).and_then(Value::as_f64).filter(|number| number.is_finite());
        number.ok_or_else(|| self.fault(field, "a finite number was expected".into()))
    }

    /// A size that can be allocated: from 1 to 4 million.
    fn size(&self, field: &str) -> Result<u32> {
        let size = self.json.get(field).and_then(Value::as_u64).filter(|size| (1..=4 << 20).contains(size));
        size.map(|size| size as u32).ok_or_else(|| self.fault(field, "a size between 1 and 4194304 was expected".into()))
    }

    fn must(&self, field: &str, expect: &Value) -> Result<()> {
        match self.json.get(field) {
            None => Ok(()),
            Some(found) if found == expect => Ok(()),
            Some(found) => Err(self.fault(field, format!("{found} is not built here, only {expect}"))),
        }
    }

    /// The base of the rotary angles, from the newer place or the older one; scaled angles are not built here.
    fn rope_base(&self) -> Result<f64> {
        let parameters =
            self.json.get("rope_parameters").or_else(|| self.json.get("rope_scaling")).filter(|value| !value.is_null());
        if let Some(kind) = parameters.and_then(|p| p.get("rope_type").or_else(|| p.get("type"))).and_then(Value::as_str)
            && kind != "default"
        {
            return Err(self.fault("rope_parameters", format!("{kind:?} angles are not built here, only \"default\"")));
        }
        let newer = parameters.and_then(|p| p.get("rope_theta")).and_then(Value::as_f64);
        newer.or_else(|| self.json.get("rope_theta").and_then(Value::as_f64)).map_or(Ok(10_000.0), |base| {
            if base.is_finite() { Ok(base) } else { Err(self.fault("rope_theta", "a finite number was expected".into())) }
        })
    }
}
