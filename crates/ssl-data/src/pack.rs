//! Writes one split of a corpus as token shards: `SEP doc 1 SEP doc 2 ... SEP doc n SEP`, over as many files as it takes.
//!
//! A document owns the separator before it. The very last separator closes the last document and belongs to none, so
//! that every document has its end as a target. A shard begins with a document; the next shard goes on where it ends.
//! Each file is written beside its place and renamed once it is whole and on the disk.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::manifest::Split;
use crate::shard::{BLOCK, HEADER, Header, Width, checksum, table_checksum};

/// Tokens after which a shard is closed unless the caller says otherwise: 128 or 256 MiB a file.
pub const SHARD_TOKENS: u64 = 64 << 20;

/// What every shard of a split has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The size of one stored token.
    pub width: Width,
    /// Ids are below this.
    pub vocab_size: u32,
    /// The id between documents.
    pub separator: u32,
    /// No shard holds more tokens than this, unless a single document does.
    pub shard_tokens: u64,
}

impl Layout {
    /// The smallest width that holds the vocabulary, and shards of [`SHARD_TOKENS`].
    #[must_use]
    pub const fn new(vocab_size: u32, separator: u32) -> Self {
        Self { width: Width::holding(vocab_size), vocab_size, separator, shard_tokens: SHARD_TOKENS }
    }
}

/// Packs the documents of one split, in the order they are pushed.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    name: String,
    layout: Layout,
    open: Option<Open>,
    split: Split,
}

impl Writer {
    /// A writer of `name-00000.tok`, `name-00001.tok` and so on in `dir`, which must exist.
    ///
    /// # Errors
    /// When the vocabulary is larger than the width holds, or has no id for the separator.
    pub fn create(dir: &Path, name: &str, layout: Layout) -> Result<Self> {
        if layout.width == Width::Two && Width::holding(layout.vocab_size) == Width::Four {
            return Err(Error::TokenWidth { vocab_size: layout.vocab_size, bytes: layout.width.bytes() });
        }
        check(layout.separator, layout.vocab_size)?;
        Ok(Self { dir: dir.into(), name: name.into(), layout, open: None, split: Split::default() })
    }

    /// Adds one document: its token ids without separators, and the bytes of its text in UTF-8.
    ///
    /// # Errors
    /// When an id is outside the vocabulary or is the separator, or when the disk refuses.
    pub fn push(&mut self, ids: &[u32], text_bytes: u64) -> Result<()> {
        for &id in ids {
            check(id, self.layout.vocab_size)?;
            if id == self.layout.separator {
                return Err(Error::SeparatorInText { id, document: self.split.documents });
            }
        }
        let tokens = ids.len() as u64 + 1;
        if self.open.as_ref().is_some_and(|open| open.header.tokens + tokens > self.layout.shard_tokens) {
            self.close()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open::create(&self.dir, &self.name, self.split.shards.len() as u32, &self.layout)?),
        };
        open.document(ids, text_bytes)?;
        self.split.documents += 1;
        self.split.tokens += tokens;
        self.split.bytes += text_bytes;
        Ok(())
    }

    /// Closes the split with its last separator and says what was written; a split without documents has no shards.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<Split> {
        if let Some(open) = &mut self.open {
            open.separator()?;
            self.split.tokens += 1;
            self.close()?;
        }
        Ok(self.split)
    }

    fn close(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            let name = format!("{}-{:05}.tok", self.name, open.header.ordinal);
            open.finish(&self.dir.join(&name))?;
            self.split.shards.push(name);
        }
        Ok(())
    }
}

fn check(id: u32, vocab_size: u32) -> Result<()> {
    if id < vocab_size { Ok(()) } else { Err(Error::TokenId { id, vocab_size }) }
}

/// The shard being written: whole blocks go to the disk at once, so only one block and the index stay in memory.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    header: Header,
    index: Vec<u8>,
    block: Vec<u8>,
    sums: Vec<u8>,
    blocks: u64,
}

impl Open {
    fn create(dir: &Path, name: &str, ordinal: u32, layout: &Layout) -> Result<Self> {
        let path = dir.join(format!("{name}-{ordinal:05}.tok.tmp"));
        let mut file = File::create(&path).map_err(|source| Error::io("create", &path, source))?;
        // The header is known at the end; until then the file begins with zeros and is no shard.
        file.write_all(&[0; HEADER]).map_err(|source| Error::io("write", &path, source))?;
        let Layout { width, vocab_size, separator, .. } = *layout;
        let header = Header { width, tokens: 0, documents: 0, separator, vocab_size, ordinal };
        Ok(Self { path, file, header, index: Vec::new(), block: Vec::with_capacity(BLOCK), sums: Vec::new(), blocks: 0 })
    }

    fn document(&mut self, ids: &[u32], text_bytes: u64) -> Result<()> {
        self.index.extend(self.header.tokens.to_le_bytes());
        self.index.extend(text_bytes.to_le_bytes());
        self.header.documents += 1;
        self.separator()?;
        ids.iter().try_for_each(|&id| self.token(id))
    }

    fn separator(&mut self) -> Result<()> {
        self.token(self.header.separator)
    }

    fn token(&mut self, id: u32) -> Result<()> {
        self.header.tokens += 1;
        self.put(&id.to_le_bytes()[..self.header.width.bytes().into()])
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK {
                self.flush()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.block).map_err(|source| Error::io("write", &self.path, source))?;
        self.sums.extend(checksum(&self.block, self.blocks));
        self.blocks += 1;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self, to: &Path) -> Result<()> {
        let index = std::mem::take(&mut self.index);
        self.put(&index)?;
        if !self.block.is_empty() {
            self.flush()?;
        }
        self.sums.extend(table_checksum(&self.sums));
        self.file
            .write_all(&self.sums)
            .and_then(|()| self.file.write_all_at(&self.header.encode(), 0))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(&self.path, to))
            .and_then(|()| to.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()))
            .map_err(|source| Error::io("write", to, source))
    }
}

impl Drop for Open {
    /// Leaves no half-written file behind; after the rename there is none by that name.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
