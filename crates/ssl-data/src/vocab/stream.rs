//! Decoding as ids come, without ever cutting a character in two.

use super::Vocab;

/// A character has at most four bytes; tokens that give none after this many never will.
const PATIENCE: usize = 8;

/// A decoder between two ids.
#[derive(Debug)]
pub struct Stream<'a> {
    vocab: &'a Vocab,
    /// Ids from a little before the text that was given out last: some decoders join by what came before.
    ids: Vec<u32>,
    /// How many of them were given out.
    given: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(vocab: &'a Vocab) -> Self {
        Self { vocab, ids: Vec::new(), given: 0 }
    }

    /// Takes an id and gives the text that is certain by now; often a word, sometimes nothing.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let whole = self.vocab.decode(&self.ids);
        if whole.ends_with('\u{FFFD}') && self.ids.len() - self.given < PATIENCE {
            return String::new();
        }
        self.give(&whole)
    }

    /// Gives what is left, with U+FFFD for a character that never came whole.
    pub fn finish(&mut self) -> String {
        let whole = self.vocab.decode(&self.ids);
        self.give(&whole)
    }

    fn give(&mut self, whole: &str) -> String {
        let before = self.vocab.decode(&self.ids[..self.given]);
        let new = whole.strip_prefix(before.as_str()).unwrap_or(whole).to_owned();
        self.ids.drain(..self.given);
        self.given = self.ids.len();
        new
    }
}
