//! Answers that stand in a passage, word for word.

use std::path::Path;

use ssl_data::document::Origin;
use ssl_data::retrieve::Index;
use ssl_data::task::{Content, Encoder, Example, Reader, TaskKind};
use ssl_data::vocab::Vocab;
use ssl_eval::adapted::{self, Said};
use ssl_model::Model;
use tch::Device;

use super::{Asked, Candidate};

/// Questions whose passages are read together: enough to fill batches of one length, and to hear a signal soon.
const TOGETHER: usize = 64;

/// Reads passages with a model that was adapted to extraction.
pub(crate) struct Extractor {
    encoder: Encoder,
    kind: TaskKind,
    device: Device,
}

impl Extractor {
    pub(super) fn new(vocab: &Vocab, length: usize, reader: Reader, kind: &TaskKind, device: Device) -> ssl_data::Result<Self> {
        Ok(Self { encoder: Encoder::new(vocab, length, reader, kind)?, kind: kind.clone(), device })
    }

    pub(super) fn candidates(
        &self,
        model: &dyn Model,
        index: &Index,
        asked: &[Asked],
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vec<Vec<Candidate>>, ssl_eval::Error> {
        let reads = adapted::Asked { model, encoder: &self.encoder, kind: &self.kind, labels: &[], device: self.device };
        let mut all = Vec::with_capacity(asked.len());
        for (at, some) in asked.chunks(TOGETHER).enumerate() {
            let share = |part: f64| (at as f64 + part) * TOGETHER as f64 / asked.len() as f64;
            let question = |asked: &Asked| {
                let question = asked.question.clone();
                asked.found.iter().map(move |found| example(&question, index.passage(found.0).text)).collect::<Vec<_>>()
            };
            let examples: Vec<Example> = some.iter().flat_map(question).collect();
            let mut said = reads.answer(&examples, &|part| stop(share(part).min(1.0)))?.into_iter();
            for asked in some {
                let best = asked.found.first().map_or(1.0, |found| found.1);
                let candidate = |(&(at, score), said): (&(usize, f64), Said)| match said {
                    Said::Span { text, start, no_answer, .. } if !text.is_empty() => {
                        let passage = index.passage(at).text;
                        // The text was trimmed, its place was not.
                        let start = start + passage[start..].len() - passage[start..].trim_start().len();
                        let place = Some((at, start..start + text.len()));
                        Some(Candidate { text, place, margin: -f64::from(no_answer), prior: (score / best).ln() })
                    }
                    _ => None,
                };
                all.push(asked.found.iter().zip(said.by_ref()).filter_map(candidate).collect());
            }
        }
        Ok(all)
    }
}

/// A question to a passage.
fn example(question: &str, passage: &str) -> Example {
    let content = Content::Question {
        question: question.to_owned(),
        context: passage.to_owned(),
        answers: Vec::new(),
        references: Vec::new(),
    };
    Example { id: String::new(), origin: Origin { path: Path::new("").into(), line: 1, address: None }, content }
}
