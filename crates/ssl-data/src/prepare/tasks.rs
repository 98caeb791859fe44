//! A preparation shared out among processes, on one machine or many, that see one folder.
//!
//! ```text
//! read      each unit of inputs         its records, judged          any task
//! gather    all records in order        the spool of documents       the leader
//! train     a sample of the spool       the tokenizer                the leader
//! encode    each part of the spool      its tokens                   any task
//! pack      all tokens in order         shards, manifest, card       the leader
//! ```
//!
//! Units depend on the inputs alone, not on how many tasks there are, and nothing but the inputs and the configuration goes into one:
//! so the corpus is that of [`super::prepare`], byte for byte. Task i of n does the units i, i + n and so on first. A unit is handed over as a
//! file that is there whole or not at all (see [`frames`]), so no task locks another out, and it does no harm when two do the same. A task
//! that works shows it by changing a file; what belongs to one that stands still, because it was killed, hangs or has nothing to do, is
//! done by the others. The leader is who has the corpus folder's lock: task 0, or any other where that stands still. Nobody waits for the
//! lock, so whoever leads is helped by all that live. Any number of tasks may thus be killed, started again, or never started.

use std::cell::{Cell, OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::curate::Tools;
use super::encode::{Packed, Packer, encode};
use super::folder::Folder;
use super::read::{Cleaned, gather, judge_all};
use super::spool::{self, Mark};
use super::tally::Seen;
use super::{Prints, RULES, Road, Watch, build, essence, fingerprint, stage};
use crate::config::{DataConfig, PairsConfig};
use crate::corpus::SplitName;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, VERSION};
use crate::source::{self, Address, Input, Progress, Stamp};
use crate::vocab::Vocab;

mod frames;
mod judged;
mod place;
mod pulse;
mod turns;

use place::{Place, remove};
use pulse::{Pulse, Signs};

/// The version of what tasks hand over: those of different programs do not read each other's.
const UNITS: u32 = 3;
/// What the units of inputs are called, each its records behind its stamps.
const RECORDS: &str = "records";

/// Which of how many processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
    /// A unit has about as many bytes, as stored where it is read and of text where it is encoded; the same for all tasks. A file is
    /// never parted.
    pub unit_bytes: u64,
    /// How long a task may stand still before others do what is its own: longer than the shared folder hides changes from a machine.
    pub patience: Duration,
}

impl Task {
    /// Task `index` of `count`, units of 64 MiB, patience of a minute; `None` where there is no such task.
    #[must_use]
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        let task = Self { index, count, unit_bytes: 64 << 20, patience: Duration::from_mins(1) };
        if index < count { Some(task) } else { None }
    }
}

/// Does this task's part of the preparation of the corpus in `into`, which all tasks see, and waits until the whole is done.
///
/// # Errors
/// As [`super::prepare`]; when inputs lie on servers.
pub fn prepare_task(config: &DataConfig, into: &Path, task: Task, watch: &dyn Watch) -> Result<Manifest> {
    files_only(config)?;
    let inputs = source::find(config, into)?;
    let units = units(config, &inputs, task.unit_bytes);
    let place = Place::new(into, &key(config, &inputs, task)?, &config.limits);
    let (signs, looks, fingerprint) = (RefCell::new(Signs::default()), Cell::new(0), OnceCell::new());
    let given_up = OnceCell::new();
    let shared = Shared { place, task, config, inputs, units, signs, looks, fingerprint, given_up, watch };
    if let Some(manifest) = shared.place.stands() {
        shared.tidy(&manifest);
        return Ok(manifest);
    }
    shared.place.open()?;
    let pulse = Pulse::start(shared.place.dir(), task.index)?;
    // Whatever went wrong: others may have done all, and cleared up what this task was still looking at.
    shared.run(&pulse.of(watch)).or_else(|fault| {
        let known = shared.fingerprint.get().and_then(|fingerprint| shared.place.finished(fingerprint));
        known.or_else(|| shared.place.done()).ok_or(fault)
    })
}

/// Refuses inputs on servers: tasks would have to agree on objects that change between two looks, and each be read twice.
fn files_only(config: &DataConfig) -> Result<()> {
    let targets = match &config.pairs {
        Some(PairsConfig::Files { targets }) => &targets[..],
        _ => &[],
    };
    let paths = config.parts().into_iter().flat_map(|(_, paths)| paths).chain(targets);
    match paths.filter_map(|path| path.to_str()).find_map(Address::of) {
        Some(address) => Err(Error::NotShared { address: address.shown() }),
        None => Ok(()),
    }
}

