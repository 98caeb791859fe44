//! Judges documents by the published heuristics for web text, each a named rule with its paper's bounds as defaults.
//!
//! A rule set is asked only where the configuration names it, in `FineWeb`'s order: language, Gopher repetition, Gopher quality, C4,
//! `FineWeb`. The first rule that a text breaks is why it is dropped. C4 also takes lines out; what comes after it sees what it left.
//! Everything here is a pure function of a text and the configuration.
//!
//! Text is expected as [`clean`](crate::clean) leaves it: line feeds alone end lines.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Fault;

mod c4;
pub(crate) mod classes;
mod english;
mod fineweb;
mod gopher;
mod language;
pub(crate) mod profile;
mod repeats;
mod rule;

pub use c4::{C4, RemovedLines};
pub use fineweb::FineWeb;
pub use gopher::{GopherQuality, GopherRepetition};
pub use language::{LanguageRules, identify};
pub use rule::Rule;

use profile::Profile;

/// `[data.filter]`: the rule sets that are asked. None is, by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FilterConfig {
    /// Which languages are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageRules>,
    /// How much of a text may repeat itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gopher_repetition: Option<GopherRepetition>,
    /// What running text looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gopher_quality: Option<GopherQuality>,
    /// Which lines are sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c4: Option<C4>,
    /// What lists and menus look like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fineweb: Option<FineWeb>,
    /// What a trained classifier says; asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityRules>,
}

/// `[data.filter.quality]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QualityRules {
    /// A file that [`Classifier::save`](crate::classify::Classifier::save) wrote.
    pub model: PathBuf,
    /// Documents of a lower score are dropped.
    #[serde(default = "default_score")]
    pub min_score: f32,
}

const fn default_score() -> f32 {
    0.5
}

/// A text that broke no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed<'a> {
    /// The text, without the lines that were taken out.
    pub text: Cow<'a, str>,
    /// The code of its language, where that is asked for.
    pub language: Option<&'static str>,
    /// What was taken out.
    pub removed: RemovedLines,
}

impl FilterConfig {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The text as it goes on. The classifier of `quality` is not asked here: it is read from a file, once.
    ///
    /// # Errors
    /// With the first rule that the text breaks.
    pub fn judge<'a>(&self, text: &'a str) -> Result<Passed<'a>, Rule> {
        let refuse = |rule: Option<Rule>| rule.map_or(Ok(()), Err);
        let language = self.language.as_ref().map(|rules| rules.judge(text)).transpose()?;
        let mut passed = Passed { text: Cow::Borrowed(text), language, removed: RemovedLines::default() };
        // Lines are cheaper than words, and are asked first.
        let chars = if self.gopher_repetition.is_some() { text.chars().count() as u64 } else { 0 };
        if let Some(rules) = &self.gopher_repetition {
            refuse(rules.judge_lines(text, chars))?;
        }
        let asks_words = self.gopher_repetition.is_some() || self.gopher_quality.is_some();
        let mut profile = asks_words.then(|| Profile::of(text));
        if let (Some(rules), Some(profile)) = (&self.gopher_repetition, &profile) {
            refuse(rules.judge_runs(text, chars, profile))?;
        }
        if let (Some(rules), Some(profile)) = (&self.gopher_quality, &profile) {
            refuse(rules.judge(text, profile))?;
        }
        if let Some(rules) = &self.c4 {
            let (kept, removed) = rules.judge(text)?;
            passed.removed = removed;
            if kept != text {
                passed.text = Cow::Owned(kept);
                profile = None;
            }
        }
        if let Some(rules) = &self.fineweb {
            let profile = profile.unwrap_or_else(|| Profile::of(&passed.text));
            refuse(rules.judge(&passed.text, &profile))?;
        }
        Ok(passed)
    }

    /// Every fault of meaning; paths begin with `data.filter.`.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        let mut bound = |path: &str, value: f64, most: f64| {
            if !(0.0..=most).contains(&value) {
                let message = if most == 1.0 { format!("{value} is not a share") } else { format!("{value} is no bound") };
                faults.push(Fault::new(&format!("data.filter.{path}"), message, "leave it out for the paper's value"));
            }
        };
        if let Some(rules) = &self.quality {
            bound("quality.min-score", f64::from(rules.min_score), 1.0);
        }
        if let Some(rules) = &self.language {
            bound("language.min-confidence", rules.min_confidence, 1.0);
        }
        if let Some(rules) = &self.gopher_repetition {
            let at = |name: &str| format!("gopher-repetition.{name}");
            bound(&at("max-repeated-lines"), rules.max_repeated_lines, 1.0);
            bound(&at("max-repeated-paragraphs"), rules.max_repeated_paragraphs, 1.0);
            bound(&at("max-repeated-line-chars"), rules.max_repeated_line_chars, 1.0);
            bound(&at("max-repeated-paragraph-chars"), rules.max_repeated_paragraph_chars, 1.0);
            rules.max_top_run_chars.iter().for_each(|&value| bound(&at("max-top-run-chars"), value, 1.0));
            rules.max_repeated_run_chars.iter().for_each(|&value| bound(&at("max-repeated-run-chars"), value, 1.0));
        }
        if let Some(rules) = &self.gopher_quality {
            let at = |name: &str| format!("gopher-quality.{name}");
            bound(&at("min-mean-word-chars"), rules.min_mean_word_chars, f64::MAX);
            bound(&at("max-mean-word-chars"), rules.max_mean_word_chars, f64::MAX);
            bound(&at("max-symbols-per-word"), rules.max_symbols_per_word, f64::MAX);
            bound(&at("max-bullet-lines"), rules.max_bullet_lines, 1.0);
            bound(&at("max-ellipsis-lines"), rules.max_ellipsis_lines, 1.0);
            bound(&at("min-lettered-words"), rules.min_lettered_words, 1.0);
            bound(&at("min-stop-words"), rules.min_stop_words as f64, rules.stop_words.len() as f64);
        }
        if let Some(rules) = &self.fineweb {
            let at = |name: &str| format!("fineweb.{name}");
            bound(&at("min-terminal-lines"), rules.min_terminal_lines, 1.0);
            bound(&at("max-short-lines"), rules.max_short_lines, 1.0);
            bound(&at("max-repeated-line-chars"), rules.max_repeated_line_chars, 1.0);
            bound(&at("max-line-ends-per-word"), rules.max_line_ends_per_word, f64::MAX);
        }
        for code in self.language.iter().flat_map(|rules| &rules.keep).filter(|code| !language::is_known(code)) {
            let message = format!("{code:?} is no language that is told apart");
            faults.push(Fault::new("data.filter.language.keep", message, "codes are of three letters, such as eng, cmn, deu"));
        }
    }
}

/// The lines of `text` as Python's `splitlines` gives them: also the separators of lines and paragraphs of Unicode end one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let ends: &[char] = if text.is_ascii() { &['\n'] } else { &['\n', '\u{2028}', '\u{2029}'] };
    let text = text.strip_suffix(ends).unwrap_or(text);
    text.split(ends)
}
