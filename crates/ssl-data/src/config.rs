//! The `[data]` section of a run: which text, how it is cleaned, split into tokens and cut into windows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::decontaminate::DecontaminateConfig;
use crate::dedup::DedupConfig;
use crate::filter::FilterConfig;
use crate::scrub::ScrubConfig;

mod faults;
mod format;
mod mixture;

pub use format::Format;
pub use mixture::{Phase, SourceConfig};

/// What to read and how to prepare it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// Files, folders (read whole, sorted by name) and globs; relative to the working directory.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// The same by name, in place of `paths`, each with its share of what is trained on. They are read in the order of their names, so of
    /// copies in several the first by name keeps its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, SourceConfig>,
    /// From which sample on the sources have other weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curriculum: Vec<Phase>,
    /// What the files hold.
    #[serde(default)]
    pub format: Format,
    /// The field of JSON, or the column of a table, that holds the text.
    #[serde(default = "default_field")]
    pub field: String,
    /// What counts as one document in plain text.
    #[serde(default)]
    pub document: Unit,
    /// Where each text has another beside it, such as its translation; absent for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairsConfig>,
    /// Which files of a folder are read, by the end of their names; `.gz` and `.zst` of each are read too.
    #[serde(default = "default_extensions")]
    pub extensions: Vec<String>,
    /// Which files of an archive are read, by the end of their names as in `extensions`; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The share of documents kept for validation, by a hash of each document's text; with a single document, its end.
    #[serde(default = "default_validation")]
    pub validation_fraction: f64,
    /// Seeds the split and the order of windows.
    #[serde(default)]
    pub seed: u64,
    /// What is refused rather than read.
    #[serde(default)]
    pub limits: Limits,
    /// How text is cleaned.
    #[serde(default)]
    pub clean: CleanConfig,
    /// Which clean documents are good enough.
    #[serde(default, skip_serializing_if = "FilterConfig::is_empty")]
    pub filter: FilterConfig,
    /// Which personal data and secrets are taken out; absent, none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubConfig>,
    /// Which evaluation sets must not be met in the documents; absent, none is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decontaminate: Option<DecontaminateConfig>,
    /// Which documents are copies of others.
    #[serde(default, skip_serializing_if = "DedupConfig::is_empty")]
    pub dedup: DedupConfig,
    /// How text becomes tokens.
    pub tokenizer: TokenizerConfig,
    /// Tokens that no text becomes, beside the separator, such as `[MASK]`; an objective adds those that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special_tokens: Vec<String>,
    /// How tokens become windows; their length is the model's context.
    #[serde(default)]
    pub windows: WindowConfig,
}

/// Where the second text of each pair is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum PairsConfig {
    /// In other files, whose lines answer to those of `paths`, file by file and line by line.
    Files {
        /// As many files as `paths` names, in the same order.
        targets: Vec<PathBuf>,
    },
    /// After the first tab of each line.
    Tab {},
    /// In another field of the same JSONL object.
    Field {
        /// Its name.
        target: String,
    },
}

/// What counts as one document in plain text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The whole file.
    #[default]
    File,
    /// A line.
    Line,
    /// Lines up to an empty one.
    Block,
}

/// Bounds on what one input may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// A longer document is dropped and counted, without being held in memory.
    pub document_bytes: u64,
    /// A compressed file is given up where it unpacks to more than this many times its own size.
    pub expansion: u64,
    /// The run ends when a larger share of all records is bad: damaged, not in their format or encoding, or without text in the field. A
    /// file that cannot be read, or not to its end, is one bad record, and the share of such files is judged alike. While files are read,
    /// the share is of at least 100 000 records.
    pub bad_share: f64,
    /// So many bad records never end the run, whatever their share; with 0 here and in `bad-share`, the first does.
    pub bad_records: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 64 << 20, expansion: 1000, bad_share: 0.01, bad_records: 10 }
    }
}

/// What bytes that are not UTF-8 do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadUtf8 {
    /// The document is dropped and counted, with file and offset.
    #[default]
    Drop,
    /// Each broken sequence becomes U+FFFD and is counted.
    Replace,
    /// The run ends, with file and offset.
    Fail,
    /// The encoding is found out and the text decoded, see [`crate::encoding`]; what it cannot be is replaced and counted.
    Detect,
}

