//! Multiple choice: the answer is the choice that the model finds likeliest after the question.
//!
//! Three ways to compare choices of unequal length: the sum of their nats, nats per byte, nats per token. Where the choices are
//! the words that name classes (`great`, `terrible`), this is classification by a prompt.
//!
//! Source: Brown et al. 2020, "Language models are few-shot learners", section 2.4 (likelihood, and per token); Gao et al. 2021,
//! lm-evaluation-harness (`acc`, and `acc_norm` over the length of the choice without the space before it).
//!
//! Differs: the harness' `acc_norm` counts characters, ours bytes; they are the same in ASCII.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::likelihood::{Request, Scored, Scorer};

/// A question with its choices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What stands before each choice.
    pub context: String,
    /// What may follow.
    pub choices: Vec<String>,
    /// Which of the choices is right, from 0.
    pub answer: usize,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Of each choice.
    pub scored: Vec<Scored>,
    /// The choice with the fewest nats.
    pub by_sum: usize,
    /// The choice with the fewest nats per byte.
    pub by_bytes: usize,
    /// The choice with the fewest nats per token.
    pub by_tokens: usize,
}

/// The shares of questions answered right.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    /// By the sum of nats.
    pub acc: Estimate,
    /// By nats per byte.
    pub acc_norm: Estimate,
    /// By nats per token.
    pub acc_tokens: Estimate,
    /// Of each question.
    pub answers: Vec<Answered>,
}

/// Asks every question. `delimiter` stands between context and choice, and is scored with the choice; it is a space in most tasks.
///
/// # Errors
/// Without a question, when an answer is none of the choices, and when scoring fails.
pub fn choose(scorer: &Scorer<'_>, questions: &[Question], delimiter: &str, stop: &dyn Fn(f64) -> bool) -> Result<Choices> {
    if questions.is_empty() {
        return Err(Error::Empty);
    }
    for (at, Question { choices, answer, .. }) in questions.iter().enumerate() {
        if *answer >= choices.len() {
            return Err(Error::Choice { at, answer: *answer, choices: choices.len() });
        }
    }
    let texts: Vec<String> =
        questions.iter().flat_map(|question| &question.choices).map(|choice| [delimiter, choice].concat()).collect();
    let contexts = questions.iter().flat_map(|question| question.choices.iter().map(|_| question.context.as_str()));
    let requests: Vec<Request<'_>> =
        contexts.zip(&texts).map(|(context, continuation)| Request { context, continuation }).collect();
    let mut scored = scorer.continuations(&requests, stop)?.into_iter();
    let answers: Vec<Answered> = questions
        .iter()
        .map(|question| Answered::new(scored.by_ref().take(question.choices.len()).collect(), &question.choices))
        .collect();
    let share = |of: fn(&Answered) -> usize| {
        let right = questions.iter().zip(&answers).map(|(question, found)| f64::from(of(found) == question.answer));
        Estimate::mean(&right.collect::<Vec<_>>())
    };
    Ok(Choices {
        acc: share(|found| found.by_sum),
        acc_norm: share(|found| found.by_bytes),
        acc_tokens: share(|found| found.by_tokens),
        answers,
    })
}

impl Answered {
    /// From what each choice was scored; bytes are those of `choices`.
    #[must_use]
    pub fn new(scored: Vec<Scored>, choices: &[String]) -> Self {
        let least = |of: &dyn Fn(usize) -> f64| first_least((0..scored.len()).map(of));
        Self {
            by_sum: least(&|at| scored[at].nats),
            by_bytes: least(&|at| scored[at].nats / choices[at].len().max(1) as f64),
            by_tokens: least(&|at| scored[at].nats / scored[at].tokens.max(1) as f64),
            scored,
        }
    }
}

/// The place of the least value, the first of equal ones.
fn first_least(values: impl Iterator<Item = f64>) -> usize {
    let least = values.enumerate().reduce(|least, one| if one.1 < least.1 { one } else { least });
    least.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_change_the_answer_and_the_first_of_equals_wins() {
        let choices = ["no".to_owned(), "certainly not".to_owned(), "on".to_owned()];
        let of = |nats, tokens| Scored { nats, tokens, bytes: 0, greedy: false };
        let found = Answered::new(vec![of(4.0, 1), of(6.0, 2), of(4.0, 2)], &choices);
        // 4, 6, 4 nats; 2, 0.46, 2 a byte; 4, 3, 2 a token.
        assert_eq!((found.by_sum, found.by_bytes, found.by_tokens), (0, 1, 2));
    }
}
