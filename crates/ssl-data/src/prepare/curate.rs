//! What happens to a clean document before it is compared with others: filters, in the order of the configuration's sections.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::classify::Classifier;
use crate::clean::Reason;
use crate::config::DataConfig;
use crate::decontaminate::Index;
use crate::dedup::MinHash;
use crate::document::Document;
use crate::error::Result;
use crate::filter::{RemovedLines, Rule};
use crate::manifest::Curation;
use crate::scrub::{Counts, Scrub};

/// What was found in one document.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Notes {
    language: Option<Box<str>>,
    removed: RemovedLines,
    scrubbed: Counts,
    /// The items of evaluation sets that the document holds.
    pub(super) items: Vec<u32>,
    /// The keys by which near copies are found, where they are looked for and the document is long enough.
    pub(super) keys: Option<Vec<u64>>,
}

impl Notes {
    /// What [`Self::tally`] counts; the rest was only needed until here.
    pub(super) fn counts(self) -> Self {
        Self { items: Vec::new(), keys: None, ..self }
    }

    /// Adds what was found in a document that is kept.
    pub(super) fn tally(&self, curation: &mut Curation) {
        for (name, count) in self.removed.named().into_iter().filter(|&(_, count)| count > 0) {
            *curation.removed_lines.entry(name.into()).or_default() += count;
        }
        if let Some(language) = &self.language {
            *curation.languages.entry(language.to_string()).or_default() += 1;
        }
        for (&kind, &count) in &self.scrubbed {
            *curation.scrubbed.entry(kind).or_default() += count;
        }
    }
}

/// What is made once of the configuration and asked for every document.
#[derive(Debug)]
pub(super) struct Tools {
    quality: Option<(Classifier, f32)>,
    scrub: Option<Scrub>,
    pub(super) evaluation: Option<Index>,
    minhash: Option<MinHash>,
}

impl Tools {
    pub(super) fn new(config: &DataConfig) -> Result<Self> {
        let quality = config.filter.quality.as_ref().map(|rules| Ok((Classifier::load(&rules.model)?, rules.min_score)));
        Ok(Self {
            quality: quality.transpose()?,
            scrub: config.scrub.as_ref().map(Scrub::new).transpose()?,
            evaluation: config.decontaminate.as_ref().map(Index::new).transpose()?,
            minhash: config.dedup.near.as_ref().map(MinHash::new),
        })
    }
}

/// Filters a document. Pure: the document and the configuration are all it sees.
pub(super) fn curate(
    mut document: Document,
    config: &DataConfig,
    tools: &Tools,
) -> std::result::Result<(Document, Notes), Reason> {
    let mut notes = Notes::default();
    if !config.filter.is_empty() {
        let passed = config.filter.judge(&document.text).map_err(Reason::Rule)?;
        notes.removed = passed.removed;
        notes.language = passed.language.map(Box::from);
        if let Cow::Owned(text) = passed.text {
            if text.is_empty() {
                return Err(Reason::Empty);
            }
            document.text = text;
        }
    }
    if let Some((classifier, least)) = &tools.quality
        && classifier.score(&document.text) < *least
    {
        return Err(Reason::Rule(Rule::LowQuality));
    }
    if let Some(index) = &tools.evaluation {
        notes.items = index.overlaps(&document.text);
    }
    if let Some(text) = tools.scrub.as_ref().and_then(|scrub| scrub.scrub(&document.text, &mut notes.scrubbed)) {
        document.text = text;
    }
    notes.keys = tools.minhash.as_ref().and_then(|minhash| minhash.keys(&document.text));
    Ok((document, notes))
}
