//! The rules of Gopher: what text of good quality looks like, and how much of it may repeat itself.
//!
//! Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", section A.1.1 and
//! table A1; what the paper leaves open is as in datatrove 0.10 (`gopher_quality_filter.py`, `gopher_repetition_filter.py`).
//! Differs: in text that is mostly of a script without spaces a word is a character, and the bounds on the length of words and on
//! stop words, which are about English, are not asked; runs are told apart by a 64-bit hash of their words, and looked for in a
//! document's first 2^20 words.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Rule;
use super::profile::Profile;
use super::repeats::{Runs, lines, paragraphs, repeated};

/// `[data.filter.gopher-quality]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GopherQuality {
    /// Fewer words that are not signs drop the document.
    pub min_words: u64,
    /// More words that are not signs drop the document.
    pub max_words: u64,
    /// A smaller mean length of words drops the document.
    pub min_mean_word_chars: f64,
    /// A greater mean length of words drops the document.
    pub max_mean_word_chars: f64,
    /// More `#`, or more ellipses, a word (signs count as words) drop the document.
    pub max_symbols_per_word: f64,
    /// A greater share of lines that begin with a bullet drops the document.
    pub max_bullet_lines: f64,
    /// A greater share of lines that end in an ellipsis drops the document.
    pub max_ellipsis_lines: f64,
    /// A smaller share of words (signs count as words) with a letter drops the document.
    pub min_lettered_words: f64,
    /// Fewer different ones of `stop-words` drop the document.
    pub min_stop_words: usize,
    /// Words that a text of running English has.
    pub stop_words: Vec<String>,
}

impl Default for GopherQuality {
    fn default() -> Self {
        Self {
            min_words: 50,
            max_words: 100_000,
            min_mean_word_chars: 3.0,
            max_mean_word_chars: 10.0,
            max_symbols_per_word: 0.1,
            max_bullet_lines: 0.9,
            max_ellipsis_lines: 0.3,
            min_lettered_words: 0.8,
            min_stop_words: 2,
            stop_words: ["the", "be", "to", "of", "and", "that", "have", "with"].map(String::from).to_vec(),
        }
    }
}

impl GopherQuality {
    /// The first rule that the text breaks, if any.
    pub(super) fn judge(&self, text: &str, profile: &Profile) -> Option<Rule> {
        if profile.plain < self.min_words || profile.words == 0 {
            return Some(Rule::GopherFewWords);
        }
        if profile.plain > self.max_words {
            return Some(Rule::GopherManyWords);
        }
        let spaced = !profile.is_unspaced();
        let mean = profile.plain_chars as f64 / profile.plain as f64;
        if spaced && mean < self.min_mean_word_chars {
            return Some(Rule::GopherShortWords);
        }
        if spaced && mean > self.max_mean_word_chars {
            return Some(Rule::GopherLongWords);
        }
        let words = profile.words as f64;
        let hashes = memchr::memchr_iter(b'#', text.as_bytes()).count();
        if hashes as f64 / words > self.max_symbols_per_word {
            return Some(Rule::GopherHashes);
        }
        let count = |what: &str| memchr::memmem::find_iter(text.as_bytes(), what).count();
        if (count("...") + count("…")) as f64 / words > self.max_symbols_per_word {
            return Some(Rule::GopherEllipses);
        }
        let (mut all, mut bullets, mut ellipses) = (0, 0, 0);
        for line in super::lines(text) {
            all += 1;
            bullets += u64::from(line.trim_start().starts_with(['•', '-']));
            let end = line.trim_end();
            ellipses += u64::from(end.ends_with("...") || end.ends_with('…'));
        }
        let all = f64::from(all.max(1));
        if bullets as f64 / all > self.max_bullet_lines {
            return Some(Rule::GopherBulletLines);
        }
        if ellipses as f64 / all > self.max_ellipsis_lines {
            return Some(Rule::GopherEllipsisLines);
        }
        if (profile.lettered as f64) / words < self.min_lettered_words {
            return Some(Rule::GopherNoLetters);
        }
        (spaced && !self.has_stop_words(profile)).then_some(Rule::GopherStopWords)
    }

