//! What a format's reader reads from: the unpacked bytes of one file, with the place in them, within bounds.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::Input;
use super::open::{Method, Progress, Stamp, Unpacked};
use super::records::{Item, Record};
use super::store::Store;
use crate::clean::Reason;
use crate::config::{Format, Limits};
use crate::document::Origin;
use crate::error::{Error, Result};

/// Bytes of unpacked text in the buffer.
pub(super) const BUFFER: usize = 256 << 10;

/// Reads the documents of one format out of a feed, one a call; holds no more than one of them.
pub(super) trait Cut: Send {
    /// The next document, or none at the end of the feed.
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>>;
}

/// How a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// With all its bytes.
    Whole,
    /// It has more bytes than are allowed, and was passed over.
    Long,
    /// There is none: the feed has ended.
    End,
}

/// The unpacked bytes of one file, or of one member of an archive in it.
pub(super) struct Feed<'a> {
    bytes: BufReader<Unpacked<'a>>,
    /// The file, and below it the member.
    pub(super) path: Arc<Path>,
    /// What the bytes are.
    pub(super) format: Format,
    /// The most bytes of a document.
    pub(super) limit: u64,
    /// Bytes of the packed file.
    size: u64,
    /// The line and the byte that stand next.
    pub(super) line: u64,
    pub(super) offset: u64,
    /// Whether the rest is not worth reading, so that nobody can say whether the file has changed.
    pub(super) abandoned: bool,
    /// Bytes that are left of the member that is read; what lies behind them is not seen.
    window: Option<u64>,
}

impl<'a> Feed<'a> {
    /// Opens `input`, which must still be what `stamp` says.
    pub(super) fn open(
        input: &Input,
        stamp: Stamp,
        limits: &Limits,
        progress: &'a Progress,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        let members = input.format == Format::Warc;
        let bytes = Unpacked::open(input, stamp, limits.expansion, members, progress, stop)?;
        Ok(Self {
            bytes: BufReader::with_capacity(BUFFER, bytes),
            path: Arc::clone(&input.path),
            format: input.format,
            limit: limits.document_bytes,
            size: stamp.size,
            line: 1,
            offset: 0,
            abandoned: false,
            window: None,
        })
    }

