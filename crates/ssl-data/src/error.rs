//! What can go wrong between a raw file and a window; each variant is one situation with its place.

use std::path::{Path, PathBuf};

use crate::clean::Reason;
use crate::corpus::SplitName;
use crate::document::Origin;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose turn it is after an error; programs map it to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration asks for something that cannot be done.
    Config,
    /// An input or a stored artefact is not what it should be.
    Input,
    /// The disk, memory or a device refused.
    Resource,
    /// The caller asked to stop; what was finished is kept.
    Interrupted,
}

/// A fault on the road from raw text to windows.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Error {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} matches no file", pattern.display())]
    NoFiles { pattern: PathBuf },
    #[error("{} is not a glob: {reason}", pattern.display())]
    Glob { pattern: PathBuf, reason: String },
    #[error("cannot read {address}: {reason}")]
    Remote { address: String, reason: String },
    #[error("{address}: tasks share out files, not what lies on a server")]
    NotShared { address: String },
    #[error("{}: files of the kind {extension} are not read", path.display())]
    Unread { path: PathBuf, extension: &'static str },
    #[error("{}: not valid UTF-8 at byte {offset}", path.display())]
    Utf8 { path: PathBuf, offset: u64 },
    #[error("{}: damaged after {offset} unpacked bytes: {source}", path.display())]
    Damaged { path: PathBuf, offset: u64, source: std::io::Error },
    #[error("{}: unpacks to more than {limit} times its size", path.display())]
    Expansion { path: PathBuf, limit: u64 },
    #[error("{}: a line is longer than {limit} bytes", path.display())]
    Line { path: PathBuf, limit: u64 },
    #[error("{origin}: not a JSON object: {reason}")]
    Json { origin: Origin, reason: String },
    #[error("{origin}: {}: {reason}", if *records == 1 { "a broken record".into() } else { format!("{records} broken records") })]
    Broken { origin: Origin, reason: Reason, records: u64 },
    #[error("{told}")]
    GivenUp { reason: Reason, told: String },
    #[error("{origin}: no text in field {field:?}")]
    Field { origin: Origin, field: String },
    #[error("{bad} of {read} records are bad, more than {limit} and more than a share of {share}; the first: {first}")]
    BadRecords { bad: u64, read: u64, limit: u64, share: f64, first: String },
    #[error(
        "{bad} of {files} files cannot be read, or not to their end, more than {limit} and more than a share of {share}; the first: {first}"
    )]
    BadFiles { bad: u64, files: u64, limit: u64, share: f64, first: String },
    #[error("no document was left to train on: {read} read, {dropped}")]
    NothingLeft { read: u64, dropped: String },
    #[error("{}: changed between two readings", path.display())]
    Changed { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    Tokenizer { path: PathBuf, reason: String },
    #[error("the tokenizer could not be trained: {reason}")]
    TrainTokenizer { reason: String },
    #[error("{place}: {sources} on one side of the pairs, {targets} on the other")]
    Sides { sources: u64, targets: u64, place: String },
    #[error("the vocabulary has no {name} token")]
    NoSpecial { name: String },
    #[error("{text:?} could not be encoded: {reason}")]
    Encode { text: String, reason: String },
    #[error("more than {limit} documents cannot be compared for near copies")]
    TooManyDocuments { limit: u64 },
    #[error("the classifier could not be trained: {reason}")]
    Classifier { reason: String },
    #[error("{}: {reason}", path.display())]
    List { path: PathBuf, reason: String },
    #[error("{} is not a manifest: {source}", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("{} is of version {found}, this program reads version {expect}", path.display())]
    ManifestVersion { path: PathBuf, found: u32, expect: u32 },
    #[error("shard {}: {reason}", path.display())]
    Shard { path: PathBuf, reason: String },
    #[error("shard {}: block {block} {}", path.display(), if source.is_some() { "cannot be read" } else { "does not match its checksum" })]
    ShardBlock { path: PathBuf, block: u64, source: Option<std::io::Error> },
    #[error("a vocabulary of {vocab_size} ids is larger than {bytes}-byte tokens hold")]
    TokenWidth { vocab_size: u32, bytes: u8 },
    #[error("token id {id} lies outside a vocabulary of {vocab_size}")]
    TokenId { id: u32, vocab_size: u32 },
    #[error("document {document} holds the separator, id {id}")]
    SeparatorInText { id: u32, document: u64 },
    #[error("{len} tokens from {at} leave a run of {tokens}")]
    TokenRange { at: u64, len: usize, tokens: u64 },
    #[error("the {split} split in {} has {found} {what} where its manifest says {expect}", dir.display())]
    SplitCounts { dir: PathBuf, split: SplitName, what: &'static str, expect: u64, found: u64 },
    #[error("source {source_name:?} has {found} {what} in the {split} split where the manifest says {expect}")]
    SourceCounts { source_name: String, split: SplitName, what: &'static str, expect: u64, found: u64 },
    #[error("the corpus has no source {source_name:?} with documents to train on")]
    NoSource { source_name: String },
    #[error("sample {sample} does not exist: every source was drawn as often as its max-epochs says after {end}")]
    Exhausted { sample: u64, end: u64 },
    #[error("the {split} split is empty")]
    EmptySplit { split: SplitName },
    #[error("windows of {length} tokens cannot move on by {stride}")]
    WindowStride { stride: usize, length: usize },
    #[error("window {index} of {windows} does not exist")]
    WindowIndex { index: u64, windows: u64 },
    #[error("{}: {reason}", path.display())]
    TaskFile { path: PathBuf, reason: String },
    #[error(
        "{bad} of {read} records for {split} were left out ({dropped}), more than {limit} and more than a share of {share}; the first: {first}"
    )]
    BadExamples { split: &'static str, bad: u64, read: u64, dropped: String, limit: u64, share: f64, first: String },
    #[error("no example was left for {split}: {read} records read{}", if dropped.is_empty() { String::new() } else { format!(", {dropped}") })]
    NoExamples { split: &'static str, read: u64, dropped: String },
    #[error("all {examples} training examples are labelled {label:?}: there is nothing to tell apart")]
    OneClass { label: String, examples: u64 },
    #[error("a task of {kind} has no rows for {reader}")]
    TaskReader { kind: &'static str, reader: &'static str },
    #[error("rows of {length} tokens have no room for an example of {kind}")]
    TaskLength { kind: &'static str, length: usize },
    #[error("the index {}: {reason}", path.display())]
    Index { path: PathBuf, reason: String },
    #[error("stopped while preparing: {stage}")]
    Interrupted { stage: &'static str },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// Why the input that this is about is given up while the others are read, and this as what is told of it; an error again where it
    /// is about more than that input.
    pub(crate) fn given_up(self) -> Result<(Reason, Self)> {
        let reason = match &self {
            Self::Damaged { .. } => Reason::Damaged,
            Self::Expansion { .. } => Reason::Expansion,
            Self::Changed { .. } => Reason::Changed,
            // Too many open files (ENFILE, EMFILE) and too little memory are no fault of the file that was to be read.
            Self::Io { source, .. }
                if matches!(source.raw_os_error(), Some(23 | 24)) || source.kind() == std::io::ErrorKind::OutOfMemory =>
            {
                return Err(self);
            }
            Self::Io { .. } | Self::Remote { .. } => Reason::Unreadable,
            _ => return Err(self),
        };
        let told = self.to_string();
        Ok((reason, Self::GivenUp { reason, told }))
    }

    /// How many records of the input it is about.
    pub(crate) fn records(&self) -> u64 {
        if let Self::Broken { records, .. } = self { *records } else { 1 }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::Input,
            Self::Io { .. } | Self::Remote { .. } => ErrorKind::Resource,
            Self::NoFiles { .. }
            | Self::Glob { .. }
            | Self::NotShared { .. }
            | Self::Unread { .. }
            | Self::EmptySplit { .. }
            | Self::NoSource { .. }
            | Self::Exhausted { .. }
            | Self::WindowStride { .. }
            | Self::TrainTokenizer { .. }
            | Self::TaskReader { .. }
            | Self::TaskLength { .. }
            | Self::NoSpecial { .. } => ErrorKind::Config,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            _ => ErrorKind::Input,
        }
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "free space on that disk and run again"
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "check who may read and write there"
            }
            Self::Remote { .. } => {
                "check the address, the network, and the credentials in the environment, such as AWS_ACCESS_KEY_ID; then run again"
            }
            Self::NoFiles { .. } => "paths are relative to the working directory; see data.extensions for what a folder gives",
            Self::NotShared { .. } => {
                "copy it to a folder that all tasks see and name that, or leave --task out: one process reads from servers"
            }
            Self::Unread { .. } => {
                "unpack or convert it first, or name in data.format what it holds; zip and Parquet are read unpacked, and not as pairs"
            }
            Self::Utf8 { .. } => "set data.clean.bad-utf8 to \"drop\" or \"replace\", or convert the file",
            Self::Expansion { .. } | Self::GivenUp { reason: Reason::Expansion, .. } => {
                "if the file is to be trusted, raise data.limits.expansion"
            }
            Self::GivenUp { reason: Reason::Unreadable, .. } => "check who may read there, or leave it out",
            Self::GivenUp { reason: Reason::Changed, .. } => "see to it that nobody writes there, and run again",
            Self::Line { .. } => "it must be a text with line ends",
            Self::Json { .. } => "each line must be one JSON object; see data.format",
            Self::Field { .. } => {
                "name the field that holds the text in data.field, and the one beside it in data.pairs.field.target"
            }
            Self::Broken { reason: Reason::NoColumn, .. } => {
                "name a column of its first row in data.field, or read it line by line with data.format = \"text\""
            }
            Self::Broken { reason: Reason::BadQuotes, .. } => {
                "a cell with quotes in it must stand in quotes, and each of them be written twice"
            }
            Self::Damaged { .. } | Self::Broken { .. } | Self::GivenUp { .. } => "fetch the file again, or leave it out",
            Self::BadRecords { .. } | Self::BadFiles { .. } => "see the first places, or raise data.limits.bad-share",
            Self::NothingLeft { .. } => "loosen data.clean or data.filter, or read more",
            Self::NoSource { .. } => "give it more text or the weight 0, or prepare the corpus again",
            Self::Exhausted { .. } => "raise or leave out a max-epochs in data.sources, or train for fewer steps",
            Self::Changed { .. } | Self::SplitCounts { .. } | Self::SourceCounts { .. } => "prepare the corpus again",
            Self::Shard { .. } | Self::ShardBlock { .. } | Self::Manifest { .. } | Self::ManifestVersion { .. } => {
                "the stored corpus cannot be trusted; remove the folder and prepare again"
            }
            Self::Tokenizer { .. } => "it must be a tokenizer.json as the Hugging Face tokenizers library saves it",
            Self::Sides { .. } => "each line, or file, must have its other side at the same place",
            Self::NoSpecial { .. } => "add it to data.special-tokens, or take a tokenizer of a model that was trained like this",
            Self::TrainTokenizer { .. } => "give more text, or ask for fewer tokens",
            Self::EmptySplit { .. } => "give more documents, or change data.validation-fraction",
            Self::WindowStride { .. } => "the stride must be at least 1 and at most the model's context",
            Self::TaskFile { .. } => "see task.format, which is told by the file's name unless it is set",
            Self::BadExamples { .. } => "see the first place and the fields that task.kind names, or raise task.bad-share",
            Self::NoExamples { .. } => "see the fields that task.kind names, task.format and task.columns",
            Self::OneClass { .. } => "see that task.kind names the label's field and that the files are not sorted by label",
            Self::TaskReader { .. } => {
                "words and passages are read by one stack of layers, texts are written by models that look back or have a decoder, conversations by the former; choices, gaps and minimal pairs are judged by likelihood"
            }
            Self::TaskLength { .. } => "take a model with a longer context",
            Self::Index { .. } => {
                "name the documents with --documents: files, folders or globs of text, Markdown, JSON lines or pages; one process indexes them at a time"
            }
            Self::Interrupted { .. } => "run the same command again to go on",
            _ => return None,
        };
        Some(hint.into())
    }
}