    fn has_stop_words(&self, profile: &Profile) -> bool {
        let mut missing: Vec<u64> = self.stop_words.iter().map(|word| xxh3_64(word.as_bytes())).collect();
        missing.sort_unstable();
        missing.dedup();
        let enough = missing.len().saturating_sub(self.min_stop_words);
        self.min_stop_words == 0
            || profile.hashes.iter().any(|hash| {
                missing.retain(|stop| stop != hash);
                missing.len() <= enough
            }) && self.stop_words.len() >= self.min_stop_words
    }
}

/// `[data.filter.gopher-repetition]`: shares of a text's lines, paragraphs and characters. 1 lets everything pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GopherRepetition {
    /// The largest share of lines that stood before.
    pub max_repeated_lines: f64,
    /// The largest share of paragraphs that stood before.
    pub max_repeated_paragraphs: f64,
    /// The largest share of characters in lines that stood before.
    pub max_repeated_line_chars: f64,
    /// The largest share of characters in paragraphs that stood before.
    pub max_repeated_paragraph_chars: f64,
    /// The largest share of characters in the most frequent run of 2, 3 and 4 words.
    pub max_top_run_chars: [f64; 3],
    /// The largest share of characters in runs of 5, 6, 7, 8, 9 and 10 words that stood before.
    pub max_repeated_run_chars: [f64; 6],
}

impl Default for GopherRepetition {
    fn default() -> Self {
        Self {
            max_repeated_lines: 0.3,
            max_repeated_paragraphs: 0.3,
            max_repeated_line_chars: 0.2,
            max_repeated_paragraph_chars: 0.2,
            max_top_run_chars: [0.2, 0.18, 0.16],
            max_repeated_run_chars: [0.15, 0.14, 0.13, 0.12, 0.11, 0.1],
        }
    }
}

impl GopherRepetition {
    /// The first rule that the text breaks by its lines, if any.
    pub(super) fn judge_lines(&self, text: &str, chars: u64) -> Option<Rule> {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let counts = repeated(paragraphs(text));
        if share(counts.again, counts.pieces) > self.max_repeated_paragraphs {
            return Some(Rule::RepeatedParagraphs);
        }
        if share(counts.chars, chars) > self.max_repeated_paragraph_chars {
            return Some(Rule::RepeatedParagraphChars);
        }
        let counts = repeated(lines(text));
        if share(counts.again, counts.pieces) > self.max_repeated_lines {
            return Some(Rule::RepeatedLineShare);
        }
        (share(counts.chars, chars) > self.max_repeated_line_chars).then_some(Rule::RepeatedLineChars)
    }

    /// The first rule that the text breaks by its runs of words, if any.
    pub(super) fn judge_runs(&self, text: &str, chars: u64, profile: &Profile) -> Option<Rule> {
        const TOP: [Rule; 3] = [Rule::TopRun2, Rule::TopRun3, Rule::TopRun4];
        const REPEATED: [Rule; 6] = [
            Rule::RepeatedRuns5,
            Rule::RepeatedRuns6,
            Rule::RepeatedRuns7,
            Rule::RepeatedRuns8,
            Rule::RepeatedRuns9,
            Rule::RepeatedRuns10,
        ];
        let all = profile.compared_bytes == text.len();
        let chars = if all { chars } else { text[..profile.compared_bytes].chars().count() as u64 }.max(1) as f64;
        let mut runs = Runs::default();
        runs.begin(profile);
        for (index, rule) in TOP.into_iter().enumerate() {
            runs.lengthen(profile, index + 2);
            if runs.top(profile, index + 2) as f64 / chars > self.max_top_run_chars[index] {
                return Some(rule);
            }
        }
        for (index, rule) in REPEATED.into_iter().enumerate() {
            runs.lengthen(profile, index + 5);
            if runs.repeated(profile, index + 5) as f64 / chars > self.max_repeated_run_chars[index] {
                return Some(rule);
            }
        }
        None
    }
}
