//! A document and where it came from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The place a document was read from; every message about the document carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The input file.
    pub path: Arc<Path>,
    /// The line at which the document begins, from 1.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// One text on its way through the road.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text, valid UTF-8.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}
