//! Huffman's tree over word counts: frequent words have short paths.
//!
//! Source: Huffman 1952; the two-queue construction and the numbers of nodes are those of word2vec.c.

use ssl_torch::word2vec::Target;

/// The path to each word, root first; words with count 0 have none. Equal counts go by id, so the tree is a function of counts.
#[must_use]
pub fn huffman(counts: &[u64]) -> Target {
    let mut order: Vec<usize> = (0..counts.len()).filter(|&word| counts[word] > 0).collect();
    order.sort_by_key(|&word| (std::cmp::Reverse(counts[word]), word));
    let n = order.len();
    // Places 0..n are words, rarest last; n.. are inner nodes in the order they are made, whose counts never fall.
    let mut weight: Vec<u64> = order.iter().map(|&word| counts[word]).collect();
    let (mut parent, mut second) = (vec![0; 2 * n], vec![false; 2 * n]);
    let (mut leaf, mut node) = (n, n);
    for made in 0..n.saturating_sub(1) {
        let mut least = || {
            if leaf > 0 && (node >= weight.len() || weight[leaf - 1] < weight[node]) {
                leaf -= 1;
                leaf
            } else {
                node += 1;
                node - 1
            }
        };
        let (a, b) = (least(), least());
        parent[a] = n + made;
        parent[b] = n + made;
        second[b] = true;
        weight.push(weight[a].saturating_add(weight[b]));
    }
    let root = (2 * n).saturating_sub(2);
    let mut paths = vec![Vec::new(); counts.len()];
    for (place, &word) in order.iter().enumerate() {
        let mut at = place;
        while at != root {
            paths[word].push(((parent[at] - n) as u32, if second[at] { 0.0 } else { 1.0 }));
            at = parent[at];
        }
        paths[word].reverse();
    }
    let ends = paths.iter().scan(0, |end, path| {
        *end += path.len() as u32;
        Some(*end)
    });
    let starts = std::iter::once(0).chain(ends).collect();
    let (nodes, labels) = paths.iter().flatten().copied().unzip();
    Target::Tree { starts, nodes, labels }
}
