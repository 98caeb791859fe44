//! What filters ask about a character, one look-up each.
//!
//! Source: the character sets of datatrove 0.10 (`utils/text.py`) and spaCy 3.8 (`lang/char_classes.py`). Differs: letters,
//! capitals and symbols are Unicode's own, where spaCy lists those of the scripts that it knows.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// A letter.
pub(crate) const LETTER: u16 = 1;
/// A letter that is no capital.
pub(crate) const LOWER: u16 = 1 << 1;
/// A letter that is no small one.
pub(crate) const UPPER: u16 = 1 << 2;
/// Of Unicode's category of punctuation.
pub(crate) const PUNCTUATION: u16 = 1 << 3;
/// A sign that makes no word: datatrove's `PUNCTUATION_SET`.
pub(crate) const SIGN: u16 = 1 << 4;
/// Ends a sentence, in any script: datatrove's `TERMINAL_PUNCTUATION`.
pub(crate) const TERMINAL: u16 = 1 << 5;
/// Splits off at the beginning of a word.
pub(crate) const PREFIX: u16 = 1 << 6;
/// Splits off at the end of a word.
pub(crate) const SUFFIX: u16 = 1 << 7;
/// May stand before a full stop that splits off.
pub(crate) const BEFORE_STOP: u16 = 1 << 8;
/// A quotation mark.
pub(crate) const QUOTE: u16 = 1 << 9;
/// A symbol such as an emoji: a word of its own wherever it stands.
pub(crate) const ICON: u16 = 1 << 10;
/// Of a script that sets no spaces between words; each character counts as a word.
pub(crate) const UNSPACED: u16 = 1 << 11;
/// Money.
pub(crate) const CURRENCY: u16 = 1 << 12;

const SIGNS: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«´»\u{2013}\u{2014}\u{2019}\u{201c}\u{201d}\u{201e}\u{2026}\u{2236}\u{2501}\
    \u{25ba}\u{3001}\u{3002}\u{3008}\u{3009}\u{300a}\u{300b}\u{300c}\u{300d}\u{3010}\u{3011}\u{ff01}\u{ff05}\u{ff08}\u{ff09}\
    \u{ff0c}\u{ff0e}\u{ff11}\u{ff1a}\u{ff1b}\u{ff1f}\u{ff5e}";
const STOPS: &str = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪";
const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧";
const MONEY: &str = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿";
const TERMINALS: &str = "[!.?\u{589}\u{61d}-\u{61f}\u{6d4}\u{700}-\u{702}\u{7f9}\u{837}\u{839}\u{83d}-\u{83e}\u{964}-\u{965}\
    \u{104a}-\u{104b}\u{1362}\u{1367}-\u{1368}\u{166e}\u{1735}-\u{1736}\u{17d4}-\u{17d6}\u{17d9}-\u{17da}\u{1803}\u{1809}\
    \u{1944}-\u{1945}\u{1aa8}-\u{1aab}\u{1b5a}-\u{1b5b}\u{1b5e}-\u{1b5f}\u{1b7d}-\u{1b7e}\u{1c3b}-\u{1c3c}\u{1c7e}-\u{1c7f}\
    \u{203c}-\u{203d}\u{2047}-\u{2049}\u{2e2e}\u{2e3c}\u{2e53}-\u{2e54}\u{3002}\u{a4ff}\u{a60e}-\u{a60f}\u{a6f3}\u{a6f7}\
    \u{a876}-\u{a877}\u{a8ce}-\u{a8cf}\u{a92f}\u{a9c8}-\u{a9c9}\u{aa5d}-\u{aa5f}\u{aaf0}-\u{aaf1}\u{abeb}\u{fe52}\
    \u{fe56}-\u{fe57}\u{ff01}\u{ff0e}\u{ff1f}\u{ff61}\u{10a56}-\u{10a57}\u{10f55}-\u{10f59}\u{10f86}-\u{10f89}\
    \u{11047}-\u{11048}\u{110be}-\u{110c1}\u{11141}-\u{11143}\u{111c5}-\u{111c6}\u{111cd}\u{111de}-\u{111df}\
    \u{11238}-\u{11239}\u{1123b}-\u{1123c}\u{112a9}\u{1144b}-\u{1144c}\u{115c2}-\u{115c3}\u{115c9}-\u{115d7}\
    \u{11641}-\u{11642}\u{1173c}-\u{1173e}\u{11944}\u{11946}\u{11a42}-\u{11a43}\u{11a9b}-\u{11a9c}\u{11c41}-\u{11c42}\
    \u{11ef7}-\u{11ef8}\u{11f43}-\u{11f44}\u{16a6e}-\u{16a6f}\u{16af5}\u{16b37}-\u{16b38}\u{16b44}\u{16e98}\u{1bc9f}\u{1da88}]";

/// The classes of every code point.
static CLASSES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut classes = vec![0; 0x11_0000];
    let mut set = |pattern: &str, class: u16| {
        if let Ok(hir) = regex_syntax::parse(pattern)
            && let HirKind::Class(Class::Unicode(found)) = hir.kind()
        {
            for range in found.ranges() {
                for code in u32::from(range.start())..=u32::from(range.end()) {
                    classes[code as usize] |= class;
                }
            }
        }
    };
    set(r"\p{L}", LETTER | LOWER | UPPER);
    set(r"\p{P}", PUNCTUATION);
    set(r"\p{So}", ICON | PREFIX | SUFFIX);
    set(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}&&[\p{L}\p{M}\p{Nl}]]", UNSPACED);
    set(TERMINALS, TERMINAL | SIGN);
    set(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", SIGN);
    set(r"[0-9]", BEFORE_STOP);
    let mut each = |chars: &str, class: u16| chars.chars().for_each(|char| classes[char as usize] |= class);
    each(SIGNS, SIGN);
    each(STOPS, PREFIX | SUFFIX | BEFORE_STOP);
    each(QUOTES, PREFIX | SUFFIX | BEFORE_STOP | QUOTE);
    each(MONEY, PREFIX | CURRENCY);
    each("§%=", PREFIX);
    each("—–", PREFIX | SUFFIX);
    each("%²-+|", BEFORE_STOP);
    for code in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
        let class = &mut classes[code as usize];
        if *class & LETTER != 0 {
            if code.is_uppercase() {
                *class &= !LOWER;
            } else if code.is_lowercase() {
                *class &= !UPPER;
            }
            if *class & LOWER != 0 {
                *class |= BEFORE_STOP;
            }
        }
    }
    classes
});

/// All classes of a character.
pub(crate) fn classes(char: char) -> u16 {
    CLASSES[char as usize]
}

/// Whether a character is of the class.
pub(crate) fn is(char: char, class: u16) -> bool {
    classes(char) & class != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_of_their_classes() {
        let cases = [
            ('a', LETTER | LOWER | BEFORE_STOP),
            ('A', LETTER | UPPER),
            ('中', LETTER | LOWER | UPPER | UNSPACED | BEFORE_STOP),
            ('。', PUNCTUATION | SIGN | TERMINAL | PREFIX | SUFFIX | BEFORE_STOP),
            ('$', SIGN | PREFIX | CURRENCY),
            ('\u{2028}', 0),
            ('🚀', ICON | PREFIX | SUFFIX),
            ('\'', PUNCTUATION | SIGN | PREFIX | SUFFIX | BEFORE_STOP | QUOTE),
        ];
        for (char, expect) in cases {
            assert_eq!(classes(char), expect, "{char:?}");
        }
    }
}
