//! Brings text into the form in which it is stored: lines ended by line feeds, no control characters, no white space at
//! their ends, and one spelling of each character.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Repairs;
use crate::config::Format;

/// Mends a text and counts what it mends; doing so again changes nothing.
pub(super) fn mend(text: &str, format: Format, repairs: &mut Repairs) -> String {
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
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler makes wide steps of it")]
fn is_plain(line: &[u8]) -> bool {
    let control = line.iter().fold(false, |found, &byte| found | (byte < 0x20 && byte != b'\t') | (byte == 0x7f));
    // U+0080 to U+009F are C2 80 to C2 9F; U+FEFF is EF BB BF.
    let marks = || {
        line.windows(2)
            .fold(false, |found, pair| found | (pair[0] == 0xc2 && pair[1] < 0xa0) | (pair[0] == 0xef && pair[1] == 0xbb))
    };
    !control && (line.is_ascii() || !marks())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;
    use unicode_normalization::is_nfc;

    use super::*;

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
