//! Joins documents that agree in a key, and says which of each cluster is kept: the first of the input.
//!
//! Memory is 4 bytes a document for the clusters, and a table of at most [`TABLE`] keys: keys that no table holds at once are read
//! range by range, each a pass over their file.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::error::Result;
use crate::manifest::NearCopies;

use super::Low;

/// Keys held at once; an entry is 16 bytes and the table up to twice as large.
pub const TABLE: usize = 8 << 20;

/// Disjoint sets of documents, each known by its first.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    parents: Vec<u32>,
}

impl Clusters {
    /// Each of `documents` by itself.
    #[must_use]
    pub fn new(documents: u32) -> Self {
        Self { parents: (0..documents).collect() }
    }

    /// The first document of the cluster of `document`.
    pub fn first(&mut self, document: u32) -> u32 {
        let mut at = document;
        while self.parents[at as usize] != at {
            let above = self.parents[self.parents[at as usize] as usize];
            self.parents[at as usize] = above;
            at = above;
        }
        at
    }

    /// Makes one cluster of those of two documents.
    pub fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.first(one), self.first(other));
        self.parents[one.max(other) as usize] = one.min(other);
    }

    /// Joins all documents with equal keys. `keys` gives the keys of all documents in order, 0 for one without, and is asked once
    /// for each range of keys that fits a table of `table` entries.
    ///
    /// # Errors
    /// When `keys` does.
    pub fn join_equal<I: Iterator<Item = Result<u64>>>(
        &mut self,
        mut keys: impl FnMut() -> Result<I>,
        table: usize,
    ) -> Result<()> {
        let passes = self.parents.len().div_ceil(table.max(1)).max(1) as u64;
        for pass in 0..passes {
            let mut firsts: HashMap<u64, u32, BuildHasherDefault<Low>> = HashMap::default();
            for (document, key) in keys()?.enumerate() {
                let key = key?;
                if key == 0 || crate::rng::below(key, passes) != pass {
                    continue;
                }
                let document = document as u32;
                let first = *firsts.entry(key).or_insert(document);
                if first != document {
                    self.join(first, document);
                }
            }
        }
        Ok(())
    }

    /// The documents of each cluster.
    #[must_use]
    pub fn sizes(&mut self) -> Vec<u32> {
        let mut sizes = vec![0; self.parents.len()];
        for document in 0..self.parents.len() as u32 {
            sizes[self.first(document) as usize] += 1;
        }
        sizes
    }

    /// How many clusters and copies there are.
    #[must_use]
    pub fn counts(&mut self) -> NearCopies {
        let sizes = self.sizes();
        let clusters = || sizes.iter().filter(|&&size| size > 1);
        NearCopies {
            clusters: clusters().count() as u64,
            copies: clusters().map(|&size| u64::from(size) - 1).sum(),
            largest: clusters().max().map_or(0, |&size| u64::from(size)),
            rules: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clusters_are_known_by_their_first() {
        let mut clusters = Clusters::new(6);
        clusters.join(4, 2);
        clusters.join(5, 4);
        clusters.join(1, 3);
        let firsts: Vec<u32> = (0..6).map(|document| clusters.first(document)).collect();
        assert_eq!(firsts, [0, 1, 2, 1, 2, 2]);
        assert_eq!(clusters.counts(), NearCopies { clusters: 2, copies: 3, largest: 3, rules: None });
    }

    proptest! {
        /// However small the table, the clusters are those of all pairs compared.
        #[test]
        fn ranges_do_not_change_clusters(keys in proptest::collection::vec((0_u64..12).prop_map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15)), 0..40), table in 1_usize..50) {
            let mut clusters = Clusters::new(keys.len() as u32);
            clusters.join_equal(|| Ok(keys.iter().map(|&key| Ok(key))), table).expect("keys");
            for (document, key) in keys.iter().enumerate() {
                let first = if *key == 0 { document } else { keys.iter().position(|other| other == key).expect("itself") };
                prop_assert_eq!(clusters.first(document as u32) as usize, first);
            }
        }
    }
}
