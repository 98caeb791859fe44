//! An answer to one example.

use serde::Serialize;
use ssl_data::task::{Content, Encoded, Example, TaskKind, WritingConfig};

use super::{Asked, span};
use crate::beam::Beam;
use crate::error::{Error, Result};
use crate::sample::{Sampling, Want, generate};

/// Sources written from at once.
const ROWS: usize = 32;

/// What a model says of an example.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The probability of each class.
    Class(Vec<f32>),
    /// The tag of each word.
    Tags(Vec<usize>),
    /// A span of the passage.
    Span {
        /// Its text.
        text: String,
        /// Its first byte in the passage.
        start: usize,
        /// The score of its beginning and end.
        score: f32,
        /// How much likelier no answer is, as a difference of scores.
        no_answer: f32,
    },
    /// A text that was written.
    Text(String),
    /// Nats of what was to be said: one number, or the better answer's and then the other's.
    Nats(Vec<f32>),
}

impl Said {
    /// The answer from an example's rows and what the model made of each.
    pub(super) fn of(kind: &TaskKind, example: &Example, rows: &[Encoded], read: &[Vec<f32>]) -> Self {
        match (kind, &example.content) {
            (TaskKind::Classification(_), _) => Self::Class(mean_probabilities(read)),
            (TaskKind::Tagging(_), Content::Words { words, .. }) => Self::Tags(tags(words.len(), rows, read)),
            (TaskKind::Extraction(config), Content::Question { context, .. }) => {
                let found = span::best(rows, read, config.max_answer_tokens as usize);
                let (start, end) = found.map_or((0, 0), |found| (found.bytes.0 as usize, found.bytes.1 as usize));
                let text = context.get(start..end).unwrap_or_default().trim();
                let (score, no_answer) = found.map_or((f32::NEG_INFINITY, f32::INFINITY), |found| (found.score, found.no_answer));
                Self::Span { text: text.to_owned(), start, score, no_answer }
            }
            _ => Self::Nats(read.iter().flatten().copied().collect()),
        }
    }
}

/// The mean over rows of their classes' probabilities.
fn mean_probabilities(read: &[Vec<f32>]) -> Vec<f32> {
    let mut mean = vec![0.0_f64; read.first().map_or(0, Vec::len)];
    for logits in read {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let parts: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - highest).exp()).collect();
        let all: f64 = parts.iter().sum();
        mean.iter_mut().zip(parts).for_each(|(mean, part)| *mean += part / all / read.len() as f64);
    }
    mean.into_iter().map(|p| p as f32).collect()
}

/// The likeliest tag of each word, at its first token.
fn tags(words: usize, rows: &[Encoded], read: &[Vec<f32>]) -> Vec<usize> {
    let mut tags = vec![0; words];
    for (row, logits) in rows.iter().zip(read) {
        let c = logits.len() / row.len().max(1);
        for at in (0..row.len()).filter(|&at| row.weights.get(at).is_some_and(|&weight| weight > 0.0)) {
            let (Some((word, _)), Some(logits)) = (row.spans.get(at), logits.get(at * c..(at + 1) * c)) else { continue };
            if let Some(tag) = tags.get_mut((*word as usize).wrapping_sub(1)) {
                *tag = largest(logits);
            }
        }
    }
    tags
}

/// The place of the largest number: of equal ones the first.
pub(super) fn largest(numbers: &[f32]) -> usize {
    (0..numbers.len()).rev().max_by(|&a, &b| numbers[a].total_cmp(&numbers[b])).unwrap_or(0)
}

/// Writes from every source: by beam search where a model has two stacks, else the likeliest token after another.
pub(super) fn write(
    asked: &Asked<'_>,
    writing: &WritingConfig,
    examples: &[Example],
    stop: &dyn Fn(f64) -> bool,
) -> Result<Vec<Said>> {
    let prompts = examples.iter().map(|example| asked.encoder.prompt(example)).collect::<ssl_data::Result<Vec<_>>>()?;
    let vocab = asked.encoder.vocab();
    let most = writing.max_new_tokens as usize;
    let mut written = vec![String::new(); examples.len()];
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&at| (prompts[at].len(), at));
    let pairs = asked.encoder.reads_pairs();
    for (done, some) in order.chunks(if pairs { ROWS } else { 1 }).enumerate() {
        if stop(done as f64 * some.len() as f64 / order.len() as f64) {
            return Err(Error::Stopped);
        }
        if pairs {
            let texts: Vec<&[u32]> = some.iter().map(|&at| prompts[at].as_slice()).collect();
            let (source, start) = asked.encoder.sources(&texts);
            let source = ssl_torch::guard(|| super::source(source, asked.device))?;
            let beam = Beam { max_tokens: most.min(asked.model.context()), ..Beam::default() };
            for (&at, ids) in some.iter().zip(beam.search(asked.model, &source, start, vocab.separator())?) {
                written[at] = vocab.decode(&ids);
            }
        } else {
            let at = some[0];
            let mut ids = Vec::new();
            let greedy = Sampling::greedy();
            generate(asked.model, asked.device, &prompts[at], most as u64, &greedy, &mut |id, _| {
                if id == vocab.separator() {
                    return Want::Enough;
                }
                ids.push(id);
                Want::More
            })?;
            written[at] = vocab.decode(&ids);
        }
    }
    Ok(written.into_iter().map(|text| Said::Text(text.trim().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_numbers_the_first_is_largest() {
        assert_eq!((largest(&[1.0, 3.0, 3.0]), largest(&[2.0, 2.0]), largest(&[])), (1, 0, 0));
    }

    #[test]
    fn windows_of_a_text_are_averaged_as_probabilities() {
        let found = mean_probabilities(&[vec![0.0, 0.0], vec![f32::ln(3.0), 0.0]]);
        assert!((found[0] - 0.625).abs() < 1e-6 && (found[1] - 0.375).abs() < 1e-6, "{found:?}");
    }
}
