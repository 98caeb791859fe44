//! Free space on a disk, asked of `df`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// Bytes that may still be written below `dir`; `None` when `df` does not say.
pub(crate) fn free(dir: &Path) -> Option<u64> {
    // The nearest folder that exists.
    let dir = dir.ancestors().find(|dir| dir.exists())?;
    let output = Command::new("df").args(["-P", "-k"]).arg(dir).env("LC_ALL", "C").output().ok()?;
    parse(&String::from_utf8(output.stdout).ok()?)
}

/// Fails when fewer than `bytes` are free below `dir`.
pub(crate) fn require(dir: &Path, bytes: u64) -> Result<()> {
    match free(dir) {
        Some(free) if free < bytes => bail!(
            "{} MB are needed below {} and {} MB are free: make room, or set XDG_CACHE_HOME to a folder on another disk",
            bytes.div_ceil(1_000_000),
            dir.display(),
            free / 1_000_000
        ),
        _ => Ok(()),
    }
}

/// Reads the second line of `df -P -k`: device, blocks, used, available.
fn parse(text: &str) -> Option<u64> {
    let blocks: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    blocks.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_is_read() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263174212 19817332 76540000 21% /\n";
        assert_eq!(parse(text), Some(76_540_000 * 1024));
        assert_eq!(parse("df: no such file"), None);
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        require(&dir.path().join("not/yet/there"), 1).unwrap();
        let message = require(dir.path(), u64::MAX).unwrap_err().to_string();
        assert!(message.contains("are free"), "{message}");
    }
}
