//! The first stage: one thread reads and unpacks, all cores clean, and the caller's thread keeps the first of equal
//! documents and spools them. Batches are bounded in bytes, so memory does not follow the size of the corpus.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::curate::{Notes, Tools, curate};
use super::division::{Divider, Division};
use super::draft::{About, Draft};
use super::met::Met;
use super::spool::Mark;
use super::{Watch, draft, near, repeats, spool, stage};
use crate::clean::{Reason, Repairs, Verdict, clean};
use crate::config::{BadUtf8, DataConfig, Limits};
use crate::decontaminate::Overlapping;
use crate::dedup::{Seen, TextHash};
use crate::document::{Document, Origin};
use crate::error::{Error, Result};
use crate::manifest::{Curation, NearCopies, Stage};
use crate::source::{Input, Item, Progress, Stamp};

mod files;

use files::Found;

/// Records between two questions whether to stop.
const ASK: u64 = 1 << 12;
/// Places kept of each reason.
const EXAMPLES: usize = 5;
/// While files are read, bad records are judged as a share of at least so many: what stands first is no sample of all.
const SAMPLE: u64 = 100_000;
/// The first bad records that are told when there are too many.
const FIRST_BAD: usize = 5;

/// What the stage found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cleaned {
    pub(super) spool_bytes: u64,
    /// Where parts of the spool begin that can be read by themselves.
    pub(super) marks: Vec<Mark>,
    pub(super) division: Division,
    /// Clean documents and their bytes, and the bytes of those that are trained on.
    pub(super) documents: u64,
    pub(super) bytes: u64,
    pub(super) train_bytes: u64,
    pub(super) dropped: BTreeMap<Reason, u64>,
    pub(super) examples: BTreeMap<Reason, Vec<String>>,
    pub(super) repaired: BTreeMap<String, u64>,
    pub(super) curation: Curation,
    /// In the order of the documents.
    pub(super) parts: Vec<Part>,
    /// Whether an input was not what it was when it was looked at, so that another reading may give more.
    #[serde(default)]
    pub(super) in_part: bool,
    pub(super) stage: Stage,
}

/// What one part of the configuration gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) files: u64,
    /// Records.
    pub(super) read: u64,
    /// Documents that were kept.
    pub(super) kept: u64,
}

/// The parts of `config` and how many of `inputs` each has; nothing of them is read yet.
fn parts(config: &DataConfig, inputs: &[(Input, Stamp)]) -> Vec<Part> {
    let mut parts: Vec<Part> = config.parts().into_iter().map(|(name, _)| Part { name, ..Part::default() }).collect();
    for (input, _) in inputs {
        parts[input.part as usize].files += 1;
    }
    parts
}