/// Names the preparation before a single input was read.
fn key(config: &DataConfig, inputs: &[Input], task: Task) -> Result<String> {
    let (mut config, mut hash) = essence(config)?;
    // It is the leader who counts them, whatever the units.
    (config.limits.bad_records, config.limits.bad_share) = (0, 0.0);
    let mut files = Vec::new();
    for input in inputs {
        // What cannot be looked at is a bad input, of which its reading says more.
        let about = fs::metadata(&input.path).ok();
        let changed = about.as_ref().and_then(|about| about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok());
        files.push((&input.name, input.part, about.map(|about| about.len()), changed.map(|time| time.as_nanos())));
    }
    let path = PathBuf::from("key");
    serde_json::to_writer(&mut hash, &(RULES, VERSION, UNITS, config, files, task.unit_bytes))
        .map_err(|source| Error::Manifest { path, source })?;
    Ok(hash.finalize().to_hex()[..16].to_owned())
}

/// The part of one task.
struct Shared<'a> {
    place: Place,
    task: Task,
    config: &'a DataConfig,
    inputs: Vec<Input>,
    /// The inputs of each unit by their numbers.
    units: Vec<Vec<usize>>,
    signs: RefCell<Signs>,
    /// How often the folder was looked through.
    looks: Cell<u64>,
    /// Of the corpus, once all inputs are known.
    fingerprint: OnceCell<String>,
    /// Inputs that could not be read, or not as they were stamped, once all are known.
    given_up: OnceCell<Vec<PathBuf>>,
    watch: &'a dyn Watch,
}

/// What stands before the records of a unit.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Of its inputs, by their numbers.
    stamps: Vec<(usize, Stamp)>,
    /// Whether one of them was not read as it was stamped.
    lost: bool,
}

/// What the leader tells the others when there is something to encode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plan {
    /// Of the corpus.
    fingerprint: String,
    /// Of the vocabulary, with which tokens must be made to be packed beside others.
    tokenizer: String,
}

impl Plan {
    /// What units of tokens are called.
    fn tokens(&self) -> String {
        format!("tokens-{}", &self.tokenizer[..16])
    }
}

fn digest(vocab: &Vocab) -> String {
    blake3::hash(vocab.json().as_bytes()).to_hex().to_string()
}

