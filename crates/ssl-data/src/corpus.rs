//! One split of a prepared corpus: its shards as a single run of tokens, with the places where documents begin. A part of it, a run
//! of whole documents such as those of one source, is a corpus too.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::composition::Size;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, Split};
use crate::shard::Shard;

/// Tokens counted at a time.
const COUNTED: usize = 1 << 20;

/// One of the two parts of a corpus; a document is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// An open split, or a part of one; clones share the files, and any number of threads may read.
#[derive(Debug, Clone)]
pub struct Corpus {
    whole: Arc<Inner>,
    /// Which of its documents this is about.
    documents: Range<usize>,
    /// Their first token, and how many there are; the separator that ends the last is the first of whatever is next.
    base: u64,
    tokens: u64,
    bytes: u64,
}

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
    /// The sources of the manifest in order, with what each has in this split.
    sources: Vec<(String, Size)>,
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
            sources: Vec::new(),
        };
        for source in manifest.composition.sources {
            let size = if split == SplitName::Train { source.train } else { source.validation };
            inner.sources.push((source.name, size));
        }
        for name in &part.shards {
            let path = dir.join(name);
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(Error::Shard { path, reason: "its name in the manifest leads out of the corpus".into() });
            }
            inner.append(Shard::open(&path)?, manifest.token_bytes)?;
        }
        inner.compare(dir, part)?;
        let (documents, tokens, bytes) = (0..inner.starts.len(), inner.tokens(), inner.bytes);
        Ok(Self { whole: Arc::new(inner), documents, base: 0, tokens, bytes })
    }

    /// The sources that the split is made of, each a corpus, with their names and in their order; none in a corpus that was prepared
    /// before sources were counted, or of a part.
    ///
    /// # Errors
    /// When the documents and tokens of the sources are not those of the split.
    pub fn sources(&self) -> Result<Vec<(String, Self)>> {
        let (split, whole) = (self.split(), &self.whole);
        if self.documents() != whole.starts.len() as u64 {
            return Ok(Vec::new());
        }
        let mut next = 0_usize;
        let mut sources = Vec::with_capacity(whole.sources.len());
        for (name, size) in &whole.sources {
            let fault = |what, expect, found| Error::SourceCounts { source_name: name.clone(), split, what, expect, found };
            let first = next;
            next = usize::try_from(size.documents).ok().and_then(|documents| first.checked_add(documents)).unwrap_or(usize::MAX);
            if next > whole.starts.len() {
                return Err(fault("documents", size.documents, (whole.starts.len() - first) as u64));
            }
            let at = |k: usize| whole.starts.get(k).copied().unwrap_or_else(|| self.targets());
            let (base, end) = (at(first), at(next));
            if end - base != size.tokens {
                return Err(fault("tokens", size.tokens, end - base));
            }
            let tokens = if size.documents == 0 { 0 } else { end - base + 1 };
            let part = Self { whole: Arc::clone(whole), documents: first..next, base, tokens, bytes: size.bytes };
            sources.push((name.clone(), part));
        }
        let all = whole.starts.len();
        match sources.last() {
            Some((name, _)) if next != all => {
                let (expect, found) = (next as u64, all as u64);
                Err(Error::SourceCounts { source_name: name.clone(), split, what: "documents in all", expect, found })
            }
            _ => Ok(sources),
        }
    }

    /// Which part of the corpus this is.
    #[must_use]
    pub fn split(&self) -> SplitName {
        self.whole.split
    }

    /// Tokens, separators included; a document more than one separator, unless the split is empty.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens that have one before them: what one pass in order predicts.
    #[must_use]
    pub fn targets(&self) -> u64 {
        self.tokens().saturating_sub(1)
    }

    /// Documents.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents.len() as u64
    }

    /// Bytes of the cleaned text in UTF-8, the denominator of bits per byte.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ids are below this.
    #[must_use]
    pub fn vocab_size(&self) -> u32 {
        self.whole.vocab_size
    }

    /// The id between documents.
    #[must_use]
    pub fn separator(&self) -> u32 {
        self.whole.separator
    }

    /// What identifies the prepared corpus: a hash of its sources and configuration.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.whole.fingerprint
    }

    /// Appends the tokens `at..at + len` to `out`, over the borders of shards.
    ///
    /// # Errors
    /// When the range leaves the split, or a shard was altered.
    pub fn read(&self, at: u64, len: usize, out: &mut Vec<u32>) -> Result<()> {
        let tokens = self.tokens();
        if at.checked_add(len as u64).is_none_or(|end| end > tokens) {
            return Err(Error::TokenRange { at, len, tokens });
        }
        let mut at = self.base + at;
        let end = at + len as u64;
        let bases = &self.whole.bases;
        let mut shard = bases.partition_point(|&base| base <= at).saturating_sub(1);
        while at < end {
            let stop = end.min(bases[shard + 1]);
            self.whole.shards[shard].read(at - bases[shard], (stop - at) as usize, out)?;
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
        let starts = &self.whole.starts[self.documents.clone()];
        let at = usize::try_from(k).ok()?;
        let start = *starts.get(at)? - self.base;
        Some(start..starts.get(at + 1).map_or_else(|| self.targets(), |end| end - self.base))
    }

    /// How many documents begin at or before token `at`: document `k` holds it when this is `k + 1`.
    #[must_use]
    pub fn documents_until(&self, at: u64) -> u64 {
        self.whole.starts[self.documents.clone()].partition_point(|&start| start - self.base <= at) as u64
    }

    /// Where documents `from` and later begin, in tokens, in order.
    pub fn starts(&self, from: u64) -> impl Iterator<Item = u64> {
        let starts = &self.whole.starts[self.documents.clone()];
        starts[starts.len().min(from as usize)..].iter().map(|start| start - self.base)
    }

    /// Reads every byte of every shard and checks it, on all cores.
    ///
    /// # Errors
    /// A shard that was altered, with the block.
    pub fn verify(&self) -> Result<()> {
        self.whole.shards.par_iter().try_for_each(Shard::verify)
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
