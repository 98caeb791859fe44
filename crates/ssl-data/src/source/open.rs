//! Opens an input file and unpacks it, within bounds: what a hostile file may cost is known before it is read.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::Crc;
use flate2::bufread::{DeflateDecoder, GzDecoder};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::Input;
use super::kept::Kept;
use super::store::Store;
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
    /// What changes whenever the bytes do, for a file that is not read from its beginning to its end.
    pub version: u64,
}

impl Stamp {
    /// Of a file that cannot be read.
    pub const UNREAD: Self = Self { size: 0, digest: [0; 32], version: 0 };

    /// Of a file that was then not read as it was stamped.
    pub(crate) fn in_part(self) -> Self {
        Self { digest: blake3::hash(&self.digest).into(), ..self }
    }
}

/// Counts what all readers of a run have read, for progress lines.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read from the disk.
    pub stored: AtomicU64,
    /// Bytes after decompression.
    pub unpacked: AtomicU64,
    /// Whether an input could not be read as it was stamped.
    pub lost: AtomicBool,
}

/// Reads a whole file and says what it is: [`Stamp::UNREAD`] where it cannot be read, which whoever opens it is told.
///
/// # Errors
/// When `stop` says so, or a server does not give what it should have: that is known before anything else is done.
pub fn stamp(input: &Input, progress: &Progress, stop: &(dyn Fn() -> bool + Sync)) -> Result<Stamp> {
    match read_whole(input, progress, stop) {
        Err(fault) if input.address.is_none() => fault.given_up().map(|_| Stamp::UNREAD),
        stamp => stamp,
    }
}

