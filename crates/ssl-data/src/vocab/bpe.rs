//! Byte-level byte-pair encoding: words to bytes, then the pair with the lowest rank joined until none is left.
//!
//! Most words of a text were seen before, so each thread remembers short words and their ids. Unknown short words are
//! joined by looking at all pairs again and again; long ones with a heap, so that no text takes more than `n log n`.
//!
//! Source: Gage 1994; Sennrich, Haddow and Birch 2016, algorithm 1; bytes as symbols: Radford et al. 2019, section 2.2.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use super::split::word_end;

/// Words up to this many bytes are remembered; the length takes the sixteenth.
const SHORT: usize = 15;
/// Ids that a remembered word may have.
const FEW: usize = 6;
/// Remembered words, a power of two: 3.5 MB a thread.
const SLOTS: usize = 1 << 16;
/// Longer words are joined with a heap.
const LINEAR: usize = 48;

/// Ranks of pairs, and the bytes of ids.
#[derive(Debug)]
pub(super) struct Bpe {
    bytes: [u32; 256],
    pairs: Pairs,
    words: Vec<Vec<u8>>,
    /// Tells one vocabulary's remembered words from another's.
    number: u64,
}

impl Bpe {
    /// Of a tokenizer that is plain byte-level BPE with GPT-2's pattern; `None` of any other.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let ModelWrapper::BPE(model) = tokenizer.get_model() else { return None };
        let Some(PreTokenizerWrapper::ByteLevel(split)) = tokenizer.get_pre_tokenizer() else { return None };
        let plain = model.dropout.is_none_or(|share| share == 0.0)
            && model.continuing_subword_prefix.as_deref().unwrap_or("").is_empty()
            && model.end_of_word_suffix.as_deref().unwrap_or("").is_empty()
            && !model.byte_fallback
            && !model.ignore_merges
            && tokenizer.get_normalizer().is_none()
            && split.use_regex
            && !split.add_prefix_space;
        // Added tokens that are not special are found in the text before anything else.
        if !plain || tokenizer.get_added_tokens_decoder().values().any(|token| !token.special) {
            return None;
        }
        let json = serde_json::to_value(model).ok()?;
        let vocab = json.get("vocab")?.as_object()?;
        let id_of = |word: &str| vocab.get(word).and_then(serde_json::Value::as_u64).map(|id| id as u32);
        let mut bytes = [0; 256];
        for (byte, symbol) in symbols() {
            bytes[usize::from(byte)] = id_of(symbol.encode_utf8(&mut [0; 4]))?;
        }
        let merges = json.get("merges")?.as_array()?;
        let mut pairs = Pairs::new(merges.len());
        for (rank, merge) in (0..).zip(merges) {
            let (a, b) = match merge {
                serde_json::Value::String(pair) => pair.split_once(' ')?,
                pair => (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?),
            };
            pairs.insert(id_of(a)?, id_of(b)?, rank, id_of(&format!("{a}{b}"))?);
        }
        let mut words = vec![Vec::new(); vocab.values().filter_map(serde_json::Value::as_u64).max()? as usize + 1];
        let table: std::collections::HashMap<char, u8> = symbols().map(|(byte, symbol)| (symbol, byte)).collect();
        for (word, id) in vocab {
            // Special tokens are their own text.
            let bytes: Option<Vec<u8>> = word.chars().map(|symbol| table.get(&symbol).copied()).collect();
            let special = tokenizer.get_added_tokens_decoder().contains_key(&(id.as_u64()? as u32));
            words[id.as_u64()? as usize] = bytes.filter(|_| !special).unwrap_or_else(|| word.as_bytes().to_vec());
        }
        Some(Self { bytes, pairs, words, number: next_number() })
    }

    /// Appends the ids of a text.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        thread_local! {
            static CACHE: RefCell<Cache> = RefCell::new(Cache::default());
        }
        CACHE.with_borrow_mut(|cache| {
            cache.claim(self.number);
            let mut at = 0;
            while at < text.len() {
                let end = word_end(text, at);
                self.word(&text.as_bytes()[at..], end - at, cache, ids);
                at = end;
            }
        });
    }

    /// Appends the ids of the first `len` of `bytes`.
    fn word(&self, bytes: &[u8], len: usize, cache: &mut Cache, ids: &mut Vec<u32>) {
        if len > SHORT {
            let word = &bytes[..len];
            return if len <= LINEAR { self.join(word, &mut cache.scratch, ids) } else { self.join_long(word, ids) };
        }
        let key = key_of(bytes, len);
        let slot = slot_of(key);
        let known = &cache.slots[slot];
        if known.key == key {
            ids.extend_from_slice(&known.ids[..usize::from(known.count)]);
            return;
        }
        let from = ids.len();
        self.join(&bytes[..len], &mut cache.scratch, ids);
        let found = &ids[from..];
        if found.len() <= FEW {
            let mut entry = Slot { key, count: found.len() as u8, ids: [0; FEW] };
            entry.ids[..found.len()].copy_from_slice(found);
            cache.slots[slot] = entry;
        }
    }

    /// Joins the pair with the lowest rank, the leftmost of equals, until none has a rank.
    fn join(&self, word: &[u8], parts: &mut Vec<(u32, u32, u32)>, ids: &mut Vec<u32>) {
        const NONE: u32 = u32::MAX;
        // Each part: its id, and the rank and result of joining it with the next.
        parts.clear();
        parts.extend(word.iter().map(|&byte| (self.bytes[usize::from(byte)], NONE, NONE)));
        let pair = |parts: &[(u32, u32, u32)], i: usize| match parts.get(i + 1) {
            Some(next) => self.pairs.get(parts[i].0, next.0).unwrap_or((NONE, NONE)),
            None => (NONE, NONE),
        };
        for i in 0..parts.len() {
            (parts[i].1, parts[i].2) = pair(parts, i);
        }
        loop {
            let mut best = (NONE, 0);
            for (i, part) in parts.iter().enumerate() {
                if part.1 < best.0 {
                    best = (part.1, i);
                }
            }
            let (rank, i) = best;
            if rank == NONE {
                break;
            }
            parts[i].0 = parts[i].2;
            parts.remove(i + 1);
            (parts[i].1, parts[i].2) = pair(parts, i);
            if i > 0 {
                (parts[i - 1].1, parts[i - 1].2) = pair(parts, i - 1);
            }
        }
        ids.extend(parts.iter().map(|part| part.0));
    }

    /// As [`Self::join`], with a heap of pairs over a linked list of parts.
    fn join_long(&self, word: &[u8], ids: &mut Vec<u32>) {
        const END: usize = usize::MAX;
        // Each part: id (or none, when joined to the one before), the part before and the part behind.
        let mut parts: Vec<(Option<u32>, usize, usize)> = (0..word.len())
            .map(|i| (Some(self.bytes[usize::from(word[i])]), i.wrapping_sub(1), if i + 1 < word.len() { i + 1 } else { END }))
            .collect();
        let mut heap = BinaryHeap::new();
        let offer = |parts: &[(Option<u32>, usize, usize)], heap: &mut BinaryHeap<_>, i: usize| {
            let (Some(&(Some(a), _, next)), true) = (parts.get(i), i != END) else { return };
            if let Some(&(Some(b), ..)) = parts.get(next)
                && let Some((rank, new)) = self.pairs.get(a, b)
            {
                heap.push(Reverse((rank, i, new, a, b)));
            }
        };
        for i in 0..parts.len() {
            offer(&parts, &mut heap, i);
        }
        while let Some(Reverse((_, i, new, a, b))) = heap.pop() {
            let (id, before, next) = parts[i];
            // A pair whose parts have changed since was offered anew.
            if id != Some(a) || parts.get(next).is_none_or(|part| part.0 != Some(b)) {
                continue;
            }
            let behind = parts[next].2;
            parts[next].0 = None;
            parts[i] = (Some(new), before, behind);
            if let Some(part) = parts.get_mut(behind) {
                part.1 = i;
            }
            offer(&parts, &mut heap, i);
            offer(&parts, &mut heap, before);
        }
        ids.extend(parts.iter().filter_map(|part| part.0));
    }

    /// How many bytes an id stands for.
    pub(super) fn bytes_of(&self, id: u32) -> usize {
        self.words.get(id as usize).map_or(0, Vec::len)
    }

    /// The bytes of ids; unknown ids have none.
    pub(super) fn decode(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().filter_map(|&id| self.words.get(id as usize)).flatten().copied().collect()
    }
}

