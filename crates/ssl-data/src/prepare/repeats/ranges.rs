//! Ranges in order, more than memory holds: sorted piece by piece, and merged from the disk in rounds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, IntoInnerError, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Takes ranges in any order.
pub(super) struct Ranges {
    folder: PathBuf,
    /// Ranges held in memory, and files that are merged at once.
    room: usize,
    fan: usize,
    held: Vec<Range<u64>>,
    /// Sorted files; those at each place were merged once more often than those before.
    files: Vec<Vec<File>>,
}

impl Ranges {
    pub(super) fn new(folder: &Path, room: usize, fan: usize) -> Self {
        Self { folder: folder.into(), room: room.max(1), fan: fan.max(2), held: Vec::new(), files: Vec::new() }
    }

    pub(super) fn push(&mut self, range: Range<u64>) -> Result<()> {
        self.held.push(range);
        if self.held.len() < self.room {
            return Ok(());
        }
        // Ranges that follow each other are often one.
        self.held = join(std::mem::take(&mut self.held));
        if self.held.len() * 2 > self.room { self.spill() } else { Ok(()) }
    }

    /// All of them in order, what touches joined.
    pub(super) fn finish(mut self) -> Result<impl Iterator<Item = Result<Range<u64>>>> {
        self.spill()?;
        let files = std::mem::take(&mut self.files);
        merge(files.into_iter().flatten().collect(), &self.folder)
    }

    fn spill(&mut self) -> Result<()> {
        let held = join(std::mem::take(&mut self.held));
        let mut file = self.write(held.into_iter().map(Ok))?;
        for round in 0.. {
            if self.files.len() == round {
                self.files.push(Vec::new());
            }
            self.files[round].push(file);
            if self.files[round].len() < self.fan {
                break;
            }
            let files = std::mem::take(&mut self.files[round]);
            file = self.write(merge(files, &self.folder)?)?;
        }
        Ok(())
    }

    fn write(&self, ranges: impl Iterator<Item = Result<Range<u64>>>) -> Result<File> {
        let io = |source| Error::io("write", &self.folder, source);
        let mut file = BufWriter::new(tempfile::tempfile_in(&self.folder).map_err(io)?);
        for range in ranges {
            let range = range?;
            file.write_all(&range.start.to_le_bytes()).and_then(|()| file.write_all(&range.end.to_le_bytes())).map_err(io)?;
        }
        file.into_inner().map_err(IntoInnerError::into_error).map_err(io)
    }
}

/// Ranges in order, what touches joined.
pub(super) fn join(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        last.end = if touches { last.end.max(next.end) } else { last.end };
        touches
    });
    ranges
}

/// The ranges of sorted files, in order, what touches joined.
fn merge(files: Vec<File>, folder: &Path) -> Result<impl Iterator<Item = Result<Range<u64>>> + use<>> {
    let folder = folder.to_path_buf();
    let mut files: Vec<BufReader<File>> = files.into_iter().map(BufReader::new).collect();
    let mut heads = BinaryHeap::new();
    for (number, file) in files.iter_mut().enumerate() {
        file.rewind().map_err(|source| Error::io("read", &folder, source))?;
        heads.extend(next(file, &folder)?.map(|range| Reverse((range.start, range.end, number))));
    }
    let mut take = move |before: u64| -> Result<Option<Range<u64>>> {
        let Some(&Reverse((start, end, number))) = heads.peek().filter(|head| head.0.0 <= before) else { return Ok(None) };
        heads.pop();
        heads.extend(next(&mut files[number], &folder)?.map(|range| Reverse((range.start, range.end, number))));
        Ok(Some(start..end))
    };
    let mut joined = move || -> Result<Option<Range<u64>>> {
        let Some(mut range) = take(u64::MAX)? else { return Ok(None) };
        while let Some(more) = take(range.end)? {
            range.end = range.end.max(more.end);
        }
        Ok(Some(range))
    };
    Ok(std::iter::from_fn(move || joined().transpose()))
}

/// The next range of a file.
fn next(file: &mut BufReader<File>, folder: &Path) -> Result<Option<Range<u64>>> {
    let (mut start, mut end) = ([0; 8], [0; 8]);
    match file.read_exact(&mut start).and_then(|()| file.read_exact(&mut end)) {
        Ok(()) => Ok(Some(u64::from_le_bytes(start)..u64::from_le_bytes(end))),
        Err(source) if source.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(source) => Err(Error::io("read", folder, source)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However little is held and however often it is merged, what comes out covers what went in, in order and apart.
        #[test]
        fn ranges_come_out_in_order(pairs in proptest::collection::vec((0_u64..300, 1_u64..9), 0..120), room in 1_usize..40, fan in 2_usize..5) {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let mut ranges = Ranges::new(dir.path(), room, fan);
            let mut covered = [false; 310];
            for (start, length) in pairs {
                ranges.push(start..start + length).expect("writes");
                covered[start as usize..(start + length) as usize].fill(true);
            }
            let out: Vec<Range<u64>> = ranges.finish().expect("merges").collect::<Result<_>>().expect("reads");
            prop_assert!(out.windows(2).all(|two| two[0].end < two[1].start));
            let mut found = [false; 310];
            for range in out {
                found[range.start as usize..range.end as usize].fill(true);
            }
            prop_assert!(found == covered);
        }
    }
}
