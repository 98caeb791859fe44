//! The folder within a corpus folder where the tasks of one preparation meet, and what becomes of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pulse;
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::prepare::folder::Folder;
use crate::prepare::whole;

/// Where the units lie within the corpus folder, each preparation in a folder of its own.
const TASKS: &str = "prepare.tasks";

/// Where one preparation is shared out.
pub(super) struct Place {
    into: PathBuf,
    dir: PathBuf,
    /// Holds a [`Done`], for tasks that are started when all is done.
    done: PathBuf,
}

/// What came of a preparation.
#[derive(Serialize, Deserialize)]
struct Done {
    /// Of the corpus.
    fingerprint: String,
    /// Inputs that could not be read, or not as they were stamped.
    given_up: Vec<PathBuf>,
}

impl Place {
    /// Of the preparation `key` of the corpus in `into`. The limits of bad records decide whether the units are a corpus, and
    /// nothing about the units: under others the same ones are judged anew.
    pub(super) fn new(into: &Path, key: &str, limits: &Limits) -> Self {
        let dir = into.join(TASKS).join(key);
        let done = dir.join(format!("done-{}-{}", limits.bad_records, limits.bad_share));
        Self { into: into.into(), done, dir }
    }

    pub(super) fn corpus(&self) -> &Path {
        &self.into
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn unit(&self, name: &str, unit: usize) -> PathBuf {
        self.dir.join(format!("{name}-{unit:06}"))
    }

    pub(super) fn plan(&self) -> PathBuf {
        self.dir.join("plan")
    }

    /// Makes the folder, in which nothing is done.
    pub(super) fn open(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|source| Error::io("create", &self.dir, source))?;
        remove(&self.done)
    }

    /// Whether a task said that all is done.
    pub(super) fn is_done(&self) -> bool {
        self.done.exists()
    }

    /// The corpus that a task said to be done, if it is.
    pub(super) fn done(&self) -> Option<Manifest> {
        self.finished(&self.told()?.fingerprint)
    }

    fn told(&self) -> Option<Done> {
        serde_json::from_slice(&fs::read(&self.done).ok()?).ok()
    }

    /// The corpus that a task said to be done, if it is, and if another reading would not give more.
    pub(super) fn stands(&self) -> Option<Manifest> {
        if self.gives_more() { None } else { self.done() }
    }

    /// Whether something that was given up can be read now.
    fn gives_more(&self) -> bool {
        let is_file = |path: &PathBuf| fs::File::open(path).is_ok_and(|file| file.metadata().is_ok_and(|about| about.is_file()));
        self.told().is_some_and(|done| done.given_up.iter().any(is_file))
    }

    /// The corpus of that fingerprint. Opening one reads all its indexes, so it is done when there is a manifest to believe.
    pub(super) fn finished(&self, fingerprint: &str) -> Option<Manifest> {
        let told = Manifest::load(&self.into).is_ok_and(|manifest| manifest.fingerprint == fingerprint);
        if told { whole(&self.into, fingerprint) } else { None }
    }

    /// Leaves nothing of the units but what they came to. The corpus is whole: a fault here is no fault of it, and what others still
    /// look at here they need no more.
    pub(super) fn clear(&self, manifest: &Manifest, given_up: &[PathBuf]) {
        // It comes first, and whole: who misses a unit from then on looks for it.
        let say = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            let done = Done { fingerprint: manifest.fingerprint.clone(), given_up: given_up.to_vec() };
            serde_json::to_writer(&mut file, &done)?;
            file.persist(&self.done).map_err(|fault| fault.error)?;
            Ok(())
        };
        if self.is_done() || say().is_ok() {
            let files = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|file| file.path());
            files.filter(|path| *path != self.done).for_each(|path| drop(fs::remove_file(path)));
        }
    }

    /// What lies beside this preparation now.
    pub(super) fn others(&self) -> Others {
        let folders = fs::read_dir(self.into.join(TASKS)).into_iter().flatten().flatten().map(|folder| folder.path());
        let seen = folders.filter(|folder| *folder != self.dir).map(|folder| (pulse::all(&folder), folder));
        Others { seen: seen.map(|(signs, folder)| (folder, signs)).collect(), since: Instant::now() }
    }

    /// Removes what other preparations left, once they have stood still for so long; `pause` waits, and may end that. Who holds the
    /// lock of the corpus folder does it.
    pub(super) fn sweep(&self, _lock: &Folder, others: &Others, patience: Duration, pause: &dyn Fn() -> Result<()>) {
        while !others.seen.is_empty() && others.since.elapsed() < patience {
            if pause().is_err() {
                return;
            }
        }
        let now = self.others();
        let still = others.seen.iter().filter(|(folder, signs)| now.seen.get(*folder) == Some(signs));
        still.for_each(|(folder, _)| drop(fs::remove_dir_all(folder)));
    }
}

/// The other preparations of a corpus folder and the signs of life in each.
pub(super) struct Others {
    seen: BTreeMap<PathBuf, BTreeMap<PathBuf, Vec<u8>>>,
    since: Instant,
}

/// Removes a file, which may be gone.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_and_can_be_read_again_is_no_corpus() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = Place::new(dir.path(), "key", &Limits::default());
        place.open().expect("creates");
        let path = dir.path().join("input.txt");
        place.clear(&Manifest::default(), std::slice::from_ref(&path));
        assert!(place.is_done() && !place.gives_more());
        fs::write(&path, "here again").expect("writes");
        assert!(place.gives_more() && place.stands().is_none());
        place.open().expect("opens");
        assert!(!place.is_done());
    }
}
