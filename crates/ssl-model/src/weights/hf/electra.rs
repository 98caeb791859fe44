//! ELECTRA: `ElectraForPreTraining`, and `ElectraForMaskedLM` for the generator when a model is split for export.
//!
//! transformers has no model of both; a folder with both says so under `ssl`, which transformers leaves alone, as it does
//! the tensors that begin with `generator.`.

use serde_json::{Value, json};

use super::Fields;
use crate::bert::Stack;
use crate::config::{ElectraConfig, GeneratorConfig, ModelConfig, Parts};
use crate::error::Result;
use crate::init::Scheme;

pub(super) fn read(fields: &Fields<'_>) -> Result<ModelConfig> {
    for (key, value) in
        [("is_decoder", json!(false)), ("add_cross_attention", json!(false)), ("tie_word_embeddings", json!(true))]
    {
        fields.must(key, &value)?;
    }
    fields.must("position_embedding_type", &json!("absolute"))?;
    if let Some(other) = fields.architecture().filter(|&name| name != "ElectraForPreTraining") {
        return Err(fields.fault("architectures", format!("{other:?} is not built here, only \"ElectraForPreTraining\"")));
    }
    let both = fields.inner(&["ssl", "generator"]);
    let generator = match &both {
        None => GeneratorConfig::default(),
        Some(inner) => GeneratorConfig {
            layers: Some(inner.size("num_hidden_layers")?),
            heads: Some(inner.size("num_attention_heads")?),
            width: Some(inner.size("hidden_size")?),
            feed_forward_width: Some(inner.size("intermediate_size")?),
        },
    };
    let weight = both.as_ref().map(|inner| inner.number("discriminator_weight")).transpose()?;
    Ok(ModelConfig::Electra(ElectraConfig {
        parts: if both.is_some() { Parts::Both } else { Parts::Discriminator },
        layers: fields.size("num_hidden_layers")?,
        heads: fields.size("num_attention_heads")?,
        width: fields.size("hidden_size")?,
        embedding_width: fields.size("embedding_size")?,
        context_tokens: fields.size("max_position_embeddings")?,
        feed_forward_width: Some(fields.size("intermediate_size")?),
        activation: fields.activation("hidden_act")?,
        segments: fields.size("type_vocab_size")?,
        dropout: fields.number("hidden_dropout_prob").unwrap_or(0.0),
        norm_eps: fields.number("layer_norm_eps")?,
        discriminator_weight: weight.unwrap_or(ElectraConfig::default().discriminator_weight),
        init: Scheme::TruncatedNormal,
        generator,
        contrastive: fields.contrastive()?,
    }))
}

pub(super) fn write(c: &ElectraConfig) -> Value {
    let mut json = stack(c, &c.discriminator(), "ElectraForPreTraining");
    let mut more = super::about_contrast(&c.contrastive);
    if c.parts == Parts::Both {
        let generator = c.generator();
        more["generator"] = json!({
            "num_hidden_layers": generator.layers, "num_attention_heads": generator.heads, "hidden_size": generator.width,
            "intermediate_size": generator.feed_forward, "discriminator_weight": c.discriminator_weight,
        });
    }
    json["ssl"] = more;
    json
}

/// The configuration of the generator as a model of its own.
pub(super) fn write_generator(c: &ElectraConfig) -> Value {
    stack(c, &c.generator(), "ElectraForMaskedLM")
}

fn stack(c: &ElectraConfig, stack: &Stack, architecture: &str) -> Value {
    json!({
        "model_type": "electra", "architectures": [architecture],
        "num_hidden_layers": stack.layers, "num_attention_heads": stack.heads, "hidden_size": stack.width,
        "intermediate_size": stack.feed_forward, "embedding_size": c.embedding_width,
        "max_position_embeddings": c.context_tokens, "type_vocab_size": c.segments,
        "hidden_act": c.activation.hugging_face(), "layer_norm_eps": c.norm_eps,
        "hidden_dropout_prob": c.dropout, "attention_probs_dropout_prob": c.dropout,
        "position_embedding_type": "absolute", "tie_word_embeddings": true, "pad_token_id": 0,
    })
}
