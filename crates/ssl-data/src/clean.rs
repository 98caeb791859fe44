//! Makes one clean document of one record, or says why there is none. Pure: a record and the rules are all it sees.
//!
//! Cleaning takes away what is an accident of storage (byte-order marks, line ends of other systems, control characters,
//! white space at the ends of lines, other spellings of the same Unicode text) and leaves the language as it was written:
//! no character of any script, no punctuation and no letter case is changed, apart from Unicode's own canonical
//! composition (NFC). Everything taken away is counted.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::config::{BadUtf8, CleanConfig, DataConfig, Format};
use crate::document::Document;
use crate::error::Error;
use crate::source::{Record, field};

/// Why a document is not in the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The file holds no record.
    EmptyFile,
    /// Nothing but white space.
    Empty,
    /// Fewer characters than `min-chars`.
    TooShort,
    /// More characters than `max-chars`.
    TooLong,
    /// More bytes than `limits.document-bytes`.
    TooLarge,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A line of JSONL that is no JSON object.
    NotJson,
    /// A line of JSONL without text in the field.
    NoText,
    /// A larger share of repeated lines than `max-repeated-lines`.
    RepeatedLines,
    /// The text of an earlier document.
    Duplicate,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyFile => "empty-file",
            Self::Empty => "empty",
            Self::TooShort => "too-short",
            Self::TooLong => "too-long",
            Self::TooLarge => "too-large",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::NotJson => "not-json",
            Self::NoText => "no-text",
            Self::RepeatedLines => "repeated-lines",
            Self::Duplicate => "duplicate",
        })
    }
}

/// What was mended in a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Byte-order marks removed.
    pub byte_order_marks: u64,
    /// Control characters removed.
    pub control_characters: u64,
    /// Other line ends turned into line feeds.
    pub line_ends: u64,
    /// Bytes of white space removed at ends of lines and around the document.
    pub space_bytes: u64,
    /// Broken UTF-8 sequences replaced by U+FFFD.
    pub invalid_sequences: u64,
    /// Documents that were not in normalization form C.
    pub composed_documents: u64,
}

impl Repairs {
    /// The counts under their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("byte-order-marks", self.byte_order_marks),
            ("control-characters", self.control_characters),
            ("line-ends", self.line_ends),
            ("space-bytes", self.space_bytes),
            ("invalid-sequences", self.invalid_sequences),
            ("composed-documents", self.composed_documents),
        ]
    }
}

/// What became of a record.
#[derive(Debug)]
pub enum Verdict {
    /// It is a document now.
    Kept(Document, Repairs),
    /// It was read and is not wanted.
    Dropped(Reason),
    /// It could not be read: [`Error::Utf8`], [`Error::Json`] or [`Error::Field`]. What that means for the run is the
    /// caller's to say.
    Unreadable(Reason, Error),
}

/// Cleans one record.
#[must_use]
pub fn clean(record: Record, config: &DataConfig) -> Verdict {
    let rules = &config.clean;
    let mut repairs = Repairs::default();
    let Record { bytes, origin, offset, format } = record;
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) if rules.bad_utf8 == BadUtf8::Replace => {
            repairs.invalid_sequences = fault.as_bytes().utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count() as u64;
            String::from_utf8_lossy(fault.as_bytes()).into_owned()
        }
        Err(fault) => {
            let offset = offset + fault.utf8_error().valid_up_to() as u64;
            return Verdict::Unreadable(Reason::InvalidUtf8, Error::Utf8 { path: origin.path.to_path_buf(), offset });
        }
    };
    if format == Format::Jsonl {
        // Only the first line of a file can begin with a byte-order mark by right.
        let json = text.strip_prefix('\u{feff}').filter(|_| offset == 0).unwrap_or(&text);
        text = match field(json, &config.field, &origin) {
            Ok(text) => text,
            Err(fault) => {
                let reason = if matches!(fault, Error::Field { .. }) { Reason::NoText } else { Reason::NotJson };
                return Verdict::Unreadable(reason, fault);
            }
        };
    }
    let text = mend(&text, format, &mut repairs);
    match refuse(&text, rules) {
        Some(reason) => Verdict::Dropped(reason),
        None => Verdict::Kept(Document { text, origin }, repairs),
    }
}

/// The bound that the text breaks, if any.
fn refuse(text: &str, rules: &CleanConfig) -> Option<Reason> {
    if text.is_empty() {
        return Some(Reason::Empty);
    }
    let chars = text.chars().count() as u64;
    if chars < rules.min_chars {
        return Some(Reason::TooShort);
    }
    if rules.max_chars.is_some_and(|max| chars > max) {
        return Some(Reason::TooLong);
    }
    (rules.max_repeated_lines < 1.0 && repeated_lines(text) > rules.max_repeated_lines).then_some(Reason::RepeatedLines)
}

/// The share of characters, line ends aside, that stand in lines which stood before in the same text.
fn repeated_lines(text: &str) -> f64 {
    let mut seen = HashSet::new();
    let (mut all, mut repeated) = (0, 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let chars = line.chars().count();
        all += chars;
        if !seen.insert(line) {
            repeated += chars;
        }
    }
    if all == 0 { 0.0 } else { repeated as f64 / all as f64 }
}

