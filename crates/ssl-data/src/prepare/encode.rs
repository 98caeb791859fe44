//! The last stage: documents become tokens on all cores, and shards in the order of the input.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::read::Cleaned;
use super::spool::{Part, Reader};
use super::tally::{Seen, Tally};
use super::{Watch, stage};
use crate::composition::{Composition, Draw};
use crate::corpus::SplitName;
use crate::error::{Error, Result};
use crate::manifest::{Split, Stage, VALIDATION_TEXT};
use crate::pack::{Layout, Writer};
use crate::vocab::Vocab;

/// Bytes of text encoded at once.
const BATCH: usize = 8 << 20;

/// What the stage wrote.
pub(super) struct Packed {
    pub(super) layout: Layout,
    pub(super) train: Split,
    pub(super) validation: Split,
    pub(super) composition: Composition,
    pub(super) stage: Stage,
}

/// Encodes every document of `spool` and packs both splits into `dir`.
pub(super) fn run(vocab: &Vocab, cleaned: &Cleaned, spool: &Path, dir: &Path, watch: &dyn Watch) -> Result<Packed> {
    let mut packer = Packer::create(vocab, cleaned, dir)?;
    let spool = Reader::open(spool, cleaned.spool_bytes, cleaned.division)?;
    encode(vocab, cleaned, spool, |seen, ids, text| {
        packer.push(seen, ids, text)?;
        packer.ask(watch)
    })?;
    packer.finish()
}

/// Encodes the documents of `spool`, and gives each to `each` in order with its tokens and its text.
pub(super) fn encode(
    vocab: &Vocab,
    cleaned: &Cleaned,
    mut spool: Reader,
    mut each: impl FnMut(&Seen, &[u32], &str) -> Result<()>,
) -> Result<()> {
    let draw = Draw::of(cleaned.documents, cleaned.bytes);
    let (mut batch, mut cost) = (Vec::new(), 0);
    loop {
        let part = spool.next().transpose()?;
        let last = part.is_none();
        cost += part.as_ref().map_or(0, |part| part.text.len());
        batch.extend(part);
        if !last && cost < BATCH {
            continue;
        }
        let texts: Vec<&str> = batch.iter().map(|part: &Part| part.text.as_str()).collect();
        let tokens = vocab.encode_batch(&texts)?;
        let look = |(part, ids): (&Part, &Vec<u32>)| {
            let tokens = ids.len() as u64;
            Seen { split: part.split, bytes: part.text.len() as u64, tokens, look: draw.look(&part.text, tokens) }
        };
        let seen: Vec<Seen> = batch.par_iter().zip(&tokens).map(look).collect();
        for ((seen, ids), part) in seen.iter().zip(&tokens).zip(&batch) {
            each(seen, ids, &part.text)?;
        }
        if last {
            return Ok(());
        }
        batch.clear();
        cost = 0;
    }
}

/// Packs encoded documents in the order of the input.
pub(super) struct Packer {
    begin: Instant,
    layout: Layout,
    train: Writer,
    validation: Writer,
    text: Text,
    tally: Tally,
    /// Bytes of text, of how many, and documents.
    done: u64,
    total: u64,
    documents: u64,
    /// Bytes at which the watch was last asked.
    asked: u64,
}

impl Packer {
    pub(super) fn create(vocab: &Vocab, cleaned: &Cleaned, dir: &Path) -> Result<Self> {
        let layout = Layout::new(vocab.size(), vocab.separator());
        Ok(Self {
            begin: Instant::now(),
            layout,
            train: Writer::create(dir, "train", layout)?,
            validation: Writer::create(dir, "validation", layout)?,
            text: Text::create(dir.join(VALIDATION_TEXT))?,
            tally: Tally::new(&cleaned.parts, Draw::of(cleaned.documents, cleaned.bytes)),
            done: 0,
            total: cleaned.bytes,
            documents: 0,
            asked: 0,
        })
    }

    /// Adds a document; only of one for validation is the text looked at.
    pub(super) fn push(&mut self, seen: &Seen, ids: &[u32], text: &str) -> Result<()> {
        self.tally.add(seen);
        self.done += seen.bytes;
        self.documents += 1;
        match seen.split {
            SplitName::Train => self.train.push(ids, seen.bytes),
            SplitName::Validation => {
                self.text.push(text)?;
                self.validation.push(ids, seen.bytes)
            }
        }
    }

    /// Tells the watch now and then, and asks whether to stop.
    pub(super) fn ask(&mut self, watch: &dyn Watch) -> Result<()> {
        if self.done - self.asked < BATCH as u64 && self.done < self.total {
            return Ok(());
        }
        self.asked = self.done;
        watch.stage(stage::ENCODE, self.done, Some(self.total), self.documents);
        if watch.stop() { Err(Error::Interrupted { stage: stage::ENCODE }) } else { Ok(()) }
    }

    pub(super) fn finish(self) -> Result<Packed> {
        self.text.finish()?;
        let (train, validation) = (self.train.finish()?, self.validation.finish()?);
        let seconds = self.begin.elapsed().as_secs_f64();
        let stage = Stage { name: stage::ENCODE.into(), seconds, bytes: self.done, documents: self.documents };
        Ok(Packed { layout: self.layout, train, validation, composition: self.tally.finish(), stage })
    }
}

/// The validation documents as they are, one after another.
struct Text {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Text {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|source| Error::io("create", &path, source))?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    fn push(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|source| Error::io("write", &self.path, source))
    }

    fn finish(self) -> Result<()> {
        let io = |source| Error::io("write", &self.path, source);
        self.file.into_inner().map_err(|fault| io(fault.into_error()))?.sync_all().map_err(io)
    }
}