    pub(super) fn unpacked(&self) -> &Unpacked<'a> {
        self.bytes.get_ref()
    }

    /// Shows the next `size` bytes alone, as a feed of its own that begins at line 1, byte 0.
    pub(super) fn enter(&mut self, size: u64) {
        (self.window, self.line, self.offset) = (Some(size), 1, 0);
    }

    /// Passes over what is left of the member and shows what lies behind it; how many bytes of it are missing.
    pub(super) fn leave(&mut self) -> io::Result<u64> {
        self.abandoned = false;
        let rest = self.window.take().unwrap_or(0);
        self.skip(rest).map(|skipped| rest - skipped)
    }

    /// Whether the member that was read to its end has less than it should; says so once.
    pub(super) fn cut_off(&mut self) -> bool {
        let cut_off = self.window.as_mut().is_some_and(|left| std::mem::take(left) > 0);
        self.abandoned |= cut_off;
        cut_off
    }

    /// A guess at how many bytes there are.
    pub(super) fn guess(&self) -> u64 {
        self.window.unwrap_or(self.size)
    }

    /// The file to read at any place; none for a member of an archive, or where the file is compressed as a whole.
    pub(super) fn store(&mut self) -> Option<Arc<Store>> {
        if self.window.is_some() { None } else { self.bytes.get_mut().store() }
    }

    /// Counts bytes that were read by way of the store, and stops where that is asked for or they are too many.
    pub(super) fn count(&mut self, stored: u64, unpacked: u64) -> io::Result<()> {
        self.bytes.get_mut().count(stored, unpacked)
    }

    /// Shows what `method` makes of the stored bytes in `range`, `size` bytes, as a feed of its own.
    pub(super) fn enter_stored(&mut self, range: Range<u64>, method: Method, size: u64) -> io::Result<()> {
        let stale = self.bytes.buffer().len();
        self.bytes.consume(stale);
        self.bytes.get_mut().enter(range, method)?;
        self.enter(size);
        Ok(())
    }

    /// Ends what [`Feed::enter_stored`] began: whether it was all there, with the `sum` that it should have, as far as one knows.
    pub(super) fn leave_stored(&mut self, sum: u32) -> io::Result<bool> {
        let left = self.window.take().unwrap_or(0);
        if std::mem::take(&mut self.abandoned) {
            return Ok(true);
        }
        // There must be nothing more, and what is buffered was summed up.
        Ok(left == 0 && self.bytes.fill_buf()?.is_empty() && self.bytes.get_ref().sum() == sum)
    }

    /// Passes over `count` bytes and says how many there were.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let here = self.fill_buf()?.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if here == 0 {
                break;
            }
            self.consume(here);
            left -= here as u64;
        }
        Ok(count - left)
    }

    /// Goes on with the next gzip member; only where the file was opened member by member.
    pub(super) fn next_member(&mut self) -> io::Result<bool> {
        self.bytes.get_mut().next_member()
    }

    /// Goes on with the next gzip member behind damage. The fault is given back where it is no damage, or ends the file.
    pub(super) fn skip_damage(&mut self, fault: io::Error) -> io::Result<bool> {
        let found = {
            damage(fault)?;
            self.bytes.get_mut().skip_damage()?
        };
        // What is left is not read, so nobody can say whether the file has changed.
        self.abandoned |= !found;
        Ok(found)
    }

    /// A document that begins at `line` and `offset`.
    pub(super) fn record(&self, bytes: Vec<u8>, line: u64, offset: u64) -> Item {
        let origin = Origin { path: Arc::clone(&self.path), line, address: None };
        Item::Record(Record { bytes, target: None, origin, offset, format: self.format, charset: None })
    }

    /// A document that was passed over.
    pub(super) fn dropped(&self, reason: Reason, line: u64) -> Item {
        self.dropped_all(reason, line, 1)
    }

    /// Documents that were passed over, as many as a file said that it has: it is believed up to one for each of its bytes.
    pub(super) fn dropped_all(&self, reason: Reason, line: u64, records: u64) -> Item {
        let records = records.clamp(1, self.size.max(1));
        Item::Dropped(reason, Origin { path: Arc::clone(&self.path), line, address: None }, records)
    }

    /// Appends the next line, with its end, unless it has more bytes than a document may have.
    pub(super) fn take_line(&mut self, into: &mut Vec<u8>) -> io::Result<Line> {
        let (before, limit) = (into.len(), self.limit);
        let read = self.by_ref().take(limit.saturating_add(1)).read_until(b'\n', into)? as u64;
        if read == 0 {
            return Ok(Line::End);
        }
        let long = read > limit;
        if long {
            let mut ended = into.last() == Some(&b'\n');
            into.truncate(before);
            let mut rest = Vec::new();
            while !ended {
                rest.clear();
                let more = self.by_ref().take(BUFFER as u64).read_until(b'\n', &mut rest)?;
                ended = more == 0 || rest.last() == Some(&b'\n');
            }
        }
        self.line += 1;
        Ok(if long { Line::Long } else { Line::Whole })
    }
}

impl BufRead for Feed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.window == Some(0) {
            return Ok(&[]);
        }
        let bytes = self.bytes.fill_buf()?;
        let seen = self.window.map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        Ok(&bytes[..seen])
    }

    fn consume(&mut self, count: usize) {
        self.bytes.consume(count);
        self.offset += count as u64;
        if let Some(left) = &mut self.window {
            *left -= count as u64;
        }
    }
}

/// Gives a fault of reading back where it is no damage of the data.
pub(super) fn damage(fault: io::Error) -> io::Result<()> {
    let own = fault.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    if own { Err(fault) } else { Ok(()) }
}

/// Reads by way of what is buffered: what `Read` is for a `BufRead`.
pub(super) fn read_buffered(source: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let here = source.fill_buf()?;
    let count = here.len().min(buffer.len());
    buffer[..count].copy_from_slice(&here[..count]);
    source.consume(count);
    Ok(count)
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}
