//! What can go wrong in training.

use std::path::PathBuf;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of a training run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Error {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("step {step}: the {what} is {value}, first in sample {sample}")]
    NonFinite { step: u64, what: &'static str, value: f64, sample: u64 },
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint { path: PathBuf, reason: String },
    #[error("no checkpoint in {}", dir.display())]
    NoCheckpoint { dir: PathBuf },
    #[error("{} is in use by another run", path.display())]
    Locked { path: PathBuf },
    #[error("parameter {name} got no gradient")]
    NoGradient { name: String },
    #[error("validation failed at step {step}: {source}")]
    Hook { step: u64, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the ranks disagree: {reason}")]
    Ranks { reason: String },
    #[error(transparent)]
    Data(#[from] ssl_data::Error),
    #[error(transparent)]
    Model(#[from] ssl_model::Error),
    #[error("step {step}: {source}")]
    Step { step: u64, source: ssl_torch::Error },
    #[error(transparent)]
    Tensor(#[from] ssl_torch::Error),
}

impl Error {
    /// What to do next, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "free space on that disk and run the same command again: it goes on from the last checkpoint"
            }
            Self::NonFinite { .. } => {
                "the weights before this step are in the last checkpoint; lower the learning rate, or look at that sample"
            }
            Self::NoCheckpoint { .. } => "train first, or name another folder",
            Self::Locked { .. } => "wait for it, stop it, or give --out another folder",
            Self::Step { source: ssl_torch::Error::OutOfMemory { .. }, .. } => {
                "lower train.batch-rows and raise train.accumulate by the same factor; the result stays the same"
            }
            Self::Ranks { .. } => "start all ranks again, with the same program and the same run file",
            Self::Step { source: ssl_torch::Error::Group { fault, .. }, .. }
            | Self::Tensor(ssl_torch::Error::Group { fault, .. }) => fault.hint(),
            Self::Data(fault) => return fault.hint(),
            Self::Model(fault) => return fault.hint(),
            _ => return None,
        };
        Some(hint.into())
    }
}
