//! Answers from one's own documents: passages are found, a model reads them, and what it says is cited or withheld.
//!
//! What is answered is a function of an index and a model, so that `ssl answer` and the server give the same.

mod calibration;
mod embed;
mod extract;
pub(crate) mod labelled;
mod library;
pub(crate) mod measure;
mod written;

use anyhow::Result;
use serde::Serialize;
use ssl_data::retrieve::Index;
use ssl_data::task::{Reader, TaskKind};
use ssl_model::Model;

pub(crate) use calibration::{Calibration, Judged};
pub(crate) use embed::{Embedder, hash};
use extract::Extractor;
pub(crate) use library::Library;
use written::Writer;

use crate::adapted::reader;
use crate::assemble::Opened;
use crate::outcome::Refusal;

/// What a calibration was learned for: a model, another that makes vectors, and how many passages are read.
pub(crate) fn learned_for(model: &Opened, embeds: Option<&Embedder>, passages: u16) -> Result<String> {
    let hex = |hash: [u8; 32]| blake3::Hash::from(hash).to_hex().to_string();
    let embeds = embeds.map_or_else(String::new, |embedder| format!(" + {}", hex(embedder.model)));
    Ok(format!("{}{embeds}, {passages} passages", hex(hash(model)?)))
}

/// How a model answers.
pub(crate) enum Answering {
    /// It says where in a passage the answer stands.
    Extracts(Box<Extractor>),
    /// It writes the answer.
    Writes(Box<Writer>),
}

/// An answer that may be given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Its words.
    pub(crate) text: String,
    /// The passage that it was read from, and the bytes of it in that; none where several were read and it was written.
    pub(crate) place: Option<(usize, std::ops::Range<usize>)>,
    /// How much likelier it is than that there is none, in nats.
    pub(crate) margin: f64,
    /// How much less its passage speaks of the question than the best one, as the logarithm of a ratio: 0 or less.
    pub(crate) prior: f64,
}

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answered {
    /// What was asked.
    pub(crate) question: String,
    /// Empty where there is none.
    pub(crate) answer: String,
    /// That it is right, as far as the model was calibrated.
    pub(crate) probability: f64,
    /// Whether it was too unsure to be given.
    pub(crate) abstained: bool,
    /// Where it stands; where it was withheld, what was looked at.
    pub(crate) citations: Vec<Citation>,
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Citation {
    /// The file, and the line or record in it where it holds several documents.
    pub(crate) document: String,
    /// The first byte in the document.
    pub(crate) start: usize,
    /// The byte behind the last.
    pub(crate) end: usize,
    /// What stands there.
    pub(crate) text: String,
    /// How much the passage speaks of the question.
    pub(crate) score: f64,
    /// The passage around it.
    pub(crate) passage: Around,
}

/// The passage around a citation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Around {
    /// The first byte in the document.
    pub(crate) start: usize,
    /// The byte behind the last.
    pub(crate) end: usize,
    /// What stands there.
    pub(crate) text: String,
}

/// A question with the passages that were found for it, best first, each with its score.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) question: String,
    /// Passages of the index.
    pub(crate) found: Vec<(usize, f64)>,
}

impl Answering {
    /// How `opened` answers.
    ///
    /// # Errors
    /// When it does not, or has no tokenizer.
    pub(crate) fn of(opened: &Opened) -> Result<Self> {
        let (vocab, device, reader) = (opened.vocab()?, opened.params.device(), reader(&opened.shape));
        let limit = |most: Option<u32>| most.map_or(opened.model.context(), |most| opened.model.context().min(most as usize));
        match opened.adapted.as_ref().map(|adapted| (&adapted.config.task.kind, limit(adapted.config.adapt.row_tokens))) {
            Some((kind @ TaskKind::Extraction(_), length)) => {
                Ok(Self::Extracts(Box::new(Extractor::new(vocab, length, reader, kind, device)?)))
            }
            Some((kind, length)) if !kind.has_head() && opened.model.decoder().is_some() => {
                Ok(Self::Writes(Box::new(Writer::new(vocab, length, reader, Some(kind), device)?)))
            }
            None if reader == Reader::Causal && opened.model.decoder().is_some() => {
                Ok(Self::Writes(Box::new(Writer::new(vocab, opened.model.context(), reader, None, device)?)))
            }
            _ => {
                let message = format!("{} neither finds answers in a text nor writes", opened.dir.display());
                Err(Refusal::usage(
                    message,
                    "adapt it with ssl finetune to the task kind extraction, as fixtures/finetune/squad.toml does",
                ))
            }
        }
    }

