//! Where sentences and paragraphs end, in text of any script: a few rules, and no model.
//!
//! ```
//! use ssl_data::sentence::sentences;
//!
//! let text = "Dr. Lee left. The boat, too?\n\n船走了。灯还亮着。";
//! let found: Vec<(&str, bool)> = sentences(text).into_iter().map(|s| (&text[s.bytes], s.ends_paragraph)).collect();
//! assert_eq!(found, [("Dr. Lee left.", false), ("The boat, too?", true), ("船走了。", false), ("灯还亮着。", true)]);
//! ```

use std::ops::Range;

/// Words before a full stop that ends no sentence.
const ABBREVIATIONS: [&str; 22] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "no", "fig", "e.g", "i.e", "cf", "gen", "col", "rev", "hon", "mt",
    "vol", "pp", "approx",
];

/// A sentence of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Its bytes in the text, without white space around it.
    pub bytes: Range<usize>,
    /// Whether a paragraph ends with it.
    pub ends_paragraph: bool,
}

/// The sentences of a text, in order; between them is nothing but white space.
///
/// A paragraph ends at an empty line, and where a line ends with a full stop of Chinese or Japanese, which are seldom broken into lines.
#[must_use]
pub fn sentences(text: &str) -> Vec<Sentence> {
    let mut found: Vec<Sentence> = Vec::new();
    let mut open = None;
    // Behind the last character that is no white space.
    let mut end = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            let mut lines = u32::from(c == '\n');
            while let Some((_, c)) = chars.next_if(|&(_, c)| c.is_whitespace()) {
                lines += u32::from(c == '\n');
            }
            if let Some(from) = open {
                let goes_on = chars.peek().is_some_and(|&(_, next)| next.is_lowercase() || !ends(&text[from..end]));
                if lines >= 2 || !goes_on {
                    found.push(Sentence { bytes: from..end, ends_paragraph: lines >= 2 });
                    open = None;
                }
            } else if let Some(last) = found.last_mut().filter(|_| lines >= 1) {
                last.ends_paragraph |= lines >= 2 || text[last.bytes.clone()].contains(stops);
            }
            continue;
        }
        let from = *open.get_or_insert(at);
        end = at + c.len_utf8();
        if stops(c) {
            while let Some((at, c)) = chars.next_if(|&(_, c)| stops(c) || closes(c)) {
                end = at + c.len_utf8();
            }
            found.push(Sentence { bytes: from..end, ends_paragraph: false });
            open = None;
        }
    }
    found.extend(open.map(|from| Sentence { bytes: from..end, ends_paragraph: true }));
    if let Some(last) = found.last_mut() {
        last.ends_paragraph = true;
    }
    found
}

/// Full stops that no space follows.
fn stops(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡')
}

/// Marks that close what stands before them.
fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '」' | '』' | '）' | '】' | '》')
}

/// Whether a text that white space follows ends as a sentence does.
fn ends(text: &str) -> bool {
    let bare = text.trim_end_matches(closes);
    match bare.chars().next_back() {
        Some('!' | '?' | '…' | '؟' | '।' | '۔' | '።') => true,
        Some('.') => {
            let word = bare.trim_end_matches('.').rsplit(char::is_whitespace).next().unwrap_or_default();
            let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
            let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
            !initial && !ABBREVIATIONS.contains(&word.to_lowercase().as_str())
        }
        _ => false,
    }
}

/// Whether a character is a letter or digit of a script that puts no space between words, or of Korean, whose words carry their endings.
#[must_use]
pub fn spaceless(c: char) -> bool {
    let within = matches!(
        u32::from(c),
        0xE00..=0xEFF | 0x1000..=0x109F | 0x1100..=0x11FF | 0x1780..=0x17FF | 0x2E80..=0x9FFF | 0xAC00..=0xD7FF | 0xF900..=0xFAFF
            | 0xFF66..=0xFF9F | 0x20000..=0x3FFFF
    );
    within && c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|sentence| &text[sentence.bytes]).collect()
    }

    #[test]
    fn stops_end_sentences_where_a_reader_would() {
        assert_eq!(
            cut("It cost 3.50. (Really!) J. S. Bach wrote \"it.\" Nobody\ncared."),
            ["It cost 3.50.", "(Really!)", "J. S. Bach wrote \"it.\"", "Nobody\ncared."]
        );
        assert_eq!(cut("“走吧。”他说！真的？！好"), ["“走吧。”", "他说！", "真的？！", "好"]);
        assert_eq!(cut("e.g. this, etc. and more"), ["e.g. this, etc. and more"]);
        assert_eq!(cut(" \n\n "), [""; 0]);
    }

    #[test]
    fn paragraphs_end_at_empty_lines() {
        let ends = |text: &str| sentences(text).into_iter().map(|s| s.ends_paragraph).collect::<Vec<_>>();
        assert_eq!(ends("One.\nTwo.\r\n\r\nThree\n \nFour"), [false, true, true, true]);
        assert_eq!(ends("　　一。二。\n　　三。"), [false, true, true]);
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_left_out(text in "[a-zA-Z.!?。！”\n 中文\u{3000}]{0,80}") {
            let mut from = 0;
            for sentence in sentences(&text) {
                prop_assert!(text[from..sentence.bytes.start].trim().is_empty() && !sentence.bytes.is_empty());
                prop_assert_eq!(text[sentence.bytes.clone()].trim(), &text[sentence.bytes.clone()]);
                from = sentence.bytes.end;
            }
            prop_assert!(text[from..].trim().is_empty());
        }
    }
}
