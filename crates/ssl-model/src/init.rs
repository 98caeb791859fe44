//! Initial weights, by the names the field gives them.
//!
//! | `init =` | matrices | matrices that end a residual branch | embeddings |
//! |---|---|---|---|
//! | `gpt2` | N(0, 0.02²) | N(0, 0.02² / 2L) | N(0, 0.02²) |
//! | `truncated-normal` | N(0, 0.02²) cut at 2 sd | the same | the same |
//! | `xavier` | U(±√(6 / (in + out))) | the same | N(0, 0.02²) |
//! | `he` | N(0, 2 / in) | the same | N(0, 0.02²) |
//!
//! Source: Radford et al. 2019, section 2.3 (residual scaling, L layers with two branches each); Devlin et al. 2019,
//! appendix A.2; Glorot and Bengio 2010, equation 16; He et al. 2015, section 2.2.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use ssl_data::rng::Rng;
use tch::Tensor;

/// The scheme a run names; the table above says what it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Normal, with residual branches scaled down by the depth.
    #[default]
    Gpt2,
    /// Normal, cut at two standard deviations.
    TruncatedNormal,
    /// Glorot's uniform.
    Xavier,
    /// He's normal.
    He,
}

/// What a weight does, on which its initial spread depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A table of vectors.
    Embedding,
    /// A linear map between `inputs` and `outputs` features.
    Matrix {
        /// Features in.
        inputs: i64,
        /// Features out.
        outputs: i64,
    },
    /// Several such maps side by side along the outputs, as in a matrix that makes queries, keys and values at once.
    Stacked {
        /// Features in.
        inputs: i64,
        /// Features out, of all maps together.
        outputs: i64,
        /// How many maps there are.
        maps: i64,
    },
    /// A linear map onto what is predicted.
    Head {
        /// Features in.
        inputs: i64,
        /// Features out.
        outputs: i64,
    },
    /// A linear map whose result is added to the residual stream of a model of `layers` layers.
    Residual {
        /// Features in.
        inputs: i64,
        /// Features out.
        outputs: i64,
        /// Layers of the model.
        layers: i64,
    },
}

/// How one tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Normal with this standard deviation.
    Normal(f64),
    /// Normal with this standard deviation before the cut at twice it.
    TruncatedNormal(f64),
    /// Uniform between minus and plus this.
    Uniform(f64),
}

/// The standard deviation of GPT-2 and BERT.
const STD: f64 = 0.02;

impl Scheme {
    /// The start of a weight in this scheme.
    #[must_use]
    pub fn of(self, role: Role) -> Init {
        match (self, role) {
            (Self::Gpt2, Role::Residual { layers, .. }) => Init::Normal(STD / (2.0 * layers as f64).sqrt()),
            (Self::TruncatedNormal, _) => Init::TruncatedNormal(STD),
            (Self::Gpt2, _) | (_, Role::Embedding) => Init::Normal(STD),
            (Self::Xavier, _) => {
                let (inputs, outputs) = role.features();
                Init::Uniform((6.0 / (inputs + outputs) as f64).sqrt())
            }
            (Self::He, _) => Init::Normal((2.0 / role.features().0 as f64).sqrt()),
        }
    }
}

impl Role {
    /// Features in and out.
    ///
    /// # Panics
    /// On a table, which is no linear map.
    #[must_use]
    pub fn features(self) -> (i64, i64) {
        match self {
            Self::Matrix { inputs, outputs }
            | Self::Stacked { inputs, outputs, .. }
            | Self::Head { inputs, outputs }
            | Self::Residual { inputs, outputs, .. } => (inputs, outputs),
            Self::Embedding => unreachable!("a table is no linear map"),
        }
    }

    /// How many maps between hidden features it is made of: none in a table and in a head.
    #[must_use]
    pub fn maps(self) -> i64 {
        match self {
            Self::Embedding | Self::Head { .. } => 0,
            Self::Stacked { maps, .. } => maps,
            Self::Matrix { .. } | Self::Residual { .. } => 1,
        }
    }
}

