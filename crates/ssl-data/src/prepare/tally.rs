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
        Self { composition: Composition { sources, sampled_one_in: draw.one_in, ..Composition::default() }, ends, documents: 0 }
    }

    pub(super) fn add(&mut self, seen: &Seen) {
        // The end of a document that was cut is of the source that it began in, the last with any.
        let last = self.ends.last().map_or(0, |end| end.saturating_sub(1));
        let at = self.ends.partition_point(|&end| end <= self.documents.min(last));
        self.documents += 1;
        let size = Size { documents: 1, bytes: seen.bytes, tokens: seen.tokens + 1 };
        if let Some(source) = self.composition.sources.get_mut(at) {
            match seen.split {
                SplitName::Train => source.train += size,
                SplitName::Validation => source.validation += size,
            }
            if let Some((_, measure)) = &seen.look {
                source.sample += *measure;
            }
        }
        if let Some((language, measure)) = &seen.look {
            *self.composition.languages.entry(language.to_string()).or_default() += *measure;
        }
        let power = seen.tokens.max(1).ilog2() as usize;
        let lengths = &mut self.composition.lengths;
        lengths.resize(lengths.len().max(power + 1), 0);
        lengths[power] += 1;
    }

    pub(super) fn finish(self) -> Composition {
        self.composition
    }
}
