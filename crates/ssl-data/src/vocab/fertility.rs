//! How finely a vocabulary cuts texts: tokens a word, and bytes a token.
//!
//! Fertility is the mean number of tokens of a word; 1 is the least, and languages that a vocabulary was not trained on pay more. Words
//! are what white space and signs part, and each character of a script without spaces is one. Signs and white space have tokens too
//! and are no words, so that a vocabulary of whole words is somewhat above 1. Bytes a token say how much a context of so many
//! tokens holds; they compare languages only with care, as scripts differ in bytes a character.
//!
//! Source: Rust et al. 2021, "How Good is Your Tokenizer?", section 3.2 (fertility).

use std::collections::BTreeMap;

use serde::Serialize;

use super::Vocab;
use crate::dedup::minhash::{Numbers, words};
use crate::error::Result;

/// Counts over texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Fertility {
    /// Texts.
    pub texts: u64,
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Words.
    pub words: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens that stand for what the vocabulary does not have.
    pub unknown: u64,
}

impl Fertility {
    /// Mean tokens of a word; not a number without words.
    #[must_use]
    pub fn tokens_per_word(&self) -> f64 {
        self.tokens as f64 / self.words as f64
    }

    /// Mean bytes of a token; not a number without tokens.
    #[must_use]
    pub fn bytes_per_token(&self) -> f64 {
        self.bytes as f64 / self.tokens as f64
    }

    fn add(&mut self, other: &Self) {
        self.texts += other.texts;
        self.bytes += other.bytes;
        self.words += other.words;
        self.tokens += other.tokens;
        self.unknown += other.unknown;
    }
}

/// Counts by group, such as a source or a language.
///
/// # Errors
/// When the library gives up on a text.
pub fn measure<'a>(vocab: &Vocab, texts: &[(&'a str, &str)]) -> Result<BTreeMap<&'a str, Fertility>> {
    let all: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
    let unknown = vocab.unknown();
    let mut groups: BTreeMap<&str, Fertility> = BTreeMap::new();
    for ((group, text), ids) in texts.iter().zip(vocab.encode_batch(&all)?) {
        let mut counts = Fertility { texts: 1, bytes: text.len() as u64, tokens: ids.len() as u64, ..Fertility::default() };
        words(text, Numbers::Apart, &mut |_| counts.words += 1);
        counts.unknown = ids.iter().filter(|&&id| Some(id) == unknown).count() as u64;
        groups.entry(group).or_default().add(&counts);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenizerConfig;

    #[test]
    fn words_bytes_and_tokens_are_counted_by_group() {
        let config = TokenizerConfig::Char {};
        let vocab = Vocab::train(std::iter::once("ab c.".to_owned()), &config, &[]).expect("a vocabulary");
        let groups = measure(&vocab, &[("en", "ab c."), ("zh", "中文"), ("en", "a")]).expect("counts");
        let expect = Fertility { texts: 2, bytes: 6, words: 3, tokens: 6, unknown: 0 };
        assert_eq!(groups["en"], expect);
        assert_eq!((groups["zh"].words, groups["zh"].unknown, groups["zh"].bytes), (2, 2, 6));
        assert_eq!((expect.tokens_per_word(), expect.bytes_per_token()), (2.0, 1.0));
    }
}
