//! `ModernBERT`: `ModernBertForMaskedLM`, in the layout of transformers 5 and in the older one of the published models.

use serde_json::{Value, json};

use super::Fields;
use crate::config::{ModelConfig, ModernbertConfig};
use crate::error::Result;
use crate::init::Scheme;

const GLOBAL: &str = "full_attention";
const LOCAL: &str = "sliding_attention";

pub(super) fn read(fields: &Fields<'_>) -> Result<ModelConfig> {
    for key in ["norm_bias", "attention_bias", "mlp_bias", "classifier_bias"] {
        fields.must(key, &json!(false))?;
    }
    for key in ["decoder_bias", "tie_word_embeddings"] {
        fields.must(key, &json!(true))?;
    }
    for key in ["hidden_activation", "classifier_activation"] {
        fields.must(key, &json!("gelu"))?;
    }
    let layers = fields.size("num_hidden_layers")?;
    let base = |kind: &str, older: &str| -> Result<f64> {
        match fields.inner(&["rope_parameters", kind]) {
            Some(inner) => {
                inner.must("rope_type", &json!("default"))?;
                inner.number("rope_theta")
            }
            None => fields.number(older),
        }
    };
    Ok(ModelConfig::Modernbert(ModernbertConfig {
        layers,
        heads: fields.size("num_attention_heads")?,
        width: fields.size("hidden_size")?,
        context_tokens: fields.size("max_position_embeddings")?,
        feed_forward_width: fields.size("intermediate_size")?,
        local_window: fields.size("local_attention")?,
        global_every: global_every(fields, layers)?,
        global_rope_base: base(GLOBAL, "global_rope_theta")?,
        local_rope_base: base(LOCAL, "local_rope_theta")?,
        dropout: fields.number("attention_dropout").unwrap_or(0.0),
        norm_eps: fields.number("norm_eps")?,
        init: Scheme::Gpt2,
        contrastive: fields.contrastive()?,
    }))
}

/// From the list of what each layer sees, or the number that older files have in its place.
fn global_every(fields: &Fields<'_>, layers: u32) -> Result<u32> {
    let Some(kinds) = fields.json.get("layer_types").filter(|value| !value.is_null()) else {
        return if fields.optional("global_attn_every_n_layers") { fields.size("global_attn_every_n_layers") } else { Ok(3) };
    };
    let bad = |reason: &str| fields.fault("layer_types", reason.into());
    let kinds = kinds.as_array().ok_or_else(|| bad("a list was expected"))?;
    if kinds.len() != layers as usize {
        return Err(bad("has not one name a layer"));
    }
    let second = kinds.iter().skip(1).position(|kind| kind == GLOBAL);
    let every = second.map_or(layers, |at| at as u32 + 1).max(1);
    let regular = kinds.iter().zip(0..).all(|(kind, i)| kind == if u32::is_multiple_of(i, every) { GLOBAL } else { LOCAL });
    if regular { Ok(every) } else { Err(bad("only every n-th layer from the first on can be full_attention here")) }
}

pub(super) fn write(c: &ModernbertConfig) -> Value {
    let kinds: Vec<&str> = (0..c.layers).map(|i| if i.is_multiple_of(c.global_every) { GLOBAL } else { LOCAL }).collect();
    json!({
        "model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"],
        "num_hidden_layers": c.layers, "num_attention_heads": c.heads, "hidden_size": c.width,
        "intermediate_size": c.feed_forward_width, "max_position_embeddings": c.context_tokens,
        "local_attention": c.local_window, "layer_types": kinds, "global_attn_every_n_layers": c.global_every,
        "rope_parameters": {
            GLOBAL: { "rope_type": "default", "rope_theta": c.global_rope_base },
            LOCAL: { "rope_type": "default", "rope_theta": c.local_rope_base },
        },
        "global_rope_theta": c.global_rope_base, "local_rope_theta": c.local_rope_base,
        "attention_dropout": c.dropout, "embedding_dropout": c.dropout, "mlp_dropout": c.dropout,
        "norm_eps": c.norm_eps, "norm_bias": false, "attention_bias": false, "mlp_bias": false, "classifier_bias": false,
        "decoder_bias": true, "hidden_activation": "gelu", "classifier_activation": "gelu", "tie_word_embeddings": true,
        "pad_token_id": 0, "cls_token_id": null, "sep_token_id": null,
        "ssl": super::about_contrast(&c.contrastive),
    })
}
