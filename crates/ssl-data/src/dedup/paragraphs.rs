//! Paragraphs that stood in an earlier document.
//!
//! Notices, menus and licences are copied from page to page while the text around them differs, so that documents are no copies of each
//! other and yet hold the same paragraphs. Two paragraphs are the same if their words are: case, accents, signs and white space are
//! passed over, numbers are not. Paragraphs of a document that repeats itself stay: refrains belong to it.
//!
//! Source: Wenzek et al. 2020 (`CCNet`), section 3.1. Differs: a paragraph is what empty lines part, and a line only in a text
//! without any; 128 bits identify it, not 64; accents are passed over, numbers told apart.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::TextHash;
use super::minhash::{Numbers, words};

/// `[data.dedup.paragraphs]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ParagraphConfig {
    /// Shorter paragraphs stay, however often they occur.
    pub min_chars: usize,
}

impl Default for ParagraphConfig {
    fn default() -> Self {
        Self { min_chars: 100 }
    }
}

impl ParagraphConfig {
    /// The paragraphs of `text` that are long enough, each with what identifies it and its place, the empty lines behind it included.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(TextHash, Range<usize>)> {
        let mut found = Vec::new();
        let mut hashes = Vec::new();
        for place in paragraphs(text) {
            let paragraph = text[place.clone()].trim();
            // Bytes are at least as many as characters.
            if paragraph.len() < self.min_chars || paragraph.chars().count() < self.min_chars {
                continue;
            }
            hashes.clear();
            words(paragraph, Numbers::Apart, &mut |word| hashes.extend_from_slice(&word.to_le_bytes()));
            if !hashes.is_empty() {
                found.push((TextHash::of_bytes(&hashes), place));
            }
        }
        found
    }
}

/// Where the paragraphs of `text` lie, one behind the other without gaps.
fn paragraphs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let border = if text.contains("\n\n") { "\n\n" } else { "\n" };
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(border).map_or(rest.len(), |at| rest.len() - rest[at..].trim_start_matches('\n').len());
        from += end;
        Some(from - end..from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lie_without_gaps() {
        for text in ["a\nb\n\n\nc", "a\nb\n", "\n\na", "", "one"] {
            let places: Vec<_> = paragraphs(text).collect();
            assert_eq!(places.iter().map(|place| &text[place.clone()]).collect::<String>(), text);
        }
        assert_eq!(paragraphs("a\nb\n\n\nc").collect::<Vec<_>>(), [0..6, 6..7]);
        assert_eq!(paragraphs("a\nb\n").collect::<Vec<_>>(), [0..2, 2..4]);
    }

    #[test]
    fn accidents_of_writing_make_no_other_paragraph() {
        let config = ParagraphConfig { min_chars: 10 };
        let key = |text: &str| config.find(text).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(key("All rights  reserved, 2024."), key("ALL RIGHTS RESERVED 2024"));
        assert_ne!(key("All rights reserved, 2024."), key("All rights reserved, 2023."));
        assert!(key("short").is_empty() && key("---------------------").is_empty());
    }
}
