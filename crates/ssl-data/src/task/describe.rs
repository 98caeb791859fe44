//! What is told of a task: how many examples, what was left out, how much each class counts.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Content, Drop, Split, Task};

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "broken",
            Self::NoField => "no-field",
            Self::Empty => "empty",
            Self::UnknownLabel => "unknown-label",
            Self::Misplaced => "misplaced",
            Self::NoAnswer => "no-answer",
        })
    }
}

/// Drops by reason, as in `2 empty, 1 unknown-label`.
pub(super) fn drops(dropped: &BTreeMap<Drop, u64>) -> String {
    let each: Vec<String> = dropped.iter().map(|(drop, count)| format!("{count} {drop}")).collect();
    each.join(", ")
}

impl Split {
    /// How many examples it has and what was left out, in a line.
    #[must_use]
    pub fn describe(&self) -> String {
        let count = self.examples.len();
        let mut told = format!("{count} example{}", if count == 1 { "" } else { "s" });
        let left: u64 = self.dropped.values().sum();
        if left > 0 {
            let first = self.first_dropped.as_ref().map_or_else(String::new, |first| format!(" (the first: {first})"));
            told = format!("{told}; {left} left out: {}{first}", drops(&self.dropped));
        }
        if self.moved + self.lost > 0 {
            told = format!("{told}; {} answers stand elsewhere than said, {} nowhere", self.moved, self.lost);
        }
        told
    }
}

impl Task {
    /// What each label counts in the loss so that all count the same: `n / (k n_c)` over the training examples, or their words; 1 for a
    /// label without any.
    #[must_use]
    pub fn balanced_weights(&self) -> Vec<f32> {
        let mut counts = vec![0_u64; self.labels.len()];
        for example in &self.train.examples {
            let labels: &[usize] = match &example.content {
                Content::Texts { label, .. } => std::slice::from_ref(label),
                Content::Words { tags, .. } => tags,
                _ => &[],
            };
            for &label in labels {
                counts[label] += 1;
            }
        }
        let all: u64 = counts.iter().sum();
        let share = |&count: &u64| if count == 0 { 1.0 } else { all as f32 / (counts.len() as f32 * count as f32) };
        counts.iter().map(share).collect()
    }
}

impl Split {
    /// What was left out, by reason.
    #[must_use]
    pub fn dropped_json(&self) -> Value {
        self.dropped.iter().map(|(drop, count)| (drop.to_string(), (*count).into())).collect::<Map<String, Value>>().into()
    }
}

impl Content {
    /// What it holds, with the names of labels: what reports show of an example.
    #[must_use]
    pub fn to_json(&self, labels: &[String]) -> Value {
        let name = |label: usize| labels.get(label).map_or("", String::as_str);
        match self {
            Self::Texts { first, second, label } => json!({ "text": first, "second": second, "label": name(*label) }),
            Self::Words { words, tags } => {
                json!({ "words": words, "tags": tags.iter().map(|&tag| name(tag)).collect::<Vec<_>>() })
            }
            Self::Question { question, context, references, .. } => {
                json!({ "question": question, "context": context, "references": references })
            }
            Self::Writing { source, targets } => json!({ "source": source, "targets": targets }),
            Self::Turns(turns) => turns.iter().map(|turn| json!({ "role": turn.role.name(), "text": turn.text })).collect(),
            Self::Preference { prompt, chosen, rejected } => json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected }),
            Self::Choice { prompt, choices, right } => json!({ "prompt": prompt, "choices": choices, "right": right }),
            Self::Cloze { before, answer, after } => json!({ "before": before, "answer": answer, "after": after }),
            Self::Pair { good, bad } => json!({ "good": good, "bad": bad }),
        }
    }

    /// The texts that a model reads of it, without labels and answers.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Texts { first, second, .. } => [Some(first.as_str()), second.as_deref()].into_iter().flatten().collect(),
            Self::Words { words, .. } => words.iter().map(String::as_str).collect(),
            Self::Question { question, context, .. } => vec![question, context],
            Self::Writing { source, .. } => vec![source],
            Self::Turns(turns) => turns.iter().map(|turn| turn.text.as_str()).collect(),
            Self::Preference { prompt, .. } => vec![prompt],
            Self::Choice { prompt, choices, .. } => {
                [prompt.as_str()].into_iter().chain(choices.iter().map(String::as_str)).collect()
            }
            Self::Cloze { before, answer, after } => vec![before, answer, after],
            Self::Pair { good, .. } => vec![good],
        }
    }

    /// A hash of all that is read of it, without labels: equal for examples that are word for word the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let texts = |texts: &[&str]| -> u64 {
            // With their lengths, so that no two lists give the same bytes.
            let parts = texts.iter().flat_map(|text| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat());
            xxh3_64(&parts.collect::<Vec<u8>>())
        };
        match self {
            Self::Texts { first, second, .. } => texts(&[first, second.as_deref().unwrap_or_default()]),
            Self::Words { words, .. } => texts(&words.iter().map(String::as_str).collect::<Vec<_>>()),
            Self::Question { question, context, .. } => texts(&[question, context]),
            Self::Writing { source, .. } => texts(&[source]),
            Self::Turns(turns) => texts(&turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>()),
            Self::Preference { prompt, chosen, rejected } => texts(&[prompt, chosen, rejected]),
            Self::Choice { prompt, choices, .. } => {
                texts(&[prompt.as_str()].into_iter().chain(choices.iter().map(String::as_str)).collect::<Vec<_>>())
            }
            Self::Cloze { before, after, .. } => texts(&[before, after]),
            Self::Pair { good, bad } => texts(&[good, bad]),
        }
    }

    /// A hash of what must not stand in two splits at once: as [`Self::digest`], but the passage alone of a question, and the prompt
    /// alone of a preference.
    pub(super) fn side(&self) -> u64 {
        match self {
            Self::Question { context, .. } => xxh3_64(context.as_bytes()),
            Self::Preference { prompt, .. } => xxh3_64(prompt.as_bytes()),
            _ => self.digest(),
        }
    }
}
