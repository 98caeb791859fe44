//! Scores and samples of self-supervised models. Knows nothing of training.
//!
//! ```
//! use ssl_eval::sample::{pick, Sampling};
//!
//! let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
//! assert_eq!(pick(&[0.1, 2.0, -1.0], &greedy, 0), 1);
//! ```

pub mod adapted;
pub mod beam;
pub mod bits_per_byte;
pub mod bleu;
pub mod bootstrap;
pub mod choice;
pub mod cloze;
pub mod config;
pub mod engine;
pub mod error;
pub mod estimate;
pub mod few_shot;
pub mod likelihood;
pub mod look;
pub mod metric;
pub mod minimal_pairs;
pub mod probe;
pub mod results;
pub mod sample;
mod table;
pub mod unigram;
pub mod unmask;
pub mod word_analogy;
pub mod word_similarity;

pub use error::{Error, Result};
pub use estimate::Estimate;
pub use table::Table;
