//! Makes the content of an example out of a record, or says why it cannot.

use memchr::memmem;
use serde_json::Value;

use super::labels::Labels;
use crate::task::record::Record;
use crate::task::template::shown;
use crate::task::{
    Answer, ChatConfig, ChoiceConfig, ClassificationConfig, ClozeConfig, Content, Drop, ExtractionConfig, Role, TaggingConfig,
    TaskKind, Template, Turn,
};

type Made<T> = std::result::Result<T, Drop>;

/// Makes contents, with the labels met so far.
pub(super) struct Maker<'a> {
    pub(super) kind: &'a TaskKind,
    pub(super) labels: &'a mut Labels,
    /// Whether the examples are learned from: then an answer must have a place.
    pub(super) training: bool,
    /// Answers found elsewhere than said, and nowhere.
    pub(super) moved: u64,
    pub(super) lost: u64,
}

impl Maker<'_> {
    /// The record's own name, empty where it has none.
    #[expect(clippy::unused_self, reason = "called beside content")]
    pub(super) fn id(&self, record: &Record) -> String {
        match record.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn content(&mut self, record: &Record) -> Made<Content> {
        match self.kind {
            TaskKind::Classification(config) => self.texts(config, record),
            TaskKind::Tagging(config) => self.words(config, record),
            TaskKind::Extraction(config) => self.question(config, record),
            TaskKind::Writing(config) => {
                let targets: Vec<String> = config.target.fill_all(record)?;
                let targets: Vec<String> = targets.into_iter().filter(|target| !target.trim().is_empty()).collect();
                if targets.is_empty() {
                    return Err(Drop::Empty);
                }
                Ok(Content::Writing { source: text(&config.source, record)?, targets })
            }
            TaskKind::Chat(config) => turns(config, record),
            TaskKind::Preference(config) => Ok(Content::Preference {
                prompt: text(&config.prompt, record)?,
                chosen: text(&config.chosen, record)?,
                rejected: text(&config.rejected, record)?,
            }),
            TaskKind::Choice(config) => choice(config, record),
            TaskKind::Cloze(config) => cloze(config, record),
            TaskKind::MinimalPairs(config) => {
                Ok(Content::Pair { good: text(&config.good, record)?, bad: text(&config.bad, record)? })
            }
        }
    }

    fn texts(&mut self, config: &ClassificationConfig, record: &Record) -> Made<Content> {
        let first = text(&config.text, record)?;
        let second = config.second.as_ref().map(|second| text(second, record)).transpose()?;
        let label = shown(record.get(&config.label).ok_or(Drop::NoField)?)?;
        let label = label.trim();
        if label.is_empty() {
            return Err(Drop::NoField);
        }
        let label = config.label_names.get(label).map_or(label, String::as_str);
        Ok(Content::Texts { first, second, label: self.labels.id(label).ok_or(Drop::UnknownLabel)? })
    }

    fn words(&mut self, config: &TaggingConfig, record: &Record) -> Made<Content> {
        let list = |name: &str| match record.get(name) {
            Some(Value::Array(list)) => list.iter().map(shown).collect::<Made<Vec<String>>>(),
            _ => Err(Drop::NoField),
        };
        let (words, tags) = (list(&config.token)?, list(&config.tag)?);
        if words.len() != tags.len() {
            return Err(Drop::Broken);
        }
        if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
            return Err(Drop::Empty);
        }
        if tags.iter().any(|tag| tag.trim().is_empty()) {
            return Err(Drop::NoField);
        }
        let tags = tags.iter().map(|tag| self.labels.id(tag.trim()).ok_or(Drop::UnknownLabel)).collect::<Made<_>>()?;
        Ok(Content::Words { words, tags })
    }

    fn question(&mut self, config: &ExtractionConfig, record: &Record) -> Made<Content> {
        let string = |name| match record.get(name) {
            Some(Value::String(text)) if text.trim().is_empty() => Err(Drop::Empty),
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(Drop::NoField),
        };
        let (question, context) = (string("question")?, string("context")?);
        // What SQuAD 2.0 gives beside an unanswerable question are `plausible_answers`, which are none.
        let given = match record.get("answers") {
            Some(value) => answers(value)?,
            None if record.get("is_impossible") == Some(&Value::Bool(true)) => Vec::new(),
            None => return Err(Drop::NoField),
        };
        if given.is_empty() && !config.unanswerable {
            return Err(Drop::NoAnswer);
        }
        let (mut answers, mut references) = (Vec::new(), Vec::new());
        for (text, said) in given {
            match place(&context, &text, said) {
                Some((start, moved)) => {
                    self.moved += u64::from(moved);
                    answers.push(Answer { text: text.clone(), start });
                }
                None => self.lost += 1,
            }
            references.push(text);
        }
        if self.training && answers.is_empty() && !references.is_empty() {
            return Err(Drop::Misplaced);
        }
        Ok(Content::Question { question, context, answers, references })
    }
}

