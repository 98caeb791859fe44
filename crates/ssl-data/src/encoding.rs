//! Finds out how bytes spell text, and decodes them.
//!
//! What is valid UTF-8 is UTF-8: hardly any text of another encoding is by chance. Behind a byte-order mark stands what it
//! says. Else counts, in this order: what a server or the page itself names, as long as the bytes are of that encoding; UTF-8
//! with a few broken sequences; UTF-16 without a mark; and what the detector of Firefox makes of the bytes. Encodings, labels
//! and decoders are those of the Encoding Standard (WHATWG).

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

/// How far into a page it may name its encoding; the standard says 1024 bytes, pages do not heed it.
const PRESCAN: usize = 8 << 10;
/// The detector has made up its mind after so many bytes.
const ENOUGH: usize = 1 << 20;
/// Of so many sequences that are not ASCII, one may be broken in a text that is still UTF-8.
const MIXED: usize = 4;

/// A text and how it was spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// The encoding's name in the Encoding Standard.
    pub encoding: &'static str,
    /// Broken sequences, each of which has become U+FFFD.
    pub broken: u64,
}

/// Decodes `bytes`, which are plain text. `label` is an encoding that somebody named.
#[must_use]
pub fn decode<'a>(bytes: &'a [u8], label: Option<&str>) -> Decoded<'a> {
    decode_with(bytes, label.and_then(named))
}

/// Decodes `bytes`, which are a page of HTML. `label` is the encoding that the server named; what the page names comes after.
#[must_use]
pub fn decode_html<'a>(bytes: &'a [u8], label: Option<&str>) -> Decoded<'a> {
    decode_with(bytes, label.and_then(named).or_else(|| prescan(bytes)))
}

/// The encoding of a label. Those that only exist to make a page unreadable are none.
fn named(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label(label.as_bytes()).filter(|&encoding| encoding != REPLACEMENT)
}

fn decode_with<'a>(bytes: &'a [u8], label: Option<&'static Encoding>) -> Decoded<'a> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return with(encoding, &bytes[mark..]);
    }
    // ISO-2022-JP is the one encoding that looks like ASCII, but for its escapes.
    let escapes = memchr::memchr(0x1b, bytes).is_some();
    if !escapes && let Ok(text) = std::str::from_utf8(bytes) {
        // UTF-16 of ASCII is valid UTF-8 as well.
        return wide(bytes).map_or_else(
            || Decoded { text: Cow::Borrowed(text), encoding: UTF_8.name(), broken: 0 },
            |encoding| with(encoding, bytes),
        );
    }
    let labelled = label.map(|encoding| with(encoding, bytes));
    if let Some(decoded) = labelled.filter(|decoded| decoded.broken == 0 && plausible(&decoded.text)) {
        return decoded;
    }
    let utf8 = with(UTF_8, bytes);
    let wide_chars = utf8.text.chars().filter(|&c| c > '\u{7f}' && c != '\u{fffd}').count();
    if wide_chars >= MIXED * utf8.broken as usize && (utf8.broken > 0 || !escapes) {
        return utf8;
    }
    if let Some(encoding) = wide(bytes) {
        return with(encoding, bytes);
    }
    let mut detector = EncodingDetector::new(if escapes { Iso2022JpDetection::Allow } else { Iso2022JpDetection::Deny });
    let sample = &bytes[..bytes.len().min(ENOUGH)];
    detector.feed(sample, true);
    let guess = detector.guess(None, Utf8Detection::Allow);
    let guessed = with(guess, bytes);
    match label.map(|encoding| with(encoding, bytes)) {
        // A cut-off or mangled page may not be wholly of the encoding it names, yet be more of that than of any other.
        Some(decoded) if decoded.broken <= guessed.broken && plausible(&decoded.text) => decoded,
        _ => guessed,
    }
}

fn with<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Decoded<'a> {
    // Latin-1's unused bytes are control characters in this standard; nothing of it is ever broken.
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    let broken = if broken { text.matches('\u{fffd}').count() as u64 } else { 0 };
    Decoded { text, encoding: encoding.name(), broken }
}

/// Whether a text holds none of the C1 control characters that another encoding's letters become.
fn plausible(text: &str) -> bool {
    !text.chars().any(|c| ('\u{80}'..='\u{9f}').contains(&c) && c != '\u{85}')
}

