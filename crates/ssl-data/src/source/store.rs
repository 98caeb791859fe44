//! The stored bytes of an input, which can be read at any place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Input;
#[cfg(feature = "remote")]
use super::remote::{Object, Patience};
use crate::error::{Error, Result};

/// Where the bytes lie.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    /// On a disk.
    File(File),
    /// On a server.
    #[cfg(feature = "remote")]
    Remote(Box<Object>),
}

/// Fails where `path` is no file: a pipe or a device cannot be read twice, and opening it may wait for ever.
pub(super) fn regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path)? {
        file if file.is_file() => Ok(()),
        other if other.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder that cannot be listed")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

impl Store {
    pub(super) fn open(input: &Input) -> Result<Self> {
        let path = input.path.to_path_buf();
        #[cfg(feature = "remote")]
        if let Some(address) = &input.address {
            return Ok(Self { path, bytes: Bytes::Remote(Box::new(Object::open(address, Patience::default())?)) });
        }
        let file = regular(&path).and_then(|()| File::open(&path)).map_err(|source| Error::io("open", &path, source))?;
        Ok(Self { path, bytes: Bytes::File(file) })
    }

    /// A fault in the coat of an `io::Error`, so that it passes through any decoder unchanged.
    fn fault(&self, source: io::Error) -> io::Error {
        io::Error::other(Error::io("read", &self.path, source))
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> io::Result<u64> {
        match &self.bytes {
            Bytes::File(file) => file.metadata().map(|file| file.len()).map_err(|source| self.fault(source)),
            #[cfg(feature = "remote")]
            Bytes::Remote(object) => Ok(object.size()),
        }
    }

    /// What changes whenever the bytes do, though it may change without them.
    pub(super) fn version(&self) -> io::Result<u64> {
        let mut hash = blake3::Hasher::new();
        match &self.bytes {
            Bytes::File(file) => {
                let file = file.metadata().map_err(|source| self.fault(source))?;
                for part in [file.dev(), file.ino(), file.len(), file.ctime() as u64, file.ctime_nsec() as u64] {
                    hash.update(&part.to_le_bytes());
                }
            }
            #[cfg(feature = "remote")]
            Bytes::Remote(object) => drop(hash.update(object.version().as_bytes())),
        }
        let [a, b, c, d, e, f, g, h, ..] = *hash.finalize().as_bytes();
        Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Reads some of the bytes from `at` on; none only at their end.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg_attr(
            not(feature = "remote"),
            expect(clippy::infallible_destructuring_match, reason = "with the feature there are two kinds")
        )]
        let file = match &self.bytes {
            Bytes::File(file) => file,
            #[cfg(feature = "remote")]
            Bytes::Remote(object) => return object.read_at(at, buffer).map_err(io::Error::other),
        };
        loop {
            match file.read_at(buffer, at) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|source| self.fault(source)),
            }
        }
    }

    /// The bytes from `at` on, as many as asked for or as there are.
    pub(super) fn bytes(&self, at: u64, count: usize) -> io::Result<Vec<u8>> {
        #[cfg(feature = "remote")]
        if let Bytes::Remote(object) = &self.bytes {
            return object.bytes(at, count).map_err(io::Error::other);
        }
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read_at(at.saturating_add(filled as u64), &mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}
