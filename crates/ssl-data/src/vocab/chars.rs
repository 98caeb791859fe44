//! One id a character.

use std::collections::HashMap;

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::SplitPattern;

/// The ids of characters.
#[derive(Debug)]
pub(super) struct Chars {
    ids: HashMap<char, u32>,
    unknown: u32,
}

impl Chars {
    /// Of a tokenizer that splits between all characters and looks each up; `None` of any other.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let Some(PreTokenizerWrapper::Split(split)) = tokenizer.get_pre_tokenizer() else { return None };
        let ModelWrapper::WordLevel(model) = tokenizer.get_model() else { return None };
        if split.pattern != SplitPattern::String(String::new()) || tokenizer.get_normalizer().is_some() {
            return None;
        }
        let unknown = tokenizer.token_to_id(&model.unk_token)?;
        let one = |word: &str| {
            let mut chars = word.chars();
            chars.next().filter(|_| chars.next().is_none())
        };
        let ids = tokenizer.get_vocab(false).into_iter().filter_map(|(word, id)| one(&word).map(|char| (char, id))).collect();
        Some(Self { ids, unknown })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        ids.extend(text.chars().map(|char| self.ids.get(&char).copied().unwrap_or(self.unknown)));
    }
}
