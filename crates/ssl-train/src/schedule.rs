//! The learning rate over the run, as a share of its peak.
//!
//! Every schedule rises in a straight line over the warm-up, `(step + 1) / (warmup + 1)`, and then:
//!
//! | | from the end of the warm-up, with `p` from 0 to 1 |
//! |---|---|
//! | constant | 1 |
//! | linear | `1 - p (1 - final)` |
//! | cosine | `final + (1 - final) (1 + cos(pi p)) / 2` |
//! | inverse-sqrt | `sqrt((warmup + 1) / (step + 1))` |
//! | wsd | 1, and over the last `decay` share of the run a straight line to `final` |
//!
//! Source: Vaswani et al. 2017, section 5.3 (warm-up); Loshchilov and Hutter 2017 (cosine); Hu et al. 2024, "`MiniCPM`",
//! section 4 (warm-up, stable, decay).

use serde::{Deserialize, Serialize};
use ssl_data::config::Fault;

/// One schedule, named by its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all_fields = "kebab-case", rename_all = "kebab-case")]
pub enum ScheduleConfig {
    /// The peak throughout.
    Constant {
        /// Steps of the rise.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// A straight line down.
    Linear {
        /// Steps of the rise.
        #[serde(default)]
        warmup_steps: u64,
        /// The share left at the end.
        #[serde(default)]
        final_share: f64,
    },
    /// Half a cosine down.
    Cosine {
        /// Steps of the rise.
        #[serde(default)]
        warmup_steps: u64,
        /// The share left at the end.
        #[serde(default)]
        final_share: f64,
    },
    /// Down with the root of the step, as the first Transformer was trained.
    InverseSqrt {
        /// Steps of the rise.
        warmup_steps: u64,
    },
    /// Stable, then a straight line down.
    Wsd {
        /// Steps of the rise.
        #[serde(default)]
        warmup_steps: u64,
        /// The share of the run that the line down takes.
        decay_share: f64,
        /// The share left at the end.
        #[serde(default)]
        final_share: f64,
    },
}

impl ScheduleConfig {
    /// Every fault of meaning. Paths begin with `schedule.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let (name, decay, last) = match *self {
            Self::Constant { .. } => ("constant", 0.0, 0.0),
            Self::InverseSqrt { .. } => ("inverse-sqrt", 0.0, 0.0),
            Self::Linear { final_share, .. } => ("linear", 0.0, final_share),
            Self::Cosine { final_share, .. } => ("cosine", 0.0, final_share),
            Self::Wsd { decay_share, final_share, .. } => ("wsd", decay_share, final_share),
        };
        [("decay-share", decay), ("final-share", last)]
            .into_iter()
            .filter(|(_, share)| !(0.0..=1.0).contains(share))
            .map(|(key, share)| {
                Fault::new(&format!("schedule.{name}.{key}"), format!("{share} is not a share"), "give a number from 0 to 1")
            })
            .collect()
    }
}

/// A schedule over a known number of steps.
#[derive(Debug, Clone)]
pub struct Schedule {
    config: ScheduleConfig,
    steps: u64,
}

impl Schedule {
    /// Over `steps` steps.
    #[must_use]
    pub fn new(config: &ScheduleConfig, steps: u64) -> Self {
        Self { config: config.clone(), steps }
    }

    /// The share of the peak at `step`, counted from 0.
    #[must_use]
    pub fn share(&self, step: u64) -> f64 {
        let (ScheduleConfig::Constant { warmup_steps }
        | ScheduleConfig::InverseSqrt { warmup_steps }
        | ScheduleConfig::Linear { warmup_steps, .. }
        | ScheduleConfig::Cosine { warmup_steps, .. }
        | ScheduleConfig::Wsd { warmup_steps, .. }) = self.config;
        let rise = if step < warmup_steps { (step + 1) as f64 / (warmup_steps + 1) as f64 } else { 1.0 };
        let along = |from: u64| (step.saturating_sub(from) as f64 / self.steps.saturating_sub(from).max(1) as f64).min(1.0);
        if step < warmup_steps {
            return rise;
        }
        match self.config {
            ScheduleConfig::Constant { .. } => 1.0,
            ScheduleConfig::InverseSqrt { .. } => ((warmup_steps + 1) as f64 / (step + 1) as f64).sqrt(),
            ScheduleConfig::Linear { final_share, .. } => 1.0 - along(warmup_steps) * (1.0 - final_share),
            ScheduleConfig::Cosine { final_share, .. } => {
                final_share + (1.0 - final_share) * 0.5 * (1.0 + (std::f64::consts::PI * along(warmup_steps)).cos())
            }
            ScheduleConfig::Wsd { decay_share, final_share, .. } => {
                let from = self.steps - (self.steps as f64 * decay_share).round() as u64;
                1.0 - along(from.max(warmup_steps)) * (1.0 - final_share)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &ScheduleConfig, expect: &[(u64, f64)]) {
        let schedule = Schedule::new(config, 110);
        for &(step, share) in expect {
            assert!((schedule.share(step) - share).abs() < 1e-12, "{config:?} at {step}: {}", schedule.share(step));
        }
    }

    #[test]
    fn shares_are_those_of_the_table() {
        let warm = [(0, 1.0 / 11.0), (9, 10.0 / 11.0), (10, 1.0)];
        check(&ScheduleConfig::Constant { warmup_steps: 10 }, &[warm[0], warm[1], warm[2], (109, 1.0)]);
        check(&ScheduleConfig::InverseSqrt { warmup_steps: 10 }, &[warm[0], warm[1], warm[2], (43, 0.5), (109, 0.1_f64.sqrt())]);
        check(
            &ScheduleConfig::Linear { warmup_steps: 10, final_share: 0.2 },
            &[warm[0], warm[2], (60, 0.6), (110, 0.2), (500, 0.2)],
        );
        check(&ScheduleConfig::Cosine { warmup_steps: 10, final_share: 0.0 }, &[warm[1], warm[2], (60, 0.5), (110, 0.0)]);
        check(
            &ScheduleConfig::Wsd { warmup_steps: 10, decay_share: 0.2, final_share: 0.0 },
            &[warm[1], (88, 1.0), (99, 0.5), (110, 0.0)],
        );
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_stays_below_the_peak() {
        let schedule = Schedule::new(&ScheduleConfig::Cosine { warmup_steps: 100, final_share: 0.1 }, 10);
        assert!((0..10).all(|step| schedule.share(step) < 0.2));
    }
}
