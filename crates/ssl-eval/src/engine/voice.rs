//! From tokens to text for a reader: whole characters only, and nothing from a stop string on.
//!
//! Text that may be the beginning of a stop string is held back until it is known to be none.

use ssl_data::vocab::Stream;

/// Speaks a text as its tokens come.
#[derive(Debug)]
pub struct Voice<'a> {
    stream: Stream<'a>,
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

/// What a token adds to a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Text that is certain by now; often a word, sometimes nothing.
    pub text: String,
    /// Whether a stop string has come, before which the text ends.
    pub stopped: bool,
}

impl<'a> Voice<'a> {
    /// Decodes by `stream`, up to any of `stops`; empty strings stop nothing.
    #[must_use]
    pub fn new(stream: Stream<'a>, stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stream, stops, held: String::new(), stopped: false }
    }

    /// Takes a token. After a stop string everything is silence.
    pub fn push(&mut self, id: u32) -> Spoken {
        let new = self.stream.push(id);
        self.hear(&new)
    }

    /// What was held back, with U+FFFD for a character that never came whole.
    pub fn finish(&mut self) -> String {
        let new = self.stream.finish();
        let said = self.hear(&new).text;
        said + &std::mem::take(&mut self.held)
    }

    fn hear(&mut self, new: &str) -> Spoken {
        if self.stopped {
            return Spoken { text: String::new(), stopped: true };
        }
        self.held.push_str(new);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            self.stopped = true;
            return Spoken { text: std::mem::take(&mut self.held), stopped: true };
        }
        let rest = self.held.split_off(self.certain());
        Spoken { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// How many bytes of what is held are no beginning of a stop string.
    fn certain(&self) -> usize {
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use ssl_data::config::{TokenizerConfig, VocabConfig};
    use ssl_data::vocab::Vocab;

    use super::*;

    fn vocab() -> Vocab {
        let config = TokenizerConfig::ByteBpe(VocabConfig { vocab_tokens: 260, sample_bytes: 1 << 16, memory_mib: None });
        Vocab::train(std::iter::once("ab abc".to_owned()), &config, &[]).expect("a vocabulary")
    }

    /// All that is said, and the pieces it came in.
    fn spoken(text: &str, stops: &[&str]) -> (String, Vec<String>) {
        let vocab = vocab();
        let mut voice = Voice::new(vocab.stream(), stops.iter().map(ToString::to_string).collect());
        let mut pieces = Vec::new();
        for id in vocab.encode(text).expect("ids") {
            let said = voice.push(id);
            pieces.push(said.text);
            if said.stopped {
                break;
            }
        }
        pieces.push(voice.finish());
        (pieces.concat(), pieces)
    }

    #[test]
    fn a_stop_string_ends_the_text_before_it() {
        assert_eq!(spoken("one two three", &["two"]).0, "one ");
        assert_eq!(spoken("one two three", &["three", "two", ""]).0, "one ");
        assert_eq!(spoken("one two three", &["four"]).0, "one two three");
        assert_eq!(spoken("aaab", &["aab"]).0, "a", "a beginning within a beginning");
        assert_eq!(spoken("äöü。好", &["。"]).0, "äöü");
        assert_eq!(spoken("one", &["one"]).0, "");
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let (text, pieces) = spoken("xyz\n\nQ", &["\n\nQuestion"]);
        assert_eq!(text, "xyz\n\nQ");
        assert_eq!(pieces.last().map(String::as_str), Some("\n\nQ"), "{pieces:?}");
        let (_, pieces) = spoken("xyz\nQ", &["\n\nQuestion"]);
        assert_eq!(pieces.last().map(String::as_str), Some(""), "{pieces:?}");
    }
}
