//! The `[eval]` section of a run: what is measured while it trains.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;

/// Validation and samples in the course of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EvalConfig {
    /// Steps between two validations.
    pub every_steps: u64,
    /// Validation during training reads at most this many tokens; absent reads all. The last one always reads all.
    pub max_tokens: Option<u64>,
    /// What samples begin with; empty begins a document.
    pub prompt: String,
    /// Length of samples; 0 takes none.
    pub sample_tokens: u32,
    /// Temperature of samples.
    pub temperature: f64,
    /// Samples draw from the smallest set of tokens that holds this share of the probability.
    pub top_p: f64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { every_steps: 500, max_tokens: None, prompt: String::new(), sample_tokens: 160, temperature: 0.8, top_p: 0.95 }
    }
}

impl EvalConfig {
    /// Every fault of meaning. Paths begin with `eval.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |fine: bool, key: &str, message: String, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("eval.{key}"), message, hint));
            }
        };
        check(self.every_steps > 0, "every-steps", "0 never comes".into(), "500 is the default");
        check(self.max_tokens != Some(0), "max-tokens", "nothing would be read".into(), "leave it out to read all");
        check(
            self.temperature >= 0.0 && self.temperature.is_finite(),
            "temperature",
            format!("{} is out of range", self.temperature),
            "0 always takes the likeliest token",
        );
        check(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "top-p",
            format!("{} is not a share above 0", self.top_p),
            "1.0 keeps all tokens",
        );
        faults
    }
}
