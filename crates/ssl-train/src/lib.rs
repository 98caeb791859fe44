//! The trainer for self-supervised learning: optimizers, schedules, checkpoints, exact resume.
//!
//! A small GPT learns one window by heart:
//!
//! ```
//! use ssl_data::batch::Window;
//! use ssl_data::objective::{Causal, Objective, causal::Reach};
//! use ssl_model::config::{GptConfig, ModelConfig};
//! use ssl_model::params::{Params, Precision};
//! use ssl_torch::{Choice, Runtime};
//! use ssl_train::config::{OptimConfig, ScheduleConfig, TrainConfig};
//! use ssl_train::{feed::Feed, recording::Recording, state::TrainState, trainer::Trainer};
//!
//! let runtime = Runtime::start(Choice::Cpu, None)?;
//! let mut params = Params::new(runtime.device(), Precision::Fp32, Some(1));
//! let shape = GptConfig { layers: 1, heads: 2, width: 16, context_tokens: 8, dropout: 0.0, ..GptConfig::default() };
//! let model = ModelConfig::Gpt(shape).build(11, &mut params);
//!
//! let window = Window { tokens: vec![1, 2, 3, 4, 5, 6, 7, 8, 9], document: vec![0; 9], fresh: 0, continues: false };
//! let batch = Causal::new(8, 0, Reach::from(&Default::default())).collate(&[window], &mut []);
//! let optim: OptimConfig = serde_json::from_str(r#"{ "adamw": { "lr": 0.01 } }"#)?;
//! let config: TrainConfig = serde_json::from_str(r#"{ "steps": 50, "batch-rows": 1 }"#)?;
//! let mut trainer = Trainer {
//!     model: model.as_ref(),
//!     feed: Feed::repeat(batch)?,
//!     state: &mut TrainState::new(params, &optim),
//!     config: &config,
//!     peak_lr: optim.lr(),
//!     schedule: &ScheduleConfig::Constant { warmup_steps: 0 },
//!     saving: None,
//!     ranks: None,
//!     recording: Recording::default(),
//! };
//! let first = trainer.step()?.loss;
//! for _ in 1..50 {
//!     trainer.step()?;
//! }
//! assert!(trainer.step()?.loss < 0.2 * first);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
pub mod config;
pub mod error;
pub mod feed;
pub mod memory;
pub mod optim;
pub mod parallel;
pub mod recording;
pub mod report;
pub mod schedule;
pub mod state;
pub mod stop;
pub mod trainer;

pub use error::{Error, Result};
