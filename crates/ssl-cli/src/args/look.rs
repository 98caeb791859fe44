//! What `ssl fill` and `ssl embed` take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `ssl fill`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct FillArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// A text with one or more [MASK] where something is missing
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: String,
    /// Candidates of each gap
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) top_k: u16,
}

/// `ssl embed`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct EmbedArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// Texts, one a line; - reads them from stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: PathBuf,
    /// Write the vectors there, as a tensor `embeddings` of a row a text; without it they are in what --json prints
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: Option<PathBuf>,
    /// Which hidden states make the vector
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Pooled::Mean)]
    pub(crate) pool: Pooled,
    /// Divide vectors by their length, so that a product of two is their cosine
    #[arg(long)]
    pub(crate) normalize: bool,
}

/// How a text becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pooled {
    /// The mean over its tokens
    Mean,
    /// That of the mark before it, [CLS] of a BERT
    First,
    /// That of its last token
    Last,
}
