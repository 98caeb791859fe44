//! The memory of a run, told before it starts.

use ssl_model::cost::Held;
use ssl_model::params::Precision;

use crate::config::{OptimConfig, TrainConfig};

/// What libtorch touches for the first time in a step, and what the allocator keeps at hand.
const OWN: u64 = 48 << 20;

/// Bytes of each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Masters in fp32, and the copies that the model reads where it computes in another type.
    pub weights: u64,
    /// Gradients in the model's type, and their sums where a step has several passes.
    pub gradients: u64,
    /// What the optimizer keeps.
    pub moments: u64,
    /// Activations of one pass.
    pub activations: u64,
    /// Logits at hand, with the gradients made from them.
    pub logits: u64,
    /// All of it at its fullest, with what libtorch takes for itself.
    pub total: u64,
}

impl Memory {
    /// Of a run that trains `params` numbers in `precision`; `held` is what one of its passes holds.
    #[must_use]
    pub fn of(params: u64, held: Held, precision: Precision, train: &TrainConfig, optim: &OptimConfig) -> Self {
        let own = match precision {
            Precision::Fp32 => 4,
            Precision::Bf16 => 2,
        };
        let weights = params * (4 + if precision == Precision::Fp32 { 0 } else { own });
        // A model that moves its own weights has no pass that holds anything, and no gradients.
        let learns = held != Held::default();
        let leaves = if learns { params * own } else { 0 };
        let sums = if learns && train.accumulate > 1 { params * 4 } else { 0 };
        let moments = params * 4 * optim.moments();
        let Held { activations, logits } = held;
        // Gradients come as activations go, so that the two are never held in full at once.
        let total = OWN + weights + moments + sums + leaves.max(activations + logits);
        Self { weights, gradients: leaves + sums, moments, activations, logits, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_hand() {
        let train: TrainConfig = serde_json::from_str(r#"{ "steps": 1, "batch-rows": 1 }"#).expect("a configuration");
        let several = TrainConfig { accumulate: 4, ..train.clone() };
        let adamw: OptimConfig = serde_json::from_str(r#"{ "adamw": { "lr": 1e-3 } }"#).expect("a configuration");
        let held = Held { activations: 50, logits: 20 };
        let plain = Memory::of(10, held, Precision::Fp32, &train, &adamw);
        assert_eq!((plain.weights, plain.gradients, plain.moments, plain.total - OWN), (40, 40, 80, 40 + 80 + 70));
        let mixed = Memory::of(10, held, Precision::Bf16, &several, &adamw);
        assert_eq!((mixed.weights, mixed.gradients, mixed.total - OWN), (60, 20 + 40, 60 + 80 + 40 + 70));
        let wide = Memory::of(100, held, Precision::Fp32, &train, &adamw);
        assert_eq!(wide.total - OWN, 400 + 800 + 400);
        let own = Memory::of(10, Held::default(), Precision::Fp32, &train, &adamw);
        assert_eq!((own.gradients, own.total - OWN), (0, 40 + 80));
    }
}
