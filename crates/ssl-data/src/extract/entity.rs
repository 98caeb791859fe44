//! Resolves character references (HTML Standard, section 13.2.5.72 and on).

use html_escape::decode_html_entities_to_string;

/// The longest name of a character, `CounterClockwiseContourIntegral`, and its marks.
const NAME: usize = 33;

/// Appends `text` with its character references resolved.
pub(super) fn resolve(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        into.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.as_bytes().get(1) == Some(&b'#') { number(rest, into) } else { name(rest, into) };
        if taken == 0 {
            into.push('&');
        }
        rest = &rest[taken.max(1)..];
    }
    into.push_str(rest);
}

/// Resolves `&#...;` and says how many bytes it takes; none where it is no reference.
fn number(text: &str, into: &mut String) -> usize {
    let (start, radix) = if matches!(text.as_bytes().get(2), Some(b'x' | b'X')) { (3, 16) } else { (2, 10) };
    let digits = text[start..].bytes().take_while(|&byte| char::from(byte).is_digit(radix)).count();
    if digits == 0 {
        return 0;
    }
    let code = u32::from_str_radix(&text[start..start + digits], radix).unwrap_or(u32::MAX);
    let c = match code {
        // Written by programs that took windows-1252 for Unicode, and read so by every browser.
        0x80..=0x9f => encoding_rs::WINDOWS_1252.decode(&[code as u8]).0.chars().next(),
        0 => None,
        code => char::from_u32(code),
    };
    into.push(c.unwrap_or('\u{fffd}'));
    let end = start + digits;
    end + usize::from(text.as_bytes().get(end) == Some(&b';'))
}

/// The names that browsers take without a semicolon, where nothing follows that could be part of a name.
const BARE: [(&str, char); 6] = [("nbsp", '\u{a0}'), ("amp", '&'), ("quot", '"'), ("lt", '<'), ("gt", '>'), ("copy", '©')];

/// Resolves `&name;`, likewise.
fn name(text: &str, into: &mut String) -> usize {
    let letters = text[1..].bytes().take(NAME).take_while(u8::is_ascii_alphanumeric).count();
    if text.as_bytes().get(1 + letters) != Some(&b';') {
        let bare = BARE.iter().find(|(name, _)| *name == &text[1..=letters]);
        return bare.map_or(0, |&(_, c)| {
            into.push(c);
            1 + letters
        });
    }
    let (reference, before) = (&text[..letters + 2], into.len());
    decode_html_entities_to_string(reference, into);
    if &into[before..] == reference {
        into.truncate(before);
        return 0;
    }
    reference.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn references_become_characters_and_the_rest_stays() {
        let cases = [
            ("a &amp; b&lt;c&gt;", "a & b<c>"),
            ("&eacute;&Eacute;&hellip;&mdash;&nbsp;&CounterClockwiseContourIntegral;", "éÉ…—\u{a0}∳"),
            ("&#233;&#xE9;&#XE9 &#128512;", "éé\u{e9} 😀"),
            ("&#146;&#x97;", "’—"),
            ("&#0;&#xD800;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("AT&T &nosuchname; &; &# &#x; R&D&", "AT&T &nosuchname; &; &# &#x; R&D&"),
            ("a&nbsp b &copy 2020 &nbspx", "a\u{a0} b © 2020 &nbspx"),
            ("&amp;lt;", "&lt;"),
        ];
        for (text, expect) in cases {
            let mut resolved = String::new();
            super::resolve(text, &mut resolved);
            assert_eq!(resolved, expect, "{text}");
        }
    }
}
