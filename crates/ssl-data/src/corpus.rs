//! One split of a prepared corpus: its shards as a single run of tokens, with the places where documents begin.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::manifest::{Manifest, Split};
use crate::shard::Shard;

/// Tokens counted at a time.
const COUNTED: usize = 1 << 20;

/// One of the two parts of a corpus; a document is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitName {
    /// What is trained on.
    Train,
    /// What is only measured.
    Validation,
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
        })
    }
}

/// An open split; clones share the files, and any number of threads may read.
#[derive(Debug, Clone)]
pub struct Corpus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    split: SplitName,
    shards: Vec<Shard>,
    /// The first token of each shard, and the end of the last.
    bases: Vec<u64>,
    /// The separator at which each document begins: 8 bytes a document, the only thing here that grows with the corpus.
    starts: Vec<u64>,
    bytes: u64,
    vocab_size: u32,
    separator: u32,
    fingerprint: String,
}

impl Corpus {
    /// Opens the shards that `manifest.json` in `dir` lists for `split`, and checks that they are the ones it speaks of.
    ///
    /// # Errors
    /// When the manifest or a shard cannot be read or was altered, or when their counts disagree.
    pub fn open(dir: &Path, split: SplitName) -> Result<Self> {
        let manifest = Manifest::load(dir)?;
        let part = match split {
            SplitName::Train => &manifest.train,
            SplitName::Validation => &manifest.validation,
        };
        let mut inner = Inner {
            split,
            shards: Vec::with_capacity(part.shards.len()),
            bases: vec![0],
            starts: Vec::new(),
            bytes: 0,
            vocab_size: manifest.vocab_size,
            separator: manifest.separator,
            fingerprint: manifest.fingerprint.clone(),
        };
        for name in &part.shards {
            let path = dir.join(name);
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(Error::Shard { path, reason: "its name in the manifest leads out of the corpus".into() });
            }
            inner.append(Shard::open(&path)?, manifest.token_bytes)?;
        }
        inner.compare(dir, part)?;
        Ok(Self(Arc::new(inner)))
    }

    /// Which part of the corpus this is.
    #[must_use]
    pub fn split(&self) -> SplitName {
        self.0.split
    }

    /// Tokens, separators included; a document more than one separator, unless the split is empty.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.0.tokens()
    }

    /// Tokens that have one before them: what one pass in order predicts.
    #[must_use]
    pub fn targets(&self) -> u64 {
        self.tokens().saturating_sub(1)
    }

    /// Documents.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.0.starts.len() as u64
    }

    /// Bytes of the cleaned text in UTF-8, the denominator of bits per byte.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Ids are below this.
    #[must_use]
    pub fn vocab_size(&self) -> u32 {
        self.0.vocab_size
    }

    /// The id between documents.
    #[must_use]
    pub fn separator(&self) -> u32 {
        self.0.separator
    }

    /// What identifies the prepared corpus: a hash of its sources and configuration.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// Appends the tokens `at..at + len` to `out`, over the borders of shards.
    ///
    /// # Errors
    /// When the range leaves the split, or a shard was altered.
    pub fn read(&self, mut at: u64, len: usize, out: &mut Vec<u32>) -> Result<()> {
        let tokens = self.tokens();
        if at.checked_add(len as u64).is_none_or(|end| end > tokens) {
            return Err(Error::TokenRange { at, len, tokens });
        }
        let end = at + len as u64;
        let bases = &self.0.bases;
        let mut shard = bases.partition_point(|&base| base <= at).saturating_sub(1);
        while at < end {
            let stop = end.min(bases[shard + 1]);
            self.0.shards[shard].read(at - bases[shard], (stop - at) as usize, out)?;
            at = stop;
            shard += 1;
        }
        Ok(())
    }

    /// How often each id occurs, `vocab_size` numbers.
    ///
    /// # Errors
    /// When a shard was altered.
    pub fn counts(&self) -> Result<Vec<u64>> {
        let mut counts = vec![0; self.vocab_size() as usize];
        let mut tokens = Vec::new();
        for at in (0..self.tokens()).step_by(COUNTED) {
            tokens.clear();
            self.read(at, COUNTED.min((self.tokens() - at) as usize), &mut tokens)?;
            for &token in &tokens {
                if let Some(count) = counts.get_mut(token as usize) {
                    *count += 1;
                }
            }
        }
        Ok(counts)
    }

    /// The tokens of document `k`: its separator and its text; its targets end one later, with the next separator.
    #[must_use]
    pub fn document(&self, k: u64) -> Option<Range<u64>> {
        let start = *self.0.starts.get(usize::try_from(k).ok()?)?;
        let end = self.0.starts.get(k as usize + 1).copied().unwrap_or_else(|| self.targets());
        Some(start..end)
    }

    /// How many documents begin at or before token `at`: document `k` holds it when this is `k + 1`.
    #[must_use]
    pub fn documents_until(&self, at: u64) -> u64 {
        self.0.starts.partition_point(|&start| start <= at) as u64
    }

    /// Where documents begin, in tokens, in order.
    #[must_use]
    pub fn starts(&self) -> &[u64] {
        &self.0.starts
    }

    /// Reads every byte of every shard and checks it, on all cores.
    ///
    /// # Errors
    /// A shard that was altered, with the block.
    pub fn verify(&self) -> Result<()> {
        self.0.shards.par_iter().try_for_each(Shard::verify)
    }
}

impl Inner {
    fn tokens(&self) -> u64 {
        self.bases.last().copied().unwrap_or(0)
    }

    fn append(&mut self, shard: Shard, token_bytes: u8) -> Result<()> {
        let fault = |reason: &str| Error::Shard { path: shard.path().into(), reason: reason.into() };
        let header = shard.header();
        let base = self.tokens();
        if header.width.bytes() != token_bytes || header.vocab_size != self.vocab_size || header.separator != self.separator {
            return Err(fault("it was written for another vocabulary than the manifest's"));
        }
        if header.ordinal as usize != self.shards.len() {
            return Err(fault("it is not at its place in the split"));
        }
        let end = base.checked_add(header.tokens).ok_or_else(|| fault("its counts overflow"))?;
        for entry in shard.index()? {
            self.starts.push(base + entry.start);
            self.bytes = self.bytes.checked_add(entry.bytes).ok_or_else(|| fault("its counts overflow"))?;
        }
        self.bases.push(end);
        self.shards.push(shard);
        Ok(())
    }

    fn compare(&self, dir: &Path, part: &Split) -> Result<()> {
        let counts = [
            ("tokens", part.tokens, self.tokens()),
            ("documents", part.documents, self.starts.len() as u64),
            ("bytes", part.bytes, self.bytes),
        ];
        for (what, expect, found) in counts {
            if expect != found {
                return Err(Error::SplitCounts { dir: dir.into(), split: self.split, what, expect, found });
            }
        }
        Ok(())
    }
}
