//! What a run tells while it goes on: one record a logged step, for scripts and for `TensorBoard`.

pub mod metrics;
pub mod tensorboard;

use std::io;
use std::path::{Path, PathBuf};

pub use metrics::{Metrics, Record};
pub use tensorboard::TensorBoard;

/// A fault with a run's records.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Error {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{}:{line}: not a record of a run: {source}", path.display())]
    Record { path: PathBuf, line: u64, source: serde_json::Error },
}

impl Error {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

/// Whether the last attempt to log worked; a full disk is told once and the run goes on.
#[derive(Debug, Default)]
struct Warned(bool);

impl Warned {
    /// Whether the last attempt failed.
    fn last_failed(&self) -> bool {
        self.0
    }

    /// Passes over a failure, with a warning the first time in a row.
    fn take(&mut self, path: &Path, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.0 = false,
            Err(source) if !self.0 => {
                tracing::warn!("cannot log to {}: {source}; the run goes on, and records are lost", path.display());
                self.0 = true;
            }
            Err(_) => {}
        }
    }
}
