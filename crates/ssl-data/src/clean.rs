//! Makes one clean document of one record, or says why there is none. Pure: a record and the rules are all it sees.
//!
//! Cleaning takes away what is an accident of storage (byte-order marks, line ends of other systems, control characters,
//! white space at the ends of lines, other spellings of the same Unicode text) and leaves the language as it was written:
//! no character of any script, no punctuation and no letter case is changed, apart from Unicode's own canonical
//! composition (NFC). Everything taken away is counted.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{BadUtf8, CleanConfig, DataConfig, Format, PairsConfig};
use crate::document::{BORDER, Document, Origin};
use crate::encoding::{self, Decoded};
use crate::error::Error;
use crate::extract;
use crate::filter::Rule;
use crate::source::{Record, field};

mod boilerplate;
mod mend;
mod mojibake;

use mend::mend;

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
    /// A record that is broken or cut off before its end, or the rest of a file whose packing is.
    Damaged,
    /// The rest of a file that unpacks to more than `limits.expansion` allows.
    Expansion,
    /// A file that cannot be opened, or the rest of one that cannot be read on.
    Unreadable,
    /// A file that was another when it was read than when it was looked at.
    Changed,
    /// An answer of a server that is no page: a redirection or an error.
    HttpStatus,
    /// Something else than text, such as a picture.
    NotText,
    /// A page without a text to read.
    NoMainText,
    /// A row of a table with quotes that open or close where they may not.
    BadQuotes,
    /// A table has no column of texts of the field's name.
    NoColumn,
    /// In an archive, a link, a device, a name that leads elsewhere, or what is encrypted or packed in a way that is not read.
    Refused,
    /// A line of JSONL that is no JSON object.
    NotJson,
    /// A record without text in its field or column: that is missing, null, or holds something else.
    NoText,
    /// A larger share of repeated lines than `max-repeated-lines`.
    RepeatedLines,
    /// The text of an earlier document.
    Duplicate,
    /// Holds an item of an evaluation set.
    Contaminated,
    /// A near copy of an earlier document.
    NearDuplicate,
    /// Too little is left after passages that stood before were cut.
    Repeated,
    /// Broke a rule of `data.filter`.
    #[serde(untagged)]
    Rule(Rule),
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
            Self::Damaged => "damaged",
            Self::Expansion => "expansion",
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::HttpStatus => "http-status",
            Self::NotText => "not-text",
            Self::NoMainText => "no-main-text",
            Self::BadQuotes => "bad-quotes",
            Self::NoColumn => "no-column",
            Self::Refused => "refused",
            Self::NotJson => "not-json",
            Self::NoText => "no-text",
            Self::RepeatedLines => "repeated-lines",
            Self::Duplicate => "duplicate",
            Self::Contaminated => "contaminated",
            Self::NearDuplicate => "near-duplicate",
            Self::Repeated => "repeated",
            Self::Rule(rule) => return rule.fmt(f),
        })
    }
}

/// What was mended in a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// Byte-order marks removed.
    pub byte_order_marks: u64,
    /// Control characters removed.
    pub control_characters: u64,
    /// Other line ends turned into line feeds.
    pub line_ends: u64,
    /// Bytes of white space removed at ends of lines and around the document.
    pub space_bytes: u64,
    /// Broken sequences of bytes replaced by U+FFFD.
    pub invalid_sequences: u64,
    /// Bytes of what surrounds texts of its kind.
    pub boilerplate_bytes: u64,
    /// Lines in which text decoded by the wrong encoding was repaired.
    pub mojibake_lines: u64,
    /// Documents decoded from another encoding than UTF-8.
    pub decoded_documents: u64,
    /// Documents that were not in normalization form C.
    pub composed_documents: u64,
}

impl Repairs {
    fn note(&mut self, decoded: &Decoded<'_>) {
        self.invalid_sequences += decoded.broken;
        self.decoded_documents += u64::from(decoded.encoding != "UTF-8");
    }

    /// The counts under their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("byte-order-marks", self.byte_order_marks),
            ("control-characters", self.control_characters),
            ("line-ends", self.line_ends),
            ("space-bytes", self.space_bytes),
            ("invalid-sequences", self.invalid_sequences),
            ("boilerplate-bytes", self.boilerplate_bytes),
            ("mojibake-lines", self.mojibake_lines),
            ("decoded-documents", self.decoded_documents),
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
    let origin = record.origin.clone();
    let mut repairs = Repairs::default();
    let mut sides = match sides(record, config, &mut repairs) {
        Ok(sides) => sides,
        Err((reason, fault)) => return Verdict::Unreadable(reason, fault),
    };
    let mut whole = String::new();
    for (index, (text, format)) in sides.iter_mut().enumerate() {
        if *format == Format::Html && text.is_empty() {
            return Verdict::Dropped(Reason::NoMainText);
        }
        if config.clean.mojibake
            && let Some((repaired, lines)) = mojibake::repair(text)
        {
            repairs.mojibake_lines += lines;
            *text = repaired;
        }
        let mended = mend(text, *format, &mut repairs);
        let text = boilerplate::strip(&mended, &config.clean.boilerplate);
        repairs.boilerplate_bytes += (mended.len() - text.len()) as u64;
        if let Some(reason) = refuse(&text, &config.clean) {
            return Verdict::Dropped(reason);
        }
        if index > 0 {
            whole.push(BORDER);
        }
        whole.push_str(&text);
    }
    Verdict::Kept(Document { text: whole, origin }, repairs)
}

