//! What can go wrong in scoring and sampling.

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
    #[error("this model does not write text")]
    NoDecoder,
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Data(#[from] ssl_data::Error),
    #[error(transparent)]
    Tensor(#[from] ssl_torch::Error),
}
