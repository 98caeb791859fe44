//! The rules of C4: lines that are no sentences go, and documents of which little is left.
//!
//! Source: Raffel et al. 2020, section 2.2, and `c4_utils.py` of TensorFlow Datasets, as datatrove 0.10 reads them
//! (`c4_filters.py`). Differs: a line also ends well in the marks that end a sentence in other scripts, and words of scripts without
//! spaces are counted by characters. The list of bad words is not asked: it also drops texts about medicine, law and minorities
//! (Dodge et al. 2021, section 5).

use serde::{Deserialize, Serialize};

use super::Rule;
use super::classes::{TERMINAL, UNSPACED, is};
use super::profile::sentences;

/// `[data.filter.c4]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own that a configuration switches")]
pub struct C4 {
    /// Lines that do not end in a terminal mark (`.`, `?`, `!`, a quotation mark), or end in an ellipsis, go. `FineWeb` leaves this out.
    pub terminal_mark: bool,
    /// Lines of fewer words go.
    pub min_line_words: usize,
    /// Lines with a longer word, in characters, go.
    pub max_word_chars: usize,
    /// Fewer sentences in the lines that are left drop the document.
    pub min_sentences: u64,
    /// Marks of citation, such as `[1]`, `[edit]`, `[citation needed]`, go from lines that stay.
    pub remove_citations: bool,
    /// Lines that speak of JavaScript go.
    pub javascript: bool,
    /// Lines that speak of cookies or terms of use go.
    pub policy: bool,
    /// Documents that have "lorem ipsum" in them are dropped.
    pub lorem_ipsum: bool,
    /// Documents with a `{` are dropped.
    pub curly_bracket: bool,
}

impl Default for C4 {
    fn default() -> Self {
        Self {
            terminal_mark: true,
            min_line_words: 3,
            max_word_chars: 1000,
            min_sentences: 5,
            remove_citations: true,
            javascript: true,
            policy: true,
            lorem_ipsum: true,
            curly_bracket: true,
        }
    }
}

/// Lines that were taken out, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedLines {
    /// A word was too long.
    pub long_word: u64,
    /// The end was no terminal mark.
    pub no_terminal_mark: u64,
    /// There were too few words.
    pub few_words: u64,
    /// It spoke of JavaScript.
    pub javascript: u64,
    /// It spoke of cookies or terms of use.
    pub policy: u64,
}

impl RemovedLines {
    /// The counts under their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("c4-long-word", self.long_word),
            ("c4-no-terminal-mark", self.no_terminal_mark),
            ("c4-few-words", self.few_words),
            ("c4-javascript", self.javascript),
            ("c4-policy", self.policy),
        ]
    }
}

const POLICY: [&str; 6] = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"];

impl C4 {
    /// The lines that stay, or the rule for which the document goes.
    pub(super) fn judge(&self, text: &str) -> Result<(String, RemovedLines), Rule> {
        let mut kept = String::with_capacity(text.len());
        let mut removed = RemovedLines::default();
        let mut count = 0;
        let lower = text.to_ascii_lowercase();
        // Most documents hold none of these, and then no line is asked.
        let holds = |what: &str| memchr::memmem::find(lower.as_bytes(), what.as_bytes()).is_some();
        let (lorem, javascript) = (self.lorem_ipsum && holds("lorem ipsum"), self.javascript && holds("javascript"));
        let policy: Vec<&str> = POLICY.into_iter().filter(|what| self.policy && holds(what)).collect();
        let curly = self.curly_bracket && text.contains('{');
        for line in super::lines(text) {
            let line = line.trim();
            if self.has_long_word(line) {
                removed.long_word += 1;
                continue;
            }
            let words = || count_words(line, self.min_line_words);
            let cited = if self.remove_citations && line.contains('[') { Some(without_citations(line)) } else { None };
            let bare = cited.as_deref().unwrap_or(line);
            if self.terminal_mark && !ends_well(bare) {
                removed.no_terminal_mark += 1;
                continue;
            }
            if words() < self.min_line_words {
                removed.few_words += 1;
                continue;
            }
            let low = if lorem || javascript || !policy.is_empty() { bare.to_ascii_lowercase() } else { String::new() };
            if lorem && low.contains("lorem ipsum") {
                return Err(Rule::C4LoremIpsum);
            }
            if javascript && low.contains("javascript") {
                removed.javascript += 1;
                continue;
            }
            if curly && bare.contains('{') {
                return Err(Rule::C4CurlyBracket);
            }
            if policy.iter().any(|what| low.contains(what)) {
                removed.policy += 1;
                continue;
            }
            // Counting costs most of all; enough is enough.
            if count < self.min_sentences {
                count += sentences(bare);
            }
            if !kept.is_empty() {
                kept.push('\n');
            }
            kept.push_str(bare);
        }
        if count < self.min_sentences {
            return Err(Rule::C4FewSentences);
        }
        let end = kept.trim_end().len();
        kept.truncate(end);
        let begin = kept.len() - kept.trim_start().len();
        kept.drain(..begin);
        Ok((kept, removed))
    }

