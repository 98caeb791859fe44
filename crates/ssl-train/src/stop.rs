//! Early stopping: the best validation loss so far, and how long ago it was.
//!
//! Source: Prechelt 1998, "Early stopping, but when?", section 2 (the generalisation loss with a patience in checks).

use serde::{Deserialize, Serialize};

/// What early stopping remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step of the best validation, and its loss in nats per token.
    pub at: Option<(u64, f64)>,
    /// Validations since then.
    pub strikes: u32,
}

impl Best {
    /// Takes a new validation loss; says whether it is the best so far.
    pub fn update(&mut self, step: u64, loss: f64) -> bool {
        // What could not be measured is never the best.
        let better = !loss.is_nan() && self.at.is_none_or(|(_, best)| loss < best);
        if better {
            self.at = Some((step, loss));
            self.strikes = 0;
        } else {
            self.strikes += 1;
        }
        better
    }

    /// Whether patience is at its end.
    #[must_use]
    pub fn exhausted(&self, patience: Option<u32>) -> bool {
        patience.is_some_and(|patience| self.strikes >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_validations_since_the_best() {
        let mut best = Best::default();
        assert!(!best.update(0, f64::NAN) && best.at.is_none());
        best.strikes = 0;
        let better: Vec<bool> =
            [3.0, 2.0, 2.0, 2.5, f64::NAN, 1.0].iter().zip(1..).map(|(&loss, step)| best.update(step, loss)).collect();
        assert_eq!(better, [true, true, false, false, false, true]);
        assert_eq!(best.at, Some((6, 1.0)));
        best.update(7, 1.0);
        assert!(best.exhausted(Some(1)) && !best.exhausted(Some(2)) && !best.exhausted(None));
    }
}
