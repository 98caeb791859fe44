//! Pieces on the disk, divided by their keys: all pieces of a key are in one file, in the order in which they were added.
//!
//! The files have no names, so that none is left behind however the process ends; the space of one that was looked through is free.

use std::fs::File;
use std::io::{BufReader, BufWriter, IntoInnerError, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::rng;

/// Keeps the division apart from other uses of the same hash.
const STREAM: u64 = 0x62_75_63_6b_65_74;

/// A piece of a text: what identifies it, and where it lies in the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: u128,
    pub(super) place: Range<u64>,
}

/// Pieces that were divided.
#[derive(Debug)]
pub(super) struct Bucket {
    file: File,
    folder: PathBuf,
    key_bytes: usize,
    pieces: u64,
    /// How often they were divided.
    depth: u64,
}

impl Bucket {
    /// How many there are.
    pub(super) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// All of them, in order.
    pub(super) fn read(&mut self) -> Result<impl Iterator<Item = Result<Piece>>> {
        let fault = |source| Error::io("read", &self.folder, source);
        self.file.rewind().map_err(fault)?;
        let mut file = BufReader::with_capacity(1 << 16, &self.file);
        let key_bytes = self.key_bytes;
        Ok((0..self.pieces).map(move |_| {
            let (mut key, mut start, mut end) = ([0; 16], [0; 8], [0; 8]);
            file.read_exact(&mut key[..key_bytes])
                .and_then(|()| file.read_exact(&mut start))
                .and_then(|()| file.read_exact(&mut end))
                .map_err(fault)?;
            Ok(Piece { key: u128::from_le_bytes(key), place: u64::from_le_bytes(start)..u64::from_le_bytes(end) })
        }))
    }

    /// Divides them once more, among `files`.
    pub(super) fn divide(mut self, files: u64) -> Result<Vec<Self>> {
        let mut parts = Divide::create(&self.folder, self.key_bytes, files, self.depth + 1)?;
        self.read()?.try_for_each(|piece| parts.push(&piece?))?;
        parts.finish()
    }
}

/// Divides pieces.
pub(super) struct Divide {
    files: Vec<(BufWriter<File>, u64)>,
    folder: PathBuf,
    key_bytes: usize,
    depth: u64,
}

impl Divide {
    /// Among so many files in `folder`; of keys the lower `key_bytes` are written. Another `depth` divides otherwise.
    pub(super) fn create(folder: &Path, key_bytes: usize, files: u64, depth: u64) -> Result<Self> {
        let file = || tempfile::tempfile_in(folder).map_err(|source| Error::io("create a file in", folder, source));
        let files = (0..files.max(1)).map(|_| Ok((BufWriter::with_capacity(1 << 16, file()?), 0))).collect::<Result<_>>()?;
        Ok(Self { files, folder: folder.into(), key_bytes, depth })
    }

    pub(super) fn push(&mut self, piece: &Piece) -> Result<()> {
        let word = rng::hash(self.depth, STREAM, (piece.key >> 64) as u64 ^ piece.key as u64);
        let number = rng::below(word, self.files.len() as u64) as usize;
        let (file, pieces) = &mut self.files[number];
        *pieces += 1;
        file.write_all(&piece.key.to_le_bytes()[..self.key_bytes])
            .and_then(|()| file.write_all(&piece.place.start.to_le_bytes()))
            .and_then(|()| file.write_all(&piece.place.end.to_le_bytes()))
            .map_err(|source| Error::io("write", &self.folder, source))
    }

    /// Those with any.
    pub(super) fn finish(self) -> Result<Vec<Bucket>> {
        let Self { files, folder, key_bytes, depth } = self;
        let used = files.into_iter().filter(|(_, pieces)| *pieces > 0);
        let bucket = used.map(|(file, pieces)| {
            let file = file.into_inner().map_err(|fault| Error::io("write", &folder, IntoInnerError::into_error(fault)))?;
            Ok(Bucket { file, folder: folder.clone(), key_bytes, pieces, depth })
        });
        bucket.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_key_stay_together_and_in_order_however_often_they_are_divided() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (key_bytes, high) in [(8, 0), (16, 1 << 90)] {
            let key = |n: u64| u128::from(rng::hash(1, 2, n % 50)) + high;
            let pieces: Vec<Piece> = (0..200).map(|n| Piece { key: key(n), place: n..n + 9 }).collect();
            let mut divide = Divide::create(dir.path(), key_bytes, 3, 0).expect("creates");
            for piece in &pieces {
                divide.push(piece).expect("writes");
            }
            let mut buckets = divide.finish().expect("finishes");
            assert_eq!(buckets.len(), 3);
            for _ in 0..2 {
                buckets = buckets.into_iter().flat_map(|bucket| bucket.divide(3).expect("divides")).collect();
            }
            assert!(buckets.len() > 15, "{}", buckets.len());
            let mut all = Vec::new();
            for bucket in &mut buckets {
                let read: Vec<Piece> = bucket.read().expect("opens").collect::<Result<_>>().expect("reads");
                assert_eq!(read.len() as u64, bucket.pieces());
                assert!(read.is_sorted_by_key(|piece| piece.place.start));
                assert!(read.iter().all(|piece| read.iter().filter(|other| other.key == piece.key).count() == 4));
                all.extend(read);
            }
            all.sort_by_key(|piece| piece.place.start);
            assert_eq!(all, pieces);
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
