//! Loads a task: reads its files, finds its labels, and parts its splits.

mod content;
mod labels;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::content::Maker;
use self::labels::Labels;
use super::describe::drops;
use super::record::{Lost, read};
use super::{Content, Drop, Example, Split, Task, TaskConfig, TaskKind};
use crate::error::{Error, Result};
use crate::rng;

/// The streams of the seed: which examples are kept for validation and test, and which are taken of too many.
const SIDE: u64 = 1;
const CHOICE: u64 = 2;

impl Task {
    /// Reads every split. Labels are those of the configuration or, in order, those that training examples bear.
    ///
    /// # Errors
    /// When a file cannot be read, too many of its records are left out, none is left, or all training examples are of one class.
    pub fn load(config: &TaskConfig) -> Result<Self> {
        Self::load_with(config, &[])
    }

    /// The same with the labels of a model that was trained before; without any, as [`Self::load`]. Files of training examples are then
    /// read only where they all exist, or other splits are parts of them.
    ///
    /// # Errors
    /// As above.
    pub fn load_with(config: &TaskConfig, labels: &[String]) -> Result<Self> {
        let mut known = if labels.is_empty() { Labels::of(&config.kind) } else { Labels::fixed(labels) };
        let parted = |paths: &[PathBuf], share: f64| paths.is_empty() && share > 0.0;
        let parts = parted(&config.validation, config.validation_share) || parted(&config.test, config.test_share);
        let needed = labels.is_empty() || parts || config.train.iter().all(|path| path.exists());
        let [of_train, of_validation, of_test] = targets(config);
        let mut task = Self::default();
        if needed && !config.train.is_empty() {
            task.train = split(config, "training", &config.train, of_train, &mut known)?;
            known.close(&mut [&mut task.train]);
            // Told before other splits are blamed for what this one lacks.
            task.check_classes(known.names())?;
        }
        task.validation = split(config, "validation", &config.validation, of_validation, &mut known)?;
        task.test = split(config, "test", &config.test, of_test, &mut known)?;
        // Where nothing is learned, the labels are those that are to be found.
        known.close(&mut [&mut task.validation, &mut task.test]);
        task.labels = known.into_names();
        task.part(config);
        for (split, most) in [
            (&mut task.train, config.max_train),
            (&mut task.validation, config.max_validation),
            (&mut task.test, config.max_test),
        ] {
            choose(&mut split.examples, most, config.seed);
        }
        if !task.train.examples.is_empty() {
            task.check_classes(&task.labels)?;
        }
        let seen: HashSet<u64> = task.train.examples.iter().map(|example| example.content.digest()).collect();
        let repeated =
            |split: &Split| split.examples.iter().filter(|example| seen.contains(&example.content.digest())).count() as u64;
        task.repeated = [repeated(&task.validation), repeated(&task.test)];
        Ok(task)
    }

    /// Keeps a share of the training examples for splits that have no files.
    fn part(&mut self, config: &TaskConfig) {
        let share = |paths: &[PathBuf], share: f64| if paths.is_empty() { share } else { 0.0 };
        let test = share(&config.test, config.test_share);
        let validation = test + share(&config.validation, config.validation_share);
        if validation <= 0.0 {
            return;
        }
        for example in std::mem::take(&mut self.train.examples) {
            let word = rng::hash(config.seed, SIDE, example.content.side());
            let at = (word >> 11) as f64 / (1_u64 << 53) as f64;
            let split = if at < test {
                &mut self.test
            } else if at < validation {
                &mut self.validation
            } else {
                &mut self.train
            };
            split.examples.push(example);
        }
    }

    fn check_classes(&self, names: &[String]) -> Result<()> {
        let mut labels = HashSet::new();
        for example in &self.train.examples {
            match &example.content {
                Content::Texts { label, .. } => drop(labels.insert(*label)),
                Content::Words { tags, .. } => labels.extend(tags),
                _ => return Ok(()),
            }
        }
        match labels.into_iter().collect::<Vec<_>>()[..] {
            [one] => Err(Error::OneClass {
                label: names.get(one).cloned().unwrap_or_default(),
                examples: self.train.examples.len() as u64,
            }),
            _ => Ok(()),
        }
    }
}

