//! Cuts a document into passages: about so many words each, at ends of sentences, and of paragraphs where that leaves no scraps.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::sentence::{sentences, spaceless};

/// A run of this many characters without white space is more than one word, whatever it is.
const LONGEST: usize = 64;

/// How documents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PassageConfig {
    /// The most words of a passage. Two characters of a script without spaces count as a word.
    pub words: u32,
    /// A passage that ends inside a paragraph leaves at most so many words to the next one too.
    pub overlap_words: u32,
}

impl Default for PassageConfig {
    /// About what Karpukhin et al. 2020 ("Dense passage retrieval", section 4.1) cut Wikipedia into.
    fn default() -> Self {
        Self { words: 120, overlap_words: 30 }
    }
}

/// A sentence, or a part of one that is longer than a passage.
struct Piece {
    bytes: Range<usize>,
    /// In half words.
    size: usize,
    ends_paragraph: bool,
}

impl PassageConfig {
    /// The passages of a text as ranges of its bytes, in order.
    #[must_use]
    pub fn cut(&self, text: &str) -> Vec<Range<usize>> {
        let most = 2 * (self.words as usize).max(1);
        let shared = (2 * self.overlap_words as usize).min(most / 2);
        let pieces = pieces(text, most);
        let mut passages = Vec::new();
        let mut first = 0;
        while first < pieces.len() {
            let last = end(&pieces, first, most);
            passages.push(pieces[first].bytes.start..pieces[last - 1].bytes.end);
            first = last;
            let room = pieces.get(last).map_or(0, |next| most - next.size).min(shared);
            let mut size = 0;
            while !pieces[first - 1].ends_paragraph && size + pieces[first - 1].size <= room {
                first -= 1;
                size += pieces[first].size;
                if first == 0 {
                    break;
                }
            }
        }
        passages
    }
}

/// Behind the last piece of a passage that begins with the piece `first`.
fn end(pieces: &[Piece], first: usize, most: usize) -> usize {
    let (mut last, mut size) = (first, 0);
    // What of the passage stands before its last paragraph, and where that begins.
    let (mut before, mut begun) = (0, first);
    while last < pieces.len() && (last == first || size + pieces[last].size <= most) {
        size += pieces[last].size;
        last += 1;
        if pieces[last - 1].ends_paragraph {
            if 2 * size >= most {
                return last;
            }
            (before, begun) = (size, last);
        }
    }
    if begun == first || begun == last {
        return last;
    }
    // A paragraph that fits a passage of its own is not torn, unless a heading would be left alone.
    let length = pieces[begun..].iter().position(|piece| piece.ends_paragraph).map_or(pieces.len(), |at| begun + at + 1) - begun;
    let paragraph: usize = pieces[begun..begun + length].iter().map(|piece| piece.size).sum();
    if paragraph <= most && 4 * before >= most { begun } else { last }
}

/// The sentences of a text, those longer than `most` half words cut between words.
fn pieces(text: &str, most: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for sentence in sentences(text) {
        let mut open: Option<Piece> = None;
        for (bytes, size) in words(text, sentence.bytes) {
            match &mut open {
                Some(piece) if piece.size + size <= most => {
                    piece.bytes.end = bytes.end;
                    piece.size += size;
                }
                _ => pieces.extend(open.replace(Piece { bytes, size: size.min(most), ends_paragraph: false })),
            }
        }
        pieces.extend(open.map(|piece| Piece { ends_paragraph: sentence.ends_paragraph, ..piece }));
    }
    pieces
}

/// The words of a part of a text, and how many half words each is.
fn words(text: &str, part: Range<usize>) -> Vec<(Range<usize>, usize)> {
    let mut words: Vec<(Range<usize>, usize)> = Vec::new();
    let mut chars = 0;
    for (at, c) in text[part.clone()].char_indices() {
        let bytes = part.start + at..part.start + at + c.len_utf8();
        if c.is_whitespace() {
            chars = 0;
        } else if spaceless(c) {
            words.push((bytes, 1));
            chars = 0;
        } else if let Some((word, _)) = words.last_mut().filter(|_| (1..LONGEST).contains(&chars)) {
            word.end = bytes.end;
            chars += 1;
        } else {
            words.push((bytes, 2));
            chars = 1;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(words: u32, overlap_words: u32, text: &str) -> Vec<&str> {
        PassageConfig { words, overlap_words }.cut(text).into_iter().map(|bytes| &text[bytes]).collect()
    }

    #[test]
    fn passages_end_with_sentences_and_share_what_fits() {
        let text = "A one two. B one two. C one two. D one two.";
        assert_eq!(cut(7, 0, text), ["A one two. B one two.", "C one two. D one two."]);
        assert_eq!(cut(7, 3, text), ["A one two. B one two.", "B one two. C one two.", "C one two. D one two."]);
        assert_eq!(cut(4, 0, "a b c d e f g h i"), ["a b c d", "e f g h", "i"]);
        assert_eq!(cut(3, 0, "一二三四。五六七。"), ["一二三四。", "五六七。"]);
        assert_eq!(cut(3, 0, ""), [""; 0]);
    }

    #[test]
    fn paragraphs_stay_whole_where_they_fit_and_short_ones_join() {
        let text = "A heading\n\nOne two three four. Five six.\n\nSeven eight nine ten. Last.";
        assert_eq!(cut(10, 3, text), ["A heading\n\nOne two three four. Five six.", "Seven eight nine ten. Last."]);
        assert_eq!(cut(8, 0, "a b c.\n\nD e f. G h i j."), ["a b c.", "D e f. G h i j."]);
    }

    proptest! {
        #[test]
        fn every_word_is_in_a_passage_and_none_is_too_long(
            text in "([a-zA-Z]{1,8}[.。 ]{0,2}|[中文字]{1,5}。?|\n\n){0,60}", words in 1_u32..20, overlap_words in 0_u32..20,
        ) {
            let passages = PassageConfig { words, overlap_words }.cut(&text);
            let mut covered = 0;
            for passage in &passages {
                prop_assert!(passage.start >= covered || text.get(passage.start..covered).is_some());
                prop_assert!(passage.end > covered, "each goes on");
                prop_assert!(passage.start <= covered || text[covered..passage.start].trim().is_empty());
                covered = passage.end;
                let size: usize = super::words(&text, passage.clone()).iter().map(|word| word.1).sum();
                prop_assert!(size <= (2 * words as usize).max(2), "{} half words", size);
            }
            prop_assert!(text[covered..].trim().is_empty());
        }
    }
}