fn read_whole(input: &Input, progress: &Progress, stop: &(dyn Fn() -> bool + Sync)) -> Result<Stamp> {
    let mut raw = Raw::open(input, progress, stop)?;
    let read = |fault| explain(fault, &input.path, 0);
    let version = raw.store.version().map_err(read)?;
    let mut buffer = vec![0; CHUNK];
    while raw.read(&mut buffer).map_err(read)? > 0 {}
    Ok(Stamp { size: raw.at, digest: raw.hash.finalize().into(), version })
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

/// The file as stored, or a part of it; hashes what it reads.
pub(super) struct Raw<'a> {
    store: Arc<Store>,
    /// What is read next, and where reading ends.
    at: u64,
    end: u64,
    hash: blake3::Hasher,
    progress: &'a Progress,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Raw<'a> {
    fn open(input: &Input, progress: &'a Progress, stop: &'a (dyn Fn() -> bool + Sync)) -> Result<Self> {
        Ok(Self { store: Store::open(input)?.into(), at: 0, end: u64::MAX, hash: blake3::Hasher::new(), progress, stop })
    }

    /// A part of the file, to be read by itself.
    fn part(&self, range: Range<u64>) -> Self {
        Self { store: Arc::clone(&self.store), at: range.start, end: range.end, hash: blake3::Hasher::new(), ..*self }
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(stopped());
        }
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        // All that is asked for: what a decoder gives of damaged data must not depend on how the bytes came.
        let mut read = 0;
        while read < left {
            match self.store.read_at(self.at + read as u64, &mut buffer[read..left]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(fault) if read == 0 => return Err(fault),
                // It is met again where these bytes end.
                Err(_) => break,
            }
        }
        self.hash.update(&buffer[..read]);
        self.at += read as u64;
        self.progress.stored.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// How a member of an archive is packed, see [`Unpacked::enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflate,
    Zstd,
}

enum Decoder<'a> {
    Plain(Raw<'a>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw<'a>>>>),
    /// One member at a time; absent only while one follows another.
    Members(Option<Box<GzDecoder<Kept<'a>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Raw<'a>>>),
    /// A member of an archive.
    Deflate(Box<DeflateDecoder<BufReader<Raw<'a>>>>),
}

/// The unpacked bytes of one file.
pub(super) struct Unpacked<'a> {
    path: Arc<Path>,
    decoder: Decoder<'a>,
    stamp: Stamp,
    expansion: u64,
    /// Bytes given out so far.
    pub(super) offset: u64,
    /// Whether a member was found behind what was none.
    passed: Option<io::Result<bool>>,
    /// Whether the file was read at any place, and not from its beginning to its end.
    anywhere: bool,
    /// The sum over the bytes of a member.
    sum: Crc,
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
        let raw = Raw::open(input, progress, stop)?;
        let decoder = match input.packing {
            // An empty file is no damaged gzip file; it is reported as empty.
            _ if stamp.size == 0 => Decoder::Plain(raw),
            Packing::Plain => Decoder::Plain(raw),
            Packing::Gzip if members => {
                Decoder::Members(Some(Box::new(GzDecoder::new(Kept::new(BufReader::with_capacity(CHUNK, raw))))))
            }
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, raw)))),
            Packing::Zstd => zstd(raw).map_err(|fault| explain(fault, &input.path, 0))?,
        };
        Ok(Self {
            path: Arc::clone(&input.path),
            decoder,
            stamp,
            expansion,
            offset: 0,
            passed: None,
            anywhere: false,
            sum: Crc::new(),
        })
    }

    fn raw(&self) -> &Raw<'a> {
        match &self.decoder {
            Decoder::Plain(raw) => raw,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Members(decoder) => decoder.as_ref().expect("a decoder outside of a change").get_ref().raw(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
            Decoder::Deflate(decoder) => decoder.get_ref().get_ref(),
        }
    }

    /// The file to read at any place; none where it is compressed as a whole.
    pub(super) fn store(&mut self) -> Option<Arc<Store>> {
        let Decoder::Plain(raw) = &self.decoder else { return None };
        self.anywhere = true;
        Some(Arc::clone(&raw.store))
    }

    /// Goes on with what is stored in `range`; only where the file is read at any place.
    pub(super) fn enter(&mut self, range: Range<u64>, method: Method) -> io::Result<()> {
        let part = self.raw().part(range);
        self.sum.reset();
        self.decoder = match method {
            Method::Stored => Decoder::Plain(part),
            Method::Deflate => Decoder::Deflate(Box::new(DeflateDecoder::new(BufReader::new(part)))),
            Method::Zstd => zstd(part)?,
        };
        Ok(())
    }

    /// The sum (CRC-32) over what was read since [`Unpacked::enter`].
    pub(super) fn sum(&self) -> u32 {
        self.sum.sum()
    }

    /// Counts bytes that were read elsewhere, and stops where that is asked for or they are too many.
    pub(super) fn count(&mut self, stored: u64, unpacked: u64) -> io::Result<()> {
        let raw = self.raw();
        if (raw.stop)() {
            return Err(stopped());
        }
        raw.progress.stored.fetch_add(stored, Ordering::Relaxed);
        raw.progress.unpacked.fetch_add(unpacked, Ordering::Relaxed);
        self.offset += unpacked;
        self.bound()
    }

    fn bound(&self) -> io::Result<()> {
        if self.offset <= FLOOR.max(self.stamp.size.saturating_mul(self.expansion)) {
            return Ok(());
        }
        Err(io::Error::other(Error::Expansion { path: self.path.to_path_buf(), limit: self.expansion }))
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
    pub(super) fn unchanged(&self) -> io::Result<bool> {
        let raw = self.raw();
        if !self.anywhere {
            return Ok(raw.hash.finalize() == self.stamp.digest);
        }
        if raw.store.version()? == self.stamp.version {
            return Ok(true);
        }
        // Perhaps only its permissions were changed, or it lies where that is not told.
        let mut whole = raw.part(0..u64::MAX);
        io::copy(&mut whole, &mut io::sink())?;
        Ok(whole.hash.finalize() == self.stamp.digest)
    }
}

/// Unpacks frames of zstd, whose window must not be larger than allowed.
fn zstd(raw: Raw<'_>) -> io::Result<Decoder<'_>> {
    let mut decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(CHUNK, raw))?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(Decoder::Zstd(decoder))
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A few bytes on the disk may keep a decoder busy for long, so this is asked here as well.
        if (self.raw().stop)() {
            return Err(stopped());
        }
        let read = match &mut self.decoder {
            Decoder::Plain(raw) => raw.read(buffer)?,
            Decoder::Gzip(decoder) => decoder.read(buffer)?,
            Decoder::Members(decoder) => decoder.as_mut().expect("a decoder outside of a change").read(buffer)?,
            Decoder::Zstd(decoder) => decoder.read(buffer)?,
            Decoder::Deflate(decoder) => decoder.read(buffer)?,
        };
        self.offset += read as u64;
        self.raw().progress.unpacked.fetch_add(read as u64, Ordering::Relaxed);
        if self.anywhere {
            self.sum.update(&buffer[..read]);
        }
        self.bound()?;
        Ok(read)
    }
}