/// Why a record gives no text.
type Unreadable = (Reason, Error);

/// The texts of a record: one, or the two sides of a pair.
fn sides(record: Record, config: &DataConfig, repairs: &mut Repairs) -> Result<Vec<(String, Format)>, Unreadable> {
    let Record { bytes, target, origin, offset, format, charset } = record;
    if format == Format::Html {
        return Ok(vec![(page(&bytes, charset.as_deref(), repairs), format)]);
    }
    let text = decode(bytes, charset.as_deref(), &origin, offset, &config.clean, repairs)?;
    if format == Format::Wiki {
        return Ok(vec![(extract::wiki_text(&text), format)]);
    }
    // Only the first line of a file can begin with a byte-order mark by right.
    let json = text.strip_prefix('\u{feff}').filter(|_| offset == 0).unwrap_or(&text);
    let of = |name: &str| {
        let read = field(json, name, &origin).map(|text| (text, format));
        read.map_err(|fault| (if matches!(fault, Error::Field { .. }) { Reason::NoText } else { Reason::NotJson }, fault))
    };
    match (&config.pairs, target) {
        (Some(PairsConfig::Field { target }), _) => Ok(vec![of(&config.field)?, of(target)?]),
        (Some(PairsConfig::Tab {}), _) => {
            let (source, target) = text.split_once('\t').unwrap_or((&text, ""));
            Ok(vec![(source.to_owned(), format), (target.to_owned(), format)])
        }
        (_, other) => {
            let mut sides = vec![if format == Format::Jsonl { of(&config.field)? } else { (text, format) }];
            if let Some(Record { bytes, origin, offset, format, charset, .. }) = other.map(|other| *other) {
                sides.push((decode(bytes, charset.as_deref(), &origin, offset, &config.clean, repairs)?, format));
            }
            Ok(sides)
        }
    }
}

/// The main text of a page.
fn page(bytes: &[u8], charset: Option<&str>, repairs: &mut Repairs) -> String {
    let decoded = encoding::decode_html(bytes, charset);
    repairs.note(&decoded);
    extract::main_text(&decoded.text)
}

/// The bytes of a record as text.
fn decode(
    bytes: Vec<u8>,
    charset: Option<&str>,
    origin: &Origin,
    offset: u64,
    rules: &CleanConfig,
    repairs: &mut Repairs,
) -> Result<String, Unreadable> {
    match String::from_utf8(bytes) {
        Ok(text) if rules.bad_utf8 != BadUtf8::Detect => Ok(text),
        Ok(text) => Ok(detect(text.as_bytes(), charset, repairs)),
        // A server that names the encoding need not be guessed at.
        Err(fault) if rules.bad_utf8 == BadUtf8::Detect || charset.is_some() => Ok(detect(fault.as_bytes(), charset, repairs)),
        Err(fault) if rules.bad_utf8 == BadUtf8::Replace => {
            repairs.invalid_sequences +=
                fault.as_bytes().utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count() as u64;
            Ok(String::from_utf8_lossy(fault.as_bytes()).into_owned())
        }
        Err(fault) => {
            let offset = offset + fault.utf8_error().valid_up_to() as u64;
            Err((Reason::InvalidUtf8, Error::Utf8 { path: origin.path.to_path_buf(), offset }))
        }
    }
}

fn detect(bytes: &[u8], charset: Option<&str>, repairs: &mut Repairs) -> String {
    let decoded = encoding::decode(bytes, charset);
    repairs.note(&decoded);
    decoded.text.into_owned()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(clean: serde_json::Value) -> DataConfig {
        let mut config: DataConfig =
            serde_json::from_value(serde_json::json!({ "paths": [], "tokenizer": { "char": {} } })).expect("a configuration");
        config.clean = serde_json::from_value(clean).expect("a configuration");
        config
    }

    fn record(bytes: &[u8], format: Format) -> Record {
        let origin = Origin { path: Path::new("a").into(), line: 3, address: None };
        Record { bytes: bytes.into(), target: None, origin, offset: 10, format, charset: None }
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
}
