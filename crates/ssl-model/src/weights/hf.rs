//! `config.json` as Hugging Face transformers writes it, to and from our own configuration.

mod bert;
mod electra;
mod marian;
mod modernbert;
mod t5;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{Activation, ContrastiveConfig, ElectraConfig, GptConfig, LlamaConfig, ModelConfig, Pooling, Variant};
use crate::error::{Error, Result};
use crate::init::Scheme;

/// The type of models that transformers does not have, and the field that holds their shape.
const OWN: &str = "ssl";
/// What weights that are not there yet are taken to have at most.
const UNSEEN_BYTES: u64 = 1 << 37;
/// A shape that misses its weights by less is taken, so that the error can name the tensor that does not fit.
const MISS_BYTES: u128 = 1 << 24;
/// Under what name the formats keep the width.
const WIDTHS: [&str; 3] = ["n_embd", "d_model", "hidden_size"];

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
        "gpt2" => {
            fields.must("scale_attn_weights", &json!(true))?;
            fields.must("scale_attn_by_inverse_layer_idx", &json!(false))?;
            fields.must("tie_word_embeddings", &json!(true))?;
            ModelConfig::Gpt(GptConfig {
                layers: fields.size("n_layer")?,
                heads: fields.size("n_head")?,
                width: fields.size("n_embd")?,
                context_tokens: fields.size("n_positions")?,
                feed_forward_width: fields.optional("n_inner").then(|| fields.size("n_inner")).transpose()?,
                activation: fields.activation("activation_function")?,
                bias: true,
                dropout: fields.number("resid_pdrop").unwrap_or(0.0),
                norm_eps: fields.number("layer_norm_epsilon")?,
                init: Scheme::Gpt2,
            })
        }
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
        "bert" => bert::read(&fields, Variant::Bert)?,
        "roberta" => bert::read(&fields, Variant::Roberta)?,
        "electra" => electra::read(&fields)?,
        "modernbert" => modernbert::read(&fields)?,
        "t5" => t5::read(&fields)?,
        "marian" => marian::read(&fields)?,
        other => {
            return Err(fields.fault("model_type", format!("{:?} is not built here", other.chars().take(60).collect::<String>())));
        }
    };
    let vocab = fields.size("vocab_size")?;
    if let Some(fault) = config.validate().into_iter().next() {
        return Err(fields.fault(&fault.path, format!("{}; {}", fault.message, fault.hint)));
    }
    fields.fits(&config, vocab)?;
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
            "activation_function": c.activation.hugging_face(),
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
        ModelConfig::Lstm(_) | ModelConfig::MultiToken(_) | ModelConfig::Word2vec(_) => json!({ "model_type": OWN, OWN: config }),
        ModelConfig::Bert(c) => bert::write(c),
        ModelConfig::Modernbert(c) => modernbert::write(c),
        ModelConfig::Electra(c) => electra::write(c),
        ModelConfig::T5(c) => t5::write(c),
        ModelConfig::Transformer(c) => marian::write(c),
    };
    // transformers 5 reads `dtype`, and what was written for earlier ones `torch_dtype`.
    let more = json!({
        "vocab_size": vocab, "bos_token_id": separator, "eos_token_id": separator, "dtype": "float32", "torch_dtype": "float32",
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend::<Map<String, Value>>(more);
    }
    store(path, &json)
}

/// Writes the `config.json` of an ELECTRA's generator, as of a model of its own.
pub(super) fn write_generator_config(path: &Path, config: &ElectraConfig, vocab: u32) -> Result<()> {
    let mut json = electra::write_generator(config);
    json["vocab_size"] = vocab.into();
    store(path, &json)
}

fn store(path: &Path, json: &Value) -> Result<()> {
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

impl Activation {
    fn hugging_face(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_new",
        }
    }
}

/// What transformers has no field for, kept under `ssl`.
fn about_contrast(config: &ContrastiveConfig) -> Value {
    json!({ "pooling": config.pooling, "temperature": config.temperature })
}

/// A JSON object whose fields are asked for by name and type.
struct Fields<'a> {
    path: &'a Path,
    json: &'a Value,
}

impl<'a> Fields<'a> {
    /// The object inside, where there is one.
    fn inner(&self, keys: &[&str]) -> Option<Fields<'a>> {
        let json = keys.iter().try_fold(self.json, |json, key| json.get(key))?;
        json.is_object().then_some(Fields { path: self.path, json })
    }

    /// The first name under `architectures`.
    fn architecture(&self) -> Option<&'a str> {
        self.json.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str)
    }

    fn activation(&self, field: &str) -> Result<Activation> {
        match self.text(field)? {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            other => Err(self.fault(field, format!("{other:?} is not gelu or gelu_new"))),
        }
    }

    /// What [`about_contrast`] wrote, or the defaults.
    fn contrastive(&self) -> Result<ContrastiveConfig> {
        let Some(inner) = self.inner(&["ssl"]) else { return Ok(ContrastiveConfig::default()) };
        let pooling = inner.json.get("pooling").and_then(|name| Pooling::deserialize(name).ok());
        let pooling = pooling.ok_or_else(|| self.fault("ssl", "its pooling is not mean, cls or cls-mlp".into()))?;
        Ok(ContrastiveConfig { pooling, temperature: inner.number("temperature")? })
    }

    /// Refuses a shape that the weights beside it cannot fill, before memory is taken for it.
    fn fits(&self, config: &ModelConfig, vocab: u32) -> Result<()> {
        let files = super::shards(&self.path.with_file_name(super::WEIGHTS))?;
        let sizes: Option<Vec<u64>> = files.iter().map(|file| fs::metadata(file).ok().map(|about| about.len())).collect();
        let bytes = sizes.map_or(UNSEEN_BYTES, |sizes| sizes.iter().sum());
        let (layers, tables) = config.numbers(vocab);
        let width = WIDTHS.into_iter().find(|field| self.optional(field)).unwrap_or(OWN);
        let (field, numbers) = if layers > tables { (width, layers) } else { ("vocab_size", tables) };
        // A stored number takes two bytes or more.
        if numbers.saturating_mul(2) > u128::from(bytes) + MISS_BYTES {
            let reason = format!("asks for a model of {numbers} numbers and more, and its weights have {bytes} bytes");
            return Err(self.fault(field, reason));
        }
        Ok(())
    }

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

    /// The same of a field whose absence means another value to transformers.
    fn must_say(&self, field: &str, expect: &Value) -> Result<()> {
        if self.json.get(field).is_none() {
            return Err(self.fault(field, format!("is absent; only {expect} is built here")));
        }
        self.must(field, expect)
    }

    /// The id that a decoder reads first, or the padding's, which is the same in every published model.
    fn start_token(&self) -> Result<u32> {
        let field = if self.optional("decoder_start_token_id") { "decoder_start_token_id" } else { "pad_token_id" };
        let Some(id) = self.json.get(field).filter(|value| !value.is_null()) else { return Ok(0) };
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.fault(field, "a token's id was expected".into()))
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