impl Shared<'_> {
    /// `works` is told of all that this task does, and of no waiting.
    fn run(&self, works: &dyn Watch) -> Result<Manifest> {
        if !self.read_all(&|| !self.place.is_done(), works)? {
            let manifest = self.place.done().ok_or(Error::Interrupted { stage: stage::WAIT })?;
            self.place.clear(&manifest, self.given_up());
            return Ok(manifest);
        }
        let inputs = self.stamped()?;
        let prints = fingerprint(self.config, &inputs, self.place.corpus())?;
        self.fingerprint.get_or_init(|| prints.corpus.clone());
        let mut helped = None;
        loop {
            let look = Instant::now();
            if let Some(manifest) = self.place.finished(&prints.corpus) {
                self.tidy(&manifest);
                return Ok(manifest);
            }
            // Nobody waits for the lock: whoever has it may wait for a unit of this task.
            if self.is_mine(0)
                && let Some(folder) = Folder::try_lock(self.place.corpus())?
            {
                return self.lead(&folder, &inputs, prints, works);
            }
            let plan = self.plan(&prints.corpus).filter(|(plan, _)| helped.as_ref() != Some(plan));
            let rest = self.rest(look);
            if let Some((plan, cleaned)) = plan
                && self.help(&plan, cleaned, works)?
            {
                helped = Some(plan);
            }
            while look.elapsed() < rest {
                self.pause(stage::WAIT)?;
            }
        }
    }

    /// The leader's part.
    fn lead(&self, folder: &Folder, inputs: &[(Input, Stamp)], prints: Prints, works: &dyn Watch) -> Result<Manifest> {
        // That of an earlier leader, whose spool and tokenizer may not be believed now.
        remove(&self.place.plan())?;
        let others = self.place.others();
        let manifest = build(self.config, inputs, prints, folder, works, &Leader { shared: self, works })?;
        self.place.clear(&manifest, self.given_up());
        self.place.sweep(folder, &others, self.task.patience, &|| self.pause(stage::WAIT));
        Ok(manifest)
    }

    /// Does what a leader who was killed behind the last stage has not done.
    fn tidy(&self, manifest: &Manifest) {
        self.place.clear(manifest, self.given_up());
        if let Ok(Some(folder)) = Folder::try_lock(self.place.corpus()) {
            let others = self.place.others();
            self.place.sweep(&folder, &others, self.task.patience, &|| self.pause(stage::WAIT));
        }
    }

    /// Has all inputs read and judged; false where some are not and that is not `wanted`.
    fn read_all(&self, wanted: &dyn Fn() -> bool, works: &dyn Watch) -> Result<bool> {
        // Evaluation sets may be large, and everything may be read.
        let tools = OnceCell::new();
        self.complete(stage::READ, RECORDS, self.units.len(), wanted, &|unit| {
            if tools.get().is_none() {
                let _ = tools.set(Tools::new(self.config)?);
            }
            tools.get().map_or(Ok(()), |tools| self.read(unit, tools, works))
        })
    }

    /// Reads and judges one unit of inputs.
    fn read(&self, number: usize, tools: &Tools, works: &dyn Watch) -> Result<()> {
        let (unit, progress) = (&self.units[number], Progress::default());
        let stop = || works.stop();
        let stamp = |&at: &usize| {
            let input = &self.inputs[at];
            Ok((input.clone(), source::stamp(input, &Progress::default(), &stop)?))
        };
        let stamped: Vec<(Input, Stamp)> = unit.iter().map(stamp).collect::<Result<_>>()?;
        let mut records = frames::Writer::create(&self.place.unit(RECORDS, number))?;
        records.json(&Head { stamps: unit.iter().zip(&stamped).map(|(at, (_, stamp))| (*at, *stamp)).collect(), lost: false })?;
        let mut count = 0;
        judge_all(self.config, &stamped, tools, &progress, works, |batch| {
            count += batch.len() as u64;
            batch.into_iter().try_for_each(|(part, one)| judged::write(&mut records, part, one))?;
            Ok(count)
        })?;
        judged::end(&mut records, progress.unpacked.into_inner())?;
        if progress.lost.into_inner() {
            let other = |(at, (_, stamp)): (&usize, &(Input, Stamp))| (*at, stamp.in_part());
            records = records.behind(&Head { stamps: unit.iter().zip(&stamped).map(other).collect(), lost: true })?;
        }
        records.finish()
    }

    fn given_up(&self) -> &[PathBuf] {
        self.given_up.get().map_or(&[], Vec::as_slice)
    }

    /// The inputs with the stamps of all units.
    fn stamped(&self) -> Result<Vec<(Input, Stamp)>> {
        let mut stamps = vec![None; self.inputs.len()];
        let mut given_up = Vec::new();
        for unit in 0..self.units.len() {
            let mut file = frames::Reader::open(&self.place.unit(RECORDS, unit))?;
            let head = file.json::<Head>()?.ok_or_else(|| file.damaged("there are no stamps"))?;
            for (at, stamp) in head.stamps {
                *stamps.get_mut(at).ok_or_else(|| file.damaged("an input does not exist"))? = Some(stamp);
                if head.lost || stamp == Stamp::UNREAD {
                    given_up.push(self.inputs[at].path.to_path_buf());
                }
            }
        }
        self.given_up.get_or_init(|| given_up);
        let missing = |input: &Input| Error::Changed { path: input.path.to_path_buf() };
        let inputs = self.inputs.iter().zip(stamps);
        inputs.map(|(input, stamp)| Ok((input.clone(), stamp.ok_or_else(|| missing(input))?))).collect()
    }

    /// The plan for the corpus of that fingerprint and what is to be encoded. One that cannot be read is none: where nobody helps,
    /// the leader does all.
    fn plan(&self, fingerprint: &str) -> Option<(Plan, frames::Reader)> {
        let mut file = frames::Reader::open(&self.place.plan()).ok()?;
        let plan = file.json::<Plan>().ok().flatten().filter(|plan| plan.fingerprint == fingerprint)?;
        Some((plan, file))
    }

    /// Encodes parts of the spool beside the leader; false where the plan was given up meanwhile.
    fn help(&self, plan: &Plan, mut file: frames::Reader, works: &dyn Watch) -> Result<bool> {
        let wanted = || self.plan(&plan.fingerprint).is_some_and(|(now, _)| now == *plan);
        let (spool, tokenizer) = Folder::products(self.place.corpus());
        let mut help = || {
            let vocab = Vocab::load(&tokenizer)?;
            match file.json::<Cleaned>()? {
                Some(cleaned) if digest(&vocab) == plan.tokenizer => {
                    self.encode_parts(plan, &vocab, &cleaned, &spool, &wanted, works)
                }
                _ => Ok(false),
            }
        };
        help().or_else(|fault| match fault {
            // The plan of a leader that is gone, with what it spoke of.
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
            // One that begins anew takes the plan back first.
            _ if !wanted() && !self.watch.stop() => Ok(false),
            fault => Err(fault),
        })
    }

    fn encode_parts(
        &self,
        plan: &Plan,
        vocab: &Vocab,
        cleaned: &Cleaned,
        spool: &Path,
        wanted: &dyn Fn() -> bool,
        works: &dyn Watch,
    ) -> Result<bool> {
        let (parts, name) = (self.parts(cleaned), plan.tokens());
        let work = |unit: usize| {
            let (from, to) = parts[unit];
            let part = spool::Reader::part(spool, from, to, cleaned.division)?;
            let mut file = frames::Writer::create(&self.place.unit(&name, unit))?;
            let mut bytes = Vec::new();
            encode(vocab, cleaned, part, |seen, ids, text| {
                if works.stop() {
                    return Err(Error::Interrupted { stage: stage::ENCODE });
                }
                file.json(seen)?;
                bytes.clear();
                bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
                file.push(&bytes)?;
                if seen.split == SplitName::Validation { file.push(text.as_bytes()) } else { Ok(()) }
            })?;
            file.finish()
        };
        self.complete(stage::ENCODE, &name, parts.len(), wanted, &work)
    }

    /// The parts of the spool that are encoded by themselves: where each begins, and how many bytes are before its end.
    fn parts(&self, cleaned: &Cleaned) -> Vec<(Mark, u64)> {
        let mut begins: Vec<Mark> = Vec::new();
        for mark in &cleaned.marks {
            if begins.last().is_none_or(|last| mark.offset - last.offset >= self.task.unit_bytes) {
                begins.push(*mark);
            }
        }
        let ends = begins.iter().skip(1).map(|mark| mark.offset).chain([cleaned.spool_bytes]);
        begins.iter().copied().zip(ends).collect()
    }
}

