//! The data engine for self-supervised learning: from raw text to training windows, without libtorch.
//!
//! The road, one module a door, in reading order.

pub mod config;
pub mod document;
pub mod source;
pub mod clean;
pub mod dedup;
pub mod vocab;
pub mod prepare;
pub mod manifest;
pub mod pack;
pub mod shard;
pub mod corpus;
pub mod sampler;
pub mod batch;
pub mod objective;
pub mod rng;
pub mod error;

pub use error::{Error, ErrorKind, Result};
