//! Finds and mends what looks like UTF-8.

use std::sync::LazyLock;

use super::tables::{CONTINUES, CONTINUES_FOR_SURE, FIRST_OF_2, FIRST_OF_3, FIRST_OF_4};

/// Characters, as ranges in order.
struct Set(Vec<(char, char)>);

impl Set {
    /// The characters of a class as a regular expression writes it: alone, or two with a hyphen between.
    fn new(class: &str) -> Self {
        let chars: Vec<char> = class.chars().collect();
        let (mut ranges, mut at) = (Vec::new(), 0);
        while at < chars.len() {
            let end = if chars.get(at + 1) == Some(&'-') { at + 2 } else { at };
            ranges.push((chars[at], chars[end.min(chars.len() - 1)]));
            at = end + 1;
        }
        ranges.sort_unstable();
        Self(ranges)
    }

    fn has(&self, c: char) -> bool {
        // Ranges may overlap, but there are few.
        self.0.iter().take_while(|range| range.0 <= c).any(|range| c <= range.1)
    }
}

struct Clues {
    first: [Set; 3],
    continues: Set,
    for_sure: Set,
}

static CLUES: LazyLock<Clues> = LazyLock::new(|| Clues {
    first: [Set::new(FIRST_OF_2), Set::new(FIRST_OF_3), Set::new(FIRST_OF_4)],
    continues: Set::new(CONTINUES),
    for_sure: Set::new(CONTINUES_FOR_SURE),
});

impl Clues {
    /// The bytes of what looks like one character in UTF-8 at the start of `text`; 0 where nothing does.
    fn unit(&self, text: &str) -> usize {
        let mut chars = text.chars();
        let Some(first) = chars.next().filter(|c| !c.is_ascii()) else { return 0 };
        for (index, set) in self.first.iter().enumerate() {
            let mut rest = chars.clone();
            if set.has(first) && (0..=index).all(|_| rest.next().is_some_and(|c| self.continues.has(c))) {
                return text.len() - rest.as_str().len();
            }
        }
        0
    }
}

/// Replaces each longest run of what looks like UTF-8, where `by` gives something.
pub(super) fn replace(text: &str, by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut at, mut before) = (0, ' ');
    while let Some(c) = text[at..].chars().next() {
        let mut end = at;
        // Behind what surely continues a sequence stands the rest of a garble that is better left alone.
        if !CLUES.for_sure.has(before) {
            loop {
                match CLUES.unit(&text[end..]) {
                    0 => break,
                    unit => end += unit,
                }
            }
        }
        if end == at {
            end += c.len_utf8();
            out.push(c);
            before = c;
        } else {
            let found = &text[at..end];
            match by(found) {
                Some(fixed) => out.push_str(&fixed),
                None => out.push_str(found),
            }
            before = found.chars().next_back().unwrap_or(' ');
        }
        at = end;
    }
    out
}

/// Turns two other spellings into UTF-8: zero as two bytes, and two surrogates of three bytes each (CESU-8).
pub(super) fn unify(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at..] {
            [0xc0, 0x80, ..] => {
                out.push(0);
                at += 2;
            }
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d @ 0x80..=0xbf, ..] => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = bits(a, 0x0f, 16) + bits(b, 0x3f, 10) + bits(c, 0x0f, 6) + bits(d, 0x3f, 0) + 0x1_0000;
                out.extend(char::from_u32(code).unwrap_or('\u{fffd}').to_string().bytes());
                at += 6;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}
