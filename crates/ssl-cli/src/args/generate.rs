//! What `ssl generate` takes.

use std::path::PathBuf;

use clap::Args;

use super::{Weights, number};

/// `ssl generate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct GenerateArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// How the text begins; - reads it from stdin
    #[arg(long, value_name = "TEXT|-", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Stop after this many tokens
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) max_tokens: u32,
    /// Below 1 is more cautious, 0 always takes the likeliest token
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = temperature)]
    pub(crate) temperature: f64,
    /// Draw among the N likeliest tokens only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top_k: Option<u32>,
    /// Draw among the likeliest tokens that together have this probability (nucleus sampling)
    #[arg(long, value_name = "F", value_parser = share)]
    pub(crate) top_p: Option<f64>,
    /// The same seed draws the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Draw only tokens at least this share as likely as the likeliest
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = part, hide_default_value = true)]
    pub(crate) min_p: f64,
    /// Above 1 makes what the text has less likely, prompt included
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = positive, hide_default_value = true)]
    pub(crate) repetition_penalty: f64,
    /// Above 0 makes a token less likely each time it is written
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_hyphen_values = true, hide_default_value = true)]
    pub(crate) frequency_penalty: f64,
    /// Above 0 makes what was written less likely, however often
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_hyphen_values = true, hide_default_value = true)]
    pub(crate) presence_penalty: f64,
    /// End before this text; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// Search this many texts at once, of a model that writes from a source [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) beam: Option<u16>,
    /// In --json, give each token's log-probability and those of the N likeliest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) logprobs: Option<u16>,
    /// How the weights are held
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Weights::Fp32)]
    pub(crate) weights: Weights,
}

fn temperature(text: &str) -> Result<f64, String> {
    number(text).and_then(|t| if t.is_finite() && t >= 0.0 { Ok(t) } else { Err("expected 0 or more".into()) })
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|p| if p > 0.0 && p <= 1.0 { Ok(p) } else { Err("expected more than 0 and at most 1".into()) })
}

fn part(text: &str) -> Result<f64, String> {
    number(text).and_then(|p| if (0.0..=1.0).contains(&p) { Ok(p) } else { Err("expected at least 0 and at most 1".into()) })
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|f| if f.is_finite() && f > 0.0 { Ok(f) } else { Err("expected more than 0".into()) })
}

fn finite(text: &str) -> Result<f64, String> {
    number(text).and_then(|f| if f.is_finite() { Ok(f) } else { Err("expected a finite number".into()) })
}
