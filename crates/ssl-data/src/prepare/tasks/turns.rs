//! Whose turn a unit is, and how tasks wait for each other.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use crate::error::{Error, Result};
use crate::prepare::stage;

/// Between two looks at what others did, at least.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Looking takes one part of so many of the time that is spent waiting: there may be millions of units.
const SELDOM: u32 = 10;

impl Shared<'_> {
    /// Has all units of `name` done: does first what is this task's own, then what belongs to tasks that stand still, and waits for the
    /// rest. False where some are missing and they are no longer `wanted`.
    pub(super) fn complete(
        &self,
        stage: &'static str,
        name: &str,
        count: usize,
        wanted: &dyn Fn() -> bool,
        work: &dyn Fn(usize) -> Result<()>,
    ) -> Result<bool> {
        let (index, tasks) = (self.task.index as usize, self.task.count as usize);
        let mut missing: BTreeSet<usize> = (0..count).collect();
        let turn = |unit: usize, missing: &mut BTreeSet<usize>| -> Result<bool> {
            // By its name: to list the folder for each would take longer than the work.
            let there = self.place.unit(name, unit).exists();
            if !there {
                if !wanted() {
                    return Ok(false);
                }
                work(unit)?;
            }
            missing.remove(&unit);
            // About so many bytes: units are as long as that, but for their last file.
            let bytes = |units: usize| units as u64 * self.task.unit_bytes;
            self.watch.stage(stage, bytes(count - missing.len()), Some(bytes(count)), 0);
            if self.watch.stop() { Err(Error::Interrupted { stage }) } else { Ok(true) }
        };
        for unit in (index..count).step_by(tasks) {
            if !turn(unit, &mut missing)? {
                return Ok(false);
            }
        }
        loop {
            let look = Instant::now();
            self.list(name, &mut missing)?;
            if missing.is_empty() {
                return Ok(true);
            }
            if !wanted() {
                return Ok(false);
            }
            let owner = |unit: usize| (unit % tasks) as u32;
            let owners: HashSet<u32> = missing.iter().map(|&unit| owner(unit)).collect();
            let still: HashSet<u32> = owners.into_iter().filter(|&owner| self.is_mine(owner)).collect();
            let rest = self.rest(look);
            // Helpers begin at different places, so that they seldom do the same.
            let first = count * index / tasks;
            while look.elapsed() < rest && !missing.is_empty() {
                let next = missing.range(first..).chain(missing.range(..first)).find(|unit| still.contains(&owner(**unit)));
                match next.copied() {
                    Some(unit) if !turn(unit, &mut missing)? => return Ok(false),
                    Some(_) => {}
                    None => self.pause(stage)?,
                }
            }
        }
    }

    /// Forgets those of `missing` that are there.
    fn list(&self, name: &str, missing: &mut BTreeSet<usize>) -> Result<()> {
        let io = |source| Error::io("list", self.place.dir(), source);
        self.looks.set(self.looks.get() + 1);
        for entry in fs::read_dir(self.place.dir()).map_err(io)? {
            let file = entry.map_err(io)?.file_name();
            let unit = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-')?.parse().ok());
            unit.map(|unit: usize| missing.remove(&unit));
        }
        Ok(())
    }

    /// Whether this task does what belongs to task `owner`.
    pub(super) fn is_mine(&self, owner: u32) -> bool {
        owner == self.task.index || self.signs.borrow_mut().stands_still(self.place.dir(), owner, self.task.patience)
    }

    /// How long after the beginning of a look that ends now the next may begin.
    pub(super) fn rest(&self, look: Instant) -> Duration {
        (look.elapsed() * SELDOM).clamp(LOOK, self.task.patience.max(LOOK))
    }

    pub(super) fn pause(&self, stage: &'static str) -> Result<()> {
        if self.watch.stop() {
            return Err(Error::Interrupted { stage });
        }
        self.watch.stage(stage::WAIT, self.looks.get(), None, 0);
        thread::sleep(LOOK);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, OnceCell, RefCell};

    use super::super::{Place, Signs, Task};
    use super::*;
    use crate::config::DataConfig;
    use crate::config::Limits;
    use crate::prepare::Silent;

    fn with<T>(index: u32, test: impl FnOnce(&Shared<'_>) -> T) -> T {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config: DataConfig =
            serde_json::from_value(serde_json::json!({ "paths": [], "tokenizer": { "char": {} } })).expect("a configuration");
        let shared = Shared {
            place: Place::new(dir.path(), "key", &Limits::default()),
            task: Task { patience: Duration::from_secs(1), ..Task::new(index, 2).expect("a task") },
            config: &config,
            inputs: Vec::new(),
            units: Vec::new(),
            signs: RefCell::new(Signs::default()),
            looks: Cell::new(0),
            fingerprint: OnceCell::new(),
            given_up: OnceCell::new(),
            watch: &Silent,
        };
        shared.place.open().expect("creates");
        test(&shared)
    }

    fn write(shared: &Shared<'_>, unit: usize) -> Result<()> {
        let path = shared.place.unit("unit", unit);
        fs::write(&path, "").map_err(|source| Error::io("write", &path, source))
    }

    #[test]
    fn a_folder_of_many_units_is_seldom_listed() {
        with(1, |shared| {
            let done = RefCell::new(Vec::new());
            let work = |unit| {
                done.borrow_mut().push(unit);
                write(shared, unit)
            };
            assert!(shared.complete(stage::READ, "unit", 400, &|| true, &work).expect("completes"));
            assert!(done.borrow()[..200].iter().copied().eq((1..400).step_by(2)), "its own come first");
            assert_eq!(done.borrow().len(), 400);
            // A second of patience has room for ten looks.
            assert!(shared.looks.get() <= 20, "{} looks", shared.looks.get());
            assert!(shared.complete(stage::READ, "unit", 400, &|| false, &work).expect("completes"));
            assert_eq!(done.borrow().len(), 400, "what is there is not done again");
        });
    }

    #[test]
    fn what_takes_long_to_look_at_is_looked_at_seldom() {
        with(0, |shared| {
            let ago = |millis| Instant::now().checked_sub(Duration::from_millis(millis)).expect("a time");
            assert_eq!(shared.rest(ago(0)), LOOK);
            assert!((500..900).contains(&shared.rest(ago(50)).as_millis()));
            assert_eq!(shared.rest(ago(5000)), shared.task.patience);
        });
    }

    #[test]
    fn what_is_not_wanted_is_not_done() {
        with(0, |shared| {
            let work = |unit| write(shared, unit);
            let wanted = || !shared.place.unit("unit", 2).exists();
            assert!(!shared.complete(stage::READ, "unit", 10, &wanted, &work).expect("ends"));
            assert!(!shared.place.unit("unit", 4).exists());
        });
    }
}
