//! What input files hold.

use serde::{Deserialize, Serialize};

/// What an input file holds, under any compression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the end of the name, see [`Format::of_name`]; everything else is text.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// Markdown, kept as written: its marks are part of what a model learns.
    Markdown,
    /// One JSON object a line.
    Jsonl,
    /// One JSON array, each of whose elements is as a line of JSONL.
    Json,
    /// Values parted by commas, with the columns' names in the first row; the text stands in the column `field`.
    Csv,
    /// The same, parted by tabs.
    Tsv,
    /// A page of the web, whose main text is the document.
    Html,
    /// An archive of the web (ISO 28500), of pages (WARC) or of their text (WET).
    Warc,
    /// A dump of a wiki of `MediaWiki`, each of whose articles is a document.
    Wiki,
    /// A tar archive, each of whose files has the format of its name.
    Tar,
    /// A zip archive, each of whose files has the format of its name.
    Zip,
    /// A table of Apache Parquet, whose text stands in the column `field`.
    Parquet,
}

impl Format {
    /// The format that the end of a file's name stands for, which is in lower case and without what names a compression; text
    /// where it stands for none.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "html" | "htm" | "xhtml" => Self::Html,
            "warc" | "wet" => Self::Warc,
            "tar" => Self::Tar,
            "zip" => Self::Zip,
            "parquet" => Self::Parquet,
            _ => Self::Text,
        }
    }

    /// Whether it is read from places all over its file, and so not out of a stream.
    #[must_use]
    pub fn needs_file(self) -> bool {
        matches!(self, Self::Zip | Self::Parquet)
    }
}