/// The files of targets for each split.
fn targets(config: &TaskConfig) -> [&[PathBuf]; 3] {
    match &config.kind {
        TaskKind::Writing(writing) => [&writing.targets_train, &writing.targets_validation, &writing.targets_test],
        _ => [&[]; 3],
    }
}

/// Reads the files of a split.
fn split(config: &TaskConfig, name: &'static str, paths: &[PathBuf], targets: &[PathBuf], labels: &mut Labels) -> Result<Split> {
    let mut split = Split::default();
    if paths.is_empty() {
        return Ok(split);
    }
    if !targets.is_empty() && targets.len() != paths.len() {
        let place = format!("files for {name}");
        return Err(Error::Sides { sources: paths.len() as u64, targets: targets.len() as u64, place });
    }
    let mut maker = Maker { kind: &config.kind, labels, training: name == "training", moved: 0, lost: 0 };
    let mut records = 0_u64;
    let mut sum = Sha256::new();
    for (at, path) in paths.iter().enumerate() {
        let other = targets.get(at).map(PathBuf::as_path);
        [Some(path.as_path()), other].into_iter().flatten().try_for_each(|path| add(&mut sum, path))?;
        read(path, other, config, &mut |found| {
            records += 1;
            let made = found.and_then(|record| match maker.content(&record) {
                Ok(content) => Ok(Example { id: maker.id(&record), origin: record.origin, content }),
                Err(drop) => Err(Lost { drop, origin: record.origin, told: drop.to_string() }),
            });
            match made {
                Ok(example) => split.examples.push(example),
                Err(lost) => {
                    *split.dropped.entry(lost.drop).or_default() += 1;
                    split.first_dropped.get_or_insert_with(|| format!("{}: {}", lost.origin, lost.told));
                }
            }
        })?;
    }
    for (number, example) in split.examples.iter_mut().enumerate() {
        if example.id.is_empty() {
            example.id = number.to_string();
        }
    }
    (split.moved, split.lost) = (maker.moved, maker.lost);
    split.sha256 = format!("{:x}", sum.finalize());
    judge(&split, config, name, records)?;
    Ok(split)
}

/// Fails where too much was left out, or all.
fn judge(split: &Split, config: &TaskConfig, name: &'static str, read: u64) -> Result<()> {
    // Who names some of the labels means the others to be left out.
    let wanted = matches!(&config.kind, TaskKind::Classification(config) if !config.labels.is_empty());
    let counts = split.dropped.iter().filter(|(drop, _)| !(wanted && **drop == Drop::UnknownLabel));
    let bad: u64 = counts.map(|(_, count)| count).sum();
    let dropped = drops(&split.dropped);
    if bad > config.bad_records && bad as f64 > config.bad_share * read as f64 {
        let first = split.first_dropped.clone().unwrap_or_default();
        let (limit, share) = (config.bad_records, config.bad_share);
        return Err(Error::BadExamples { split: name, bad, read, dropped, limit, share, first });
    }
    if split.examples.is_empty() {
        return Err(Error::NoExamples { split: name, read, dropped });
    }
    Ok(())
}

/// Takes so many examples by a hash of their places, and keeps their order.
fn choose(examples: &mut Vec<Example>, most: Option<u64>, seed: u64) {
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()).filter(|&most| most < examples.len()) else { return };
    let mut order: Vec<(u64, usize)> = (0..examples.len()).map(|at| (rng::hash(seed, CHOICE, at as u64), at)).collect();
    order.sort_unstable();
    let mut taken = vec![false; examples.len()];
    order[..most].iter().for_each(|&(_, at)| taken[at] = true);
    let mut taken = taken.into_iter();
    examples.retain(|_| taken.next().unwrap_or(false));
}

/// Adds a file, as it is stored, to a hash.
fn add(sum: &mut Sha256, path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => sum.update(&buffer[..count]),
            Err(source) if source.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::io("read", path, source)),
        }
    }
}