/// The text of a record, which may not be empty.
fn text(template: &Template, record: &Record) -> Made<String> {
    let text = template.fill(record)?;
    if text.trim().is_empty() { Err(Drop::Empty) } else { Ok(text) }
}

/// Texts of answers and where they are said to begin, in characters: a list of objects, or an object of lists.
fn answers(value: &Value) -> Made<Vec<(String, Option<usize>)>> {
    let one = |text: Option<&Value>, start: Option<&Value>| {
        let text = text.and_then(Value::as_str).ok_or(Drop::NoField)?;
        let start = match start {
            None | Some(Value::Null) => None,
            // One below 0 stands nowhere.
            Some(start) => Some(start.as_u64().map_or(usize::MAX, |start| start as usize)),
        };
        Ok((text.to_owned(), start))
    };
    let all: Made<Vec<_>> = match value {
        Value::Array(list) => list.iter().map(|answer| one(answer.get("text"), answer.get("answer_start"))).collect(),
        Value::Object(lists) => {
            let texts = lists.get("text").and_then(Value::as_array).ok_or(Drop::NoField)?;
            let starts = lists.get("answer_start").and_then(Value::as_array);
            let start = |at| starts.and_then(|starts| starts.get(at));
            texts.iter().enumerate().map(|(at, text)| one(Some(text), start(at))).collect()
        }
        _ => Err(Drop::NoField),
    };
    Ok(all?.into_iter().filter(|(text, _)| !text.trim().is_empty()).collect())
}

/// The first byte of an answer: where it is said to stand, or else the nearest place at which it does; and whether it was moved.
fn place(context: &str, text: &str, said: Option<usize>) -> Option<(usize, bool)> {
    let Some(said) = said else { return context.find(text).map(|at| (at, false)) };
    let byte = context.char_indices().nth(said).map_or(context.len(), |(at, _)| at);
    if context[byte..].starts_with(text) {
        return Some((byte, false));
    }
    // Bytes of equal letters are equal letters, and both ways of looking take linear time on any text.
    let (all, text) = (context.as_bytes(), text.as_bytes());
    let before = memmem::rfind(&all[..all.len().min(byte + text.len().saturating_sub(1))], text);
    let after = memmem::find(&all[byte..], text).map(|at| byte + at);
    before.into_iter().chain(after).min_by_key(|at| at.abs_diff(byte)).map(|at| (at, true))
}

fn turns(config: &ChatConfig, record: &Record) -> Made<Content> {
    let Some(Value::Array(list)) = record.get(&config.messages) else { return Err(Drop::NoField) };
    let mut turns = Vec::with_capacity(list.len());
    for message in list {
        let role = match message.get("role").and_then(Value::as_str) {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => return Err(Drop::NoField),
        };
        let text = message.get("content").and_then(Value::as_str).ok_or(Drop::NoField)?;
        if text.trim().is_empty() {
            return Err(Drop::Empty);
        }
        turns.push(Turn { role, text: text.to_owned() });
    }
    // Without a word of the assistant there is nothing to learn.
    let answered = turns.iter().any(|turn| turn.role == Role::Assistant);
    if answered { Ok(Content::Turns(turns)) } else { Err(Drop::NoAnswer) }
}

fn choice(config: &ChoiceConfig, record: &Record) -> Made<Content> {
    let prompt = config.prompt.fill(record)?;
    let choices = config.choices.of(record)?;
    if choices.iter().any(|choice| choice.trim().is_empty()) {
        return Err(Drop::Empty);
    }
    let answer = record.get(&config.answer).ok_or(Drop::NoField)?;
    let number = |number: u64| number.checked_sub(config.first_number).and_then(|at| usize::try_from(at).ok());
    let right = match answer {
        Value::Number(value) => value.as_u64().and_then(number),
        Value::String(text) => {
            let text = text.trim();
            let letter = || match text.as_bytes() {
                &[letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
                _ => None,
            };
            let same = choices.iter().position(|choice| choice.trim() == text);
            same.or_else(letter).or_else(|| text.parse().ok().and_then(number))
        }
        _ => return Err(Drop::NoField),
    };
    let right = right.filter(|&right| right < choices.len() && choices.len() > 1).ok_or(Drop::NoAnswer)?;
    Ok(Content::Choice { prompt, choices, right })
}

fn cloze(config: &ClozeConfig, record: &Record) -> Made<Content> {
    let (whole, answer) = (text(&config.text, record)?, text(&config.answer, record)?);
    let (before, after) = whole.split_once(config.gap.as_str()).unwrap_or((&whole, ""));
    Ok(Content::Cloze { before: before.into(), answer, after: after.into() })
}
