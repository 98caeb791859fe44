//! One pass over a text that counts what the rules ask for.

use xxhash_rust::xxh3::xxh3_64;

use super::classes::{LETTER, PUNCTUATION, SIGN, TERMINAL, UNSPACED, classes, is};
use super::english;

/// Words of a document that are compared with each other; what comes after has a document's first million words for company.
const COMPARED: usize = 1 << 20;

/// Calls `each` with the words of `text` in order. Text of scripts that set no spaces gives a word a character.
pub(crate) fn words<'a>(text: &'a str, each: &mut impl FnMut(&'a str)) {
    for piece in text.split(char::is_whitespace).filter(|piece| !piece.is_empty()) {
        if piece.is_ascii() {
            english::cut(piece, each);
        } else {
            mixed(piece, each);
        }
    }
}

fn mixed<'a>(mut piece: &'a str, each: &mut impl FnMut(&'a str)) {
    while let Some(first) = piece.chars().next() {
        let alone = is(first, UNSPACED);
        let end = if alone { first.len_utf8() } else { piece.find(|char| is(char, UNSPACED)).unwrap_or(piece.len()) };
        let (word, rest) = piece.split_at(end);
        if alone {
            each(word);
        } else {
            english::cut(word, each);
        }
        piece = rest;
    }
}

/// What the words of a text are.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// Words, signs included.
    pub(super) words: u64,
    /// Words that are not signs alone, and their characters.
    pub(super) plain: u64,
    pub(super) plain_chars: u64,
    /// Words with a letter.
    pub(super) lettered: u64,
    /// Words that are one character of a script without spaces.
    pub(super) unspaced: u64,
    /// A hash and the characters of each word, of the first [`COMPARED`].
    pub(super) hashes: Vec<u64>,
    pub(super) chars: Vec<u32>,
    /// Bytes of the text up to the last of these.
    pub(super) compared_bytes: usize,
}

impl Profile {
    pub(super) fn of(text: &str) -> Self {
        let mut profile = Self::default();
        let room = (text.len() / 4).min(COMPARED);
        profile.hashes.reserve(room);
        profile.chars.reserve(room);
        words(text, &mut |word| profile.add(word));
        profile.compared_bytes = text.len();
        if profile.words > COMPARED as u64 {
            let mut left = COMPARED;
            words(text, &mut |word| {
                if left > 0 {
                    left -= 1;
                    profile.compared_bytes = word.as_ptr() as usize - text.as_ptr() as usize + word.len();
                }
            });
        }
        profile
    }

    fn add(&mut self, word: &str) {
        let (mut all, mut length) = (0, 0_u32);
        let mut plain = false;
        if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            length = word.len() as u32;
            all = if word.bytes().any(|byte| byte.is_ascii_alphabetic()) { LETTER } else { 0 };
            plain = true;
        } else {
            for char in word.chars() {
                let class = classes(char);
                all |= class;
                plain |= class & SIGN == 0;
                length += 1;
            }
        }
        self.words += 1;
        if plain {
            self.plain += 1;
            self.plain_chars += u64::from(length);
        }
        self.lettered += u64::from(all & LETTER != 0);
        self.unspaced += u64::from(length == 1 && all & UNSPACED != 0);
        if self.hashes.len() < COMPARED {
            self.hashes.push(xxh3_64(word.as_bytes()));
            self.chars.push(length);
        }
    }

    /// Whether most words are characters of a script without spaces: what is known of the length of words does not hold there.
    pub(super) fn is_unspaced(&self) -> bool {
        self.unspaced * 2 > self.plain
    }
}

/// Sentences of a line by spaCy's `Sentencizer`: a sign that ends one, and then anything but punctuation, begins another.
pub(super) fn sentences(line: &str) -> u64 {
    let (mut sentences, mut ended, mut any) = (0, false, false);
    words(line, &mut |word| {
        any = true;
        let mut chars = word.chars();
        let ends = chars.next().is_some_and(|char| is(char, TERMINAL)) && chars.next().is_none();
        if ends {
            ended = true;
        } else if ended && !word.chars().all(|char| is(char, PUNCTUATION)) {
            sentences += 1;
            ended = false;
        }
    });
    sentences + u64::from(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_before_what_is_no_punctuation() {
        let cases = [
            ("", 0),
            ("One.", 1),
            ("One. Two! Three?", 3),
            ("Mr. Smith said: \"No.\" He left...", 2),
            ("No end", 1),
            ("你好。再见！好", 3),
            ("?!", 1),
        ];
        for (line, expect) in cases {
            assert_eq!(sentences(line), expect, "{line}");
        }
    }

    #[test]
    fn words_are_counted_by_kind() {
        let profile = Profile::of("It is 3 o'clock -- 中文，x");
        // it, is, 3, o'clock, --, 中, 文, ，, x
        assert_eq!((profile.words, profile.plain, profile.lettered, profile.unspaced), (9, 7, 6, 2));
        assert_eq!(profile.plain_chars, 2 + 2 + 1 + 7 + 1 + 1 + 1);
        assert!(!profile.is_unspaced() && Profile::of("你好 hi").is_unspaced());
    }
}
