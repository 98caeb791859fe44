//! Labelled tasks: examples that a pretrained model is adapted to and judged by, from tables, tagged sentences and question sets.
//!
//! A [`TaskConfig`] says where the examples lie and how a record becomes one; [`Task::load`] reads them, [`Encoder`] turns them
//! into rows of tokens, and a batch of rows is a [`Batch`](crate::batch::Batch) as in pretraining, so that models need no second way in.

mod config;
mod describe;
mod encode;
mod load;
mod record;
mod template;

use std::collections::BTreeMap;

pub use config::*;
pub use encode::{Encoded, Encoder, Reader};
pub use template::Template;

use crate::document::Origin;

/// One example of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The record's own `id`, or its number in the split, from 0.
    pub id: String,
    /// Where it was read from.
    pub origin: Origin,
    /// What it holds.
    pub content: Content,
}

/// What an example holds, by the task's kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One text or two, of one class.
    Texts {
        /// The text.
        first: String,
        /// The text beside it.
        second: Option<String>,
        /// Its class, an index into [`Task::labels`].
        label: usize,
    },
    /// A sentence whose words are tagged; as many tags as words, at least one.
    Words {
        /// The words.
        words: Vec<String>,
        /// Their tags, indices into [`Task::labels`].
        tags: Vec<usize>,
    },
    /// A question to a passage.
    Question {
        /// The question.
        question: String,
        /// The passage.
        context: String,
        /// Answers that people gave and that stand in the passage, in the order of the record; none where the passage does not answer.
        answers: Vec<Answer>,
        /// The texts of all answers that people gave, whether they stand in the passage or not: what scores are computed against.
        references: Vec<String>,
    },
    /// A text that is written from another.
    Writing {
        /// What is read.
        source: String,
        /// What may be written: the first is learned, all count in scores.
        targets: Vec<String>,
    },
    /// A conversation.
    Turns(Vec<Turn>),
    /// Two answers to a prompt, of which one is better.
    Preference {
        /// What both answer.
        prompt: String,
        /// The better answer.
        chosen: String,
        /// The other.
        rejected: String,
    },
    /// Several ways to go on from a prompt, of which one is right.
    Choice {
        /// What comes before.
        prompt: String,
        /// The ways to go on.
        choices: Vec<String>,
        /// The right one.
        right: usize,
    },
    /// A text with a gap.
    Cloze {
        /// What comes before the gap.
        before: String,
        /// What fills it.
        answer: String,
        /// What comes after.
        after: String,
    },
    /// Two texts of which the first is better, such as a grammatical sentence and one that is not.
    Pair {
        /// The better one.
        good: String,
        /// The other.
        bad: String,
    },
}

/// An answer as it stands in its passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Its first byte in the passage.
    pub start: usize,
}

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sets the scene.
    System,
    /// Asks.
    User,
    /// Answers; what it says is learned.
    Assistant,
}

/// The examples of one split, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    /// In the order of the files.
    pub examples: Vec<Example>,
    /// Records left out, by why.
    pub dropped: BTreeMap<Drop, u64>,
    /// The place of the first record left out, for messages.
    pub first_dropped: Option<String>,
    /// Answers that were found at another place of their passage than the record says.
    pub moved: u64,
    /// Answers that stand nowhere in their passage; they remain as references.
    pub lost: u64,
    /// SHA-256 of its files one after another, in hexadecimal; empty where it has none of its own.
    pub sha256: String,
}

/// Why a record was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drop {
    /// It is no object, row or sentence of its format.
    Broken,
    /// A field that the task names is missing or of another type.
    NoField,
    /// A text that may not be empty is.
    Empty,
    /// The label is none of the task's: one that no training example has.
    UnknownLabel,
    /// Every answer it gives stands elsewhere in the passage than it says, or not at all.
    Misplaced,
    /// The answer or the choice does not exist.
    NoAnswer,
}

impl Role {
    /// Its name in conversations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A task with its examples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Task {
    /// The classes or tags, in their order; empty for kinds without.
    pub labels: Vec<String>,
    /// What is learned from.
    pub train: Split,
    /// What decides when to stop.
    pub validation: Split,
    /// What is reported.
    pub test: Split,
    /// How many examples of validation and test are, word for word, training examples too: counted and told, not removed.
    pub repeated: [u64; 2],
}
