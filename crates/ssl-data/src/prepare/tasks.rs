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
//! shows that it lives by changing a file; what belongs to one that stands still is done by the others, and so is the part of the
//! leader, who is task 0. Any number of tasks may thus be killed, started again, or never started.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::curate::Tools;
use super::encode::{Packed, Packer, encode};
use super::folder::Folder;
use super::read::{Cleaned, gather, judge_all};
use super::spool::{self, Mark};
use super::tally::Seen;
use super::{Prints, RULES, Road, Watch, build, essence, fingerprint, stage, whole};
use crate::config::{DataConfig, PairsConfig};
use crate::corpus::SplitName;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, VERSION};
use crate::source::{self, Input, Progress, Stamp};
use crate::vocab::Vocab;

mod frames;
mod judged;
mod pulse;

use pulse::{Pulse, Signs};

/// Where the units lie within the corpus folder, each preparation in a folder of its own.
const TASKS: &str = "prepare.tasks";
/// The fingerprint of the corpus that came of it, for tasks that are started when all is done.
const DONE: &str = "done";
/// How long between two looks at what others did.
const LOOK: Duration = Duration::from_millis(100);

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
/// As [`super::prepare`].
pub fn prepare_task(config: &DataConfig, into: &Path, task: Task, watch: &dyn Watch) -> Result<Manifest> {
    let inputs = source::find(config, into)?;
    let dir = into.join(TASKS).join(key(config, &inputs, task)?);
    let done = fs::read_to_string(dir.join(DONE)).ok();
    if let Some(manifest) = done.and_then(|fingerprint| finished(into, &fingerprint)) {
        return Ok(manifest);
    }
    fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
    let _pulse = Pulse::start(&dir, task.index)?;
    let shared = Shared { dir, task, signs: RefCell::new(Signs::default()), fingerprint: OnceCell::new(), watch };
    let result = shared.run(config, inputs, into);
    match result {
        // The leader may have cleared up what this task was still looking at.
        Err(Error::Io { path, source, action }) if source.kind() == std::io::ErrorKind::NotFound => {
            let manifest = shared.fingerprint.get().and_then(|fingerprint| finished(into, fingerprint));
            manifest.ok_or(Error::Io { path, source, action })
        }
        other => other,
    }
}

/// The corpus of that fingerprint. Opening one reads all its indexes, so it is done when there is a manifest to believe.
fn finished(into: &Path, fingerprint: &str) -> Option<Manifest> {
    let told = Manifest::load(into).is_ok_and(|manifest| manifest.fingerprint == fingerprint);
    if told { whole(into, fingerprint) } else { None }
}

/// Names the preparation before a single input was read.
fn key(config: &DataConfig, inputs: &[Input], task: Task) -> Result<String> {
    let (config, mut hash) = essence(config)?;
    let mut files = Vec::new();
    for input in inputs {
        // What cannot be looked at is a bad input, of which its reading says more.
        let about = fs::metadata(&input.path).ok();
        let changed = about.as_ref().and_then(|about| about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok());
        files.push((&input.name, input.part, about.map(|about| about.len()), changed.map(|time| time.as_nanos())));
    }
    let path = PathBuf::from(TASKS);
    serde_json::to_writer(&mut hash, &(RULES, VERSION, config, files, task.unit_bytes))
        .map_err(|source| Error::Manifest { path, source })?;
    Ok(hash.finalize().to_hex()[..16].to_owned())
}

/// The folder that the tasks share.
struct Shared<'a> {
    dir: PathBuf,
    task: Task,
    signs: RefCell<Signs>,
    /// Of the corpus, once all inputs are known.
    fingerprint: OnceCell<String>,
    watch: &'a dyn Watch,
}

/// What the leader tells the others when there is something to encode.
#[derive(Serialize, Deserialize)]
struct Plan {
    fingerprint: String,
    cleaned: Cleaned,
}

