//! Transformers for translation, as transformers' Marian has them.

use serde_json::{Value, json};

use super::Fields;
use crate::config::{ModelConfig, TransformerConfig};
use crate::error::Result;
use crate::init::Scheme;

pub(super) fn read(fields: &Fields<'_>) -> Result<ModelConfig> {
    let equal = |key: &str, other: &str| {
        let (a, b) = (fields.size(key)?, fields.size(other)?);
        if a == b { Ok(a) } else { Err(fields.fault(other, format!("{b} is not {key}'s {a}, which only is built here"))) }
    };
    fields.must_say("activation_function", &json!("relu"))?;
    fields.must_say("scale_embedding", &json!(true))?;
    fields.must("share_encoder_decoder_embeddings", &json!(true))?;
    fields.must("tie_word_embeddings", &json!(true))?;
    let dropped = fields.json.get("activation_dropout").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    if dropped != 0.0 {
        return Err(fields.fault("activation_dropout", format!("{dropped} is not built here, only 0")));
    }
    Ok(ModelConfig::Transformer(TransformerConfig {
        layers: equal("encoder_layers", "decoder_layers")?,
        heads: equal("encoder_attention_heads", "decoder_attention_heads")?,
        width: fields.size("d_model")?,
        feed_forward_width: equal("encoder_ffn_dim", "decoder_ffn_dim")?,
        context_tokens: fields.size("max_position_embeddings")?,
        start_token: fields.start_token()?,
        dropout: fields.number("dropout").unwrap_or(0.0),
        label_smoothing: 0.0,
        init: Scheme::Xavier,
    }))
}

pub(super) fn write(c: &TransformerConfig) -> Value {
    json!({
        "model_type": "marian", "architectures": ["MarianMTModel"],
        "encoder_layers": c.layers, "decoder_layers": c.layers, "num_hidden_layers": c.layers,
        "encoder_attention_heads": c.heads, "decoder_attention_heads": c.heads, "d_model": c.width,
        "encoder_ffn_dim": c.feed_forward_width, "decoder_ffn_dim": c.feed_forward_width,
        "max_position_embeddings": c.context_tokens, "activation_function": "relu", "scale_embedding": true,
        "share_encoder_decoder_embeddings": true, "tie_word_embeddings": true, "static_position_embeddings": true,
        "dropout": c.dropout, "attention_dropout": c.dropout, "activation_dropout": 0.0,
        "decoder_start_token_id": c.start_token, "pad_token_id": c.start_token,
    })
}
