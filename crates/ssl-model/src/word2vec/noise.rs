//! Which occurrences are kept, and which words are drawn as negatives.

use ssl_torch::word2vec::Alias;

/// The chance of each word's occurrences to be kept, times 2^32; 0 where the count is 0.
///
/// `p = (sqrt(f / t) + 1) t / f`: the formula of word2vec.c, not the paper's `sqrt(t / f)`.
#[must_use]
pub fn keep(counts: &[u64], subsample: f64) -> Vec<u32> {
    let total: f64 = counts.iter().map(|&count| count as f64).sum();
    let chance = |&count: &u64| {
        if count == 0 {
            return 0;
        }
        let share = subsample * total / count as f64;
        // A float becomes an integer by saturation, and the largest means always.
        if subsample > 0.0 { ((share.sqrt() + share) * 2_f64.powi(32)) as u32 } else { u32::MAX }
    };
    counts.iter().map(chance).collect()
}

/// A table that draws words by `count ^ power` in constant time; a word with count 0 is never drawn.
///
/// Source: Vose 1991, "A linear algorithm for generating random numbers with a given distribution".
#[must_use]
pub fn noise(counts: &[u64], power: f64) -> Vec<Alias> {
    let weights: Vec<f64> = counts.iter().map(|&count| if count > 0 { (count as f64).powf(power) } else { 0.0 }).collect();
    let total: f64 = weights.iter().sum();
    let n = counts.len();
    let mut share: Vec<f64> = weights.iter().map(|weight| weight * n as f64 / total).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&word| share[word] < 1.0);
    // Until it is paired, a slot is its word's own.
    let mut table: Vec<Alias> = (0..n as u32).map(|other| Alias { threshold: u32::MAX, other }).collect();
    while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
        small.pop();
        table[poor] = Alias { threshold: (share[poor] * 2_f64.powi(32)) as u32, other: rich as u32 };
        share[rich] -= 1.0 - share[poor];
        if share[rich] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    // Rounding may leave a few; one that can never be drawn gives its slot to the first word that can.
    if let Some(any) = weights.iter().position(|&weight| weight > 0.0) {
        for word in small.into_iter().filter(|&word| weights[word] == 0.0) {
            table[word] = Alias { threshold: 0, other: any as u32 };
        }
    }
    table
}
