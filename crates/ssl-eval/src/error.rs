//! What can go wrong in scoring and sampling.

use std::path::PathBuf;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault while a model is scored or asked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant is its documentation, and its fields are the message's")]
pub enum Error {
    #[error("token {id} lies outside the model's vocabulary of {vocab}")]
    Token { id: u32, vocab: usize },
    #[error("the model's output is not finite after {tokens} tokens")]
    NonFinite { tokens: u64 },
    #[error("there is nothing to score")]
    Empty,
    #[error("{left} {left_name} for {right} {right_name}")]
    Unequal { left_name: &'static str, left: usize, right_name: &'static str, right: usize },
    #[error("{what} {at} is {value}, which is not a finite number")]
    NotFinite { what: &'static str, at: usize, value: f64 },
    #[error("confidence {at} is {value}, which does not lie between 0 and 1")]
    Confidence { at: usize, value: f64 },
    #[error("{what} {at} is {label:?}, which is none of the {classes} classes")]
    Label { what: &'static str, at: usize, label: String, classes: usize },
    #[error("there is no class {class} among {classes}")]
    Class { class: usize, classes: usize },
    #[error("tag {at} of sentence {sentence} is {tag:?}; a tag is O, or one of B, I, E, S with a type, as B-PER")]
    Tag { sentence: usize, at: usize, tag: String },
    #[error("example {at} has no reference to be compared with")]
    NoReference { at: usize },
    #[error("the references hold nothing, so that a rate of errors has nothing to divide by")]
    EmptyReferences,
    #[error("a bootstrap needs 2 resamples and a level between 0 and 1, not {resamples} and {level}")]
    Bootstrap { resamples: u64, level: f64 },
    #[error("this model does not write text")]
    NoDecoder,
    #[error("this model does not predict tokens, so that it gives no text a likelihood")]
    NotPredicting,
    #[error("request {at} is a text without a token")]
    NoTokens { at: usize },
    #[error("{tokens} tokens, of which at most {most} are read at once")]
    TooLong { tokens: usize, most: usize },
    #[error("this model does not fill gaps")]
    NotFilling,
    #[error("{gaps} gaps, of which a text has from 1 to {most}")]
    Gaps { gaps: usize, most: usize },
    #[error("there is no layer {layer} among {layers}, counted from 0")]
    Layer { layer: usize, layers: usize },
    #[error("this model has no attention to be looked at")]
    NoAttention,
    #[error("text stands after gap {at}, and this model reads only what stands before")]
    Gap { at: usize },
    #[error("the answer to question {at} is choice {answer} of {choices}, counted from 0")]
    Choice { at: usize, answer: usize, choices: usize },
    #[error("example {at} has {features} features and the first {expected}")]
    Features { at: usize, features: usize, expected: usize },
    #[error("{} cannot be {what}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}:{line} is no record of this ledger: {reason}", path.display())]
    Ledger { path: PathBuf, line: usize, reason: String },
    #[error("the record of document {doc} would not be read back as it is: {reason}")]
    Record { doc: u64, reason: String },
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Data(#[from] ssl_data::Error),
    #[error(transparent)]
    Tensor(#[from] ssl_torch::Error),
}
