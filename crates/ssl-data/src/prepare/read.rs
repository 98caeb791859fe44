//! The first stage: one thread reads and unpacks, all cores clean, and the caller's thread keeps the first of equal
//! documents and spools them. Batches are bounded in bytes, so memory does not follow the size of the corpus.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::curate::{Notes, Tools, curate};
use super::division::{Divider, Division};
use super::met::Met;
use super::{Watch, near, pairs, spool, stage};
use crate::clean::{Reason, Repairs, Verdict, clean};
use crate::config::{BadUtf8, DataConfig, PairsConfig};
use crate::decontaminate::Overlapping;
use crate::dedup::{Seen, TextHash};
use crate::document::{Document, Origin};
use crate::error::{Error, Result};
use crate::manifest::{Curation, Stage};
use crate::source::{Cutting, Input, Item, Progress, Records, Stamp};

/// Bytes of records cleaned at once.
const BATCH: usize = 8 << 20;
/// What a record costs beside its bytes, so that a file of empty lines makes no endless batch.
const OVERHEAD: usize = 128;
/// Places kept of each reason.
const EXAMPLES: usize = 5;

/// What the stage found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cleaned {
    pub(super) spool_bytes: u64,
    pub(super) division: Division,
    /// Clean documents and their bytes, and the bytes of those that are trained on.
    pub(super) documents: u64,
    pub(super) bytes: u64,
    pub(super) train_bytes: u64,
    pub(super) dropped: BTreeMap<Reason, u64>,
    pub(super) examples: BTreeMap<Reason, Vec<String>>,
    pub(super) repaired: BTreeMap<String, u64>,
    pub(super) curation: Curation,
    pub(super) stage: Stage,
}

