//! Scores of predictions against references, each held to its reference implementation by `tests/metrics.rs`.
//!
//! | file | scores | as |
//! |---|---|---|
//! | [`classification`] | accuracy, precision, recall, F1, Matthews, confusion matrix | scikit-learn |
//! | [`regression`] | mean squared error, Pearson, Spearman | scikit-learn, scipy |
//! | [`calibration`] | expected calibration error | Guo et al. 2017 |
//! | [`squad`] | exact match and F1 of answers, v1.1 and v2.0 | the official scripts |
//! | [`cmrc`] | the same of Chinese answers | the official script |
//! | [`chrf`] | chrF, chrF++ | sacrebleu |
//! | [`rouge`] | ROUGE-N, ROUGE-L, ROUGE-Lsum | rouge-score |
//! | [`spans`] | precision, recall, F1 of tagged spans | seqeval |
//! | [`error_rate`] | word and character error rate | jiwer |
//!
//! [`crate::bleu`] stands beside, because it is a task of `ssl eval` already; its [`counts`](crate::bleu::counts) can be compared too.
//! Scores are shares of 1, but for chrF and BLEU, which are in percent as in their reference; `times(100.0)` makes a share a percentage.
//!
//! What is a mean over examples comes with its analytic standard error, as an [`Estimate`](crate::Estimate); what is not, with
//! an [`Interval`](crate::bootstrap::Interval) from resamples of what each example adds. To compare two systems, give what
//! their examples add and the score to [`Bootstrap::compare`](crate::bootstrap::Bootstrap::compare).

pub mod calibration;
pub mod chrf;
pub mod classification;
pub mod cmrc;
pub mod error_rate;
pub mod regression;
pub mod rouge;
pub mod spans;
pub mod squad;
mod tally;
mod text;

pub use tally::{Average, Measure, Tally};
