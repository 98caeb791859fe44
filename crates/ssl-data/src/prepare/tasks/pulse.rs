//! Signs of life between machines whose clocks differ: a file that changes. Nobody compares times; each looks whether it changed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(200);

/// Changes a file until it is dropped.
pub(super) struct Pulse {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn path(dir: &Path, task: u32) -> PathBuf {
    dir.join(format!("alive-{task:06}"))
}

impl Pulse {
    /// Shows that `task` lives.
    pub(super) fn start(dir: &Path, task: u32) -> Result<Self> {
        let path = path(dir, task);
        // Any number that the last process of this task did not write.
        let beat = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos()).to_string();
        fs::write(&path, beat()).map_err(|source| Error::io("write", &path, source))?;
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that is not written is a beat that is missed; the folder may also be gone because all is done.
                let _ = path.exists().then(|| fs::write(&path, beat()));
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
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

/// What was seen of other tasks.
#[derive(Debug, Default)]
pub(super) struct Signs(HashMap<u32, (Vec<u8>, Instant)>);

impl Signs {
    /// Whether `task` has shown no life for so long, since it was first asked for or last seen to.
    pub(super) fn stands_still(&mut self, dir: &Path, task: u32, patience: Duration) -> bool {
        let now = fs::read(path(dir, task)).unwrap_or_default();
        let (seen, since) = self.0.entry(task).or_insert_with(|| (now.clone(), Instant::now()));
        if *seen != now {
            (*seen, *since) = (now, Instant::now());
        }
        since.elapsed() >= patience
    }
}
