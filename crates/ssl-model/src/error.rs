//! What can go wrong when weights come in or go out.

use std::path::PathBuf;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of a stored model.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Error {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} is not a safetensors file: {reason}", path.display())]
    Safetensors { path: PathBuf, reason: String },
    #[error("{} does not fit the model: {}", path.display(), faults.join("; "))]
    Mismatch { path: PathBuf, faults: Vec<String> },
    #[error("{}: {field}: {reason}", path.display())]
    Config { path: PathBuf, field: String, reason: String },
    #[error("{} does not hold word vectors: {reason}", path.display())]
    Vectors { path: PathBuf, reason: String },
    #[error("{} cannot be written as GGUF: {reason}", path.display())]
    Gguf { path: PathBuf, reason: String },
    #[error(transparent)]
    Tensor(#[from] ssl_torch::Error),
}

impl Error {
    /// What to do next, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "free space on that disk and run again"
            }
            Self::Safetensors { .. } | Self::Vectors { .. } => "the file is damaged or of another kind; fetch or export it again",
            Self::Mismatch { .. } => "the weights belong to a model of another shape; compare its config.json",
            Self::Config { .. } => "GPT-2, Llama, BERT, RoBERTa, ELECTRA and ModernBERT in Hugging Face's form can be read",
            Self::Gguf { .. } => "a folder holds every model, and --dtype fp32 every number",
            _ => return None,
        };
        Some(hint.into())
    }
}
