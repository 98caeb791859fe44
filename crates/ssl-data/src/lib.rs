//! The data engine for self-supervised learning: from raw text to training windows, without libtorch.
//!
//! The road, one module a door, in reading order:
//!
//! ```
//! use ssl_data::batch::Batch;
//! use ssl_data::config::DataConfig;
//! use ssl_data::corpus::{Corpus, SplitName};
//! use ssl_data::objective::causal::{Causal, Reach};
//! use ssl_data::objective::Objective;
//! use ssl_data::prepare::{Silent, prepare};
//! use ssl_data::sampler::Sampler;
//! use ssl_data::vocab::Vocab;
//!
//! let dir = tempfile::tempdir()?;
//! std::fs::write(dir.path().join("poem.txt"), "Nature's first green is gold,\r\nHer hardest hue to hold.\r\n".repeat(9))?;
//!
//! // Files become clean, distinct documents, a vocabulary, and shards of tokens.
//! let config: DataConfig = serde_json::from_value(serde_json::json!({
//!     "paths": [dir.path().join("poem.txt")],
//!     "tokenizer": { "char": {} },
//!     "validation-fraction": 0.2,
//! }))?;
//! let folder = dir.path().join("corpus");
//! let manifest = prepare(&config, &folder, &Silent)?;
//! assert_eq!((manifest.train.documents, manifest.validation.documents), (1, 1));
//!
//! // Shards become windows: an order of the whole epoch that is a function of the seed.
//! let corpus = Corpus::open(&folder, SplitName::Train)?;
//! let sampler = Sampler::new(&corpus, &config.windows, 16, config.seed)?;
//! let windows = vec![sampler.window(0)?, sampler.window(1)?];
//! let mut rngs = vec![sampler.rng(0), sampler.rng(1)];
//!
//! // An objective says what is predicted from what: here, each token from those before it.
//! let causal = Causal::new(16, corpus.separator(), Reach::from(&config.windows));
//! let Batch::Rows(rows) = causal.collate(&windows, &mut rngs) else { unreachable!("it makes rows") };
//! assert_eq!((rows.inputs.shape(), rows.targets.shape()), (&[2, 16][..], &[2, 16][..]));
//!
//! // And back: what a window holds is the text, its line ends mended.
//! let vocab = Vocab::load(&folder.join("tokenizer.json"))?;
//! assert!("Nature's first green is gold,\nHer hardest hue to hold.\n".repeat(3).contains(&vocab.decode(&windows[0].tokens)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod batch;
pub mod card;
pub mod classify;
pub mod clean;
pub mod composition;
pub mod config;
pub mod corpus;
pub mod decontaminate;
pub mod dedup;
pub mod document;
pub mod encoding;
pub mod error;
pub mod extract;
pub mod filter;
pub mod manifest;
pub mod objective;
pub mod pack;
pub mod prepare;
pub mod retrieve;
pub mod rng;
pub mod sampler;
pub mod scrub;
pub mod sentence;
pub mod shard;
pub mod source;
pub mod task;
pub mod vocab;

pub use error::{Error, ErrorKind, Result};