    /// What the model may answer to each question. `stop` is told the share done, and ends it.
    pub(crate) fn candidates(
        &self,
        model: &dyn Model,
        index: &Index,
        asked: &[Asked],
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vec<Vec<Candidate>>, ssl_eval::Error> {
        match self {
            Self::Extracts(extractor) => extractor.candidates(model, index, asked, stop),
            Self::Writes(writer) => writer.candidates(model, index, asked, stop),
        }
    }

    /// Answers one question. `stop` ends it.
    pub(crate) fn answer(
        &self,
        model: &dyn Model,
        index: &Index,
        asked: &Asked,
        calibration: &Calibration,
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Answered, ssl_eval::Error> {
        let candidates = self.candidates(model, index, std::slice::from_ref(asked), stop)?;
        Ok(answered(index, asked, candidates.first().map_or(&[], Vec::as_slice), calibration))
    }
}

/// The best of what may be answered, with its places, or that nothing is said.
fn answered(index: &Index, asked: &Asked, candidates: &[Candidate], calibration: &Calibration) -> Answered {
    let Some((best, probability)) = calibration.best(candidates) else {
        let question = asked.question.clone();
        return Answered {
            question,
            answer: String::new(),
            probability: 0.0,
            abstained: true,
            citations: looked_at(index, asked),
        };
    };
    let abstained = probability < calibration.threshold;
    let same = |candidate: &&Candidate| candidate.text.to_lowercase() == best.text.to_lowercase();
    // Other passages that say the same stand behind the one that says it best.
    let places = std::iter::once(best).chain(candidates.iter().filter(same).filter(|candidate| *candidate != best));
    let mut citations: Vec<Citation> = places.filter_map(|candidate| cite(index, asked, candidate)).collect();
    if citations.is_empty() || abstained {
        citations = looked_at(index, asked);
    }
    let answer = if abstained { String::new() } else { best.text.clone() };
    Answered { question: asked.question.clone(), answer, probability, abstained, citations }
}

fn cite(index: &Index, asked: &Asked, candidate: &Candidate) -> Option<Citation> {
    let (at, inside) = candidate.place.clone()?;
    let score = asked.found.iter().find(|found| found.0 == at)?.1;
    let passage = index.passage(at);
    let from = passage.bytes.start;
    let around = Around { start: from, end: passage.bytes.end, text: passage.text.to_owned() };
    let (document, text) = (passage.document.to_owned(), passage.text.get(inside.clone())?.to_owned());
    Some(Citation { document, start: from + inside.start, end: from + inside.end, text, score, passage: around })
}

/// The passages that were read, as they stand.
fn looked_at(index: &Index, asked: &Asked) -> Vec<Citation> {
    let whole = |&(at, score): &(usize, f64)| {
        let passage = index.passage(at);
        let (start, end, text) = (passage.bytes.start, passage.bytes.end, passage.text.to_owned());
        let around = Around { start, end, text: text.clone() };
        Citation { document: passage.document.to_owned(), start, end, text, score, passage: around }
    };
    asked.found.iter().map(whole).collect()
}

/// Passages alone, where no model answers.
pub(crate) fn passages(index: &Index, asked: &Asked) -> Answered {
    let question = asked.question.clone();
    Answered { question, answer: String::new(), probability: 0.0, abstained: true, citations: looked_at(index, asked) }
}