impl Init {
    /// The numbers from place `first` on; number i is a function of (seed, i) alone, whatever the machine or its threads.
    /// `first` is a multiple of [`PIECE`].
    pub(crate) fn draw(self, out: &mut [f32], first: usize, seed: u64) {
        let fill = |out: &mut [f32], draw: &(dyn Fn(&mut Rng) -> f64 + Sync)| {
            out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, numbers)| {
                let mut rng = Rng::at(seed, STREAM, (first / BLOCK + block) as u64);
                numbers.fill_with(|| draw(&mut rng) as f32);
            });
        };
        match self {
            Self::Zeros => out.fill(0.0),
            Self::Ones => out.fill(1.0),
            Self::Normal(std) => fill(out, &|rng| std * normal(rng)),
            Self::Uniform(bound) => fill(out, &|rng| bound * (2.0 * rng.unit() - 1.0)),
            Self::TruncatedNormal(std) => fill(out, &|rng| {
                loop {
                    let z = normal(rng);
                    if z.abs() <= 2.0 {
                        return std * z;
                    }
                }
            }),
        }
    }

    /// Fills a weight on the CPU, piece by piece, so that it is not held twice.
    pub(crate) fn fill(self, weight: &Tensor, seed: u64) {
        let flat = weight.view([-1]);
        let count = weight.numel();
        let mut numbers = vec![0.0; count.min(PIECE)];
        for first in (0..count).step_by(PIECE) {
            let piece = &mut numbers[..PIECE.min(count - first)];
            self.draw(piece, first, seed);
            flat.narrow(0, first as i64, piece.len() as i64).copy_(&Tensor::from_slice(piece));
        }
    }
}

/// Numbers are drawn in blocks of this many, each from its own place.
const BLOCK: usize = 4096;
/// What is drawn before it goes into its weight: 16 MB.
const PIECE: usize = 1024 * BLOCK;
/// A standard normal number. Source: Box and Muller 1958.
fn normal(rng: &mut Rng) -> f64 {
    // 1 - u is above 0, so the logarithm is finite.
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}

/// Keeps initial weights apart from the other uses of a seed.
const STREAM: u64 = 0x0069_6e69_7469_616c;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(init: Init, first: usize, count: usize, seed: u64) -> Vec<f32> {
        let mut out = vec![0.0; count];
        init.draw(&mut out, first, seed);
        out
    }

    /// Mean, standard deviation and largest magnitude, against theory at 120 000 draws.
    fn check(init: Init, std: f64, largest: f64) {
        let x: Vec<f64> = drawn(init, 0, 120_000, 7).into_iter().map(f64::from).collect();
        let mean = x.iter().sum::<f64>() / 120_000.0;
        let spread = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 120_000.0).sqrt();
        assert!(mean.abs() < 5.0 * std / 346.0, "{init:?}: {mean}");
        assert!((spread / std - 1.0).abs() < 0.012, "{init:?}: {spread}");
        assert!(x.iter().all(|x| x.abs() <= largest * (1.0 + 1e-6)), "{init:?}");
    }

    #[test]
    fn spreads_are_those_of_the_papers() {
        let matrix = Role::Matrix { inputs: 300, outputs: 400 };
        let residual = Role::Residual { inputs: 300, outputs: 400, layers: 8 };
        check(Scheme::Gpt2.of(matrix), 0.02, 1.0);
        check(Scheme::Gpt2.of(residual), 0.02 / 4.0, 1.0);
        let bound = (6.0_f64 / 700.0).sqrt();
        check(Scheme::Xavier.of(matrix), bound / 3.0_f64.sqrt(), bound);
        check(Scheme::He.of(matrix), (2.0_f64 / 300.0).sqrt(), 1.0);
        // The variance of a normal cut at 2 sd is 1 - 4 phi(2) / (2 Phi(2) - 1) of the whole one's: 0.7737.
        check(Scheme::TruncatedNormal.of(matrix), 0.02 * 0.773_741_f64.sqrt(), 0.04);
    }

    #[test]
    fn draws_depend_on_the_seed_alone() {
        let init = Init::Normal(1.0);
        assert_eq!(drawn(init, 0, 10_000, 1), drawn(init, 0, 10_000, 1));
        assert_ne!(drawn(init, 0, 10, 1), drawn(init, 0, 10, 2));
        assert_eq!(drawn(init, 0, 5000, 1)[..10], drawn(init, 0, 10, 1)[..]);
        assert_eq!(drawn(init, 0, 5000, 1)[4096..], drawn(init, 4096, 904, 1)[..]);
    }
}
