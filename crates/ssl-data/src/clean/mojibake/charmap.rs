//! Encodings of one byte a character, read backwards: which bytes a text was, if it was decoded by one of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use encoding_rs::{
    Encoding, ISO_8859_2, MACINTOSH, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1257,
};

/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// One encoding.
pub(super) struct Charmap {
    pub(super) name: &'static str,
    /// Whether bytes that stand for nothing are the control characters of the same number, and byte 1A is U+FFFD.
    pub(super) sloppy: bool,
    /// What the bytes 80 to FF stand for.
    upper: [char; 128],
    bytes: HashMap<char, u8>,
}

/// In the order in which they are tried.
pub(super) static CHARMAPS: LazyLock<[Charmap; 10]> = LazyLock::new(|| {
    let windows = |name, encoding| Charmap::new(name, true, &of(encoding));
    let latin1 = std::array::from_fn(|at| char::from(at as u8 + 0x80));
    let mut cp437 = latin1;
    for (at, c) in CP437.chars().enumerate().take(128) {
        cp437[at] = c;
    }
    [
        Charmap::new("latin-1", false, &latin1),
        windows("windows-1252", WINDOWS_1252),
        windows("windows-1251", WINDOWS_1251),
        windows("windows-1250", WINDOWS_1250),
        windows("windows-1253", WINDOWS_1253),
        windows("windows-1254", WINDOWS_1254),
        windows("windows-1257", WINDOWS_1257),
        Charmap::new("iso-8859-2", false, &of(ISO_8859_2)),
        Charmap::new("macintosh", false, &of(MACINTOSH)),
        Charmap::new("cp437", false, &cp437),
    ]
});

/// The upper half of an encoding; a byte without a character is the control character of its number.
fn of(encoding: &'static Encoding) -> [char; 128] {
    std::array::from_fn(|at| {
        let byte = at as u8 + 0x80;
        let c = encoding.decode_without_bom_handling(&[byte]).0.chars().next();
        c.filter(|&c| c != '\u{fffd}').unwrap_or(char::from(byte))
    })
}

impl Charmap {
    fn new(name: &'static str, sloppy: bool, upper: &[char; 128]) -> Self {
        let mut bytes: HashMap<char, u8> = upper.iter().zip(0x80..=0xff).map(|(&c, byte)| (c, byte)).collect();
        if sloppy {
            bytes.insert('\u{fffd}', 0x1a);
        }
        Self { name, sloppy, upper: *upper, bytes }
    }

    /// What a byte of the upper half stands for.
    pub(super) fn decode(&self, byte: u8) -> char {
        self.upper[usize::from(byte & 0x7f)]
    }

    /// The bytes that give `text`, if there are such.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let byte = |c: char| match c {
            '\u{1a}' if self.sloppy => None,
            c if c.is_ascii() => Some(c as u8),
            c => self.bytes.get(&c).copied(),
        };
        text.chars().map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        assert_eq!(CP437.chars().count(), 128);
        for map in CHARMAPS.iter() {
            for byte in 0x80..=0xff {
                let c = map.decode(byte);
                assert_eq!(map.encode(&c.to_string()), Some(vec![byte]), "{} {byte:x}", map.name);
            }
        }
    }
}
