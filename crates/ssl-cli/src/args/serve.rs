//! What `ssl serve` takes.

use std::path::PathBuf;

use clap::Args;

use super::Weights;

/// `ssl serve`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ServeArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// Where to listen; port 0 takes a free one. Addresses that others reach need --api-key-file
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) addr: String,
    /// Answer only those who send one of the keys in this file, one a line, as `Authorization: Bearer KEY`
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// What clients call the model [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Answer questions from an index of documents, which ssl answer made
    #[arg(long, value_name = "INDEX")]
    pub(crate) documents: Option<PathBuf>,
    /// Let a model that foretells several tokens draft them, and verify the drafts in its next step: the same texts in fewer steps
    #[arg(long)]
    pub(crate) drafts: bool,
    /// How the weights are held
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Weights::Fp32)]
    pub(crate) weights: Weights,
    /// What one client may ask, and all together.
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// What one client may ask, and all together.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Texts that are written at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) rows: u16,
    /// Texts that wait for that; further ones are answered 429
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) queue: u16,
    /// The most KiB of a request's body
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) max_body_kib: u32,
    /// The most tokens of a prompt [default: the model's context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_prompt_tokens: Option<u32>,
    /// The most tokens that one text may ask for
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// The longest that a request may take; what is written by then is its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) request_seconds: u32,
    /// The longest that a client may take to send a request's head, to go on with its body, or to read on
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) client_seconds: u32,
    /// Connections at once; further ones are answered 503
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// The longest that running requests may go on once a stop was asked for
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) stop_seconds: u32,
}
