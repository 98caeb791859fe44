//! One file of packed tokens: a checked header, the tokens, an index of documents, and a checksum for every 64 KiB.
//!
//! ```text
//! header     64 bytes   magic, version, token bytes, counts, separator, vocabulary, ordinal, checksum of the header
//! tokens     tokens x 2 or 4 bytes
//! index      documents x 16 bytes: token offset of the document's separator, bytes of its text
//! checksums  16 bytes for each 64 KiB block of tokens and index, then 16 bytes for this table
//! ```
//!
//! All integers are little-endian; checksums are XXH3-128 seeded with the block's number, so that blocks cannot change
//! places. They find accidents, not forgery. Reads are positional (no map to fault when a file shrinks), and each block
//! is checked when it is first touched: a flipped bit anywhere is an error that names the shard and the block.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Error, Result};

/// First bytes of every shard; the line feed shows up a file that went through a text conversion.
const MAGIC: [u8; 8] = *b"SSLTOK1\n";
/// The version of the format below.
const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER: usize = 64;
/// Bytes of one checked block; a multiple of every width, so that no token crosses two.
pub(crate) const BLOCK: usize = 64 << 10;
/// Bytes of one checksum.
const SUM: u64 = 16;
/// Bytes of one index entry.
const ENTRY: u64 = 16;
/// The seeds of the two checksums that belong to no block.
const HEADER_SEED: u64 = u64::MAX;
const TABLE_SEED: u64 = u64::MAX - 1;

/// The size of one stored token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 2 bytes: vocabularies up to 65 536.
    Two,
    /// 4 bytes.
    Four,
}

impl Width {
    /// The smallest width that holds every id of a vocabulary.
    #[must_use]
    pub const fn holding(vocab_size: u32) -> Self {
        if vocab_size <= 1 << 16 { Self::Two } else { Self::Four }
    }

    /// Bytes of one token.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// What a shard says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The size of one stored token.
    pub width: Width,
    /// Tokens in this shard, separators included.
    pub tokens: u64,
    /// Documents that start in this shard.
    pub documents: u64,
    /// The id between documents.
    pub separator: u32,
    /// Ids are below this.
    pub vocab_size: u32,
    /// The shard's place within its split, from 0.
    pub ordinal: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.width.bytes()).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.tokens.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.documents.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.separator.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.vocab_size.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.ordinal.to_le_bytes());
        let sum = xxh3_128_with_seed(&bytes[..48], HEADER_SEED);
        bytes[48..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> std::result::Result<Self, String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..8] != MAGIC {
            return Err("it does not begin as a token shard does".into());
        }
        if word(8) != VERSION {
            return Err(format!("its format version is {}, this program reads {VERSION}", word(8)));
        }
        if xxh3_128_with_seed(&bytes[..48], HEADER_SEED).to_le_bytes() != bytes[48..] {
            return Err("its header does not match its checksum".into());
        }
        let width = match word(12) {
            2 => Width::Two,
            4 => Width::Four,
            other => return Err(format!("its tokens have {other} bytes, not 2 or 4")),
        };
        Ok(Self { width, tokens: long(16), documents: long(24), separator: word(32), vocab_size: word(36), ordinal: word(40) })
    }

    /// Bytes of tokens and index, and of the whole file; `None` where the counts overflow.
    fn sizes(&self) -> Option<(u64, u64)> {
        let tokens = self.tokens.checked_mul(self.width.bytes().into())?;
        let data = self.documents.checked_mul(ENTRY)?.checked_add(tokens)?;
        let table = data.div_ceil(BLOCK as u64).checked_mul(SUM)?.checked_add(SUM)?;
        Some((data, data.checked_add(table)?.checked_add(HEADER as u64)?))
    }
}

/// The checksum of block `number`.
pub(crate) fn checksum(block: &[u8], number: u64) -> [u8; SUM as usize] {
    xxh3_128_with_seed(block, number).to_le_bytes()
}

