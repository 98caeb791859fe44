//! An example as texts whose likelihood decides: choices after a prompt, a word for each class, a gap, two texts.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use ssl_data::task::{ClassificationConfig, Content, Example, Task, TaskKind};
use ssl_data::vocab::Vocab;
use ssl_eval::Estimate;
use ssl_eval::choice::Answered;
use ssl_eval::few_shot::FewShot;
use ssl_eval::likelihood::{Gap, Request, Scored, Scorer};
use ssl_eval::results::{Metric, Sample};

use crate::suite::SuiteTask;

/// One example to be scored.
pub(super) struct Question {
    doc: Value,
    /// What stands before every text.
    context: String,
    /// The texts: choices, the two of a pair, or what fills a gap.
    texts: Vec<String>,
    /// What stands after a gap.
    after: String,
    /// The right one.
    right: usize,
    target: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Choice,
    Gap,
    Pair,
}

impl Question {
    /// The questions of all examples, each with its examples before it.
    pub(super) fn all(
        asked: &SuiteTask,
        task: &Task,
        examples: &[Example],
        seed: u64,
        vocab: &Vocab,
        context: usize,
    ) -> Result<Vec<Self>> {
        let labels = &task.labels;
        let plain = |example: &Example| Self::of(&asked.task.kind, example, labels);
        let mut questions: Vec<Self> = examples.iter().filter_map(plain).collect();
        if asked.shots == 0 {
            return Ok(questions);
        }
        let shown: Vec<String> = task.train.examples.iter().filter_map(plain).map(|question| question.solved()).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let few = FewShot { shots: asked.shots as usize, seed };
        for (index, question) in questions.iter_mut().enumerate() {
            let longest = question
                .texts
                .iter()
                .map(|text| vocab.encode(text).map(|ids| ids.len()))
                .collect::<ssl_data::Result<Vec<_>>>()?;
            let room = context.saturating_sub(longest.into_iter().max().unwrap_or(0) + 1);
            question.context = few.prompt(vocab, &shown, &question.context, index as u64, None, room)?.text;
        }
        Ok(questions)
    }

    fn of(kind: &TaskKind, example: &Example, labels: &[String]) -> Option<Self> {
        let doc = example.content.to_json(labels);
        let new = |context: String, texts: Vec<String>, right: usize, kind| {
            let target = texts.get(right).cloned().unwrap_or_default();
            Self { doc: doc.clone(), context, texts, after: String::new(), right, target, kind }
        };
        match (kind, &example.content) {
            (TaskKind::Choice(_), Content::Choice { prompt, choices, right }) => {
                let choices = choices.iter().map(|choice| format!("{}{choice}", between(prompt, choice))).collect();
                Some(new(prompt.clone(), choices, *right, Kind::Choice))
            }
            (TaskKind::Classification(config), Content::Texts { first, second, label }) => {
                let (context, words) = by_words(config, first, second.as_deref(), labels)?;
                Some(new(context, words, *label, Kind::Choice))
            }
            (TaskKind::MinimalPairs(_), Content::Pair { good, bad }) => {
                Some(new(String::new(), vec![good.clone(), bad.clone()], 0, Kind::Pair))
            }
            (TaskKind::Cloze(_), Content::Cloze { before, answer, after }) => {
                let question = new(before.clone(), vec![answer.clone()], 0, Kind::Gap);
                Some(Self { after: after.clone(), ..question })
            }
            _ => None,
        }
    }

    /// The question with its answer, as it stands before another.
    fn solved(&self) -> String {
        format!("{}{}{}", self.context, self.target, self.after)
    }

    /// Scores some questions, numbers `docs` of the task.
    pub(super) fn score(
        questions: &[&Self],
        docs: &[usize],
        scorer: &Scorer<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Sample>> {
        let stop = |_| stop();
        let gapped = questions.iter().any(|question| question.kind == Kind::Gap);
        let scored = if gapped {
            scorer.gaps(&questions.iter().map(|question| question.gap()).collect::<Vec<_>>(), &stop)?
        } else {
            scorer.continuations(&questions.iter().flat_map(|question| question.requests()).collect::<Vec<_>>(), &stop)?
        };
        let mut scored = scored.into_iter();
        let sample = |(question, &doc): (&&Self, &usize)| {
            let own: Vec<Scored> = scored.by_ref().take(question.texts.len()).collect();
            let scores = question.credits(&own);
            Sample::new(doc as u64, question.doc.clone(), question.target.clone(), &question.requests(), &own, scores)
        };
        Ok(questions.iter().zip(docs).map(sample).collect())
    }

    fn requests(&self) -> Vec<Request<'_>> {
        self.texts.iter().map(|text| Request { context: &self.context, continuation: text }).collect()
    }

