//! Which bytes of a text each of its ids stands for, so that a place in the text can be found in a row of tokens, and back.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use super::{Encoder, PIECE_BYTES, Vocab, special, split};
use crate::document::BORDER;
use crate::error::{Error, Result};

impl Vocab {
    /// The ids of a text as [`Self::encode`] gives them, each with its bytes.
    ///
    /// The bytes of byte-level pairs add up to the text, and may begin or end within a letter; those of others leave out what the
    /// vocabulary passes over, such as white space, and parts of one letter may share its bytes. Ranges never begin before the one before
    /// them does.
    ///
    /// # Errors
    /// When the library gives up on it.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        let mut found = Vec::with_capacity(text.len() / 3 + 1);
        let Some(to) = self.0.to else {
            self.side_with_offsets(text, 0, &mut found)?;
            return Ok(found);
        };
        let mut from = 0;
        for side in text.split(BORDER) {
            if from > 0 {
                found.push((to, from - BORDER.len_utf8()..from));
            }
            self.side_with_offsets(side, from, &mut found)?;
            from += side.len() + BORDER.len_utf8();
        }
        Ok(found)
    }

    fn side_with_offsets(&self, text: &str, base: usize, found: &mut Vec<(u32, Range<usize>)>) -> Result<()> {
        let mut ids = Vec::new();
        match &self.0.encoder {
            Encoder::Bpe(bpe) => {
                bpe.encode(text, &mut ids);
                let mut at = base;
                found.extend(ids.into_iter().map(|id| {
                    let from = at;
                    at += bpe.bytes_of(id);
                    (id, from..at)
                }));
            }
            Encoder::Chars(chars) => {
                chars.encode(text, &mut ids);
                let bytes = text.char_indices().map(|(at, char)| base + at..base + at + char.len_utf8());
                found.extend(ids.into_iter().zip(bytes));
            }
            Encoder::Words(words) => {
                words.encode_with_offsets(text, &mut |id, bytes| found.push((id, base + bytes.start..base + bytes.end)));
            }
            Encoder::Library => {
                let mut from = 0;
                for cut in special::cuts(text, self.0.specials.values()) {
                    self.library_with_offsets(&text[from..cut], base + from, found)?;
                    from = cut;
                }
                self.library_with_offsets(&text[from..], base + from, found)?;
            }
        }
        Ok(())
    }

    fn library_with_offsets(&self, text: &str, base: usize, found: &mut Vec<(u32, Range<usize>)>) -> Result<()> {
        let mut from = base;
        for piece in split::pieces(text, PIECE_BYTES) {
            let fault = |reason: String| Error::Encode { text: piece.chars().take(40).collect(), reason };
            // The library's regex engine panics on some inputs instead of failing.
            let encoded = panic::catch_unwind(AssertUnwindSafe(|| self.0.tokenizer.encode(piece, false)));
            let encoded =
                encoded.map_err(|_| fault("the tokenizer panicked".into()))?.map_err(|reason| fault(reason.to_string()))?;
            let bytes = encoded.get_offsets().iter().map(|&(start, end)| from + start..from + end);
            found.extend(encoded.get_ids().iter().copied().zip(bytes));
            from += piece.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::TokenizerConfig;

    const TEXTS: [&str; 3] =
        ["The bird sings, \"lo\" — it's 42 İstanbul.\nnaïve 天地", "a b c the bird sang", "天地玄黄 宇宙洪荒"];

    fn vocab(config: &str) -> Vocab {
        let config: TokenizerConfig = serde_json::from_str(config).expect("a configuration");
        Vocab::train(TEXTS.iter().map(ToString::to_string), &config, &["[PAD]".into(), "<|to|>".into()]).expect("a vocabulary")
    }

    fn all() -> Vec<(&'static str, Vocab)> {
        [
            r#"{"byte-bpe": {"vocab-tokens": 290}}"#,
            r#"{"wordpiece": {"vocab-tokens": 120}}"#,
            r#"{"unigram": {"vocab-tokens": 120}}"#,
            r#"{"char": {}}"#,
            r#"{"word": {"min-count": 1, "lowercase": true, "line-end": true}}"#,
            r#"{"word": {"min-count": 1, "split": "words"}}"#,
        ]
        .map(|config| (config, vocab(config)))
        .to_vec()
    }

    fn check(name: &str, vocab: &Vocab, text: &str) {
        let found = vocab.encode_with_offsets(text).expect("encodes");
        let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, vocab.encode(text).expect("encodes"), "{name} {text:?}");
        // The library, which finds special tokens in any text, gives the same ids for a text without.
        if !text.contains([BORDER, '[', '<']) {
            let theirs = vocab.0.tokenizer.encode(text, false).expect("encodes");
            assert_eq!(ids, theirs.get_ids(), "{name} {text:?}");
        }
        assert!(found.windows(2).all(|two| two[0].1.start <= two[1].1.start), "{name} {text:?} {found:?}");
        assert!(found.iter().all(|(_, bytes)| bytes.start <= bytes.end && bytes.end <= text.len()), "{name} {text:?} {found:?}");
        if name.contains("\"words\"") {
            return;
        }
        // All that is no white space is somewhere.
        let mut covered = vec![false; text.len()];
        for (_, bytes) in &found {
            covered[bytes.clone()].fill(true);
        }
        for (at, char) in text.char_indices().filter(|(_, char)| !char.is_whitespace() && !char.is_control()) {
            assert!(covered[at..at + char.len_utf8()].iter().all(|&covered| covered), "{name} {text:?} {char:?} {found:?}");
        }
    }

    #[test]
    fn ids_stand_for_their_bytes() {
        for (name, vocab) in all() {
            for text in TEXTS {
                check(name, &vocab, text);
            }
            check(name, &vocab, "");
            check(name, &vocab, "one\u{1e}other [PAD] <|to|> <|endoftext|>");
        }
        let bpe = vocab(r#"{"byte-bpe": {"vocab-tokens": 290}}"#);
        let text = "the bird 天";
        let bytes: Vec<u8> = bpe
            .encode_with_offsets(text)
            .expect("encodes")
            .into_iter()
            .flat_map(|(_, bytes)| text.as_bytes()[bytes].to_vec())
            .collect();
        assert_eq!(bytes, text.as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_has_its_places(text in r"[ \n\t'a-dlmrstveA-D0-3.,!é汉天İß\u{a0}\u{1e}-]{0,40}") {
            static ALL: std::sync::LazyLock<Vec<(&str, Vocab)>> = std::sync::LazyLock::new(all);
            for (name, vocab) in ALL.iter() {
                check(name, vocab, &text);
            }
        }
    }
}