/// Brings text into its stored form.
fn mend(text: &str, format: Format, repairs: &mut Repairs) -> String {
    let mut out = Lines { text: String::with_capacity(text.len()), start: 0, format, repairs };
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let bare = line.strip_suffix('\r').filter(|_| lines.peek().is_some());
        out.repairs.line_ends += u64::from(bare.is_some());
        out.line(bare.unwrap_or(line));
        if lines.peek().is_some() {
            out.end_line();
        }
    }
    let mut text = out.finish();
    if !is_composed(&text) {
        let composed: String = text.nfc().collect();
        if composed != text {
            repairs.composed_documents += 1;
            text = composed;
        }
    }
    text
}

/// Whether the text is in normalization form C for certain.
fn is_composed(text: &str) -> bool {
    text.is_ascii() || text.chars().all(stands_alone) || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// What most text is made of, none of it part of a longer or shorter spelling of anything: Latin, Cyrillic, general
/// punctuation, kana, Han, Hangul syllables and full-width forms.
const fn stands_alone(c: char) -> bool {
    matches!(c, ..'\u{300}' | '\u{400}'..='\u{482}' | '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3029}' | '\u{3041}'..='\u{3096}')
        || matches!(c, '\u{30a1}'..='\u{30fa}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff60}')
}

/// Gathers mended lines.
struct Lines<'a> {
    text: String,
    /// Where the open line begins.
    start: usize,
    format: Format,
    repairs: &'a mut Repairs,
}

impl Lines<'_> {
    /// Adds a part of a line, without the characters that have no place in text.
    fn line(&mut self, line: &str) {
        if is_plain(line.as_bytes()) {
            self.text.push_str(line);
            return;
        }
        for c in line.chars() {
            match c {
                '\t' => self.text.push(c),
                '\u{feff}' => self.repairs.byte_order_marks += 1,
                // Carriage return, vertical tab, form feed and next line end a line: the Unicode Standard, section 5.8.
                '\r' | '\u{b}' | '\u{c}' | '\u{85}' => {
                    self.repairs.line_ends += 1;
                    self.end_line();
                }
                _ if c.is_control() => self.repairs.control_characters += 1,
                _ => self.text.push(c),
            }
        }
    }

    fn end_line(&mut self) {
        let line = &self.text[self.start..];
        let kept = line.trim_end().len();
        // Two spaces at the end of a line of Markdown are a line break; white space alone is never one.
        if kept == 0 || self.format != Format::Markdown {
            self.repairs.space_bytes += (line.len() - kept) as u64;
            self.text.truncate(self.start + kept);
        }
        // No document begins with empty lines.
        if self.text.is_empty() {
            self.repairs.space_bytes += 1;
        } else {
            self.text.push('\n');
        }
        self.start = self.text.len();
    }

    fn finish(mut self) -> String {
        let kept = self.text.trim_end().len();
        self.repairs.space_bytes += (self.text.len() - kept) as u64;
        self.text.truncate(kept);
        self.text
    }
}

