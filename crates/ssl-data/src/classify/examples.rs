//! Examples for a classifier: the documents of files in any format that a run reads, cleaned, and cut into pieces of like length.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clean::{Verdict, clean};
use crate::config::DataConfig;
use crate::error::Result;
use crate::rng;
use crate::source::{self, Cutting, Item, Progress, Records};

/// A document longer than this many bytes is several examples: a novel beside a web page would be one, and say little.
const PIECE: usize = 4000;

/// The documents of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// Each document's pieces.
    pub documents: Vec<Vec<String>>,
    /// Records that are no document: empty, damaged, refused by a rule of cleaning.
    pub dropped: u64,
    /// Whether reading ended at the bound before the files did.
    pub cut_short: bool,
}

impl Side {
    /// Reads what `config` names until about `most_bytes` are held.
    ///
    /// # Errors
    /// When a path gives no file, or a file cannot be read.
    pub fn read(config: &DataConfig, most_bytes: usize) -> Result<Self> {
        let (progress, stop) = (Progress::default(), || false);
        let (mut side, mut bytes) = (Self::default(), 0);
        for input in source::find(config, Path::new(""))? {
            let stamp = source::stamp(&input, &progress, &stop)?;
            for item in Records::open(&input, stamp, &Cutting::from(config), &config.limits, &progress, &stop)? {
                let Item::Record(record) = item? else {
                    side.dropped += 1;
                    continue;
                };
                let Verdict::Kept(document, _) = clean(record, config) else {
                    side.dropped += 1;
                    continue;
                };
                bytes += document.text.len();
                side.documents.push(pieces(&document.text));
                if bytes >= most_bytes {
                    side.cut_short = true;
                    return Ok(side);
                }
            }
        }
        Ok(side)
    }

    /// Examples of this side to learn from, and those of a share of its documents that is held out. Whole documents go to one side, and
    /// equal ones to the same: pieces of one text resemble each other.
    #[must_use]
    pub fn divide(&self, class: bool, held_out: f64, seed: u64) -> [Vec<(&str, bool)>; 2] {
        let mut sides = [Vec::new(), Vec::new()];
        for pieces in &self.documents {
            let text = pieces.iter().fold(0, |seed, piece| xxh3_64_with_seed(piece.as_bytes(), seed));
            let draw = (rng::hash(seed, u64::from(class), text) >> 11) as f64 / (1_u64 << 53) as f64;
            sides[usize::from(draw < held_out)].extend(pieces.iter().map(|piece| (piece.as_str(), class)));
        }
        sides
    }
}

/// Cuts a text at spaces into pieces of about equal length.
fn pieces(text: &str) -> Vec<String> {
    let count = text.len().div_ceil(PIECE).max(1);
    let (mut pieces, mut from) = (Vec::with_capacity(count), 0);
    for piece in 1..=count {
        let end = text.floor_char_boundary(text.len() * piece / count);
        let space = text[from..end].rfind(char::is_whitespace).filter(|&space| space > 0);
        let to = if piece == count { text.len() } else { space.map_or(end, |space| from + space) };
        pieces.push(text[from..to].to_owned());
        from = to;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_again_and_of_like_length() {
        let text = "some words, ".repeat(1500);
        let cut = pieces(&text);
        assert_eq!((cut.concat(), cut.len()), (text, 5));
        assert!(
            cut.iter().all(|piece| (3400..=4000).contains(&piece.len())),
            "{:?}",
            cut.iter().map(String::len).collect::<Vec<_>>()
        );
        assert_eq!(pieces("字".repeat(3000).as_str()).concat(), "字".repeat(3000));
        assert_eq!(pieces(""), [""]);
    }

    #[test]
    fn documents_are_held_out_whole() {
        let documents = (0..400).map(|n| vec![format!("{n} a"), format!("{n} b")]).collect();
        let side = Side { documents, ..Side::default() };
        let [learn, held] = side.divide(true, 0.25, 7);
        assert_eq!(learn.len() + held.len(), 800);
        assert!((120..280).contains(&held.len()) && held.len().is_multiple_of(2), "{}", held.len());
        assert!(held.chunks(2).all(|pair| pair[0].0.split(' ').next() == pair[1].0.split(' ').next()));
        let twice = Side { documents: [side.documents.clone(), side.documents.clone()].concat(), ..Side::default() };
        assert_eq!(twice.divide(true, 0.25, 7)[1], [held.clone(), held].concat(), "a copy is held out with its original");
    }
}
