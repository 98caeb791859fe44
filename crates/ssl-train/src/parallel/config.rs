//! The `[train.parallel]` section: how the ranks of a run that was launched as several work together.

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;

/// How ranks work together; of no effect in a run of one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ParallelConfig {
    /// How long a rank waits for another before it ends with an error. It must exceed the time of the slowest step, and that
    /// of writing a checkpoint.
    pub timeout_seconds: u32,
    /// What is divided among ranks.
    pub shard: Shard,
    /// Gradients travel in buckets of this size; it says how much of them is on its way at once, and changes nothing else.
    pub bucket_mib: u32,
}

/// What each rank holds a part of. Source: Rajbhandari et al. 2020, "`ZeRO`", section 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shard {
    /// Nothing: each rank holds all.
    #[default]
    None,
    /// The optimizer's state (stage 1).
    Optimizer,
    /// The optimizer's state and the sums of gradients (stage 2).
    Gradients,
}

impl Default for ParallelConfig {
    fn default() -> Self {
        // The timeout is that of PyTorch's groups over NCCL, the bucket that of its data parallel.
        Self { timeout_seconds: 600, shard: Shard::None, bucket_mib: 25 }
    }
}

impl ParallelConfig {
    /// Every fault of meaning. Paths begin with `train.parallel.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |fine: bool, key: &str, message: String, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("train.parallel.{key}"), message, hint));
            }
        };
        let seconds = self.timeout_seconds;
        check((1..=86_400).contains(&seconds), "timeout-seconds", format!("{seconds} seconds"), "give 1 to 86400; 600 is usual");
        check(
            (1..=1024).contains(&self.bucket_mib),
            "bucket-mib",
            format!("{} MiB", self.bucket_mib),
            "give 1 to 1024; 25 is usual",
        );
        faults
    }
}