impl Shared<'_> {
    fn run(&self, config: &DataConfig, inputs: Vec<Input>, into: &Path) -> Result<Manifest> {
        let units = units(config, &inputs, self.task.unit_bytes);
        let tools = Tools::new(config)?;
        self.complete(stage::READ, "stamps", units.len(), &|unit| self.read(config, &inputs, &units[unit], unit, &tools))?;
        drop(tools);
        let inputs = self.stamped(inputs, units.len())?;
        let prints = fingerprint(config, &inputs, into)?;
        self.fingerprint.get_or_init(|| prints.corpus.clone());
        let mut asked = 0_u64;
        loop {
            if let Some(manifest) = finished(into, &prints.corpus) {
                return Ok(manifest);
            }
            if self.is_mine(0) {
                return self.lead(config, &inputs, prints, into);
            }
            if let Some(plan) = self.plan(&prints)? {
                self.help(&plan, into)?;
            }
            self.pause(stage::WAIT, asked)?;
            asked += 1;
        }
    }

    /// The leader's part.
    fn lead(&self, config: &DataConfig, inputs: &[(Input, Stamp)], prints: Prints, into: &Path) -> Result<Manifest> {
        let manifest = build(config, inputs, prints, into, self.watch, self)?;
        self.clear(&manifest.fingerprint);
        Ok(manifest)
    }

    /// Leaves nothing of the units but what they came to. The corpus is whole: a fault here is no fault of it, and what others still
    /// look at here they need no more.
    fn clear(&self, fingerprint: &str) {
        let _ = fs::write(self.dir.join(DONE), fingerprint);
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files.filter(|file| file.file_name() != DONE).for_each(|file| drop(fs::remove_file(file.path())));
    }

    fn path(&self, name: &str, unit: usize) -> PathBuf {
        self.dir.join(format!("{name}-{unit:06}"))
    }

    /// Does unit by unit what is not there until all of it is: first what is this task's, then what belongs to tasks that stand still.
    fn complete(&self, stage: &'static str, name: &str, count: usize, work: &dyn Fn(usize) -> Result<()>) -> Result<()> {
        let mut asked = 0_u64;
        loop {
            let there = self.there(name)?;
            let missing: Vec<usize> = (0..count).filter(|unit| !there.contains(&format!("{name}-{unit:06}"))).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let owner = |unit: &usize| (*unit % self.task.count as usize) as u32;
            let own = missing.iter().find(|unit| owner(unit) == self.task.index);
            // Helpers begin at different places, so that they seldom do the same.
            let turn = missing.len() * self.task.index as usize / self.task.count as usize;
            let mut others = missing[turn..].iter().chain(&missing[..turn]);
            match own.or_else(|| others.find(|unit| self.is_mine(owner(unit)))) {
                Some(&unit) => work(unit)?,
                None => self.pause(stage, asked)?,
            }
            asked += 1;
            // About so many bytes: units are as long as that, but for their last file.
            let bytes = |units: usize| units as u64 * self.task.unit_bytes;
            self.watch.stage(stage, bytes(count - missing.len()), Some(bytes(count)), 0);
            if self.watch.stop() {
                return Err(Error::Interrupted { stage });
            }
        }
    }

    fn there(&self, name: &str) -> Result<HashSet<String>> {
        let io = |source| Error::io("list", &self.dir, source);
        let mut there = HashSet::new();
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let file = entry.map_err(io)?.file_name();
            there.extend(file.to_str().filter(|file| file.starts_with(name)).map(String::from));
        }
        Ok(there)
    }

    /// Whether this task does what belongs to task `owner`.
    fn is_mine(&self, owner: u32) -> bool {
        owner == self.task.index || self.signs.borrow_mut().stands_still(&self.dir, owner, self.task.patience)
    }

    fn pause(&self, stage: &'static str, asked: u64) -> Result<()> {
        if self.watch.stop() {
            return Err(Error::Interrupted { stage });
        }
        self.watch.stage(stage::WAIT, asked, None, 0);
        thread::sleep(LOOK);
        Ok(())
    }

    /// Reads and judges one unit of inputs; its stamps are written last, so that who sees them finds the records.
    fn read(&self, config: &DataConfig, inputs: &[Input], unit: &[usize], number: usize, tools: &Tools) -> Result<()> {
        let progress = Progress::default();
        let stop = || self.watch.stop();
        let stamp = |&at: &usize| Ok((inputs[at].clone(), source::stamp(&inputs[at], &Progress::default(), &stop)?));
        let stamped: Vec<(Input, Stamp)> = unit.iter().map(stamp).collect::<Result<_>>()?;
        let mut records = frames::Writer::create(&self.path("records", number))?;
        let mut count = 0;
        judge_all(config, &stamped, tools, &progress, self.watch, |batch| {
            count += batch.len() as u64;
            batch.into_iter().try_for_each(|(part, one)| judged::write(&mut records, part, one))?;
            Ok(count)
        })?;
        judged::end(&mut records, progress.unpacked.into_inner())?;
        records.finish()?;
        let mut stamps = frames::Writer::create(&self.path("stamps", number))?;
        let lost = progress.lost.into_inner();
        for (at, (_, stamp)) in unit.iter().zip(&stamped) {
            stamps.json(&(at, if lost { stamp.in_part() } else { *stamp }))?;
        }
        stamps.finish()
    }

    /// The inputs with the stamps of all units.
    fn stamped(&self, inputs: Vec<Input>, units: usize) -> Result<Vec<(Input, Stamp)>> {
        let mut stamps = vec![None; inputs.len()];
        for unit in 0..units {
            let mut file = frames::Reader::open(&self.path("stamps", unit))?;
            while let Some((at, stamp)) = file.json::<(usize, Stamp)>()? {
                *stamps.get_mut(at).ok_or_else(|| file.damaged("an input does not exist"))? = Some(stamp);
            }
        }
        let missing = |input: &Input| Error::Changed { path: input.path.to_path_buf() };
        inputs.into_iter().zip(stamps).map(|(input, stamp)| Ok((input.clone(), stamp.ok_or_else(|| missing(&input))?))).collect()
    }

    fn plan(&self, prints: &Prints) -> Result<Option<Plan>> {
        let path = self.dir.join("plan");
        if !path.exists() {
            return Ok(None);
        }
        Ok(frames::Reader::open(&path)?.json::<Plan>()?.filter(|plan| plan.fingerprint == prints.corpus))
    }

    /// Encodes parts of the spool beside the leader.
    fn help(&self, plan: &Plan, into: &Path) -> Result<()> {
        let (spool, tokenizer) = Folder::products(into);
        let vocab = Vocab::load(&tokenizer)?;
        self.encode_parts(&vocab, &plan.cleaned, &spool)
    }

    fn encode_parts(&self, vocab: &Vocab, cleaned: &Cleaned, spool: &Path) -> Result<()> {
        let parts = self.parts(cleaned);
        let work = |unit: usize| {
            let (from, to) = parts[unit];
            let part = spool::Reader::part(spool, from, to, cleaned.division)?;
            let mut file = frames::Writer::create(&self.path("tokens", unit))?;
            let mut bytes = Vec::new();
            encode(vocab, cleaned, part, |seen, ids, text| {
                file.json(seen)?;
                bytes.clear();
                bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
                file.push(&bytes)?;
                if seen.split == SplitName::Validation { file.push(text.as_bytes()) } else { Ok(()) }
            })?;
            file.finish()
        };
        self.complete(stage::ENCODE, "tokens", parts.len(), &work)
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

impl Road for Shared<'_> {
    fn clean(&self, config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned> {
        let unpacked = Cell::new(0);
        let units = self.there("records")?.len();
        let records = (0..units).flat_map(|unit| {
            let (records, fault) = match judged::read(&self.path("records", unit), &unpacked) {
                Ok(records) => (Some(records), None),
                Err(fault) => (None, Some(Err(fault))),
            };
            fault.into_iter().chain(records.into_iter().flatten())
        });
        gather(config, inputs, spool, watch, records, &unpacked)
    }

    fn encode(&self, vocab: &Vocab, cleaned: &Cleaned, folder: &Folder, watch: &dyn Watch) -> Result<Packed> {
        let mut plan = frames::Writer::create(&self.dir.join("plan"))?;
        plan.json(&Plan { fingerprint: self.fingerprint.get().cloned().unwrap_or_default(), cleaned: cleaned.clone() })?;
        plan.finish()?;
        self.encode_parts(vocab, cleaned, &folder.spool())?;
        let mut packer = Packer::create(vocab, cleaned, folder.work())?;
        for unit in 0..self.parts(cleaned).len() {
            let mut file = frames::Reader::open(&self.path("tokens", unit))?;
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
