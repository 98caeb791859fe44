//! Low-rank adapters: a map learns a sum of few products beside its own weight, which stays.
//!
//! ```text
//! y = W x + (alpha / r) B A x        A [r, in], B [out, r], B = 0 at first
//! ```
//!
//! Source: Hu et al. 2022, "`LoRA`: low-rank adaptation of large language models", section 4.1. Names and initial weights are PEFT's.
//!
//! Differs: no dropout of its own; the model's acts.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::params::Params;

/// Which maps get an adapter, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LoraConfig {
    /// Products summed, r.
    pub rank: u32,
    /// What the sum is multiplied by, times the rank.
    pub alpha: f64,
    /// The last parts of the names of maps, such as `query`; empty for every linear map of every block.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: Vec::new() }
    }
}

impl LoraConfig {
    /// What the products are multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / f64::from(self.rank.max(1))
    }

    /// Whether the map of this name gets an adapter.
    #[must_use]
    pub fn adapts(&self, name: &str) -> bool {
        // Maps of blocks have the block's number in their names; heads have none.
        let in_block = || name.split('.').any(|part| part.parse::<u32>().is_ok());
        if self.targets.is_empty() { in_block() } else { self.targets.iter().any(|target| ends_with(name, target)) }
    }
}

/// Whether a name ends with these whole parts.
fn ends_with(name: &str, parts: &str) -> bool {
    name.strip_suffix(parts).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The adapter of one map.
#[derive(Debug)]
pub(crate) struct Lora {
    a_ri: Tensor,
    b_or: Tensor,
    scale: f64,
}

impl Lora {
    /// The adapter of the map that `params` got last, `features` its inputs and outputs, where one is wanted.
    pub(crate) fn new(params: &mut Params, name: &str, features: (i64, i64), transposed: bool) -> Option<Self> {
        let (a_ri, b_or, scale) = params.adapter(name, features, transposed)?;
        Some(Self { a_ri, b_or, scale })
    }

    /// `y` with the adapter's own `[.., out]` added.
    pub(crate) fn add(lora: Option<&Self>, x: &Tensor, y: Tensor) -> Tensor {
        let Some(Self { a_ri, b_or, scale }) = lora else { return y };
        y + x.linear(a_ri, None::<&Tensor>).linear(b_or, None::<&Tensor>) * *scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_whole_parts_of_names() {
        let some = LoraConfig { targets: vec!["query".into(), "attn.c_attn".into()], ..LoraConfig::default() };
        assert!(some.adapts("bert.encoder.layer.0.attention.self.query") && some.adapts("transformer.h.1.attn.c_attn"));
        assert!(!some.adapts("layer.0.subquery") && !some.adapts("layer.0.key"));
        let all = LoraConfig::default();
        assert!(all.adapts("model.layers.3.mlp.up_proj") && !all.adapts("cls.predictions.transform.dense"));
    }
}
