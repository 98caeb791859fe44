//! Word error rate and character error rate of what was recognised or copied.
//!
//! `WER = edits / words of the references`, summed over the examples, where edits are the fewest words to put in, leave out or
//! exchange that make a reference of a hypothesis; of characters for CER. It may exceed 1.
//!
//! Source: Levenshtein 1966; the sums over a corpus, and for CER the spaces that count, are `jiwer`'s. Words here end at any white
//! space; in `jiwer` a single tab or line break joins two. The standard error is that of a ratio, see [`Estimate::ratio`].

use crate::bootstrap::equal;
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::metric::text::{space, words};

/// What is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Words: WER.
    Words,
    /// Characters (code points), with the spaces between words: CER.
    Characters,
}

/// What an example adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edits {
    /// The fewest edits.
    pub edits: usize,
    /// The units of the reference.
    pub length: usize,
}

/// The rate of errors of a corpus; 0 is best.
///
/// # Errors
/// Those of [`count`], and where all references are empty.
pub fn error_rate<S: AsRef<str>>(unit: Unit, hypotheses: &[S], references: &[S]) -> Result<Estimate> {
    let examples = count(unit, hypotheses, references)?;
    if examples.iter().all(|example| example.length == 0) {
        return Err(Error::EmptyReferences);
    }
    Ok(Estimate::ratio(&examples.iter().map(|one| (one.edits as f64, one.length as f64)).collect::<Vec<_>>()))
}

/// What each example adds.
///
/// # Errors
/// Without an example, or with unequal numbers of hypotheses and references.
pub fn count<S: AsRef<str>>(unit: Unit, hypotheses: &[S], references: &[S]) -> Result<Vec<Edits>> {
    equal("hypotheses", hypotheses.len(), "references", references.len())?;
    if references.is_empty() {
        return Err(Error::Empty);
    }
    let example = |(ours, theirs): (&S, &S)| {
        let (ours, theirs) = (ours.as_ref(), theirs.as_ref());
        match unit {
            Unit::Words => edits(&words(ours).collect::<Vec<_>>(), &words(theirs).collect::<Vec<_>>()),
            Unit::Characters => {
                let characters = |text: &str| text.trim_matches(space).chars().collect::<Vec<_>>();
                edits(&characters(ours), &characters(theirs))
            }
        }
    };
    Ok(hypotheses.iter().zip(references).map(example).collect())
}

/// The rate of errors of examples; not a number where their references are empty.
#[must_use]
pub fn rate(examples: &[&Edits]) -> f64 {
    let sum = |part: fn(&Edits) -> usize| examples.iter().map(|one| part(one)).sum::<usize>() as f64;
    let length = sum(|one| one.length);
    if length == 0.0 { f64::NAN } else { sum(|one| one.edits) / length }
}

fn edits<T: PartialEq>(hypothesis: &[T], reference: &[T]) -> Edits {
    // One row of the table: edits that make the first k units of the reference of what was read of the hypothesis.
    let mut row: Vec<usize> = (0..=reference.len()).collect();
    for (read, ours) in hypothesis.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (at, theirs) in reference.iter().enumerate() {
            let exchanged = diagonal + usize::from(ours != theirs);
            diagonal = row[at + 1];
            row[at + 1] = exchanged.min(diagonal + 1).min(row[at] + 1);
        }
    }
    Edits { edits: row[reference.len()], length: reference.len() }
}
