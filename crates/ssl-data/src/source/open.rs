//! Opens an input file and unpacks it, within bounds: what a hostile file may cost is known before it is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::Input;
use super::kept::Kept;
use crate::error::{Error, Result};

/// A small file may unpack to this much under any ratio: a megabyte of one letter is no attack.
const FLOOR: u64 = 64 << 20;
/// The largest zstd window that is allocated, as a power of two: 128 MiB, what `zstd` itself accepts unasked.
const WINDOW_LOG: u32 = 27;
/// Bytes asked of the disk at once; also how much is read between two looks at whether to stop.
const CHUNK: usize = 256 << 10;

/// How a gzip member begins (RFC 1952, section 2.3), its method included.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// How a file is compressed, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// `.gz`, of one member or many.
    Gzip,
    /// `.zst`, of one frame or many.
    Zstd,
}

impl Packing {
    /// The packing of a file and its name without it.
    #[must_use]
    pub fn of(name: &str) -> (&str, Self) {
        let gzip = name.strip_suffix(".gz").map(|stem| (stem, Self::Gzip));
        gzip.or_else(|| name.strip_suffix(".zst").map(|stem| (stem, Self::Zstd))).unwrap_or((name, Self::Plain))
    }
}

/// What a file was when it was first looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its bytes, as stored.
    pub size: u64,
    /// The BLAKE3 hash of its bytes, as stored.
    pub digest: [u8; 32],
}

/// Counts what all readers of a run have read, for progress lines.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read from the disk.
    pub stored: AtomicU64,
    /// Bytes after decompression.
    pub unpacked: AtomicU64,
}

/// Reads a whole file and says what it is.
///
/// # Errors
/// When the disk refuses, or `stop` says so.
pub fn stamp(path: &Path, progress: &Progress, stop: &(dyn Fn() -> bool + Sync)) -> Result<Stamp> {
    let mut raw = Raw::open(path, progress, stop)?;
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        match raw.read(&mut buffer).map_err(|fault| explain(fault, path, 0))? {
            0 => return Ok(Stamp { size, digest: raw.hash.finalize().into() }),
            read => size += read as u64,
        }
    }
}

/// Turns a fault of reading back into what it was; one of no known cause is damage in the compressed data.
pub(super) fn explain(fault: io::Error, path: &Path, offset: u64) -> Error {
    match fault.downcast::<Error>() {
        Ok(own) => own,
        Err(source) => Error::Damaged { path: path.into(), offset, source },
    }
}

fn stopped() -> io::Error {
    io::Error::other(Error::Interrupted { stage: "reading" })
}

/// The file as stored; hashes what it reads.
pub(super) struct Raw<'a> {
    path: PathBuf,
    file: File,
    hash: blake3::Hasher,
    progress: &'a Progress,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Raw<'a> {
    fn open(path: &Path, progress: &'a Progress, stop: &'a (dyn Fn() -> bool + Sync)) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        Ok(Self { path: path.into(), file, hash: blake3::Hasher::new(), progress, stop })
    }
}

impl Read for Raw<'_> {
    /// Errors are [`Error`]s in the coat of an `io::Error`, so that they pass through any decoder unchanged.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(stopped());
        }
        loop {
            match self.file.read(buffer) {
                Ok(read) => {
                    self.hash.update(&buffer[..read]);
                    self.progress.stored.fetch_add(read as u64, Ordering::Relaxed);
                    return Ok(read);
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(io::Error::other(Error::io("read", &self.path, source))),
            }
        }
    }
}

enum Decoder<'a> {
    Plain(Raw<'a>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw<'a>>>>),
    /// One member at a time; absent only while one follows another.
    Members(Option<Box<GzDecoder<Kept<'a>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Raw<'a>>>),
}

/// The unpacked bytes of one file.
pub(super) struct Unpacked<'a> {
    decoder: Decoder<'a>,
    stamp: Stamp,
    expansion: u64,
    /// Bytes given out so far.
    pub(super) offset: u64,
    /// Whether a member was found behind what was none.
    passed: Option<io::Result<bool>>,
}