    fn gap(&self) -> Gap<'_> {
        Gap { before: &self.context, answer: self.texts.first().map_or("", String::as_str), after: &self.after }
    }

    /// What the example adds to each score.
    fn credits(&self, scored: &[Scored]) -> BTreeMap<String, f64> {
        let one = |right: bool| f64::from(u8::from(right));
        let named = |scores: Vec<(&str, f64)>| scores.into_iter().map(|(name, score)| (name.to_owned(), score)).collect();
        match self.kind {
            Kind::Choice => {
                // The space before a choice is none of its bytes.
                let bare: Vec<String> = self.texts.iter().map(|text| text.trim_start().to_owned()).collect();
                let answered = Answered::new(scored.to_vec(), &bare);
                named(vec![
                    ("acc", one(answered.by_sum == self.right)),
                    ("acc_norm", one(answered.by_bytes == self.right)),
                    ("acc_tokens", one(answered.by_tokens == self.right)),
                ])
            }
            Kind::Gap => {
                let nats = scored.first().map_or(0.0, |one| one.nats);
                named(vec![("acc", one(scored.first().is_some_and(|one| one.greedy))), ("nats", nats)])
            }
            Kind::Pair => {
                let (good, bad) = (scored[0].nats, scored[1].nats);
                let credit = if good < bad {
                    1.0
                } else if good > bad {
                    0.0
                } else {
                    0.5
                };
                named(vec![("acc", credit)])
            }
        }
    }

    /// The scores of a task over its examples.
    pub(super) fn metrics(kind: &TaskKind, samples: &[Sample]) -> Vec<Metric> {
        let mean = |name: &str| {
            let of: Vec<f64> = samples.iter().filter_map(|sample| sample.scores.get(name).copied()).collect();
            Estimate::mean(&of)
        };
        let metric = |name: &str| Metric { name: name.into(), estimate: mean(name), higher_is_better: true };
        match kind {
            TaskKind::Cloze(_) => {
                let nats = mean("nats");
                // The error of an exponential, to first order.
                let perplexity = Estimate { value: nats.value.exp(), stderr: nats.value.exp() * nats.stderr, n: nats.n };
                vec![metric("acc"), Metric { name: "perplexity".into(), estimate: perplexity, higher_is_better: false }]
            }
            TaskKind::MinimalPairs(_) => vec![metric("acc")],
            _ => vec![metric("acc"), metric("acc_norm"), metric("acc_tokens")],
        }
    }
}

/// What stands between a prompt and a choice: a space, unless one is there or the script has none.
fn between(prompt: &str, choice: &str) -> &'static str {
    let spaceless = |c: char| ('\u{2e80}'..='\u{9fff}').contains(&c) || ('\u{f900}'..='\u{ff65}').contains(&c);
    let (before, after) = (prompt.chars().next_back(), choice.chars().next());
    match (before, after) {
        (None, _) => "",
        (Some(b), Some(a)) if b.is_whitespace() || a.is_whitespace() || spaceless(b) && spaceless(a) => "",
        _ => " ",
    }
}

/// The prompt up to the word, and for each class its word with what follows.
fn by_words(
    config: &ClassificationConfig,
    first: &str,
    second: Option<&str>,
    labels: &[String],
) -> Option<(String, Vec<String>)> {
    const WORD: &str = "\u{1}";
    let prompt = config.prompt.as_ref()?;
    let filled = prompt.fill_with(|name| match name {
        "text" => Some(first),
        "second" => second,
        "word" => Some(WORD),
        _ => None,
    });
    let (before, after) = filled.split_once(WORD)?;
    // A space before the word is the word's own, as tokens have it.
    let context = before.trim_end_matches(' ');
    let space = &before[context.len()..];
    let words = labels.iter().map(|label| {
        let word = config.words.get(label).map_or(label.as_str(), String::as_str);
        format!("{space}{word}{after}")
    });
    Some((context.to_owned(), words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_stands_where_the_script_has_one() {
        assert_eq!((between("a", "b"), between("a ", "b"), between("", "b")), (" ", "", ""));
        assert_eq!((between("中", "文"), between("中", "a"), between("?", "文")), ("", " ", " "));
    }
}
