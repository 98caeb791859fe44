//! Answers that are written from the passages, by a model that goes on with a text, follows a conversation, or writes one text from
//! another. How sure it is, is the probability that it gives to a token of the answer, in the geometric mean.

use std::path::Path;

use ssl_data::document::Origin;
use ssl_data::retrieve::Index;
use ssl_data::task::{
    Content, Encoder, Example, PreferenceConfig, Reader, Role, TaskKind, Template, Turn, WritingConfig, WritingMetric,
};
use ssl_data::vocab::Vocab;
use ssl_eval::adapted::{self, Said};
use ssl_model::Model;
use tch::Device;

use super::{Asked, Candidate};

/// The most tokens of an answer.
const MOST: u32 = 64;

/// Writes answers with a model.
pub(crate) struct Writer {
    /// What prompts and answers are laid out by.
    encoder: Encoder,
    /// Whether what is asked is a turn of a conversation.
    chats: bool,
    /// What asks how likely an answer is.
    weighing: Encoder,
    /// Tokens of a prompt.
    room: usize,
    device: Device,
}

impl Writer {
    pub(super) fn new(
        vocab: &Vocab,
        length: usize,
        reader: Reader,
        kind: Option<&TaskKind>,
        device: Device,
    ) -> ssl_data::Result<Self> {
        let chats = matches!(kind, Some(TaskKind::Chat(_)));
        let encoder = match kind {
            Some(chat) if chats => Encoder::new(vocab, length, reader, chat)?,
            _ => Encoder::new(vocab, length, reader, &writing())?,
        };
        let weighing = Encoder::new(vocab, length, reader, &weighing())?;
        // Encoders keep at least half of a row for the prompt, and marks take a few tokens.
        let room = (length / 2).saturating_sub(8).max(1);
        Ok(Self { encoder, chats, weighing, room, device })
    }

    pub(super) fn candidates(
        &self,
        model: &dyn Model,
        index: &Index,
        asked: &[Asked],
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vec<Vec<Candidate>>, ssl_eval::Error> {
        let prompts: Vec<String> = asked.iter().map(|asked| self.prompt(index, asked)).collect::<ssl_data::Result<_>>()?;
        let writing = writing();
        let writes = adapted::Asked { model, encoder: &self.encoder, kind: &writing, labels: &[], device: self.device };
        let examples: Vec<Example> = prompts.iter().map(|prompt| self.example(prompt)).collect();
        let said = writes.answer(&examples, &|share| stop(0.5 * share))?;
        let texts: Vec<String> =
            said.into_iter().map(|said| if let Said::Text(text) = said { text } else { String::new() }).collect();
        let weigh = |(prompt, text): (&String, &String)| {
            let (prompt, chosen) = (prompt.clone(), text.clone());
            example(Content::Preference { prompt, chosen, rejected: String::new() })
        };
        let pairs: Vec<Example> = prompts.iter().zip(&texts).map(weigh).collect();
        let weighing = weighing();
        let weighs = adapted::Asked { encoder: &self.weighing, kind: &weighing, ..writes };
        let nats = weighs.answer(&pairs, &|share| stop(0.5 + 0.5 * share))?;
        let candidate = |(text, nats): (String, Said)| -> ssl_data::Result<Option<(String, f64)>> {
            let Said::Nats(nats) = nats else { return Ok(None) };
            // The end is a token of the answer too.
            let tokens = self.encoder.vocab().encode(&text)?.len() + 1;
            let share =
                (-f64::from(nats.first().copied().unwrap_or(f32::INFINITY)) / tokens as f64).exp().clamp(1e-9, 1.0 - 1e-9);
            Ok((!text.is_empty()).then(|| (text, (share / (1.0 - share)).ln())))
        };
        let mut all = Vec::with_capacity(asked.len());
        for (said, asked) in texts.into_iter().zip(nats).zip(asked) {
            all.push(candidate(said)?.into_iter().map(|(text, margin)| placed(index, asked, text, margin)).collect());
        }
        Ok(all)
    }

    /// As many passages as there is room for, best first, and the question.
    fn prompt(&self, index: &Index, asked: &Asked) -> ssl_data::Result<String> {
        let vocab = self.encoder.vocab();
        let question = format!("Question: {}\nAnswer:", asked.question);
        let mut room = self.room.saturating_sub(vocab.encode(&question)?.len());
        let mut prompt = String::new();
        for &(at, _) in &asked.found {
            let text = index.passage(at).text;
            let ids = vocab.encode_with_offsets(text)?;
            let end = ids.get(room).map_or(text.len(), |(_, bytes)| text.floor_char_boundary(bytes.start));
            prompt.push_str(text[..end].trim());
            prompt.push_str("\n\n");
            room = room.saturating_sub(ids.len() + 2);
            if room == 0 {
                break;
            }
        }
        Ok(prompt + &question)
    }

    fn example(&self, prompt: &str) -> Example {
        if self.chats {
            return example(Content::Turns(vec![Turn { role: Role::User, text: prompt.to_owned() }]));
        }
        example(Content::Writing { source: prompt.to_owned(), targets: Vec::new() })
    }
}

/// A written answer stands where the best passage says it too, word for word, if any does.
fn placed(index: &Index, asked: &Asked, text: String, margin: f64) -> Candidate {
    let find = |&(at, _): &(usize, f64)| index.passage(at).text.find(&text).map(|from| (at, from..from + text.len()));
    let place = asked.found.iter().find_map(find);
    Candidate { text, place, margin, prior: 0.0 }
}

fn writing() -> TaskKind {
    TaskKind::Writing(WritingConfig {
        source: Template::from("{source}"),
        target: Template::from("{target}"),
        metric: WritingMetric::Rouge,
        max_new_tokens: MOST,
        targets_train: Vec::new(),
        targets_validation: Vec::new(),
        targets_test: Vec::new(),
    })
}

/// A text from a prompt, whose likelihood is asked; the other answer is nothing.
fn weighing() -> TaskKind {
    let field = Template::from;
    TaskKind::Preference(PreferenceConfig { prompt: field("{prompt}"), chosen: field("{text}"), rejected: field("") })
}

fn example(content: Content) -> Example {
    Example { id: String::new(), origin: Origin { path: Path::new("").into(), line: 1, address: None }, content }
}
