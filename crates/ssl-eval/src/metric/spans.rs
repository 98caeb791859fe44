//! Spans in tagged sentences, such as names: precision, recall and F1, where a span is right if type, beginning and end are.
//!
//! Tags are `O`, or `B`, `I`, `E`, `S` with a type, as `B-PER`; without one the type is `_`. A span begins at B or S, at I or E
//! after O, E or S, and where the type changes; so an I that follows no B still begins one. It ends with E or S, before B, S or
//! O, and where the type changes.
//!
//! Source: Tjong Kim Sang and De Meulder 2003 (CoNLL-2003 and its `conlleval`); the rules are seqeval's in its default mode, which
//! is not strict. Where there is no span on either side all scores are 0.

use std::collections::{BTreeSet, HashSet};

use crate::bootstrap::{Bootstrap, Interval, equal};
use crate::error::{Error, Result};
use crate::metric::tally::{self, Average, Measure, Tally};

/// What a sentence adds: the counts of the types it has, by the number of the type.
pub type Sentence = Vec<(usize, Tally)>;

/// Tagged sentences, scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Spans {
    types: Vec<String>,
    sentences: Vec<Sentence>,
}

impl Spans {
    /// Of true and predicted tags, a list a sentence and a tag a word.
    ///
    /// # Errors
    /// Without a sentence, with unequal numbers of sentences or of tags in one, or with what is no tag.
    pub fn new<S: AsRef<str>>(truth: &[Vec<S>], predicted: &[Vec<S>]) -> Result<Self> {
        equal("predicted sentences", predicted.len(), "true ones", truth.len())?;
        if truth.is_empty() {
            return Err(Error::Empty);
        }
        let mut found = Vec::with_capacity(truth.len());
        for (sentence, (truth, predicted)) in truth.iter().zip(predicted).enumerate() {
            equal("predicted tags", predicted.len(), "true ones", truth.len())?;
            found.push([spans(sentence, truth)?, spans(sentence, predicted)?]);
        }
        let types: BTreeSet<&str> = found.iter().flatten().flatten().map(|span| span.kind).collect();
        let types: Vec<&str> = types.into_iter().collect();
        let sentence = |[truth, predicted]: &[Vec<Span<'_>>; 2]| {
            let known: HashSet<&Span<'_>> = truth.iter().collect();
            let mut counts: Sentence = Vec::new();
            let spans = truth.iter().map(|span| (span, Tally { actual: 1, ..Tally::default() }));
            let hits = |span| u64::from(known.contains(span));
            let spans =
                spans.chain(predicted.iter().map(|span| (span, Tally { hits: hits(span), predicted: 1, ..Tally::default() })));
            for (span, tally) in spans {
                let kind = types.partition_point(|&kind| kind < span.kind);
                match counts.iter_mut().find(|(other, _)| *other == kind) {
                    Some((_, sum)) => sum.add(tally),
                    None => counts.push((kind, tally)),
                }
            }
            counts
        };
        let sentences = found.iter().map(sentence).collect();
        Ok(Self { types: types.into_iter().map(str::to_owned).collect(), sentences })
    }

    /// The types that occur, in order; [`Average::Class`] counts them from 0.
    #[must_use]
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// The counts of every type, in the order of [`Spans::types`].
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        sum(self.types.len(), &self.sentences.iter().collect::<Vec<_>>())
    }

    /// What each sentence adds.
    #[must_use]
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// Precision, recall or F1, with its error bar over sentences; `conlleval` reports F1 of [`Average::Micro`].
    ///
    /// # Errors
    /// For a type there is not, and those of [`Bootstrap::interval`].
    pub fn score(&self, measure: Measure, average: Average, how: &Bootstrap) -> Result<Interval> {
        let classes = self.types.len();
        if let Average::Class(class) = average
            && class >= classes
        {
            return Err(Error::Class { class, classes });
        }
        how.interval(&self.sentences, scorer(classes, measure, average))
    }
}

/// Precision, recall or F1 as a function of sentences. Systems that are compared micro-averaged may number types differently.
pub fn scorer(types: usize, measure: Measure, average: Average) -> impl Fn(&[&Sentence]) -> f64 {
    move |sentences| tally::score(&sum(types, sentences), measure, average)
}

fn sum(types: usize, sentences: &[&Sentence]) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); types];
    for &(kind, tally) in sentences.iter().copied().flatten() {
        if kind >= tallies.len() {
            tallies.resize(kind + 1, Tally::default());
        }
        tallies[kind].add(tally);
    }
    tallies
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Span<'a> {
    kind: &'a str,
    first: usize,
    last: usize,
}

fn spans<S: AsRef<str>>(sentence: usize, tags: &[S]) -> Result<Vec<Span<'_>>> {
    let mut found = Vec::new();
    let (mut before, mut kind_before, mut first) = ('O', "", 0);
    for at in 0..=tags.len() {
        let tag = tags.get(at).map_or("O", AsRef::as_ref);
        let (tag, kind) = read(tag).ok_or_else(|| Error::Tag { sentence, at, tag: tag.to_owned() })?;
        let turns = kind != kind_before;
        let ends = before != 'O' && (turns || matches!(before, 'E' | 'S') || matches!(tag, 'B' | 'S' | 'O'));
        let begins = tag != 'O' && (turns || matches!(tag, 'B' | 'S') || matches!(before, 'O' | 'E' | 'S'));
        if ends {
            found.push(Span { kind: kind_before, first, last: at - 1 });
        }
        if begins {
            first = at;
        }
        (before, kind_before) = (tag, kind);
    }
    Ok(found)
}

/// The letter of a tag and its type.
fn read(tag: &str) -> Option<(char, &str)> {
    let letter = tag.chars().next().filter(|letter| "OBIES".contains(*letter))?;
    let kind = match &tag[1..] {
        "" => "_",
        _ if letter == 'O' => return None,
        kind => match kind.strip_prefix('-')? {
            "" => "_",
            kind => kind,
        },
    };
    Some((letter, kind))
}
