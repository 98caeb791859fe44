//! How a conversation becomes what the model reads: as it was tuned, or else in one plain form that is said here.
//!
//! A model that was not tuned to converse reads each turn as a line `role: content`, and then `assistant:`; what it writes ends where
//! another's turn would begin. Nothing that a user writes becomes a special token.

use serde_json::Value;
use ssl_data::document::BORDER;
use ssl_data::task::{Content, Encoder, Reader, Role, TaskKind, Turn};
use ssl_data::vocab::Vocab;

use super::ask::{Ask, missing, wrong};
use super::fault::{Fault, Result};
use super::served::{Served, example};

/// The most turns of a conversation.
const TURNS: usize = 1024;
/// Longer than any prompt: what is too long is refused, and not cut without a word.
const ENDLESS: usize = usize::MAX / 4;
/// Special tokens that begin turns, where a model was tuned with them.
const MARKS: [&str; 3] = ["<|system|>", "<|user|>", "<|assistant|>"];

/// How a conversation becomes a text.
pub(super) enum Turns {
    /// As the model was tuned.
    Tuned(Box<Encoder>),
    /// In lines.
    Plain,
}

impl Turns {
    /// As a model was adapted that reads in such a way.
    pub(super) fn of(kind: Option<&TaskKind>, vocab: &Vocab, reader: Reader) -> ssl_data::Result<Self> {
        match kind {
            Some(kind @ TaskKind::Chat(_)) => Ok(Self::Tuned(Box::new(Encoder::new(vocab, ENDLESS, reader, kind)?))),
            _ => Ok(Self::Plain),
        }
    }

    /// What is read before the answer, and the ids and texts that would begin another's turn.
    pub(super) fn prompt(&self, ask: &Ask, served: &Served) -> Result<(Vec<u32>, Vec<u32>, Vec<String>)> {
        let mut turns = turns(ask)?;
        let vocab = &served.vocab;
        match self {
            Self::Tuned(encoder) => {
                // The turn that is to be written.
                turns.push(Turn { role: Role::Assistant, text: String::new() });
                let ids = encoder.prompt(&example(Content::Turns(turns)))?;
                let marks = MARKS.iter().filter_map(|mark| vocab.special(mark).ok()).collect();
                Ok((ids, marks, Vec::new()))
            }
            Self::Plain => {
                let line = |turn: &Turn| format!("{}: {}\n", turn.role.name(), turn.text);
                let text = turns.iter().map(line).chain([format!("{}:", Role::Assistant.name())]).collect::<String>();
                let ids = [vocab.separator()].into_iter().chain(vocab.encode_foreign(&text)?).collect();
                let stops = [Role::System, Role::User, Role::Assistant].map(|role| format!("\n{}:", role.name()));
                Ok((ids, Vec::new(), stops.into()))
            }
        }
    }
}

/// The turns that a request holds.
fn turns(ask: &Ask) -> Result<Vec<Turn>> {
    let list = match ask.get("messages").ok_or_else(|| missing("messages"))? {
        Value::Array(list) if (1..=TURNS).contains(&list.len()) => list,
        Value::Array(list) => {
            return Err(Fault::param("messages", format!("there are {} messages, and from 1 to {TURNS} are read", list.len())));
        }
        value => return Err(wrong("messages", value, "a list of messages")),
    };
    list.iter().enumerate().map(|(at, message)| turn(&format!("messages[{at}]"), message)).collect()
}

fn turn(at: &str, message: &Value) -> Result<Turn> {
    let role = match message["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => return Err(wrong(&format!("{at}.role"), &message["role"], "system, developer, user or assistant")),
    };
    let name = format!("{at}.content");
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Null if role == Role::Assistant => String::new(),
        Value::Array(parts) => {
            let part = |part: &Value| match (part["type"].as_str(), part["text"].as_str()) {
                (Some("text"), Some(text)) => Ok(text.to_owned()),
                _ => Err(wrong(&name, part, "a text, or parts of the type text")),
            };
            parts.iter().map(part).collect::<Result<String>>()?
        }
        value => return Err(wrong(&name, value, "a text, or parts of the type text")),
    };
    // What the project writes between two sides of a pair is nothing that a user may say.
    Ok(Turn { role, text: text.replace(BORDER, " ") })
}
