//! Probes: what frozen features of a model tell, asked by classifiers that learn nothing else.
//!
//! | file | classifier | as |
//! |---|---|---|
//! | [`logistic`] | multinomial logistic regression under an L2 penalty | scikit-learn |
//! | [`neighbours`] | the vote of the nearest training examples by cosine | Wu et al. 2018 |
//!
//! Both give the same bits on any number of threads, as sums are taken over divisions that do not depend on it.
//!
//! Source: Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes".

mod lbfgs;
pub mod logistic;
pub mod neighbours;

use crate::error::{Error, Result};

/// Refuses features of unequal number, ones that are no numbers, and labels that are no class.
fn check(features: &[Vec<f32>], labels: &[usize], classes: usize) -> Result<usize> {
    crate::bootstrap::equal("feature vectors", features.len(), "labels", labels.len())?;
    if let Some(&class) = labels.iter().find(|&&label| label >= classes) {
        return Err(Error::Class { class, classes });
    }
    let expected = features.first().ok_or(Error::Empty)?.len();
    check_widths(features, expected)?;
    Ok(expected)
}

/// Refuses feature vectors that are not `expected` numbers.
fn check_widths(features: &[Vec<f32>], expected: usize) -> Result<()> {
    for (at, one) in features.iter().enumerate() {
        if one.len() != expected {
            return Err(Error::Features { at, features: one.len(), expected });
        }
        if let Some(&value) = one.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "a feature of example", at, value: value.into() });
        }
    }
    Ok(())
}

/// The scalar product, in eight sums side by side: their order is fixed, and a processor can take them at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The place of the greatest value, the first of equal ones.
fn greatest(values: &[f64]) -> usize {
    let best = values.iter().enumerate().reduce(|best, one| if one.1 > best.1 { one } else { best });
    best.map_or(0, |(at, _)| at)
}

/// The threads that a computation of so many multiplications is worth.
fn threads(multiplications: usize) -> usize {
    // Starting a thread takes about as long as these.
    const WORTH: usize = 1 << 18;
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(multiplications / WORTH).max(1)
}

/// `work` of each of `parts` parts, in their order, on some threads.
fn each<T: Send>(parts: usize, threads: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    if threads < 2 {
        return (0..parts).map(work).collect();
    }
    let share = |thread: usize| parts * thread / threads..parts * (thread + 1) / threads;
    std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || share(thread).map(work).collect::<Vec<T>>())).collect();
        let joined = started.into_iter().flat_map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_order_on_any_number_of_threads() {
        for threads in [1, 2, 3, 7, 20] {
            assert_eq!(each(10, threads, &|part| part * part), (0..10).map(|part| part * part).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_product_of_any_length_is_whole() {
        for n in [0, 1, 7, 8, 9, 31] {
            let a: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(dot(&a, &a), (0..n).map(|at| f64::from(at * at)).sum::<f64>());
        }
    }
}
