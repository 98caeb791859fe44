//! Randomness as a function of where it is used: every draw depends on (seed, stream, index) and on nothing that ran before.
//!
//! A generator is a key and a counter, so the draws for sample 10 000 000 cost the same as those for sample 0, and no
//! change of threads, batch size or ranks can move them.
//!
//! Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3" (the idea of a counter);
//! Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (the mixing function of `SplitMix64`).

/// 2^64 divided by the golden ratio, the increment of `SplitMix64`.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scrambles one word: a bijection on `u64` in which each input bit flips about half of the output bits.
#[must_use]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Hashes (seed, stream, index) to one word; `stream` keeps the uses of one seed apart.
#[must_use]
pub const fn hash(seed: u64, stream: u64, index: u64) -> u64 {
    let word = mix(seed.wrapping_add(GAMMA));
    let word = mix((word ^ stream).wrapping_add(GAMMA));
    mix((word ^ index).wrapping_add(GAMMA))
}

/// Maps a uniform word to `0..bound` by multiplication; the bias is below `bound / 2^64`.
///
/// # Panics
/// In debug builds when `bound` is 0.
#[must_use]
pub const fn below(word: u64, bound: u64) -> u64 {
    debug_assert!(bound > 0);
    ((word as u128 * bound as u128) >> 64) as u64
}

/// A counter generator at one place; a clone repeats the same draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The generator of `index` within `stream`, under `seed`.
    #[must_use]
    pub const fn at(seed: u64, stream: u64, index: u64) -> Self {
        Self { key: hash(seed, stream, index), counter: 0 }
    }

    /// The next 64 uniform bits.
    pub const fn word(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GAMMA);
        mix(self.key.wrapping_add(self.counter))
    }

    /// A uniform integer in `0..bound`.
    ///
    /// # Panics
    /// In debug builds when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        below(self.word(), bound)
    }

    /// A uniform real in `[0, 1)`, with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_at_one_place_and_differ_elsewhere() {
        let draw = |mut rng: Rng| [rng.word(), rng.word(), rng.word()];
        assert_eq!(draw(Rng::at(1, 2, 3)), draw(Rng::at(1, 2, 3)));
        let others = [Rng::at(0, 2, 3), Rng::at(1, 0, 3), Rng::at(1, 2, 0), Rng::at(2, 1, 3), Rng::at(1, 3, 2)];
        for other in others {
            assert_ne!(draw(Rng::at(1, 2, 3)), draw(other));
        }
    }

    #[test]
    fn mixing_matches_the_published_generator() {
        // The first two outputs of SplitMix64 seeded with 0, from the reference implementation (Vigna).
        assert_eq!(mix(GAMMA), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(GAMMA.wrapping_mul(2)), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn integers_fill_the_range_evenly() {
        let mut counts = [0_u32; 10];
        let mut rng = Rng::at(7, 0, 0);
        for _ in 0..100_000 {
            counts[rng.below(10) as usize] += 1;
        }
        // Standard deviation of one cell is 95; 600 is beyond six of them.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 600), "{counts:?}");
    }

    #[test]
    fn reals_stay_in_the_unit_interval_with_mean_one_half() {
        let mut rng = Rng::at(7, 1, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| rng.unit()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 0.006, "{mean}");
    }
}