/// Reads all inputs and writes their clean documents to `spool`.
pub(super) fn run(config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned> {
    let begin = Instant::now();
    let progress = Progress::default();
    let total = inputs.iter().map(|(_, stamp)| stamp.size).sum();
    let tools = Tools::new(config)?;
    let mut gather = Gather::new(config, spool, &tools)?;
    thread::scope(|scope| {
        // One batch waits while another is cleaned and a third is read.
        let (send, batches) = sync_channel(1);
        scope.spawn({
            let progress = &progress;
            move || read(config, inputs, progress, watch, &send)
        });
        for batch in batches {
            let judged: Vec<Judged> = batch?.into_par_iter().map(|item| judge(item, config, &tools)).collect();
            judged.into_iter().try_for_each(|one| gather.add(one))?;
            watch.stage(stage::READ, progress.stored.load(Ordering::Relaxed), Some(total), gather.read);
            if watch.stop() {
                return Err(Error::Interrupted { stage: stage::READ });
            }
        }
        Ok(())
    })?;
    if let Some(met) = gather.met.take() {
        gather.curation.contamination = met.finish()?;
    }
    gather.drop_near_copies(spool, watch)?;
    let stage = Stage { name: stage::READ.into(), seconds: 0.0, bytes: progress.unpacked.into_inner(), documents: gather.read };
    let mut cleaned = gather.finish(stage)?;
    cleaned.stage.seconds = begin.elapsed().as_secs_f64();
    Ok(cleaned)
}

/// Sends all records in order, batch by batch, until the receiver has heard enough.
fn read(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    progress: &Progress,
    watch: &dyn Watch,
    send: &SyncSender<Result<Vec<Item>>>,
) {
    let stop = || watch.stop();
    let cutting = Cutting::from(config);
    let mut batch = Vec::new();
    let mut cost = 0;
    let (sources, targets) = match config.pairs {
        Some(PairsConfig::Files { .. }) => inputs.split_at(inputs.len() / 2),
        _ => (inputs, &[][..]),
    };
    for (index, (input, stamp)) in sources.iter().enumerate() {
        let open = |input, stamp| Records::open(input, stamp, &cutting, &config.limits, progress, &stop);
        let target = targets.get(index).map(|(input, stamp)| open(input, *stamp)).transpose();
        let (records, target) = match (open(input, *stamp), target) {
            (Ok(records), Ok(target)) => (records, target),
            (Err(fault), _) | (_, Err(fault)) => return drop(send.send(Err(fault))),
        };
        for item in pairs::side_by_side(records, target) {
            match item {
                Ok(item) => {
                    cost += OVERHEAD + if let Item::Record(record) = &item { record.size() } else { 0 };
                    batch.push(item);
                }
                // What stands before the fault is looked at first, so that the first fault of the input is the one told.
                Err(fault) => return drop(send.send(Ok(batch)).and_then(|()| send.send(Err(fault)))),
            }
            if cost >= BATCH {
                cost = 0;
                if send.send(Ok(std::mem::take(&mut batch))).is_err() {
                    return;
                }
            }
        }
    }
    drop(send.send(Ok(batch)));
}

/// Where all documents lie until their near copies are found, beside where those that are kept will.
fn all(spool: &Path) -> PathBuf {
    spool.with_extension("all")
}

fn folder(spool: &Path) -> PathBuf {
    spool.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A record after cleaning.
enum Judged {
    Kept(Document, Repairs, TextHash, Notes),
    Dropped(Reason, Origin),
    Unreadable(Reason, Error),
}

fn judge(item: Item, config: &DataConfig, tools: &Tools) -> Judged {
    match item {
        Item::Dropped(reason @ (Reason::Damaged | Reason::BadQuotes | Reason::NoColumn), origin) => {
            Judged::Unreadable(reason, Error::Broken { origin, reason })
        }
        Item::Dropped(reason, origin) => Judged::Dropped(reason, origin),
        Item::Record(record) => {
            let origin = record.origin.clone();
            match clean(record, config) {
                Verdict::Kept(document, repairs) => match curate(document, config, tools) {
                    Ok((document, notes)) => {
                        let hash = TextHash::of(&document.text);
                        Judged::Kept(document, repairs, hash, notes)
                    }
                    Err(reason) => Judged::Dropped(reason, origin),
                },
                Verdict::Dropped(reason) => Judged::Dropped(reason, origin),
                Verdict::Unreadable(reason, fault) => Judged::Unreadable(reason, fault),
            }
        }
    }
}

/// Takes the judged records in the order of the input.
struct Gather<'a> {
    config: &'a DataConfig,
    spool: spool::Writer,
    seen: Seen,
    divider: Divider,
    read: u64,
    bad: u64,
    first_bad: String,
    dropped: BTreeMap<Reason, u64>,
    examples: BTreeMap<Reason, Vec<String>>,
    repaired: BTreeMap<&'static str, u64>,
    curation: Curation,
    near: Option<near::Keys>,
    met: Option<Met<'a>>,
}

impl<'a> Gather<'a> {
    fn new(config: &'a DataConfig, spool: &Path, tools: &'a Tools) -> Result<Self> {
        Ok(Self {
            config,
            spool: spool::Writer::create(&if config.dedup.near.is_some() { all(spool) } else { spool.into() })?,
            met: tools.evaluation.as_ref().map(|index| Met::create(&folder(spool), index)).transpose()?,
            near: config.dedup.near.as_ref().map(|near| near::Keys::create(&folder(spool), near.buckets)).transpose()?,
            seen: Seen::default(),
            divider: Divider::new(config.seed, config.validation_fraction),
            read: 0,
            bad: 0,
            first_bad: String::new(),
            dropped: BTreeMap::new(),
            examples: BTreeMap::new(),
            repaired: BTreeMap::new(),
            curation: Curation::default(),
        })
    }

    fn add(&mut self, judged: Judged) -> Result<()> {
        self.read += 1;
        if let (Judged::Kept(document, _, _, notes), Some(met)) = (&judged, &mut self.met) {
            met.add(&notes.items, &document.origin)?;
        }
        match judged {
            Judged::Kept(document, _, _, notes) if !notes.items.is_empty() && self.drops_overlapping() => {
                self.drop(Reason::Contaminated, &document.origin);
            }
            Judged::Kept(document, _, hash, _) if self.config.clean.dedup && !self.seen.first(hash) => {
                self.drop(Reason::Duplicate, &document.origin);
            }
            Judged::Kept(document, repairs, hash, notes) => {
                notes.tally(&mut self.curation);
                for (name, count) in repairs.named().into_iter().filter(|&(_, count)| count > 0) {
                    *self.repaired.entry(name).or_default() += count;
                }
                if let Some(near) = &mut self.near {
                    near.push(notes.keys.as_deref(), &document.origin.to_string())?;
                } else {
                    self.divider.add(&document.text, hash);
                }
                self.spool.push(&document.text, hash)?;
            }
            Judged::Dropped(reason, origin) => self.drop(reason, &origin),
            Judged::Unreadable(Reason::InvalidUtf8, fault) if self.config.clean.bad_utf8 == BadUtf8::Fail => return Err(fault),
            Judged::Unreadable(reason, fault) => {
                self.drop(reason, &fault);
                if reason != Reason::InvalidUtf8 {
                    self.bad_record(fault)?;
                }
            }
        }
        Ok(())
    }

    fn drops_overlapping(&self) -> bool {
        self.config.decontaminate.as_ref().is_some_and(|rules| rules.overlapping == Overlapping::Drop)
    }

    /// Writes the spool anew, without near copies of earlier documents.
    fn drop_near_copies(&mut self, spool: &Path, watch: &dyn Watch) -> Result<()> {
        let Some(near) = self.near.take() else { return Ok(()) };
        let whole = all(spool);
        let size = std::mem::replace(&mut self.spool, spool::Writer::create(spool)?).finish()?;
        let (divider, writer) = (&mut self.divider, &mut self.spool);
        let mut copies = Vec::new();
        let keep = |text: &str, hash| {
            divider.add(text, hash);
            writer.push(text, hash)
        };
        let mut count = 0;
        let counts = near.resolve((&whole, size), watch, keep, |place| {
            count += 1;
            if count <= EXAMPLES {
                copies.push(place.to_owned());
            }
        })?;
        if counts.copies > 0 {
            self.dropped.insert(Reason::NearDuplicate, counts.copies);
            self.examples.insert(Reason::NearDuplicate, copies);
        }
        self.curation.near = Some(counts);
        fs::remove_file(&whole).map_err(|source| Error::io("remove", &whole, source))
    }

    fn drop(&mut self, reason: Reason, place: &dyn std::fmt::Display) {
        *self.dropped.entry(reason).or_default() += 1;
        let examples = self.examples.entry(reason).or_default();
        if examples.len() < EXAMPLES {
            examples.push(place.to_string());
        }
    }

    /// Counts a line of JSONL that gave no text; ends the run when there are too many.
    fn bad_record(&mut self, fault: Error) -> Result<()> {
        let limit = self.config.limits.bad_records;
        self.bad += 1;
        if limit == 0 {
            return Err(fault);
        }
        if self.bad == 1 {
            self.first_bad = fault.to_string();
        }
        if self.bad > limit {
            return Err(Error::BadRecords { records: self.bad, limit, first: std::mem::take(&mut self.first_bad) });
        }
        Ok(())
    }

    fn finish(self, stage: Stage) -> Result<Cleaned> {
        let documents = self.divider.documents;
        if documents == 0 {
            let first = |reason| self.examples.get(reason).and_then(|places| places.first()).map_or("", String::as_str);
            let dropped: Vec<String> =
                self.dropped.iter().map(|(reason, count)| format!("{count} {reason} (first {})", first(reason))).collect();
            return Err(Error::NothingLeft { read: self.read, dropped: dropped.join(", ") });
        }
        let bytes = self.divider.bytes;
        let (division, train_bytes) = self.divider.finish();
        Ok(Cleaned {
            spool_bytes: self.spool.finish()?,
            division,
            documents,
            bytes,
            train_bytes,
            dropped: self.dropped,
            examples: self.examples,
            repaired: self.repaired.into_iter().map(|(name, count)| (name.into(), count)).collect(),
            curation: self.curation,
            stage,
        })
    }
}