/// The checksum of the table of checksums.
pub(crate) fn table_checksum(table: &[u8]) -> [u8; SUM as usize] {
    xxh3_128_with_seed(table, TABLE_SEED).to_le_bytes()
}

/// One entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where the document's separator stands, in tokens from the shard's start.
    pub start: u64,
    /// Bytes of the document's text in UTF-8.
    pub bytes: u64,
}

/// An open shard; reads from several threads at once are fine.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    header: Header,
    data: u64,
    sums: Vec<u8>,
    /// One bit a block, set once its checksum was found right.
    checked: Vec<AtomicU64>,
}

impl Shard {
    /// Opens a shard and checks its header, its length and its table of checksums; no token is read yet.
    ///
    /// # Errors
    /// When the file cannot be read, is no shard, is shorter or longer than its header says, or was altered.
    pub fn open(path: &Path) -> Result<Self> {
        let fault = |reason: String| Error::Shard { path: path.into(), reason };
        let io = |source| Error::io("open", path, source);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut bytes = [0; HEADER];
        if length < HEADER as u64 {
            return Err(fault(format!("it has {length} bytes, fewer than a header")));
        }
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let header = Header::decode(&bytes).map_err(fault)?;
        let (data, size) = header.sizes().ok_or_else(|| fault("its counts overflow".into()))?;
        if size != length {
            return Err(fault(format!("it has {length} bytes where its header asks for {size}")));
        }
        let mut sums = vec![0; (size - data - HEADER as u64) as usize];
        file.read_exact_at(&mut sums, HEADER as u64 + data).map_err(io)?;
        let sum = sums.split_off(sums.len() - SUM as usize);
        if table_checksum(&sums)[..] != sum[..] {
            return Err(fault("its table of checksums was altered".into()));
        }
        let words = data.div_ceil(BLOCK as u64).div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { path: path.into(), file, header, data, sums, checked })
    }

    /// What the shard says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the shard lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the tokens `at..at + len` to `out`.
    ///
    /// # Errors
    /// When the range leaves the shard, a block does not match its checksum, or an id is outside the vocabulary.
    pub fn read(&self, at: u64, len: usize, out: &mut Vec<u32>) -> Result<()> {
        let tokens = self.header.tokens;
        if at.checked_add(len as u64).is_none_or(|end| end > tokens) {
            return Err(Error::TokenRange { at, len, tokens });
        }
        let width = usize::from(self.header.width.bytes());
        let bytes = self.bytes(at * width as u64, len * width)?;
        let first = out.len();
        match self.header.width {
            Width::Two => out.extend(bytes.as_chunks().0.iter().map(|&b| u32::from(u16::from_le_bytes(b)))),
            Width::Four => out.extend(bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b))),
        }
        let largest = out[first..].iter().copied().max().unwrap_or(0);
        if len > 0 && largest >= self.header.vocab_size {
            let reason = format!("it holds the id {largest}, its vocabulary ends before {}", self.header.vocab_size);
            return Err(Error::Shard { path: self.path.clone(), reason });
        }
        Ok(())
    }

    /// Reads the index of documents: 16 bytes for each in memory, so a caller keeps what it needs.
    ///
    /// # Errors
    /// When a block does not match its checksum, or the index does not describe the shard: the first document starts at
    /// 0, each later one behind the one before, and all of them inside.
    pub fn index(&self) -> Result<Vec<Entry>> {
        let tokens = self.header.tokens * u64::from(self.header.width.bytes());
        let bytes = self.bytes(tokens, (self.data - tokens) as usize)?;
        let longs: Vec<u64> = bytes.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
        let entries: Vec<Entry> = longs.as_chunks().0.iter().map(|&[start, bytes]| Entry { start, bytes }).collect();
        let in_order = entries.first().is_none_or(|first| first.start == 0)
            && entries.is_sorted_by(|a, b| a.start < b.start)
            && entries.last().is_none_or(|last| last.start < self.header.tokens);
        if !in_order {
            return Err(Error::Shard { path: self.path.clone(), reason: "its index of documents is out of order".into() });
        }
        Ok(entries)
    }

    /// Reads the whole file again, touched before or not, and checks every block.
    ///
    /// # Errors
    /// The first block that does not match its checksum.
    pub fn verify(&self) -> Result<()> {
        (0..self.data.div_ceil(BLOCK as u64)).try_for_each(|number| self.block(number).map(drop))
    }

    /// The bytes `from..from + len` of tokens and index; the range must lie inside.
    fn bytes(&self, from: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(len);
        let end = from + len as u64;
        let mut at = from;
        while at < end {
            let number = at / BLOCK as u64;
            let start = number * BLOCK as u64;
            let stop = end.min(start + BLOCK as u64);
            let bit = 1 << (number % 64);
            let checked = &self.checked[(number / 64) as usize];
            // Two threads may check one block at once; both find the same, so the order of memory does not matter.
            if checked.load(Ordering::Relaxed) & bit == 0 {
                let block = self.block(number)?;
                checked.fetch_or(bit, Ordering::Relaxed);
                out.extend_from_slice(&block[(at - start) as usize..(stop - start) as usize]);
            } else {
                let filled = out.len();
                out.resize(filled + (stop - at) as usize, 0);
                let offset = HEADER as u64 + at;
                self.file.read_exact_at(&mut out[filled..], offset).map_err(|source| self.unread(number, source))?;
            }
            at = stop;
        }
        Ok(out)
    }

    /// Reads one whole block and compares its checksum.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let start = number * BLOCK as u64;
        let mut block = vec![0; (self.data - start).min(BLOCK as u64) as usize];
        self.file.read_exact_at(&mut block, HEADER as u64 + start).map_err(|source| self.unread(number, source))?;
        let sum = (number * SUM) as usize;
        if checksum(&block, number)[..] == self.sums[sum..sum + SUM as usize] {
            Ok(block)
        } else {
            Err(Error::ShardBlock { path: self.path.clone(), block: number, source: None })
        }
    }

    fn unread(&self, block: u64, source: std::io::Error) -> Error {
        Error::ShardBlock { path: self.path.clone(), block, source: Some(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Layout, Writer};

    #[test]
    fn an_id_outside_the_vocabulary_is_refused_even_under_right_checksums() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut writer = Writer::create(dir.path(), "x", Layout::new(10, 0)).expect("creates");
        writer.push(&[3, 9], 2).expect("writes");
        writer.finish().expect("finishes");
        let path = dir.path().join("x-00000.tok");
        let mut bytes = std::fs::read(&path).expect("reads");
        let header = Header { vocab_size: 9, ..Shard::open(&path).expect("opens").header };
        bytes[..HEADER].copy_from_slice(&header.encode());
        std::fs::write(&path, bytes).expect("writes");
        let shard = Shard::open(&path).expect("opens");
        shard.read(0, 2, &mut Vec::new()).expect("the ids before it");
        let error = shard.read(0, 3, &mut Vec::new()).expect_err("an id too large");
        assert!(matches!(error, Error::Shard { .. }), "{error}");
    }

    #[test]
    fn counts_that_overflow_are_refused() {
        let header =
            |tokens, documents| Header { width: Width::Four, tokens, documents, separator: 0, vocab_size: 9, ordinal: 0 };
        for (tokens, documents) in [(u64::MAX, 0), (1 << 62, 0), (0, u64::MAX), (1, 1 << 60), ((1 << 62) - 1, 1)] {
            assert_eq!(header(tokens, documents).sizes(), None, "{tokens} tokens, {documents} documents");
        }
        assert_eq!(header(3, 1).sizes(), Some((28, 28 + 32 + 64)));
    }
}