/// Reads all inputs and writes their clean documents to `spool`.
pub(super) fn run(config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned> {
    let begin = Instant::now();
    let progress = Progress::default();
    let tools = Tools::new(config)?;
    let mut gather = Gather::new(config, inputs, spool, &tools)?;
    judge_all(config, inputs, &tools, &progress, watch, |batch| {
        batch.into_iter().try_for_each(|(part, one)| gather.add(part, one))?;
        Ok(gather.read)
    })?;
    gather.finish(progress.unpacked.into_inner(), progress.lost.into_inner(), begin, watch)
}

/// As [`run`], from records that were judged before, in the order of the input.
pub(super) fn gather(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    spool: &Path,
    watch: &dyn Watch,
    judged: impl Iterator<Item = Result<(u32, Judged)>>,
    unpacked: &Cell<u64>,
) -> Result<Cleaned> {
    let begin = Instant::now();
    let tools = Tools::new(config)?;
    let mut gather = Gather::new(config, inputs, spool, &tools)?;
    for one in judged {
        let (part, one) = one?;
        gather.add(part, one)?;
        if gather.read.is_multiple_of(ASK) {
            watch.stage(stage::READ, gather.spool.bytes(), None, gather.read);
            if watch.stop() {
                return Err(Error::Interrupted { stage: stage::READ });
            }
        }
    }
    // Where an input was lost, the stamps of its unit say so.
    gather.finish(unpacked.get(), false, begin, watch)
}

/// Reads and judges all records of `inputs`, and gives them to `each` batch by batch, in order; it says how many there were so far.
pub(super) fn judge_all(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    tools: &Tools,
    progress: &Progress,
    watch: &dyn Watch,
    mut each: impl FnMut(Vec<(u32, Judged)>) -> Result<u64>,
) -> Result<()> {
    let total = inputs.iter().map(|(_, stamp)| stamp.size).sum();
    thread::scope(|scope| {
        // One batch waits while another is cleaned and a third is read.
        let (send, batches) = sync_channel(1);
        scope.spawn(move || files::read(config, inputs, progress, watch, &send));
        for batch in batches {
            let judged = batch?.into_par_iter().map(|(part, item)| (part, judge(item, config, tools))).collect();
            let read = each(judged)?;
            watch.stage(stage::READ, progress.stored.load(Ordering::Relaxed), Some(total), read);
            if watch.stop() {
                return Err(Error::Interrupted { stage: stage::READ });
            }
        }
        Ok(())
    })
}

fn folder(spool: &Path) -> PathBuf {
    spool.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A record after cleaning.
pub(super) enum Judged {
    Kept(Document, Repairs, TextHash, Box<Notes>),
    Dropped(Reason, Origin),
    /// It is bad, and so may be others behind it: as many as the fault says.
    Unreadable(Reason, Error),
}

fn judge(found: Found, config: &DataConfig, tools: &Tools) -> Judged {
    match found {
        Err((reason, fault)) => Judged::Unreadable(reason, fault),
        Ok(Item::Dropped(reason @ (Reason::Damaged | Reason::BadQuotes | Reason::NoColumn), origin, records)) => {
            Judged::Unreadable(reason, Error::Broken { origin, reason, records })
        }
        // As where a line of JSON has none.
        Ok(Item::Dropped(Reason::NoText, origin, _)) => {
            Judged::Unreadable(Reason::NoText, Error::Field { origin, field: config.field.clone() })
        }
        Ok(Item::Dropped(reason, origin, _)) => Judged::Dropped(reason, origin),
        Ok(Item::Record(record)) => {
            let origin = record.origin.clone();
            match clean(record, config) {
                Verdict::Kept(document, repairs) => match curate(document, config, tools) {
                    Ok((document, notes)) => {
                        let hash = TextHash::of(&document.text);
                        Judged::Kept(document, repairs, hash, Box::new(notes))
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
    folder: PathBuf,
    spool: spool::Writer,
    /// Where documents wait until they are compared with each other.
    draft: Option<draft::Writer>,
    seen: Seen,
    divider: Divider,
    read: u64,
    bad: u64,
    first_bad: Vec<String>,
    files: u64,
    /// Files that were given up.
    given_up: u64,
    dropped: BTreeMap<Reason, u64>,
    examples: BTreeMap<Reason, Vec<String>>,
    repaired: BTreeMap<&'static str, u64>,
    curation: Curation,
    parts: Vec<Part>,
    near: Option<near::Keys>,
    met: Option<Met<'a>>,
}

impl<'a> Gather<'a> {
    fn new(config: &'a DataConfig, inputs: &[(Input, Stamp)], spool: &Path, tools: &'a Tools) -> Result<Self> {
        let folder = folder(spool);
        Ok(Self {
            config,
            spool: spool::Writer::create(spool)?,
            draft: config.dedup.compares().then(|| draft::Writer::create(&folder.join("read"))).transpose()?,
            met: tools.evaluation.as_ref().map(|index| Met::create(&folder, index)).transpose()?,
            near: config.dedup.near.as_ref().map(|near| near::Keys::create(&folder, near.buckets)).transpose()?,
            folder,
            seen: Seen::default(),
            divider: Divider::new(config.seed, config.validation_fraction),
            read: 0,
            bad: 0,
            first_bad: Vec::new(),
            files: inputs.len() as u64,
            given_up: 0,
            dropped: BTreeMap::new(),
            examples: BTreeMap::new(),
            repaired: BTreeMap::new(),
            curation: Curation::default(),
            parts: parts(config, inputs),
        })
    }

    fn add(&mut self, part: u32, judged: Judged) -> Result<()> {
        let part = part as usize;
        let records = if let Judged::Unreadable(_, fault) = &judged { fault.records() } else { 1 };
        self.read += records;
        self.parts[part].read += records;
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
                if let Some(near) = &mut self.near {
                    near.push(notes.keys.as_deref())?;
                }
                let about = About { part: part as u32, place: document.origin.to_string(), repairs, notes: notes.counts() };
                match &mut self.draft {
                    Some(draft) => draft.push(&document.text, hash, &about)?,
                    None => self.keep(&document.text, hash, &about)?,
                }
            }
            Judged::Dropped(reason, origin) => self.drop(reason, &origin),
            Judged::Unreadable(Reason::InvalidUtf8, fault) if self.config.clean.bad_utf8 == BadUtf8::Fail => return Err(fault),
            Judged::Unreadable(reason, fault) => {
                self.drop_all(reason, &fault, records);
                self.bad_records(fault)?;
            }
        }
        Ok(())
    }

    fn drops_overlapping(&self) -> bool {
        self.config.decontaminate.as_ref().is_some_and(|rules| rules.overlapping == Overlapping::Drop)
    }

    /// Keeps a document for good, and counts what was found in it.
    fn keep(&mut self, text: &str, hash: TextHash, about: &About) -> Result<()> {
        self.parts[about.part as usize].kept += 1;
        about.notes.tally(&mut self.curation);
        for (name, count) in about.repairs.named().into_iter().filter(|&(_, count)| count > 0) {
            *self.repaired.entry(name).or_default() += count;
        }
        self.divider.add(text, hash);
        self.spool.push(text, hash)
    }

    /// Compares all documents with each other, and keeps what is left of them.
    fn compare(&mut self, watch: &dyn Watch) -> Result<()> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        let config = &self.config.dedup;
        let least = self.config.clean.min_chars;
        let mut draft = draft.finish()?;
        if let Some(near) = self.near.take() {
            let (left, counts) = self
                .without(draft, "distinct", Reason::NearDuplicate, |draft, into, drop| near.resolve(draft, into, watch, drop))?;
            (draft, self.curation.near) = (left, Some(NearCopies { rules: config.near.clone(), ..counts }));
        }
        if let Some(rules) = &config.paragraphs {
            let (left, cuts) = self.without(draft, "without-paragraphs", Reason::Repeated, |draft, into, drop| {
                repeats::cut(rules, draft, into, least, watch, drop)
            })?;
            (draft, self.curation.paragraphs) = (left, Some(cuts));
        }
        if let Some(rules) = &config.substrings {
            let (left, cuts) = self.without(draft, "without-substrings", Reason::Repeated, |draft, into, drop| {
                repeats::cut(rules, draft, into, least, watch, drop)
            })?;
            (draft, self.curation.substrings) = (left, Some(cuts));
        }
        for entry in draft.read(watch, stage::READ)? {
            let entry = entry?;
            self.keep(&entry.text, entry.hash, &entry.about)?;
        }
        draft.remove()
    }

    /// Puts what `compare` leaves of a draft in its place, and counts what it drops for `reason`.
    fn without<T>(
        &mut self,
        draft: Draft,
        name: &str,
        reason: Reason,
        compare: impl FnOnce(&Draft, &mut draft::Writer, &mut dyn FnMut(&str)) -> Result<T>,
    ) -> Result<(Draft, T)> {
        let mut into = draft::Writer::create(&self.folder.join(name))?;
        let found = compare(&draft, &mut into, &mut |place| self.drop(reason, &place))?;
        draft.remove()?;
        Ok((into.finish()?, found))
    }

    fn drop(&mut self, reason: Reason, place: &dyn std::fmt::Display) {
        self.drop_all(reason, place, 1);
    }

    /// Drops so many records, the first of them at `place`.
    fn drop_all(&mut self, reason: Reason, place: &dyn std::fmt::Display, records: u64) {
        *self.dropped.entry(reason).or_default() += records;
        let examples = self.examples.entry(reason).or_default();
        if examples.len() < EXAMPLES {
            examples.push(place.to_string());
        }
    }

    /// Counts records that are bad; ends the run when there are far too many.
    fn bad_records(&mut self, fault: Error) -> Result<()> {
        let Limits { bad_share, bad_records, .. } = self.config.limits;
        if bad_share <= 0.0 && bad_records == 0 {
            return Err(fault);
        }
        self.bad += fault.records();
        self.given_up += u64::from(matches!(fault, Error::GivenUp { .. }));
        if self.first_bad.len() < FIRST_BAD {
            self.first_bad.push(fault.to_string());
        }
        self.refuse_bad(self.read.max(SAMPLE))
    }

    /// Ends the run if too many are bad out of so many records.
    fn refuse_bad(&self, records: u64) -> Result<()> {
        let Limits { bad_share: share, bad_records: limit, .. } = self.config.limits;
        if self.bad <= limit || self.bad as f64 <= share * records as f64 {
            return Ok(());
        }
        Err(Error::BadRecords { bad: self.bad, read: self.read, limit, share, first: self.first_bad.join("; ") })
    }

    /// Ends the stage that began at `begin` and unpacked so many bytes.
    fn finish(mut self, unpacked: u64, in_part: bool, begin: Instant, watch: &dyn Watch) -> Result<Cleaned> {
        self.refuse_bad(self.read)?;
        // A file may hold a million records, and is one bad record where it cannot be read.
        let Limits { bad_share: share, bad_records: limit, .. } = self.config.limits;
        if self.given_up > limit && self.given_up as f64 > share * self.files as f64 {
            let (bad, files, first) = (self.given_up, self.files, self.first_bad.join("; "));
            return Err(Error::BadFiles { bad, files, limit, share, first });
        }
        if let Some(met) = self.met.take() {
            self.curation.contamination = met.finish()?;
        }
        self.compare(watch)?;
        let documents = self.divider.documents;
        if documents == 0 {
            let first = |reason| self.examples.get(reason).and_then(|places| places.first()).map_or("", String::as_str);
            let dropped: Vec<String> =
                self.dropped.iter().map(|(reason, count)| format!("{count} {reason} (first {})", first(reason))).collect();
            return Err(Error::NothingLeft { read: self.read, dropped: dropped.join(", ") });
        }
        let bytes = self.divider.bytes;
        let (division, train_bytes) = self.divider.finish();
        let (spool_bytes, marks) = self.spool.finish()?;
        let seconds = begin.elapsed().as_secs_f64();
        let stage = Stage { name: stage::READ.into(), seconds, bytes: unpacked, documents: self.read };
        Ok(Cleaned {
            spool_bytes,
            marks,
            division,
            documents,
            bytes,
            train_bytes,
            dropped: self.dropped,
            examples: self.examples,
            repaired: self.repaired.into_iter().map(|(name, count)| (name.into(), count)).collect(),
            curation: self.curation,
            parts: self.parts,
            in_part,
            stage,
        })
    }
}