/// How text is cleaned; a document that fails a bound is dropped and counted under its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CleanConfig {
    /// What bytes that are not UTF-8 do.
    pub bad_utf8: BadUtf8,
    /// Shorter documents are dropped.
    pub min_chars: u64,
    /// Longer documents are dropped; absent keeps every length.
    pub max_chars: Option<u64>,
    /// A larger share of repeated lines (by characters) drops the document. Source: Rae et al. 2021 (Gopher), table A1.
    pub max_repeated_lines: f64,
    /// Whether equal documents are kept once.
    pub dedup: bool,
    /// Whether text that was once decoded by the wrong encoding is repaired, as ftfy does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mojibake: bool,
    /// What is taken away around texts of some kinds, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boilerplate: Vec<Boilerplate>,
}

/// What surrounds texts of one kind and is the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boilerplate {
    /// The notices before and behind a book of Project Gutenberg.
    Gutenberg,
    /// The head of a mail or a Usenet post, the lines it quotes, and its signature.
    Mail,
}

impl Default for CleanConfig {
    fn default() -> Self {
        Self {
            bad_utf8: BadUtf8::default(),
            min_chars: 1,
            max_chars: None,
            max_repeated_lines: 1.0,
            dedup: true,
            mojibake: false,
            boilerplate: Vec::new(),
        }
    }
}

/// How text becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum TokenizerConfig {
    /// Byte-level byte-pair encoding. Source: Sennrich et al. 2016; Radford et al. 2019, section 2.2.
    ByteBpe(VocabConfig),
    /// `WordPiece`. Source: Schuster and Nakajima 2012; Devlin et al. 2019.
    Wordpiece(VocabConfig),
    /// Unigram language model. Source: Kudo 2018.
    Unigram(VocabConfig),
    /// One token a character.
    Char {},
    /// One token a word.
    Word(WordConfig),
    /// An existing `tokenizer.json`.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// The size of a vocabulary to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VocabConfig {
    /// Ids, special tokens included.
    pub vocab_tokens: u32,
    /// Training reads a sample of at most this much text.
    #[serde(default = "default_sample_bytes")]
    pub sample_bytes: u64,
    /// Memory for the different words of the sample and for what is learned from them; absent, 256 MiB. A sample of any size is read
    /// within it: if its different words are more, the rarest are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
}

/// Which words have ids, and what a word is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WordConfig {
    /// Words met less often are unknown. 5 as in word2vec.c; 1 for a corpus that was cut down to its vocabulary, such as
    /// wikitext-2.
    pub min_count: u64,
    /// The most words with ids of their own, the most frequent first; absent for all.
    pub max_words: Option<u32>,
    /// Whether words are put in lower case.
    pub lowercase: bool,
    /// Whether each line end is a word, `<eos>`, that counts and is predicted like any other: the perplexities published for
    /// wikitext and the Penn Treebank count it.
    pub line_end: bool,
    /// Where words begin and end.
    pub split: WordSplit,
}

impl Default for WordConfig {
    fn default() -> Self {
        Self { min_count: 5, max_words: None, lowercase: false, line_end: false, split: WordSplit::default() }
    }
}

/// Where words begin and end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordSplit {
    /// At white space: for text whose punctuation was set apart before.
    #[default]
    Whitespace,
    /// Runs of letters, marks and digits, apostrophes inside them included. Punctuation is dropped: vectors learned without it
    /// answer more analogies.
    Words,
}

/// How the stream of tokens becomes windows of the model's context length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum WindowConfig {
    /// Documents one after another, separators between; attention crosses them. Source: Radford et al. 2019.
    Packed {},
    /// As packed, but attention and positions stay inside each document.
    Isolated {},
    /// Each document cut into segments of its own; the last is padded.
    Segments {},
    /// Each document slid over; every target is counted once, with the context before it.
    Slide {
        /// How far each window moves on.
        stride_tokens: u32,
    },
    /// Windows at random places of the stream, with replacement, as nanoGPT draws them.
    Random {},
    /// The split cut into so many streams, read side by side and in order, so that a recurrent model can carry its state.
    Streams {
        /// Streams; a batch holds one window of each.
        rows: u32,
    },
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self::Packed {}
    }
}

/// A fault of meaning in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path of the key, such as `data.limits.expansion`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Fault {
    /// A fault at `path`.
    #[must_use]
    pub fn new(path: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: hint.into() }
    }
}

fn default_field() -> String {
    "text".into()
}

fn default_extensions() -> Vec<String> {
    ["txt", "md", "markdown", "jsonl", "ndjson"].map(String::from).to_vec()
}

const fn default_validation() -> f64 {
    0.05
}

const fn default_sample_bytes() -> u64 {
    16 << 20
}
