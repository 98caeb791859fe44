//! The last stage: documents become tokens on all cores, and shards in the order of the input.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::read::Cleaned;
use super::spool::{Part, Reader};
use super::{Watch, stage};
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
    pub(super) stage: Stage,
}

/// Encodes every document of `spool` and packs both splits into `dir`.
pub(super) fn run(vocab: &Vocab, cleaned: &Cleaned, spool: &Path, dir: &Path, watch: &dyn Watch) -> Result<Packed> {
    let begin = Instant::now();
    let layout = Layout::new(vocab.size(), vocab.separator());
    let mut train = Writer::create(dir, "train", layout)?;
    let mut validation = Writer::create(dir, "validation", layout)?;
    let mut text = Text::create(dir.join(VALIDATION_TEXT))?;
    let (mut batch, mut cost, mut done, mut documents) = (Vec::new(), 0, 0, 0);
    let mut spool = Reader::open(spool, cleaned.spool_bytes, cleaned.division)?;
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
        for (part, ids) in batch.iter().zip(tokens) {
            let writer = match part.split {
                SplitName::Train => &mut train,
                SplitName::Validation => {
                    text.push(&part.text)?;
                    &mut validation
                }
            };
            writer.push(&ids, part.text.len() as u64)?;
        }
        done += cost as u64;
        documents += batch.len() as u64;
        watch.stage(stage::ENCODE, done, Some(cleaned.bytes), documents);
        if watch.stop() {
            return Err(Error::Interrupted { stage: stage::ENCODE });
        }
        if last {
            break;
        }
        batch.clear();
        cost = 0;
    }
    text.finish()?;
    let (train, validation) = (train.finish()?, validation.finish()?);
    let stage = Stage { name: stage::ENCODE.into(), seconds: begin.elapsed().as_secs_f64(), bytes: done, documents };
    Ok(Packed { layout, train, validation, stage })
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
