//! Learns byte-pair encoding: again and again the most frequent pair of neighbours becomes one symbol. `WordPiece` is learned alike, over
//! characters, of which those inside of a word are marked.
//!
//! Pairs and their counts are kept from one join to the next, and only words that hold the pair are looked at. Of equally frequent pairs
//! the one with the lower ids comes first. What comes out is what `BpeTrainer` of the `tokenizers` library learns, as long as no count
//! passes 31 bits: there its counts of pairs wrap, and ours go on.
//!
//! Source: Sennrich, Haddow and Birch 2016, algorithm 1; `tokenizers` 0.23 (`models/bpe/trainer.rs`).

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::bpe::symbols;
use super::count::Counted;

/// What marks a piece that stands behind another in its word.
pub(super) const INSIDE: &str = "##";

type Pair = (u32, u32);
type ByPair<T> = HashMap<Pair, T, BuildHasherDefault<Mixed>>;

/// Tokens by id, and the pairs that were joined, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Learned {
    pub(super) tokens: Vec<String>,
    pub(super) merges: Vec<(String, String)>,
}

/// A pair that waits to be joined, and the words that it was met in.
struct Candidate {
    count: i64,
    pair: Pair,
    words: Vec<u32>,
}

impl Candidate {
    fn key(&self) -> (i64, std::cmp::Reverse<Pair>) {
        (self.count, std::cmp::Reverse(self.pair))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Words as runs of ids in one long list; joining only shortens them.
struct Words {
    ids: Vec<u32>,
    /// Where each begins, and how many ids it has now.
    spans: Vec<(usize, u32)>,
    counts: Vec<i64>,
}

/// Learns a byte-level vocabulary of at most `tokens` tokens: those of `first`, the 256 bytes, and joined pairs.
pub(super) fn bytes(words: &[Counted], first: &[String], tokens: usize) -> Learned {
    let mut names = Names::of(first);
    let mut alphabet: Vec<(char, u8)> = symbols().map(|(byte, symbol)| (symbol, byte)).collect();
    alphabet.sort_unstable();
    let mut ids = [0; 256];
    for (symbol, byte) in alphabet {
        ids[usize::from(byte)] = names.id(symbol.into());
    }
    let words = Words::new(words, |word, into| into.extend(word.iter().map(|&byte| ids[usize::from(byte)])));
    learn(words, names, tokens, |a, b| format!("{a}{b}"))
}

/// Learns `WordPiece`: those of `first`, every character inside of a word, every character, and joined pairs.
pub(super) fn pieces(words: &[Counted], first: &[String], tokens: usize) -> Learned {
    let mut names = Names::of(first);
    let (mut inside, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (word, _) in words {
        let word = String::from_utf8_lossy(word);
        inside.extend(word.chars().skip(1));
        all.extend(word.chars());
    }
    let inside: HashMap<char, u32> = inside.into_iter().map(|c| (c, names.id(format!("{INSIDE}{c}")))).collect();
    let all: HashMap<char, u32> = all.into_iter().map(|c| (c, names.id(c.into()))).collect();
    let words = Words::new(words, |word, into| {
        let word = String::from_utf8_lossy(word);
        into.extend(word.chars().enumerate().map(|(at, c)| if at == 0 { all[&c] } else { inside[&c] }));
    });
    learn(words, names, tokens, |a, b| format!("{a}{}", b.strip_prefix(INSIDE).unwrap_or(b)))
}

/// Tokens by id, and ids by token.
struct Names {
    list: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Names {
    fn of(first: &[String]) -> Self {
        let mut names = Self { list: Vec::new(), ids: HashMap::new() };
        for name in first {
            names.id(name.clone());
        }
        names
    }

    /// The id of a token, which gets one if it has none.
    fn id(&mut self, name: String) -> u32 {
        *self.ids.entry(name).or_insert_with_key(|name| {
            self.list.push(name.clone());
            self.list.len() as u32 - 1
        })
    }
}

/// Joins pairs until there are `tokens` tokens or no pair is left.
fn learn(mut words: Words, mut names: Names, tokens: usize, join: impl Fn(&str, &str) -> String) -> Learned {
    let mut counts = ByPair::default();
    let mut queue = BinaryHeap::new();
    let mut met = ByPair::default();
    for word in 0..words.spans.len() as u32 {
        let count = words.counts[word as usize];
        for pair in words.of(word).windows(2).map(|pair| (pair[0], pair[1])) {
            note(&mut counts, &mut met, pair, count, word);
        }
    }
    offer(&mut queue, &counts, &mut met);
    let mut merges = Vec::new();
    let mut changes = Vec::new();
    while names.list.len() < tokens
        && let Some(mut top) = queue.pop()
    {
        let now = counts.get(&top.pair).copied().unwrap_or(0);
        if top.count != now {
            top.count = now;
            queue.push(top);
            continue;
        }
        if top.count < 1 {
            break;
        }
        let (a, b) = (names.list[top.pair.0 as usize].clone(), names.list[top.pair.1 as usize].clone());
        let joined = names.id(join(&a, &b));
        merges.push((a, b));
        for word in top.words {
            words.join(word, top.pair, joined, &mut changes);
            let count = words.counts[word as usize];
            for (pair, more) in changes.drain(..) {
                if more {
                    note(&mut counts, &mut met, pair, count, word);
                } else {
                    *counts.entry(pair).or_default() -= count;
                }
            }
        }
        offer(&mut queue, &counts, &mut met);
    }
    Learned { tokens: names.list, merges }
}

/// Counts a pair in a word. Words come in order, so a word that is known is the last.
fn note(counts: &mut ByPair<i64>, met: &mut ByPair<Vec<u32>>, pair: Pair, count: i64, word: u32) {
    *counts.entry(pair).or_default() += count;
    let words = met.entry(pair).or_default();
    if words.last() != Some(&word) {
        words.push(word);
    }
}

#[expect(clippy::iter_over_hash_type, reason = "they are offered in any order, and leave the queue in one")]
fn offer(queue: &mut BinaryHeap<Candidate>, counts: &ByPair<i64>, met: &mut ByPair<Vec<u32>>) {
    for (pair, words) in met.drain() {
        let count = counts.get(&pair).copied().unwrap_or(0);
        if count > 0 {
            queue.push(Candidate { count, pair, words });
        }
    }
}

impl Words {
    /// `spell` appends the ids of a word.
    fn new(counted: &[Counted], spell: impl Fn(&[u8], &mut Vec<u32>)) -> Self {
        let mut words = Self { ids: Vec::new(), spans: Vec::new(), counts: Vec::new() };
        words.ids.reserve(counted.iter().map(|(word, _)| word.len()).sum());
        for (word, count) in counted {
            let begin = words.ids.len();
            spell(word, &mut words.ids);
            words.spans.push((begin, (words.ids.len() - begin) as u32));
            words.counts.push(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        words
    }

    fn of(&self, word: u32) -> &[u32] {
        let (begin, length) = self.spans[word as usize];
        &self.ids[begin..begin + length as usize]
    }

    /// Joins every `pair` in `word`, from left to right, and adds the pairs that come (true) and go to `changes`.
    fn join(&mut self, word: u32, pair: Pair, joined: u32, changes: &mut Vec<(Pair, bool)>) {
        let (begin, length) = &mut self.spans[word as usize];
        let ids = &mut self.ids[*begin..*begin + *length as usize];
        let (mut from, mut to) = (0, 0);
        while from < ids.len() {
            if ids[from] == pair.0 && ids.get(from + 1) == Some(&pair.1) {
                if to > 0 {
                    changes.push(((ids[to - 1], pair.0), false));
                    changes.push(((ids[to - 1], joined), true));
                }
                if let Some(&behind) = ids.get(from + 2) {
                    changes.push(((pair.1, behind), false));
                    changes.push(((joined, behind), true));
                }
                ids[to] = joined;
                from += 2;
            } else {
                ids[to] = ids[from];
                from += 1;
            }
            to += 1;
        }
        *length = to as u32;
    }
}

/// Hashes a pair of ids.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0.rotate_left(32) ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_pair_is_joined_first() {
        // The example of Sennrich et al.: low 5, lower 2, newest 6, widest 3.
        let words = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)];
        let words = words.map(|(word, count)| (word.as_bytes().into(), count));
        let learned = bytes(&words, &["<|endoftext|>".into()], 1 + 256 + 4);
        let merges: Vec<String> = learned.merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        assert_eq!(merges, ["e s", "es t", "l o", "lo w"]);
        assert_eq!(learned.tokens[257..], ["es", "est", "lo", "low"]);
    }

    #[test]
    fn counts_beyond_31_bits_do_not_wrap() {
        // As many "the" as there are in a few terabytes, and more of a rarer pair than would be left after wrapping.
        let words = [(b"the"[..].into(), (1 << 32) + 5), (b"xy"[..].into(), 1000)];
        let learned = bytes(&words, &[], 256 + 3);
        assert_eq!(learned.tokens[256..], ["he", "the", "xy"]);
    }
}
