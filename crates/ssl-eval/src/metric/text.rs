//! Texts as the reference implementations, which are written in Python, read them.

use std::collections::HashMap;
use std::hash::Hash;

/// Whether Python's `str.isspace` holds: Unicode's white space and the four separators of ASCII.
pub(super) fn space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Python's `str.split`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(space).filter(|word| !word.is_empty())
}

/// Whether Python's `string.punctuation` holds it: that of ASCII.
pub(super) fn punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
}

/// How often each item comes.
pub(super) fn counts<T: Hash + Eq>(items: impl IntoIterator<Item = T>) -> HashMap<T, u64> {
    let mut counts = HashMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

/// Items that both hold, each as often as the one that holds it less.
pub(super) fn shared<T: Hash + Eq>(ours: &HashMap<T, u64>, theirs: &HashMap<T, u64>) -> u64 {
    let (few, many) = if ours.len() <= theirs.len() { (ours, theirs) } else { (theirs, ours) };
    // A sum of whole numbers, so the order in which the table is walked does not matter.
    few.iter().map(|(item, &count)| count.min(many.get(item).copied().unwrap_or(0))).sum()
}
