//! Where words begin and end in a row of tokens: at spaces and marks, and around each letter of a script without spaces.

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

/// How a token begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edges {
    /// It begins inside a word or a letter, whatever stands before it.
    within: bool,
    /// Its first letter goes on with a word, where one stands before it.
    first: bool,
    /// Its last letter can be gone on with.
    last: bool,
}

impl Edges {
    /// Whether the token goes on with the word of the one before it.
    #[must_use]
    pub fn goes_on(self, before: Self) -> bool {
        self.within || (self.first && before.last)
    }

    /// Of the bytes that a token stands for; it may begin and end within a letter.
    fn of(bytes: &[u8]) -> Self {
        let within = bytes.first().is_some_and(|byte| byte & 0xC0 == 0x80);
        let text = String::from_utf8_lossy(bytes);
        let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() && !stands_alone(letter));
        // The first byte of a letter tells the letters of the scripts above U+3000, which have words of one letter here.
        let lead = bytes.len() < 4 && bytes.first().is_some_and(|byte| (0xC2..0xE3).contains(byte)) && text.contains('\u{fffd}');
        Self { within, first: lead || joins(text.chars().next()), last: joins(text.chars().next_back()) }
    }
}

/// Letters of scripts that put no space between words.
fn stands_alone(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0xE00..=0xEFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF
    )
}

/// Of every id; `bytes` are those that it stands for, where that is known better than by its name.
pub(super) fn all(tokenizer: &Tokenizer, size: u32, bytes: &dyn Fn(u32) -> Option<Vec<u8>>) -> Vec<Edges> {
    let edges = |id| {
        let name = tokenizer.id_to_token(id)?;
        Some(match tokenizer.get_model() {
            ModelWrapper::WordLevel(_) => Edges::default(),
            ModelWrapper::WordPiece(model) => {
                let prefix = &model.continuing_subword_prefix;
                let rest = name.strip_prefix(prefix.as_str()).filter(|_| !prefix.is_empty());
                Edges { within: rest.is_some(), ..Edges::of(rest.unwrap_or(&name).as_bytes()) }
            }
            _ => Edges::of(&bytes(id).unwrap_or(name.into_bytes())),
        })
    };
    (0..size).map(|id| edges(id).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters() {
        let joins = |before: &str, after: &[u8]| Edges::of(after).goes_on(Edges::of(before.as_bytes()));
        for (before, after) in [(" hel", "lo"), ("4", "2"), (" na", "ïve"), ("привет", "ы")] {
            assert!(joins(before, after.as_bytes()), "{before:?} {after:?}");
        }
        for (before, after) in
            [("hel", " lo"), (" (", "hello"), ("lo", "."), ("\n", "The"), ("天", "地"), ("a", "天"), ("天", "a"), ("，", "天")]
        {
            assert!(!joins(before, after.as_bytes()), "{before:?} {after:?}");
        }
        // Letters that are cut between tokens: the rest of each goes on.
        let sky = "天".as_bytes();
        assert!(joins("", &sky[1..]) && !joins("地", &sky[..1]) && joins("при", &"в".as_bytes()[..1]));
    }
}