    fn has_long_word(&self, line: &str) -> bool {
        // Bytes are at least as many as characters.
        line.len() > self.max_word_chars
            && line.split_whitespace().any(|word| {
                let mut chars = 0;
                word.len() > self.max_word_chars
                    && word.chars().any(|char| {
                        // A script without spaces has no words to be too long.
                        chars = if is(char, UNSPACED) { 0 } else { chars + 1 };
                        chars > self.max_word_chars
                    })
            })
    }
}

/// Words of a line, or `enough` if there are as many.
fn count_words(line: &str, enough: usize) -> usize {
    let mut words = 0;
    for word in line.split_whitespace() {
        words += 1;
        if !word.is_ascii() {
            words += word.chars().filter(|&char| is(char, UNSPACED)).take(enough).count().saturating_sub(1);
        }
        if words >= enough {
            return enough;
        }
    }
    words
}

fn ends_well(line: &str) -> bool {
    let Some(last) = line.chars().next_back() else { return false };
    let ascii = matches!(last, '.' | '?' | '!' | '"' | '\'') && !line.ends_with("...");
    ascii || !last.is_ascii() && (is(last, TERMINAL) || closes_sentence(line))
}

/// Whether the line ends in a terminal mark of another script and a closing quotation mark or bracket of it.
fn closes_sentence(line: &str) -> bool {
    let inner = line.trim_end_matches(['」', '』', '）', '》', '”', '’']);
    inner.len() < line.len() && inner.chars().next_back().is_some_and(|last| !last.is_ascii() && is(last, TERMINAL))
}

/// The line without `[`digits`]`, `[edit]` and `[citation needed]`.
fn without_citations(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('[') {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let inner = rest[1..].trim_start_matches(|char: char| char.is_ascii_digit());
        let end =
            inner.strip_prefix(']').or_else(|| rest.strip_prefix("[edit]")).or_else(|| rest.strip_prefix("[citation needed]"));
        rest = end.unwrap_or_else(|| {
            kept.push('[');
            &rest[1..]
        });
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_documents_go_by_the_rules() {
        let rules = C4 { min_sentences: 2, ..C4::default() };
        let text = "Home\nThis is a sentence.[1] And [edit]another one.\nPlease enable JavaScript now.\nWe use cookies on this site.\n\
            Too few.\nIt goes on and on...\n今天天气很好。我们走吧。";
        let (kept, removed) = rules.judge(text).expect("it stays");
        assert_eq!(kept, "This is a sentence. And another one.\n今天天气很好。我们走吧。");
        let expect = RemovedLines { no_terminal_mark: 2, few_words: 1, javascript: 1, policy: 1, ..RemovedLines::default() };
        assert_eq!(removed, expect);
        assert_eq!(rules.judge("One sentence is not enough here."), Err(Rule::C4FewSentences));
        assert_eq!(rules.judge("This is Lorem Ipsum text."), Err(Rule::C4LoremIpsum));
        assert_eq!(rules.judge("if (a) { return b; }.\n{ that is code }."), Err(Rule::C4CurlyBracket));
        // A bracket in a line that goes anyway is never met.
        assert_eq!(
            rules.judge("{ no\nOne is here now. Two are here now."),
            Ok(("One is here now. Two are here now.".into(), RemovedLines { no_terminal_mark: 1, ..RemovedLines::default() }))
        );
    }

    #[test]
    fn a_word_is_too_long_by_its_characters() {
        let rules = C4 { max_word_chars: 5, min_sentences: 1, ..C4::default() };
        let long = |text: &str| rules.judge(text).is_err();
        assert!(long("a sixsix b.") && !long("a four4 b.") && !long("éééé. b c."));
        assert!(!long("这是一个很长的句子没有空格。"));
    }
}
