//! Signs of life between machines whose clocks differ: a file that changes. Nobody compares times; each looks whether it changed.
//!
//! ```text
//! 41 bytes   the process and how much work it did: its task stands still when they do
//!            a space
//! 20 bytes   the time, by its own clock: its preparation is given up when this stands still too
//! ```
//!
//! So a task that hangs on a dead mount stands still, though its process is there, and so does one that waits, which has done what is
//! its own. All is written over in place, so that nobody sees a part of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::prepare::Watch;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(200);
/// Before the number of the task.
const NAME: &str = "alive-";

/// Changes a file until it is dropped.
pub(super) struct Pulse {
    work: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn path(dir: &Path, task: u32) -> PathBuf {
    dir.join(format!("{NAME}{task:06}"))
}

impl Pulse {
    /// Shows that `task` began, and then that it works.
    pub(super) fn start(dir: &Path, task: u32) -> Result<Self> {
        let path = path(dir, task);
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        // Any number that the last process of this task did not write.
        let (began, work) = (now(), Arc::new(AtomicU64::new(0)));
        let (stop, stopped) = channel();
        let done = work.clone();
        let beat = move || format!("{began:020}-{:020} {:020}", done.load(Ordering::Relaxed), now());
        fs::write(&path, beat()).map_err(|source| Error::io("write", &path, source))?;
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that is not written is a beat that is missed. The file may be gone because all is done; it stays so.
                let file = fs::File::options().write(true).open(&path);
                let _ = file.and_then(|mut file| file.write_all(beat().as_bytes()));
            }
        });
        Ok(Self { work, stop: Some(stop), thread: Some(thread) })
    }

    /// Looks on as `watch` does, and takes each look for a sign that work goes on.
    pub(super) fn of<'a>(&'a self, watch: &'a dyn Watch) -> Works<'a> {
        Works { work: &self.work, watch }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What work tells its progress and asks whether to stop, which it does all the time.
pub(super) struct Works<'a> {
    work: &'a AtomicU64,
    watch: &'a dyn Watch,
}

impl Watch for Works<'_> {
    fn stage(&self, stage: &'static str, done_bytes: u64, total_bytes: Option<u64>, documents: u64) {
        self.work.fetch_add(1, Ordering::Relaxed);
        self.watch.stage(stage, done_bytes, total_bytes, documents);
    }

    fn stop(&self) -> bool {
        self.work.fetch_add(1, Ordering::Relaxed);
        self.watch.stop()
    }
}

/// The signs of all tasks that there are in `dir`, and of their processes.
pub(super) fn all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let signs = files.filter(|file| file.file_name().to_string_lossy().starts_with(NAME)).map(|file| file.path());
    signs.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

/// What was seen of other tasks.
#[derive(Debug, Default)]
pub(super) struct Signs(HashMap<u32, (Vec<u8>, Instant)>);

impl Signs {
    /// Whether `task` has shown no life for so long, since it was first asked for or last seen to.
    pub(super) fn stands_still(&mut self, dir: &Path, task: u32, patience: Duration) -> bool {
        let mut now = fs::read(path(dir, task)).unwrap_or_default();
        now.truncate(now.iter().position(|&byte| byte == b' ').unwrap_or(now.len()));
        let (seen, since) = self.0.entry(task).or_insert_with(|| (now.clone(), Instant::now()));
        if *seen != now {
            (*seen, *since) = (now, Instant::now());
        }
        since.elapsed() >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::Silent;

    #[test]
    fn only_work_is_a_sign_of_life() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pulse = Pulse::start(dir.path(), 3).expect("starts");
        let patience = BEAT * 5;
        let mut signs = Signs::default();
        let mut waits = |works: bool| {
            let mut still = false;
            for _ in 0..30 {
                if works {
                    pulse.of(&Silent).stop();
                }
                thread::sleep(BEAT / 4);
                still = signs.stands_still(dir.path(), 3, patience);
            }
            still
        };
        assert!(!waits(true), "it worked all the time");
        let before = all(dir.path());
        assert!(waits(false), "it did nothing for longer than that");
        assert_ne!(all(dir.path()), before, "but it is there");
        assert!(!waits(true), "it works again");
        // All is done and cleared up.
        fs::remove_file(path(dir.path(), 3)).expect("removes");
        waits(true);
        assert!(all(dir.path()).is_empty());
    }
}
