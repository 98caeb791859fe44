//! Language models for self-supervised learning: one paper a file, in Hugging Face names.
//!
//! ```
//! use ssl_model::config::{GptConfig, ModelConfig};
//! use ssl_model::params::{Params, Precision};
//! use tch::Device;
//!
//! let config = ModelConfig::Gpt(GptConfig { layers: 2, heads: 2, width: 32, context_tokens: 16, ..GptConfig::default() });
//! let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(0));
//! let model = config.build(65, &mut params);
//! let tokens = tch::Tensor::from_slice(&[1_i64, 2, 3]).unsqueeze(0);
//! let decoder = model.decoder().expect("a GPT writes");
//! let logits = tch::no_grad(|| decoder.next(&tokens, &mut decoder.cache(None)));
//! assert_eq!(logits.size(), [1, 65]);
//! ```

pub mod bert;
pub mod config;
pub mod cost;
pub mod dpo;
pub mod electra;
pub mod error;
pub mod gpt;
pub mod head;
pub mod init;
pub mod layer;
pub mod llama;
pub mod lstm;
pub mod model;
pub mod modernbert;
pub mod multi_token;
pub mod params;
pub mod t5;
pub mod transformer;
pub mod weights;
pub mod word2vec;

pub use error::{Error, Result};
pub use model::{Cache, Decode, Loss, Model, Pass, Piece, SelfTaught};