impl<'a> Unpacked<'a> {
    /// Opens `input`. With `members`, reading ends at the end of each gzip member, until [`Unpacked::next_member`].
    pub(super) fn open(
        input: &Input,
        stamp: Stamp,
        expansion: u64,
        members: bool,
        progress: &'a Progress,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        let raw = Raw::open(&input.path, progress, stop)?;
        let decoder = match input.packing {
            // An empty file is no damaged gzip file; it is reported as empty.
            _ if stamp.size == 0 => Decoder::Plain(raw),
            Packing::Plain => Decoder::Plain(raw),
            Packing::Gzip if members => {
                Decoder::Members(Some(Box::new(GzDecoder::new(Kept::new(BufReader::with_capacity(CHUNK, raw))))))
            }
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, raw)))),
            Packing::Zstd => {
                let decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(CHUNK, raw)).and_then(|mut decoder| {
                    decoder.window_log_max(WINDOW_LOG)?;
                    Ok(decoder)
                });
                Decoder::Zstd(decoder.map_err(|fault| explain(fault, &input.path, 0))?)
            }
        };
        Ok(Self { decoder, stamp, expansion, offset: 0, passed: None })
    }

    fn raw(&self) -> &Raw<'a> {
        match &self.decoder {
            Decoder::Plain(raw) => raw,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Members(decoder) => decoder.as_ref().expect("a decoder outside of a change").get_ref().raw(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }

    /// Goes on with the next gzip member, if there is one.
    pub(super) fn next_member(&mut self) -> io::Result<bool> {
        let Decoder::Members(slot) = &mut self.decoder else { return Ok(false) };
        let mut rest = slot.take().expect("a decoder outside of a change").into_inner();
        rest.begin();
        let looked = rest.fill_buf().map(|bytes| (!bytes.is_empty(), bytes.starts_with(&MAGIC[..bytes.len().min(2)])));
        // A decoder would read some of what is no member, and what follows it would not be found.
        let garbage = matches!(looked, Ok((true, false)));
        if garbage {
            self.passed = Some(rest.find_next());
        }
        rest.begin();
        *slot = Some(Box::new(GzDecoder::new(rest)));
        if garbage {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no gzip member"));
        }
        looked.map(|(more, _)| more)
    }

    /// Passes over what is left of a damaged gzip member, up to bytes that begin another; there may be none.
    pub(super) fn skip_damage(&mut self) -> io::Result<bool> {
        let Decoder::Members(slot) = &mut self.decoder else { return Ok(false) };
        if let Some(found) = self.passed.take() {
            return found;
        }
        let mut rest = slot.take().expect("a decoder outside of a change").into_inner();
        let found = rest.find_next();
        rest.begin();
        *slot = Some(Box::new(GzDecoder::new(rest)));
        found
    }

    /// Whether the file, read to its end, was still the one that was stamped.
    pub(super) fn unchanged(&self) -> bool {
        self.raw().hash.finalize() == self.stamp.digest
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A few bytes on the disk may keep a decoder busy for long, so this is asked here as well.
        if (self.raw().stop)() {
            return Err(stopped());
        }
        let read = match &mut self.decoder {
            Decoder::Plain(raw) => {
                return raw.read(buffer).inspect(|&read| {
                    self.offset += read as u64;
                    raw.progress.unpacked.fetch_add(read as u64, Ordering::Relaxed);
                });
            }
            Decoder::Gzip(decoder) => decoder.read(buffer)?,
            Decoder::Members(decoder) => decoder.as_mut().expect("a decoder outside of a change").read(buffer)?,
            Decoder::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.offset += read as u64;
        self.raw().progress.unpacked.fetch_add(read as u64, Ordering::Relaxed);
        if self.offset > FLOOR.max(self.stamp.size.saturating_mul(self.expansion)) {
            return Err(io::Error::other(Error::Expansion { path: self.raw().path.clone(), limit: self.expansion }));
        }
        Ok(read)
    }
}
