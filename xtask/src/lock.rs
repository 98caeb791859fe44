//! One process at a time: an exclusive lock on a file, released when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};

use crate::output::say;

/// Takes the lock at `path`; says so once if another process holds it, and waits.
pub(crate) fn exclusive(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let at = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).append(true).open(path).with_context(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(format_args!("waiting for another `cargo xtask` that holds {}", path.display()));
            file.lock().with_context(at)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(at),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_taker_waits_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/lock");
        let first = exclusive(&path).unwrap();
        let (sender, receiver) = mpsc::channel();
        let second = {
            let path = path.clone();
            std::thread::spawn(move || {
                let _lock = exclusive(&path).unwrap();
                sender.send(()).unwrap();
            })
        };
        assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err(), "the lock was taken twice");
        drop(first);
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        second.join().unwrap();
    }
}
