//! What the corpus is made of, counted while its documents are packed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::read::Part;
use crate::composition::{Composition, Draw, Measure, Size, Source};
use crate::corpus::SplitName;

/// What is known of one document, or of a part of the only one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) split: SplitName,
    pub(super) bytes: u64,
    /// Without its separator.
    pub(super) tokens: u64,
    pub(super) look: Option<(Cow<'static, str>, Measure)>,
}

/// Counts documents in the order of the input.
#[derive(Debug)]
pub(super) struct Tally {
    composition: Composition,
    /// How many documents there are up to the end of each source.
    ends: Vec<u64>,
    documents: u64,
    /// Tokens of the one before.
    before: u64,
}

impl Tally {
    pub(super) fn new(parts: &[Part], draw: Draw) -> Self {
        let named = |part: &Part| Source { name: part.name.clone(), files: part.files, read: part.read, ..Source::default() };
        let sources = parts.iter().map(named).collect();
        let mut end = 0;
        let ends = parts.iter().map(|part| {
            end += part.kept;
            end
        });
        let ends = ends.collect();
        Self {
            composition: Composition { sources, sampled_one_in: draw.one_in, ..Composition::default() },
            ends,
            documents: 0,
            before: 0,
        }
    }

    pub(super) fn add(&mut self, seen: &Seen) {
        let composition = &mut self.composition;
        let all = self.ends.last().copied().unwrap_or(0);
        // What comes behind all documents is the end of the only one, which lies in the other split and is no other document.
        let end = self.documents >= all;
        let at = self.ends.partition_point(|&end| end <= self.documents.min(all.saturating_sub(1)));
        self.documents += 1;
        let mut tokens = seen.tokens;
        if end {
            composition.lengths.clear();
            tokens += self.before;
        }
        self.before = tokens;
        let power = tokens.max(1).ilog2() as usize;
        let lengths = &mut composition.lengths;
        lengths.resize(lengths.len().max(power + 1), 0);
        lengths[power] += 1;
        let Some(source) = composition.sources.get_mut(at) else { return };
        let size = Size { documents: 1, bytes: seen.bytes, tokens: seen.tokens + 1 };
        match seen.split {
            SplitName::Train => source.train += size,
            SplitName::Validation => source.validation += size,
        }
        if let Some((language, measure)) = &seen.look {
            let once = u64::from(!(end && source.sample.documents > 0));
            let measure = Measure { documents: once, ..*measure };
            source.sample += measure;
            *composition.languages.entry(language.to_string()).or_default() += measure;
        }
    }

    pub(super) fn finish(self) -> Composition {
        self.composition
    }
}