/// A pair's rank and result, by open addressing: one look for nearly every pair.
#[derive(Debug)]
struct Pairs {
    slots: Vec<(u64, u32, u32)>,
    shift: u32,
}

impl Pairs {
    const FREE: u64 = u64::MAX;

    fn new(count: usize) -> Self {
        let size = (count * 2).next_power_of_two().max(16);
        Self { slots: vec![(Self::FREE, 0, 0); size], shift: 64 - size.trailing_zeros() }
    }

    fn start(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    fn insert(&mut self, a: u32, b: u32, rank: u32, new: u32) {
        let key = u64::from(a) << 32 | u64::from(b);
        let mut at = self.start(key);
        while self.slots[at].0 != Self::FREE && self.slots[at].0 != key {
            at = (at + 1) & (self.slots.len() - 1);
        }
        // Of a pair given twice the later rank counts, as in the library.
        self.slots[at] = (key, rank, new);
    }

    fn get(&self, a: u32, b: u32) -> Option<(u32, u32)> {
        let key = u64::from(a) << 32 | u64::from(b);
        let mut at = self.start(key);
        loop {
            let (found, rank, new) = self.slots[at];
            if found == key {
                return Some((rank, new));
            }
            if found == Self::FREE {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

/// One thread's remembered words.
#[derive(Default)]
struct Cache {
    owner: u64,
    slots: Vec<Slot>,
    scratch: Vec<(u32, u32, u32)>,
}

#[derive(Clone, Copy)]
struct Slot {
    key: u128,
    count: u8,
    ids: [u32; FEW],
}

impl Cache {
    /// Forgets the words of another vocabulary.
    fn claim(&mut self, owner: u64) {
        if self.owner != owner {
            self.owner = owner;
            self.slots.clear();
            // No word has this key: its length would be above 15.
            self.slots.resize(SLOTS, Slot { key: u128::MAX, count: 0, ids: [0; FEW] });
        }
    }
}

/// A short word as one number: its bytes, and its length on top.
fn key_of(bytes: &[u8], len: usize) -> u128 {
    let word = if let Some(chunk) = bytes.first_chunk::<16>() {
        u128::from_le_bytes(*chunk) & ((1 << (8 * len)) - 1)
    } else {
        let mut chunk = [0; 16];
        chunk[..len].copy_from_slice(&bytes[..len]);
        u128::from_le_bytes(chunk)
    };
    word | (len as u128) << 120
}

fn slot_of(key: u128) -> usize {
    let folded = (key as u64 ^ ((key >> 64) as u64).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (folded >> 48) as usize % SLOTS
}

fn next_number() -> u64 {
    static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// GPT-2's printable symbol of each byte: itself where it can be seen, else from U+0100 on.
pub(super) fn symbols() -> impl Iterator<Item = (u8, char)> {
    let seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut hidden = 0;
    (0..=255_u8).map(move |byte| {
        if seen(byte) {
            (byte, char::from(byte))
        } else {
            hidden += 1;
            (byte, char::from_u32(255 + hidden).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
    })
}
