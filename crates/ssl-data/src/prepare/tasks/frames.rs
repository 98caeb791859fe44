//! What one task hands to others: a file that is there whole or not at all, and that says when it is not what was written.
//!
//! ```text
//! for each frame    8 bytes  its length
//!                   8 bytes  XXH3-64 of its bytes, under its place
//!                            its bytes
//! the end           8 bytes  2^64 - 1
//!                   8 bytes  how many frames there were
//! ```
//!
//! It is written beside its place under a name that no other process has, brought to the disk, and renamed: who sees the name sees the
//! whole. Two tasks that do the same work write the same bytes, so it does not matter whose name comes last.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, Result};

/// Bytes between memory and disk.
const BUFFER: usize = 1 << 20;
/// Longer frames are not written: no document is.
const LONGEST: u64 = 1 << 32;
/// The length that ends a file.
const END: u64 = u64::MAX;

/// Writes one file.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    frames: u64,
}

impl Writer {
    /// A file that will be `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let file =
            tempfile::Builder::new().prefix(".tmp").tempfile_in(dir).map_err(|source| Error::io("create", path, source))?;
        Ok(Self { path: path.into(), file: BufWriter::with_capacity(BUFFER, file), frames: 0 })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let sum = xxh3_64_with_seed(bytes, self.frames);
        self.frames += 1;
        let write = |file: &mut BufWriter<NamedTempFile>| {
            file.write_all(&(bytes.len() as u64).to_le_bytes())?;
            file.write_all(&sum.to_le_bytes())?;
            file.write_all(bytes)
        };
        write(&mut self.file).map_err(|source| Error::io("write", &self.path, source))
    }

    /// Adds a value as JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|source| Error::Manifest { path: self.path.clone(), source })?;
        self.push(&bytes)
    }

    /// The same frames with another first one.
    pub(super) fn behind(mut self, first: &impl serde::Serialize) -> Result<Self> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().reopen());
        let written = written.map_err(|source| Error::io("read back", &self.path, source))?;
        let mut written = Reader::of(&self.path, written);
        let mut anew = Self::create(&self.path)?;
        anew.json(first)?;
        written.bytes()?;
        for _ in 1..self.frames {
            anew.push(&written.bytes()?)?;
        }
        Ok(anew)
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<()> {
        let Self { path, mut file, frames } = self;
        let finish = || -> io::Result<()> {
            file.write_all(&END.to_le_bytes())?;
            file.write_all(&frames.to_le_bytes())?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|fault| fault.error)?;
            path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        finish().map_err(|source| Error::io("write", &path, source))
    }
}

/// Reads the frames of one file in order; ends with a fault if it is not as it was written.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    frames: u64,
    ended: bool,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        Ok(Self::of(path, file))
    }

    fn of(path: &Path, file: File) -> Self {
        Self { path: path.into(), file: BufReader::with_capacity(BUFFER, file), offset: 0, frames: 0, ended: false }
    }

    fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let fault = |what| io::Error::new(ErrorKind::InvalidData, what);
        let mut head = [0; 16];
        self.file.read_exact(&mut head)?;
        let (length, sum) = head.split_at(8);
        let long = |bytes: &[u8]| bytes.iter().rev().fold(0, |long, &byte| long << 8 | u64::from(byte));
        let (length, sum) = (long(length), long(sum));
        if length == END {
            return if sum == self.frames { Ok(None) } else { Err(fault("frames are missing")) };
        }
        if length > LONGEST {
            return Err(fault("a length is wrong"));
        }
        let mut bytes = Vec::new();
        (&mut self.file).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length || xxh3_64_with_seed(&bytes, self.frames) != sum {
            return Err(fault("a frame does not match its checksum"));
        }
        self.frames += 1;
        self.offset += 16 + length;
        Ok(Some(bytes))
    }

    /// The next frame as text.
    pub(super) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    /// The next frame, which must be there.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        self.next().unwrap_or_else(|| Err(self.damaged("it ends too soon")))
    }

    /// The next frame as a value; `None` at the end.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let Some(bytes) = self.next().transpose()? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Manifest { path: self.path.clone(), source })
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        Error::Damaged { path: self.path.clone(), offset: self.offset, source: io::Error::new(ErrorKind::InvalidData, what) }
    }
}

impl Iterator for Reader {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.frame() {
            Ok(Some(bytes)) => Some(Ok(bytes)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(source) => {
                self.ended = true;
                if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
                    // A disk that refuses says nothing about the file.
                    return Some(Err(Error::io("read", &self.path, source)));
                }
                // What was damaged is not met again: it is missing, and so done anew.
                let _ = fs::remove_file(&self.path);
                Some(Err(Error::Damaged { path: self.path.clone(), offset: self.offset, source }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
        Reader::open(path)?.collect()
    }

    #[test]
    fn frames_come_back_and_every_altered_byte_is_found() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("unit");
        let mut writer = Writer::create(&path).expect("creates");
        let frames = [b"one".to_vec(), Vec::new(), "三".into()];
        for frame in &frames {
            writer.push(frame).expect("writes");
        }
        assert!(!path.exists(), "it has its name before it is whole");
        writer.finish().expect("finishes");
        assert_eq!(read(&path).expect("reads"), frames);
        let mut writer = Writer::create(&path).expect("creates");
        writer.push(b"another").expect("writes");
        frames[1..].iter().for_each(|frame| writer.push(frame).expect("writes"));
        writer.behind(&1).expect("reads back").finish().expect("finishes");
        assert_eq!(read(&path).expect("reads"), [b"1".to_vec(), Vec::new(), "三".into()]);
        let whole = fs::read(&path).expect("reads");
        for at in 0..whole.len() {
            for altered in [[&whole[..at], &[whole[at] ^ 1], &whole[at + 1..]].concat(), whole[..at].to_vec()] {
                fs::write(&path, altered).expect("writes");
                assert!(matches!(read(&path), Err(Error::Damaged { .. })), "byte {at}");
                assert!(!path.exists(), "byte {at}: the damaged file is still there");
            }
        }
    }

    #[test]
    fn what_a_disk_refuses_to_read_is_not_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("unit");
        let mut writer = Writer::create(&path).expect("creates");
        writer.push(b"one").expect("writes");
        writer.finish().expect("finishes");
        let mut reader = Reader::open(&path).expect("opens");
        // No file that is open for writing alone can be read.
        reader.file = BufReader::new(File::options().write(true).open(&path).expect("opens"));
        assert!(matches!(reader.next(), Some(Err(Error::Io { action: "read", .. }))));
        assert_eq!(read(&path).expect("reads"), [b"one".to_vec()]);
    }

    #[test]
    fn frames_cannot_change_places() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("unit");
        let mut writer = Writer::create(&path).expect("creates");
        writer.push(b"aa").expect("writes");
        writer.push(b"bb").expect("writes");
        writer.finish().expect("finishes");
        let whole = fs::read(&path).expect("reads");
        fs::write(&path, [&whole[18..36], &whole[..18], &whole[36..]].concat()).expect("writes");
        assert!(matches!(read(&path), Err(Error::Damaged { .. })));
    }
}