/// The road of the task that has the corpus folder's lock.
struct Leader<'a> {
    shared: &'a Shared<'a>,
    works: &'a dyn Watch,
}

impl Road for Leader<'_> {
    fn clean(&self, config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned> {
        // An earlier leader may have found one damaged.
        self.shared.read_all(&|| true, self.works)?;
        let unpacked = Cell::new(0);
        let records = (0..self.shared.units.len()).flat_map(|unit| {
            let (records, fault) = match judged::read(&self.shared.place.unit(RECORDS, unit), &unpacked) {
                Ok(records) => (Some(records), None),
                Err(fault) => (None, Some(Err(fault))),
            };
            fault.into_iter().chain(records.into_iter().flatten())
        });
        gather(config, inputs, spool, watch, records, &unpacked)
    }

    fn encode(&self, vocab: &Vocab, cleaned: &Cleaned, folder: &Folder, watch: &dyn Watch) -> Result<Packed> {
        let fingerprint = self.shared.fingerprint.get().cloned().unwrap_or_default();
        let plan = Plan { fingerprint, tokenizer: digest(vocab) };
        let mut file = frames::Writer::create(&self.shared.place.plan())?;
        file.json(&plan)?;
        file.json(cleaned)?;
        file.finish()?;
        self.shared.encode_parts(&plan, vocab, cleaned, &folder.spool(), &|| true, self.works)?;
        let (mut packer, name) = (Packer::create(vocab, cleaned, folder.work())?, plan.tokens());
        for unit in 0..self.shared.parts(cleaned).len() {
            let mut file = frames::Reader::open(&self.shared.place.unit(&name, unit))?;
            while let Some(seen) = file.json::<Seen>()? {
                let bytes = file.bytes()?;
                let ids: Vec<u32> = bytes.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect();
                let text = if seen.split == SplitName::Validation { file.text()? } else { String::new() };
                packer.push(&seen, &ids, &text)?;
                packer.ask(watch)?;
            }
        }
        packer.finish()
    }
}

/// The inputs of each unit by their numbers: runs of so many stored bytes. Where others hold the other sides, each beside its own.
fn units(config: &DataConfig, inputs: &[Input], unit_bytes: u64) -> Vec<Vec<usize>> {
    let sources = if matches!(config.pairs, Some(PairsConfig::Files { .. })) { inputs.len() / 2 } else { inputs.len() };
    let (mut units, mut unit, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (at, input) in inputs[..sources].iter().enumerate() {
        unit.push(at);
        bytes += fs::metadata(&input.path).map_or(0, |about| about.len());
        if bytes >= unit_bytes {
            units.push(std::mem::take(&mut unit));
            bytes = 0;
        }
    }
    if !unit.is_empty() {
        units.push(unit);
    }
    if sources < inputs.len() {
        for unit in &mut units {
            unit.extend(unit.clone().into_iter().map(|at| at + sources));
        }
    }
    units
}