/// Whether a line holds none of the characters that [`Lines::line`] treats.
fn is_plain(line: &[u8]) -> bool {
    // Without branches, so that the compiler makes wide steps of it.
    let control = line.iter().fold(false, |found, &byte| found | (byte < 0x20 && byte != b'\t') | (byte == 0x7f));
    // U+0080 to U+009F are C2 80 to C2 9F; U+FEFF is EF BB BF.
    let marks = || line.windows(2).fold(false, |found, pair| found | (pair[0] == 0xc2 && pair[1] < 0xa0) | (pair[0] == 0xef && pair[1] == 0xbb));
    !control && (line.is_ascii() || !marks())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;
    use unicode_normalization::is_nfc;

    use super::*;
    use crate::document::Origin;

    fn config(clean: serde_json::Value) -> DataConfig {
        let mut config: DataConfig =
            serde_json::from_value(serde_json::json!({ "paths": [], "tokenizer": { "char": {} } })).expect("a configuration");
        config.clean = serde_json::from_value(clean).expect("a configuration");
        config
    }

    fn record(bytes: &[u8], format: Format) -> Record {
        Record { bytes: bytes.into(), origin: Origin { path: Path::new("a").into(), line: 3 }, offset: 10, format }
    }

    fn mended(text: &str, format: Format) -> (String, Repairs) {
        let mut repairs = Repairs::default();
        (mend(text, format, &mut repairs), repairs)
    }

    #[test]
    fn accidents_of_storage_go_and_are_counted() {
        let cases = [
            ("\u{feff}a\u{feff}b", "ab", Repairs { byte_order_marks: 2, ..Repairs::default() }),
            ("a\r\nb\r\n\r\nc\rd", "a\nb\n\nc\nd", Repairs { line_ends: 4, ..Repairs::default() }),
            ("a\u{c}b\u{b}c\u{85}d", "a\nb\nc\nd", Repairs { line_ends: 3, ..Repairs::default() }),
            ("a\0b\u{7f}\u{1b}[1m\u{9f}c\td", "ab[1mc\td", Repairs { control_characters: 4, ..Repairs::default() }),
            ("\n \n  a \t\nb\u{3000}\n\n", "  a\nb", Repairs { space_bytes: 2 + 1 + 2 + 3 + 2, ..Repairs::default() }),
            ("a \0 \nb", "a\nb", Repairs { control_characters: 1, space_bytes: 2, ..Repairs::default() }),
            ("e\u{301}", "é", Repairs { composed_documents: 1, ..Repairs::default() }),
            ("e\0\u{301}", "é", Repairs { composed_documents: 1, control_characters: 1, ..Repairs::default() }),
        ];
        for (text, expect, counts) in cases {
            assert_eq!(mended(text, Format::Text), (expect.into(), counts), "{text:?}");
        }
    }

    #[test]
    fn the_language_stays_as_it_was_written() {
        let text = "“Well—it’s ½ done…”\n\t\u{3000}《红楼梦》，第１回：「好了歌」！\nعربي\u{200c}؟ 👩\u{200d}🚀 ﬁ ² Ⅷ\n<|endoftext|> <p>x</p>";
        assert_eq!(mended(text, Format::Text), (text.into(), Repairs::default()));
    }

    #[test]
    fn markdown_keeps_its_line_breaks() {
        assert_eq!(mended("a  \nb\n   \nc  ", Format::Markdown).0, "a  \nb\n\nc");
    }

    #[test]
    fn bad_utf8_follows_the_rule() {
        let bad = |rule: &str| clean(record(b"ab\xffc\xe4\xb8", Format::Text), &config(serde_json::json!({ "bad-utf8": rule })));
        assert!(matches!(bad("drop"), Verdict::Unreadable(Reason::InvalidUtf8, Error::Utf8 { offset: 12, .. })));
        let Verdict::Kept(document, repairs) = bad("replace") else { panic!("it is kept") };
        assert_eq!((document.text.as_str(), repairs.invalid_sequences), ("ab\u{fffd}c\u{fffd}", 2));
    }

    #[test]
    fn bounds_count_characters_and_hold_at_their_edges() {
        let reason = |text: &str, rules: serde_json::Value| match clean(record(text.as_bytes(), Format::Text), &config(rules)) {
            Verdict::Dropped(reason) => Some(reason),
            Verdict::Kept(..) => None,
            Verdict::Unreadable(_, fault) => panic!("{fault}"),
        };
        assert_eq!(reason(" \n\t\r\n\0", serde_json::json!({})), Some(Reason::Empty));
        assert_eq!(reason("", serde_json::json!({ "min-chars": 0 })), Some(Reason::Empty));
        assert_eq!(reason("中文", serde_json::json!({ "min-chars": 2, "max-chars": 2 })), None);
        assert_eq!(reason("中文", serde_json::json!({ "min-chars": 3 })), Some(Reason::TooShort));
        assert_eq!(reason("中文", serde_json::json!({ "max-chars": 1 })), Some(Reason::TooLong));
        // Six of eight characters stand in lines that stood before.
        let text = "ab\nab\n\nab\nab";
        assert_eq!(reason(text, serde_json::json!({ "max-repeated-lines": 0.75 })), None);
        assert_eq!(reason(text, serde_json::json!({ "max-repeated-lines": 0.74 })), Some(Reason::RepeatedLines));
        assert_eq!(reason("a\n\n\nb", serde_json::json!({ "max-repeated-lines": 0.0 })), None);
    }

    #[test]
    fn a_line_of_json_gives_its_text_behind_a_mark_at_the_start_of_the_file_only() {
        let at = |offset| {
            let record = Record { offset, ..record("\u{feff}{\"text\": \"a\\r\\nb\"}".as_bytes(), Format::Jsonl) };
            clean(record, &config(serde_json::json!({})))
        };
        assert!(matches!(at(0), Verdict::Kept(document, _) if document.text == "a\nb"));
        assert!(matches!(at(9), Verdict::Unreadable(Reason::NotJson, Error::Json { .. })));
    }

    #[test]
    fn characters_that_stand_alone_are_never_composed() {
        for c in ('\0'..=char::MAX).filter(|&c| stands_alone(c)) {
            assert_eq!(canonical_combining_class(c), 0, "{c:?}");
            assert_eq!(is_nfc_quick(std::iter::once(c)), IsNormalized::Yes, "{c:?}");
        }
    }

    proptest! {
        /// What was cleaned is clean.
        #[test]
        fn cleaning_twice_changes_nothing(
            text in "(\\PC|[\u{0}-\u{20}\u{7f}-\u{a0}\u{feff}\u{300}-\u{345}\u{3099}\u{1100}\u{1161}\u{2000}\u{2028}]|\r\n|[a-zé]){0,60}",
            markdown in any::<bool>(),
        ) {
            let format = if markdown { Format::Markdown } else { Format::Text };
            let (once, _) = mended(&text, format);
            let (twice, repairs) = mended(&once, format);
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(repairs, Repairs::default());
            prop_assert!(is_nfc(&once));
            prop_assert!(once.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}
