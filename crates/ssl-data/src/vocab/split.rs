//! Where GPT-2 cuts text before it looks for pairs: a scanner that finds what the pattern finds, in linear time.
//!
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
//!
//! Source: Radford et al. 2019, section 2.2 and the released encoder.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The pattern itself.
pub(super) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What the pattern tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// The kinds of ASCII.
const ASCII: [Kind; 128] = {
    let mut table = [Kind::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
            b'0'..=b'9' => Kind::Number,
            b' ' | b'\t'..=b'\r' => Kind::Space,
            _ => Kind::Other,
        };
        byte += 1;
    }
    table
};

/// One bit a code point: whether it is a letter, by the Unicode tables of the regex library.
static LETTERS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bits = vec![0; 0x11_0000 / 64];
    if let Ok(hir) = regex_syntax::parse(r"\p{L}")
        && let HirKind::Class(Class::Unicode(class)) = hir.kind()
    {
        for range in class.ranges() {
            for code in u32::from(range.start())..=u32::from(range.end()) {
                bits[code as usize / 64] |= 1 << (code % 64);
            }
        }
    }
    bits
});

fn kind_of(char: char) -> Kind {
    let code = u32::from(char);
    if code < 128 {
        ASCII[code as usize]
    } else if LETTERS[code as usize / 64] >> (code % 64) & 1 == 1 {
        Kind::Letter
    } else if char.is_numeric() {
        Kind::Number
    } else if char.is_whitespace() {
        Kind::Space
    } else {
        Kind::Other
    }
}

/// The kind of the character at `at`, and where the next begins; `None` at the end.
fn look(text: &str, at: usize) -> Option<(Kind, usize)> {
    let &byte = text.as_bytes().get(at)?;
    if byte < 128 {
        return Some((ASCII[byte as usize], at + 1));
    }
    let char = text[at..].chars().next()?;
    Some((kind_of(char), at + char.len_utf8()))
}

/// The end of the run of `kind` from `at` on.
fn run(text: &str, mut at: usize, kind: Kind) -> usize {
    while let Some((found, next)) = look(text, at)
        && found == kind
    {
        at = next;
    }
    at
}

/// The end of the word that begins at `at`, which lies before the end of the text.
pub(super) fn word_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let Some((kind, next)) = look(text, at) else { return at };
    match kind {
        Kind::Letter | Kind::Number => run(text, next, kind),
        Kind::Other => {
            if bytes[at] == b'\'' {
                match bytes.get(at + 1..) {
                    Some([b's' | b't' | b'm' | b'd', ..]) => return at + 2,
                    Some([b'r' | b'v', b'e', ..] | [b'l', b'l', ..]) => return at + 3,
                    _ => {}
                }
            }
            run(text, next, kind)
        }
        Kind::Space => {
            let Some((after, beyond)) = look(text, next) else { return next };
            if after != Kind::Space {
                // A single blank belongs to the word behind it; any other white space stands alone.
                return if bytes[at] == b' ' { run(text, beyond, after) } else { next };
            }
            let end = run(text, beyond, Kind::Space);
            if end == text.len() {
                return end;
            }
            // The last of the run is left to the word behind it.
            end - text[..end].chars().next_back().map_or(0, char::len_utf8)
        }
    }
}

/// Cuts a text into pieces of about `bytes`, only where white space follows something else: no word crosses such a place.
/// A text without such places stays whole, up to the next that has one.
pub(super) fn pieces(text: &str, bytes: usize) -> Vec<&str> {
    let mut pieces = Vec::with_capacity(text.len() / bytes + 1);
    let mut from = 0;
    while text.len() - from > bytes {
        let mut at = from + bytes;
        while !text.is_char_boundary(at) {
            at += 1;
        }
        let mut before = text[..at].chars().next_back().is_none_or(char::is_whitespace);
        let cut = text[at..].char_indices().find_map(|(offset, char)| {
            let space = char.is_whitespace();
            let here = space && !before;
            before = space;
            here.then_some(at + offset)
        });
        let Some(cut) = cut else { break };
        pieces.push(&text[from..cut]);
        from = cut;
    }
    pieces.push(&text[from..]);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    fn words(text: &str) -> Vec<(usize, usize)> {
        let (mut at, mut words) = (0, Vec::new());
        while at < text.len() {
            let end = word_end(text, at);
            words.push((at, end));
            at = end;
        }
        words
    }

    fn reference(text: &str) -> Vec<(usize, usize)> {
        let mut split = PreTokenizedString::from(text);
        ByteLevel::new(false, true, true).pre_tokenize(&mut split).expect("splits");
        split.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter().map(|(_, span, _)| span).collect()
    }

    #[test]
    fn words_are_those_of_the_pattern() {
        for text in [
            "",
            " ",
            "a",
            "it's we'll they'Ll ''s 'x",
            "  two  blanks \n\n line\t\tend  ",
            "x1 22 三百 ½ a\u{a0}b\u{3000} c",
            "don't!?  \r\n're",
        ] {
            assert_eq!(words(text), reference(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_as_by_the_pattern(text in r"[ \n\t'a-dlmrstve0-9A-C.,!é汉\u{a0}\u{2028}½٣ß-]{0,40}") {
            prop_assert_eq!(words(&text), reference(&text));
        }

        #[test]
        fn pieces_never_cut_a_word(text in r"[ \n'ab1.汉\u{a0}]{0,60}", bytes in 1_usize..20) {
            let pieces = pieces(&text, bytes);
            prop_assert_eq!(pieces.concat(), text.clone());
            let mut found = Vec::new();
            let mut base = 0;
            for piece in pieces {
                found.extend(words(piece).into_iter().map(|(from, to)| (base + from, base + to)));
                base += piece.len();
            }
            prop_assert_eq!(found, words(&text));
        }
    }
}
