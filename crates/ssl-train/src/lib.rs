//! The trainer for self-supervised learning: optimizers, schedules, checkpoints, exact resume.
//!
//! ```
//! use ssl_train::schedule::{Schedule, ScheduleConfig};
//!
//! let cosine = Schedule::new(&ScheduleConfig::Cosine { warmup_steps: 10, final_share: 0.1 }, 100);
//! assert_eq!(cosine.share(10), 1.0);
//! assert!((cosine.share(100) - 0.1).abs() < 1e-12);
//! ```

pub mod checkpoint;
pub mod config;
pub mod error;
pub mod feed;
pub mod optim;
pub mod report;
pub mod schedule;
pub mod state;
pub mod stop;
pub mod trainer;

pub use error::{Error, Result};
