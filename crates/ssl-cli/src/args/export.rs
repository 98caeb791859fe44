//! What `ssl export` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `ssl export`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ExportArgs {
    /// What to read
    pub(crate) from: PathBuf,
    /// The folder to write, or the file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    pub(crate) out: PathBuf,
    /// Whose form [default: gguf where --out ends in .gguf, hf else]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
    /// What the matrices of a GGUF are stored as; a folder's stay fp32
    #[arg(long, value_enum, value_name = "DTYPE", default_value_t = Stored::Fp32)]
    pub(crate) dtype: Stored,
}

/// A form that other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A folder for transformers, vLLM and what is built on them
    Hf,
    /// A file for llama.cpp and what is built on it: of a GPT or a Llama with a byte-level BPE
    Gguf,
}

/// What numbers are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stored {
    /// 32 bits, as trained
    Fp32,
    /// 16 bits of IEEE 754
    Fp16,
    /// bfloat16
    Bf16,
    /// 8 bits, with a scale for each 32 numbers
    #[value(name = "q8_0")]
    Q8,
}

impl ExportArgs {
    /// The form that is asked for, or that the name of the output tells.
    pub(crate) fn format(&self) -> ExportFormat {
        let told = if self.out.extension().is_some_and(|end| end == "gguf") { ExportFormat::Gguf } else { ExportFormat::Hf };
        self.format.unwrap_or(told)
    }
}
