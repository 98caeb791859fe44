//! What libtorch has and `tch` does not bind, and fused kernels, for self-supervised learning.
//!
//! The only crate with `unsafe` and with C++. Everything public here is safe: shapes and types are checked on the C++
//! side, and every C++ exception comes back as an [`Error`].
//!
//! ```
//! use ssl_torch::{guard, Choice, Runtime};
//!
//! let runtime = Runtime::start(Choice::Cpu, None)?;
//! let fault = guard(|| tch::Tensor::zeros([2, 3], (tch::Kind::Float, runtime.device())).matmul(&tch::Tensor::ones([2], (tch::Kind::Float, runtime.device()))));
//! assert!(fault.is_err());
//! # Ok::<(), ssl_torch::Error>(())
//! ```

mod callback;
pub mod checkpoint;
pub mod error;
mod ffi;
pub mod free;
pub mod generator;
pub mod graph;
pub mod group;
mod guard;
pub mod hook;
pub mod kernels;
pub mod memory;
pub mod optimizer;
mod runtime;
pub mod trace;
pub mod word2vec;

pub use checkpoint::checkpoint;
pub use error::{Error, Result};
pub use guard::guard;
pub use runtime::{Choice, Runtime, computes_bf16, rest};
