//! BERT and `RoBERTa`: `BertForMaskedLM`, `BertForPreTraining` and `RobertaForMaskedLM`.

use serde_json::{Value, json};

use super::Fields;
use crate::config::{BertConfig, ModelConfig, Variant};
use crate::error::Result;
use crate::init::Scheme;

pub(super) fn read(fields: &Fields<'_>, variant: Variant) -> Result<ModelConfig> {
    for (key, value) in
        [("is_decoder", json!(false)), ("add_cross_attention", json!(false)), ("tie_word_embeddings", json!(true))]
    {
        fields.must(key, &value)?;
    }
    fields.must("position_embedding_type", &json!("absolute"))?;
    let positions = fields.size("max_position_embeddings")?;
    if variant == Variant::Roberta {
        fields.must("pad_token_id", &json!(1))?;
    }
    let context_tokens = positions
        .checked_sub(variant.offset())
        .filter(|&tokens| tokens > 0)
        .ok_or_else(|| fields.fault("max_position_embeddings", "leaves no position to a token".into()))?;
    let architecture = fields.architecture();
    Ok(ModelConfig::Bert(BertConfig {
        variant,
        layers: fields.size("num_hidden_layers")?,
        heads: fields.size("num_attention_heads")?,
        width: fields.size("hidden_size")?,
        context_tokens,
        feed_forward_width: Some(fields.size("intermediate_size")?),
        activation: fields.activation("hidden_act")?,
        segments: fields.size("type_vocab_size")?,
        next_sentence: variant == Variant::Bert && architecture == Some("BertForPreTraining"),
        dropout: fields.number("hidden_dropout_prob").unwrap_or(0.0),
        norm_eps: fields.number("layer_norm_eps")?,
        init: Scheme::TruncatedNormal,
        contrastive: fields.contrastive()?,
    }))
}

pub(super) fn write(c: &BertConfig) -> Value {
    let (kind, architecture, pad) = match (c.variant, c.next_sentence) {
        (Variant::Roberta, _) => ("roberta", "RobertaForMaskedLM", 1),
        (Variant::Bert, true) => ("bert", "BertForPreTraining", 0),
        (Variant::Bert, false) => ("bert", "BertForMaskedLM", 0),
    };
    json!({
        "model_type": kind, "architectures": [architecture],
        "num_hidden_layers": c.layers, "num_attention_heads": c.heads, "hidden_size": c.width,
        "intermediate_size": c.feed_forward(), "max_position_embeddings": c.context_tokens + c.variant.offset(),
        "type_vocab_size": c.segments, "hidden_act": c.activation.hugging_face(), "layer_norm_eps": c.norm_eps,
        "hidden_dropout_prob": c.dropout, "attention_probs_dropout_prob": c.dropout,
        "position_embedding_type": "absolute", "tie_word_embeddings": true, "pad_token_id": pad,
        "ssl": super::about_contrast(&c.contrastive),
    })
}
