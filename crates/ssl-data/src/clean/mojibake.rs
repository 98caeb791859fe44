//! Repairs text that was once decoded by the wrong encoding, such as `voilÃ ` for `voilà`.
//!
//! A line is changed only where it holds sequences of characters that hardly stand in any text by intent, and then only in ways
//! that make them bytes of some encoding again and valid UTF-8 of these. Lines of ASCII, and lines whose characters never come
//! from such an accident (Chinese, Arabic, ...), cost one look.
//!
//! Source: the program ftfy 6.3 of Robyn Speer, its function `fix_encoding`, with its tables; the results are the same.

use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::Regex as Bytes;

mod charmap;
mod tables;
mod utf8;

use charmap::{CHARMAPS, Charmap};

/// Longer lines are repaired piece by piece, of so many characters.
const PIECE: usize = 1_000_000;
/// More layers of wrong decoding than ever lay on a text; each doubles what is not ASCII.
const LAYERS: usize = 24;

/// Repairs `text` and says how many lines it changed; none where it is fine as it is.
pub(super) fn repair(text: &str) -> Option<(String, u64)> {
    if text.is_ascii() || !suspect(text) {
        return None;
    }
    let (mut out, mut changed) = (String::with_capacity(text.len()), 0);
    for line in text.split_inclusive('\n') {
        if line.is_ascii() || !suspect(line) {
            out.push_str(line);
            continue;
        }
        let before = out.len();
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
            out.push_str(&fix_encoding(&rest[..end]));
            rest = &rest[end..];
        }
        changed += u64::from(&out[before..] != line);
    }
    (changed > 0).then_some((out, changed))
}

/// Whether a text holds a character that stands in any pattern of [`BAD`]: what most text is made of does not.
fn suspect(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, 0xc2..=0xd2 | 0xef)) || text.chars().any(|c| matches!(c, '\u{2000}'..='\u{25ff}'))
}

/// Sequences that are hardly ever meant.
static BAD: LazyLock<Regex> = LazyLock::new(|| Regex::new(&pattern()).expect("a regular expression that tests compile"));

/// The patterns with the names of their classes replaced by what is in them.
fn pattern() -> String {
    let mut pattern = tables::BAD.join("|");
    for (name, class) in tables::CLASSES {
        pattern = pattern.replace(&format!("{{{name}}}"), class);
    }
    pattern
}

fn is_bad(text: &str) -> bool {
    !text.is_ascii() && BAD.is_match(text)
}

/// Takes layer after layer of wrong decoding off.
fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..LAYERS {
        match fix_one_step(&text) {
            Some(fixed) if fixed != text => text = fixed,
            _ => break,
        }
    }
    text
}

fn fix_one_step(text: &str) -> Option<String> {
    if !is_bad(text) {
        return None;
    }
    // UTF-8 that was decoded as an encoding of one byte a character.
    for map in CHARMAPS.iter() {
        if let Some(fixed) = map.encode(text).and_then(|bytes| decode(bytes, map)) {
            return Some(fixed);
        }
    }
    // The same in some places of a text that is fine elsewhere.
    let fixed = utf8::replace(text, |part| (part.len() < text.len() && is_bad(part)).then(|| fix_encoding(part)));
    if fixed != text {
        return Some(fixed);
    }
    // Latin-1 for windows-1252: the characters of the first that the second has not are controls nobody writes.
    let c1 = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    if text.chars().all(|c| c <= '\u{ff}') {
        let mut bytes = text.chars().filter(|&c| c1(c));
        if bytes.all(|c| CHARMAPS[1].decode(c as u8) != c) {
            let fixed: String = text.chars().map(|c| if c1(c) { CHARMAPS[1].decode(c as u8) } else { c }).collect();
            if fixed != text {
                return Some(fixed);
            }
        }
    }
    text.chars().any(c1).then(|| text.chars().map(|c| if c1(c) { CHARMAPS[1].decode(c as u8) } else { c }).collect())
}

/// Decodes bytes as UTF-8, where they are that or nearly.
fn decode(mut bytes: Vec<u8>, map: &Charmap) -> Option<String> {
    // In Mac Roman this would take an en dash before a space for a letter.
    if map.name != "macintosh" {
        bytes = restore_a0(bytes);
    }
    if map.sloppy {
        bytes = LOSSY.replace_all(&bytes, &b"\xef\xbf\xbd"[..]).into_owned();
    }
    if bytes.iter().any(|&byte| byte == 0xed || byte == 0xc0) {
        bytes = utf8::unify(&bytes);
    }
    String::from_utf8(bytes).ok()
}

/// UTF-8 whose byte A0, a space in many encodings, became a plain space.
static ALTERED: LazyLock<Bytes> = LazyLock::new(|| {
    let pattern = r"(?-u)[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] ";
    Bytes::new(pattern).expect("a regular expression that tests compile")
});

/// UTF-8 some of whose bytes were lost, and became U+FFFD (here 1A) or a question mark.
static LOSSY: LazyLock<Bytes> = LazyLock::new(|| {
    let pattern = r"(?-u)[\xc2-\xdf]\x1a|[\xc2-\xc3][?]|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]|\x1a";
    Bytes::new(pattern).expect("a regular expression that tests compile")
});

fn restore_a0(bytes: Vec<u8>) -> Vec<u8> {
    if !ALTERED.is_match(&bytes) {
        return bytes;
    }
    // `Ã ` is most often the word `à`, whose space is to stay; not so in the Portuguese words that begin with it.
    let mut spaced = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while let Some(at) = memchr::memmem::find(rest, b"\xc3 ") {
        let (before, behind) = (&rest[..at], &rest[at + 2..]);
        spaced.extend_from_slice(before);
        let word = ![&b" "[..], b"quele", b"quela", b"quilo", b"s "].iter().any(|with| behind.starts_with(with));
        spaced.extend_from_slice(if word { b"\xc3\xa0 " } else { b"\xc3 " });
        rest = behind;
    }
    spaced.extend_from_slice(rest);
    let restored = ALTERED.replace_all(&spaced, |found: &regex::bytes::Captures<'_>| {
        found[0].iter().map(|&byte| if byte == b' ' { 0xa0 } else { byte }).collect::<Vec<u8>>()
    });
    restored.into_owned()
}

#[cfg(test)]
mod tests;
