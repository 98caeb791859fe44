//! T5: `T5ForConditionalGeneration`, of version 1.0 and 1.1.

use serde_json::{Value, json};

use super::Fields;
use crate::config::{ModelConfig, T5Config};
use crate::error::Result;

pub(super) fn read(fields: &Fields<'_>) -> Result<ModelConfig> {
    fields.must("is_encoder_decoder", &json!(true))?;
    fields.must("is_decoder", &json!(false))?;
    let plain = T5Config::default();
    // What the first published files leave out.
    let size = |field: &str, absent: u32| if fields.optional(field) { fields.size(field) } else { Ok(absent) };
    let gated = gated(fields)?;
    Ok(ModelConfig::T5(T5Config {
        layers: fields.size("num_layers")?,
        decoder_layers: fields.optional("num_decoder_layers").then(|| fields.size("num_decoder_layers")).transpose()?,
        heads: fields.size("num_heads")?,
        head_width: fields.size("d_kv")?,
        width: fields.size("d_model")?,
        feed_forward_width: fields.size("d_ff")?,
        gated,
        tied: tied(fields)?,
        buckets: size("relative_attention_num_buckets", plain.buckets)?,
        reach: size("relative_attention_max_distance", plain.reach)?,
        context_tokens: size("n_positions", plain.context_tokens)?,
        start_token: fields.start_token()?,
        dropout: fields.number("dropout_rate").unwrap_or(0.0),
        norm_eps: fields.number("layer_norm_epsilon")?,
        init: None,
    }))
}

fn gated(fields: &Fields<'_>) -> Result<bool> {
    let kind = if fields.optional("feed_forward_proj") { fields.text("feed_forward_proj")? } else { "relu" };
    let (gated, activation) = match kind {
        "relu" => (false, "relu"),
        "gated-gelu" => (true, "gelu_new"),
        other => return Err(fields.fault("feed_forward_proj", format!("{other:?} is not relu or gated-gelu"))),
    };
    fields.must("dense_act_fn", &json!(activation))?;
    fields.must("is_gated_act", &json!(gated))?;
    Ok(gated)
}

/// Whether the head is the table. transformers 5 says of every T5 that it is tied, and tells a head of its own by
/// `scale_decoder_outputs`; before, `tie_word_embeddings` told.
fn tied(fields: &Fields<'_>) -> Result<bool> {
    let flag = |field: &str| match fields.json.get(field).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => value.as_bool().map(Some).ok_or_else(|| fields.fault(field, "true or false was expected".into())),
    };
    match (flag("tie_word_embeddings")?, flag("scale_decoder_outputs")?) {
        (Some(false), Some(true)) => {
            Err(fields.fault("scale_decoder_outputs", "only the output of a tied head is scaled here".into()))
        }
        (tied, None) => Ok(tied.unwrap_or(true)),
        (_, Some(scaled)) => Ok(scaled),
    }
}

pub(super) fn write(c: &T5Config) -> Value {
    json!({
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"],
        "num_layers": c.layers, "num_decoder_layers": c.decoder_layers(), "num_heads": c.heads, "d_kv": c.head_width,
        "d_model": c.width, "d_ff": c.feed_forward_width, "feed_forward_proj": if c.gated { "gated-gelu" } else { "relu" },
        "relative_attention_num_buckets": c.buckets, "relative_attention_max_distance": c.reach, "n_positions": c.context_tokens,
        "dropout_rate": c.dropout, "layer_norm_epsilon": c.norm_eps, "initializer_factor": 1.0,
        "tie_word_embeddings": c.tied, "is_encoder_decoder": true,
        "decoder_start_token_id": c.start_token, "pad_token_id": c.start_token,
    })
}
