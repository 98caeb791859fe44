//! Tokens that no text becomes, and where words begin.

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Error, Result};

/// What stands for a token that was taken out. Source: Devlin et al. 2019.
pub const MASK: &str = "[MASK]";
/// What begins a text that is read from both sides.
pub const CLASS: &str = "[CLS]";
/// What ends a sentence of such a text.
pub const END: &str = "[SEP]";
/// What fills a row up.
pub const PAD: &str = "[PAD]";

/// What stands for a word that is not in the vocabulary.
pub(super) const UNKNOWN: [&str; 2] = ["<unk>", "[UNK]"];
/// What stands between the two sides of a pair.
pub const TO: &str = "<|to|>";

/// The names that BERT, RoBERTa and T5 give to the same thing.
const SYNONYMS: [[&str; 2]; 4] = [[MASK, "<mask>"], [CLASS, "<s>"], [END, "</s>"], [PAD, "<pad>"]];

/// The name of T5's sentinel `k`, which stands for span k of those taken out. Source: Raffel et al. 2020, section 3.1.4.
#[must_use]
pub fn sentinel(k: usize) -> String {
    format!("<extra_id_{k}>")
}

/// The id of a special token under any of its names.
pub(super) fn find(tokenizer: &Tokenizer, name: &str) -> Option<u32> {
    let family = SYNONYMS.iter().find(|family| family.contains(&name));
    std::iter::once(name).chain(family.into_iter().flatten().copied()).find_map(|name| tokenizer.token_to_id(name))
}

/// Adds the special tokens that a tokenizer lacks.
pub(super) fn complete(tokenizer: &mut Tokenizer, names: &[String]) -> Result<()> {
    let missing = names.iter().filter(|name| find(tokenizer, name).is_none());
    let missing: Vec<AddedToken> = missing.map(|name| AddedToken::from(name.clone(), true)).collect();
    let added = tokenizer.add_special_tokens(missing);
    added.map(drop).map_err(|fault| Error::TrainTokenizer { reason: fault.to_string() })
}

/// Every special token with its text.
pub(super) fn all(tokenizer: &Tokenizer, separator: u32) -> BTreeMap<u32, String> {
    let added = tokenizer.get_added_tokens_decoder();
    let marked = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id);
    let known = SYNONYMS.iter().flatten().filter_map(|name| tokenizer.token_to_id(name));
    let ids: BTreeSet<u32> = marked.chain(known).chain([separator]).collect();
    ids.into_iter().filter_map(|id| Some((id, tokenizer.id_to_token(id)?))).collect()
}

/// Where a text must be cut so that none of `words` stands in one piece.
pub(super) fn cuts<'a>(text: &str, words: impl Iterator<Item = &'a String>) -> BTreeSet<usize> {
    let after_first = |word: &str| word.chars().next().map_or(0, char::len_utf8);
    words.flat_map(|word| text.match_indices(word.as_str()).map(move |(at, _)| at + after_first(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_survives_its_cut() {
        let words = ["<x>".to_owned(), "[MASK]".to_owned()];
        let text = "a <x><x> b [MASK] c";
        let mut from = 0;
        let mut pieces = Vec::new();
        for cut in cuts(text, words.iter()) {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| words.iter().all(|word| !piece.contains(word.as_str()))), "{pieces:?}");
    }
}
