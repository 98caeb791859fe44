//! One order out of several.
//!
//! `score(d) = sum over lists of 1 / (60 + rank of d in the list)`, ranks from 1.
//!
//! Source: Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".

use std::collections::BTreeMap;

/// How much less the first rank counts than it would alone; the authors'.
const K: f64 = 60.0;

/// What stands in any of the lists, best first, of equal ones the smallest number.
#[must_use]
pub fn fuse(lists: &[Vec<usize>]) -> Vec<(usize, f64)> {
    let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
    for list in lists {
        for (at, &item) in list.iter().enumerate() {
            *scores.entry(item).or_default() += 1.0 / (K + 1.0 + at as f64);
        }
    }
    let mut fused: Vec<(usize, f64)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_lists_name_comes_first() {
        let fused = fuse(&[vec![4, 7, 1], vec![9, 7]]);
        assert_eq!(fused.iter().map(|found| found.0).collect::<Vec<_>>(), [7, 4, 9, 1]);
        assert!((fused[0].1 - 2.0 / 62.0).abs() < 1e-15 && (fused[3].1 - 1.0 / 63.0).abs() < 1e-15);
    }
}
