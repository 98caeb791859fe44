//! A document and where it came from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The place a document was read from; every message about the document carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The input file.
    pub path: Arc<Path>,
    /// The line at which the document begins, from 1; the number of its record or row, where it has no lines.
    pub line: u64,
    /// The address of the web that it was once fetched from, if that is known.
    pub address: Option<Arc<str>>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)?;
        self.address.as_ref().map_or(Ok(()), |address| write!(f, " ({address})"))
    }
}

/// What parts the two sides of a pair within a document's text: a control character, which cleaning takes out of every text.
pub const BORDER: char = '\u{1e}';

/// One text on its way through the road.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text, valid UTF-8; of a pair, both sides and [`BORDER`] between them.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}