/// UTF-16 that has no mark, by the zero bytes of its spaces, digits and line ends.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(PRESCAN) & !1];
    let (mut high, mut low) = (0, 0);
    for pair in sample.chunks_exact(2) {
        high += usize::from(pair[0] == 0 && pair[1] != 0);
        low += usize::from(pair[1] == 0 && pair[0] != 0);
    }
    let most = sample.len() / 2;
    // A tenth of the characters: text of any script has as many spaces and marks, and text of one byte has no zeros.
    if low * 10 > most && high * 50 < low {
        Some(UTF_16LE)
    } else if high * 10 > most && low * 50 < high {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The encoding that a page names in `<meta>`, or in its XML declaration.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(PRESCAN)].to_ascii_lowercase();
    let mut rest = &head[..];
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix(b"<!--") {
            rest = &behind[memchr::memmem::find(behind, b"-->").unwrap_or(behind.len())..];
            continue;
        }
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        let tag = &rest[..end];
        let label = if tag.starts_with(b"<meta") {
            value_of(tag, b"charset")
        } else if tag.starts_with(b"<?xml") {
            value_of(tag, b"encoding")
        } else {
            None
        };
        if let Some(encoding) = label.and_then(|label| named(&String::from_utf8_lossy(label))) {
            // A page that can be read as far as here is not UTF-16, whatever it says (HTML Standard, section 13.2.3.2).
            return Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding });
        }
        rest = &rest[end..];
    }
    None
}

/// What stands behind `name=` in a tag, with or without quotes.
fn value_of<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let behind = tag[memchr::memmem::find(tag, name)? + name.len()..].trim_ascii_start();
    let value = behind.strip_prefix(b"=")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|byte| b"\"'; \t\r\n/>".contains(byte)).unwrap_or(value.len());
    Some(&value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSSIAN: &str =
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью.";
    const CHINESE: &str = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。";
    const JAPANESE: &str = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。";

    fn spell(text: &str, label: &str) -> Vec<u8> {
        if let Some(big) = match label {
            "utf-16le" => Some(false),
            "utf-16be" => Some(true),
            _ => None,
        } {
            return text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
        }
        let (bytes, _, lossy) = named(label).expect(label).encode(text);
        assert!(!lossy, "{label} spells it");
        bytes.into_owned()
    }

    #[test]
    fn encodings_are_found_out() {
        let cases = [
            (RUSSIAN, "windows-1251"),
            (RUSSIAN, "koi8-r"),
            (CHINESE, "gbk"),
            (JAPANESE, "shift_jis"),
            (JAPANESE, "euc-jp"),
            (JAPANESE, "iso-2022-jp"),
            (RUSSIAN, "utf-16le"),
            (RUSSIAN, "utf-16be"),
            ("Plain ASCII text in wide characters.", "utf-16le"),
            ("Ich weiß nicht, was soll es bedeuten, daß ich so traurig bin. Größe, Übermut, ähnlich.", "windows-1252"),
            (CHINESE, "utf-8"),
        ];
        for (text, label) in cases {
            let bytes = spell(text, label);
            let decoded = decode(&bytes, None);
            assert_eq!((&*decoded.text, decoded.broken), (text, 0), "{label} taken for {}", decoded.encoding);
        }
    }

    #[test]
    fn a_mark_and_valid_utf_8_stand_above_any_label() {
        let marked = [b"\xff\xfe".to_vec(), spell(CHINESE, "utf-16le")].concat();
        assert_eq!(decode(&marked, Some("gbk")).text, CHINESE);
        assert_eq!(decode(CHINESE.as_bytes(), Some("gbk")).text, CHINESE);
    }

    #[test]
    fn a_label_counts_only_as_long_as_the_bytes_obey_it() {
        // One byte in two letters' place: a guess alone could not know.
        assert_eq!(decode(b"\xe0", Some("windows-1251")).text, "а");
        let bytes = spell(CHINESE, "gbk");
        assert_eq!(decode(&bytes, Some("utf-8")).text, CHINESE);
        assert_eq!(decode(&bytes, Some("no such label")).text, CHINESE);
    }

    #[test]
    fn pages_name_their_encoding() {
        for head in [
            "<!-- <meta charset=big5> --><meta charset=\"KOI8-R\">",
            "<META http-equiv=Content-Type content='text/html; charset = koi8-r'>",
            "<?xml version='1.0' encoding='koi8-r'?>",
        ] {
            let page = [head.as_bytes(), &spell("а", "koi8-r")].concat();
            assert!(decode_html(&page, None).text.ends_with('а'), "{head}");
            assert!(decode_html(&page, Some("windows-1251")).text.ends_with('Б'), "the server comes first");
        }
    }

    #[test]
    fn a_few_broken_sequences_leave_the_rest_utf_8() {
        let mixed = [CHINESE.as_bytes(), b"\xff", CHINESE.as_bytes(), b"\xe4\xb8"].concat();
        let decoded = decode(&mixed, None);
        assert_eq!((decoded.encoding, decoded.broken), ("UTF-8", 2));
        assert_eq!(decoded.text, format!("{CHINESE}\u{fffd}{CHINESE}\u{fffd}"));
    }

    #[test]
    fn nothing_is_too_odd_to_decode() {
        for bytes in [&b""[..], b"\0", b"\x1b", b"\xff", b"\xff\xfe", b"\xfe\xff\xd8", b"<meta charset", b"\x1b$B"] {
            let decoded = decode_html(bytes, Some("utf-16"));
            assert!(decoded.text.len() <= 3 * bytes.len(), "{bytes:?}");
        }
    }
}
