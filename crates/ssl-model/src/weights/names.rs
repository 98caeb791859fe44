//! The names that published files give to weights, beside those that transformers writes today.

use std::collections::BTreeSet;

/// The prefix of the generator's weights in an ELECTRA of two.
pub(super) const GENERATOR: &str = "generator.";

/// What files of a model without its head leave out.
const PREFIXES: &[&str] = &["transformer.", "model.", "bert.", "roberta.", "electra."];

/// The ends of names of buffers that older files carry.
const BUFFERS: &[&str] = &[
    ".attn.bias",
    ".attn.masked_bias",
    "rotary_emb.inv_freq",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    // Marian's sines and cosines.
    "coder.embed_positions.weight",
    // A table of the first published T5 that nothing reads.
    ".EncDecAttention.relative_attention_bias.weight",
];

/// A second name of a tied weight, beside the weight.
const TIED: &[(&str, &str)] = &[
    ("lm_head.weight", "transformer.wte.weight"),
    ("lm_head.weight", "model.embed_tokens.weight"),
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
    ("lm_head.decoder.bias", "lm_head.bias"),
    ("decoder.weight", "model.embeddings.tok_embeddings.weight"),
    ("encoder.embed_tokens.weight", "shared.weight"),
    ("decoder.embed_tokens.weight", "shared.weight"),
    ("lm_head.weight", "shared.weight"),
    ("lm_head.weight", "model.shared.weight"),
    ("model.encoder.embed_tokens.weight", "model.shared.weight"),
    ("model.decoder.embed_tokens.weight", "model.shared.weight"),
    ("generator.generator_lm_head.weight", "generator.generator_lm_head.bias"),
];

/// Heads that a published file may have and a model may be built without, beside a weight that tells the model.
const HEADS: &[(&str, &str)] = &[
    ("bert.pooler.dense", "bert.embeddings.word_embeddings.weight"),
    ("pooler.dense", "bert.embeddings.word_embeddings.weight"),
    ("cls.seq_relationship", "bert.embeddings.word_embeddings.weight"),
    ("roberta.pooler.dense", "roberta.embeddings.word_embeddings.weight"),
    ("pooler.dense", "roberta.embeddings.word_embeddings.weight"),
];

/// Today's name of a tensor: norms of the first published models had `gamma` and `beta`.
pub(super) fn current(name: &str) -> String {
    let ends = [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];
    let older = ends.iter().find_map(|(old, new)| Some(format!("{}{new}", name.strip_suffix(old)?)));
    older.unwrap_or_else(|| name.to_owned())
}

/// A weight's name without the model's prefix.
pub(super) fn bare(name: &str) -> &str {
    PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// Whether a tensor says nothing that a model with the weights `known` needs.
pub(super) fn is_spare(name: &str, known: &BTreeSet<&str>) -> bool {
    BUFFERS.iter().any(|end| name.ends_with(end))
        || TIED.iter().any(|(second, first)| name == *second && known.contains(first))
        || HEADS.iter().any(|(head, model)| matches!(name.strip_prefix(head), Some(".weight" | ".bias")) && known.contains(model))
}
