//! The bytes of a text that count when it is compared: all but those of white space, quotation marks, dashes and underscores.
//!
//! Where the editions of a text differ although its words do not, they differ in these.

/// The bytes that count, in order, each with its place.
#[derive(Debug, Clone)]
pub(crate) struct Counted<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Counted<'a> {
    /// Of a text, or of a part of one that need not begin or end with a whole character.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Iterator for Counted<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<(usize, u8)> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let (&first, at) = (rest.first()?, self.at);
            let passed = passed_over(rest);
            self.at += passed.max(1);
            if passed == 0 {
                return Some((at, first));
            }
        }
    }
}

/// How many bytes at the beginning are of a character that does not count.
fn passed_over(bytes: &[u8]) -> usize {
    match bytes {
        [b'\t'..=b'\r' | b' ' | b'"' | b'\'' | b'-' | b'_' | b'`', ..] => 1,
        // The next line, the space that does not break, « and ».
        [0xC2, 0x85 | 0xA0 | 0xAB | 0xBB, ..] => 2,
        // U+2000 to U+201F are spaces, dashes and quotation marks; then the separators, a narrow space, ‹ and ›.
        [0xE2, 0x80, 0x80..=0x9F | 0xA8 | 0xA9 | 0xAF | 0xB9 | 0xBA, ..]
        // The space of Ogham, and that of mathematics.
        | [0xE1, 0x9A, 0x80, ..]
        | [0xE2, 0x81, 0x9F, ..]
        // The ideographic space and 「」『』; the wide forms of the marks of ASCII.
        | [0xE3, 0x80, 0x80 | 0x8C..=0x8F, ..]
        | [0xEF, 0xBC, 0x82 | 0x87 | 0x8D | 0xBF, ..] => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typesetting_does_not_count() {
        let of = |text: &str| {
            String::from_utf8(Counted::of(text.as_bytes()).map(|(_, byte)| byte).collect()).expect("whole characters")
        };
        assert_eq!(of("“Don’t—I say, «stop» …”\r\n\u{a0}_it_ `a-b`\u{2028}"), "DontIsay,stop…itab");
        assert_eq!(of("「那天　早上」他说：『好』＂＿"), "那天早上他说：好");
        let places: Vec<usize> = Counted::of("a “中".as_bytes()).map(|(at, _)| at).collect();
        assert_eq!(places, [0, 5, 6, 7]);
        // Every character is passed over whole or not at all, and white space always.
        for c in '\0'..=char::MAX {
            let counted = Counted::of(c.encode_utf8(&mut [0; 4]).as_bytes()).count();
            assert!(counted == c.len_utf8() || counted == 0, "{c:?}");
            assert!(!c.is_whitespace() || counted == 0, "{c:?}");
        }
    }
}
