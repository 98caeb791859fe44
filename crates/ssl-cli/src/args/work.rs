//! The verbs that put a model to work on one's own texts.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::generate::share;

/// `ssl answer`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group = ArgGroup::new("collection").required(true).args(["index", "evaluate"]))]
pub(crate) struct AnswerArgs {
    /// A model that answers: adapted to extraction, or one that writes. Without one, documents are indexed and passages found
    pub(crate) checkpoint: Option<PathBuf>,
    /// A file, folder or glob to answer from: text, Markdown, JSON lines, pages; may be repeated. The index then holds these and no others;
    /// only what changed is read again
    #[arg(long, value_name = "PATH", requires = "index")]
    pub(crate) documents: Vec<PathBuf>,
    /// The folder of the index; what it holds is asked where no --documents are named
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// What is asked; - reads a question a line from stdin
    #[arg(long, value_name = "TEXT|-", allow_hyphen_values = true, requires = "index")]
    pub(crate) question: Option<String>,
    /// Passages that are read for an answer
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) passages: u16,
    /// Abstain where an answer is right with less than this probability [default: what --calibrate found, else 0.5]
    #[arg(long, value_name = "F", value_parser = share)]
    pub(crate) threshold: Option<f64>,
    /// Also find passages by vectors of this model, which are kept beside the index
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) embeddings: Option<PathBuf>,
    /// Questions with their answers, from which the index learns what its probabilities mean and when to abstain: JSON lines with
    /// question and answers (none where the documents do not say), or a question set of `SQuAD`
    #[arg(long, value_name = "FILE", requires = "index", requires = "checkpoint", conflicts_with_all = ["question", "threshold"])]
    pub(crate) calibrate: Option<PathBuf>,
    /// The share of answers that shall be right, of those that are given
    #[arg(long, value_name = "F", default_value_t = 0.8, value_parser = share)]
    pub(crate) precision: f64,
    /// Measure on a question set of `SQuAD`, whose passages are the collection
    #[arg(long, value_name = "FILE", conflicts_with_all = ["question", "calibrate", "documents"])]
    pub(crate) evaluate: Option<PathBuf>,
    /// Where --evaluate writes answers.json and answers.html
    #[arg(long, value_name = "DIR", requires = "evaluate")]
    pub(crate) out: Option<PathBuf>,
}

/// `ssl summarize` and `ssl translate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct RewriteArgs {
    /// A model that was adapted to write texts from others, or trained to translate
    pub(crate) checkpoint: PathBuf,
    /// The text, of any length; - reads it from stdin
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub(crate) input: PathBuf,
}
