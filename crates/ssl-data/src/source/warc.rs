//! Reads the records of WARC and WET archives (ISO 28500; version 0.17 and up), plain or in gzip members.
//!
//! Archives of the web are damaged and lie: a record ends where its member ends, whatever length it states; between records
//! everything up to the next line that begins a record is passed over; a stated length that leads into the next record is
//! cut there. The records are those of `warcio`, which ends at the first fault of the last two kinds.

use std::io::{self, BufRead, Read};

mod http;

pub use http::Http;

/// The longest line of a record's head.
const HEAD_LINE: u64 = 64 << 10;
/// The most bytes of all lines of a record's head.
const HEAD: usize = 1 << 20;
/// The most bytes of an archive that are read again because records stated lengths that lead into others.
const AGAIN: u64 = 1 << 30;

/// Bytes that may stand in members, each of which holds whole records.
pub trait Members: BufRead {
    /// Goes on behind the end of a member; whether there is another.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn next_member(&mut self) -> io::Result<bool>;

    /// Goes on with the next member behind `fault`; whether there is another.
    ///
    /// # Errors
    /// The fault, where it does not come from what the member holds.
    fn skip_damage(&mut self, fault: io::Error) -> io::Result<bool>;
}

/// Bytes at hand, not packed.
impl Members for &[u8] {
    fn next_member(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn skip_damage(&mut self, fault: io::Error) -> io::Result<bool> {
        Err(fault)
    }
}

/// One record of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The fields of its head, in order.
    pub fields: Vec<(String, String)>,
    /// What stands behind the head.
    pub block: Vec<u8>,
    /// Whether the block ends before its stated length, because its member or the file does.
    pub cut_off: bool,
}

impl Record {
    /// The first field of that name, in any case of letters.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        http::field(&self.fields, name)
    }

    /// What the record is: `response`, `conversion`, `warcinfo`, ...
    #[must_use]
    pub fn kind(&self) -> &str {
        self.field("WARC-Type").unwrap_or("")
    }

    /// The address that the record is about.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        let address = self.field("WARC-Target-URI")?;
        // Wget 1.19 wrote them in angle brackets.
        Some(address.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(address))
    }

    /// The HTTP message that the block is, if it is one.
    #[must_use]
    pub fn http(&self) -> Option<Http<'_>> {
        let web = self.address().is_some_and(|address| address.starts_with("http:") || address.starts_with("https:"));
        let holds = matches!(self.kind(), "response" | "request" | "revisit");
        (web && holds).then(|| Http::parse(&self.block)).flatten()
    }
}

/// What stands next in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(Record),
    /// A record whose block has more bytes than allowed; it was passed over.
    TooLarge,
    /// Something that is no record, or a damaged member; it was passed over.
    Damaged,
}

/// The records of an archive, in order; holds no more than one of them.
#[derive(Debug)]
pub struct Archive {
    /// Bytes that were read too far, to be read again from `at`.
    ahead: Vec<u8>,
    at: usize,
    /// All bytes that were ever read too far.
    again: u64,
    /// Whether nothing can be read any more.
    ended: bool,
    /// The most bytes of a block.
    limit: u64,
}

impl Archive {
    /// Reads records whose blocks have at most `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { ahead: Vec::new(), at: 0, again: 0, ended: false, limit }
    }

    /// The next entry of `source`, which must be the same each time; none at its end.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    pub fn next(&mut self, source: &mut impl Members) -> io::Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        match self.entry(source) {
            Err(fault) => {
                (self.ahead, self.at) = (Vec::new(), 0);
                self.ended = !source.skip_damage(fault)?;
                Ok(Some(Entry::Damaged))
            }
            entry => entry,
        }
    }

    fn entry(&mut self, source: &mut impl Members) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line(source, &mut line)?;
            if line.is_empty() {
                if !source.next_member()? {
                    return Ok(None);
                }
            } else if !line.trim_ascii().is_empty() {
                break;
            }
        }
        if !begins_record(&line) {
            self.pass_to_next_record(source)?;
            return Ok(Some(Entry::Damaged));
        }
        let Some(fields) = self.head(source)? else {
            self.pass_to_next_record(source)?;
            return Ok(Some(Entry::Damaged));
        };
        let stated = http::field(&fields, "Content-Length").map(|length| length.parse::<u64>().unwrap_or(0));
        if stated.is_some_and(|length| length > self.limit) {
            self.pass_to_next_record(source)?;
            return Ok(Some(Entry::TooLarge));
        }
        let mut block = Vec::new();
        if let Some(length) = stated {
            self.take(source, length, &mut block)?;
        }
        let short = stated.is_some_and(|length| (block.len() as u64) < length);
        let inner = inner_record(&block).filter(|_| short && self.again < AGAIN);
        if let Some(at) = inner {
            // Not the file ends too early: the stated length leads over all the records behind this one.
            self.push_back(block.split_off(at));
            trim_ends(&mut block, 2);
        } else if !self.close(source, &mut block, stated.is_some())? {
            return Ok(Some(Entry::TooLarge));
        }
        let cut_off = short && inner.is_none();
        Ok(Some(Entry::Record(Record { fields, block, cut_off })))
    }

    /// Reads the lines of a head up to the empty one; none where it is too long.
    fn head(&mut self, source: &mut impl Members) -> io::Result<Option<Vec<(String, String)>>> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            self.line(source, &mut head)?;
            let line = &head[before..];
            if line.trim_ascii().is_empty() {
                return Ok(Some(http::fields(&head)));
            }
            if line.last() != Some(&b'\n') && line.len() as u64 >= HEAD_LINE || head.len() > HEAD {
                return Ok(None);
            }
        }
    }

    /// Sees to it that the block ends where the next record begins; whether it still has no more bytes than allowed.
    fn close(&mut self, source: &mut impl Members, block: &mut Vec<u8>, stated: bool) -> io::Result<bool> {
        let whole = block.len();
        // Where the last line ends that is not blank, and how many line ends behind the block part it from the next record.
        let (mut end, mut parting) = (whole, 0);
        loop {
            let before = block.len();
            self.line(source, block)?;
            let line = &block[before..];
            if line.is_empty() {
                break;
            }
            let blank = line.trim_ascii().is_empty();
            if begins_record(line) {
                self.push_back(line.to_vec());
                block.truncate(before);
                parting = if stated { parting } else { 2 };
                break;
            }
            if !blank
                && stated
                && end == whole
                && self.again < AGAIN
                && let Some(at) = inner_record(block)
            {
                // The stated length leads into the next record.
                self.push_back(block.split_off(at));
                (end, parting) = (at, 2);
                break;
            }
            if !blank {
                // The stated length is too short, or there is none.
                (end, parting) = (block.len(), usize::from(stated));
            }
            if block.len() as u64 > self.limit.saturating_add(HEAD_LINE) {
                block.clear();
                self.pass_to_next_record(source)?;
                return Ok(false);
            }
        }
        if stated {
            block.truncate(end);
        }
        trim_ends(block, parting);
        Ok(block.len() as u64 <= self.limit)
    }

    /// Passes over everything up to the next line that begins a record, or the member's end.
    fn pass_to_next_record(&mut self, source: &mut impl Members) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line(source, &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            if begins_record(&line) {
                self.push_back(line);
                return Ok(());
            }
        }
    }

    /// Puts bytes before what is read next.
    fn push_back(&mut self, mut bytes: Vec<u8>) {
        self.again += bytes.len() as u64;
        // What was just taken from there is not copied back, with all that follows it.
        if let Some(at) = self.at.checked_sub(bytes.len()).filter(|&at| self.ahead[at..self.at] == bytes[..]) {
            self.at = at;
            return;
        }
        bytes.extend_from_slice(&self.ahead[self.at..]);
        (self.ahead, self.at) = (bytes, 0);
    }

    /// Appends the next line, or as much of it as a line of a head may have.
    fn line(&mut self, source: &mut impl Members, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        let ahead = &self.ahead[self.at..];
        let end = memchr::memchr(b'\n', ahead).map_or(ahead.len(), |at| at + 1);
        into.extend_from_slice(&ahead[..end]);
        self.at += end;
        if into.len() > before && into.last() == Some(&b'\n') {
            return Ok(());
        }
        source.take(HEAD_LINE).read_until(b'\n', into).map(drop)
    }

    /// Appends `count` bytes, or as many as there are.
    fn take(&mut self, source: &mut impl Members, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let ahead = &self.ahead[self.at..];
        let again = ahead.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        into.extend_from_slice(&ahead[..again]);
        self.at += again;
        source.take(count - again as u64).read_to_end(into).map(drop)
    }
}

/// Whether a line is the first of a record.
fn begins_record(line: &[u8]) -> bool {
    let version = line.trim_ascii_end().strip_prefix(b"WARC/");
    version.is_some_and(|version| version.len() <= 8 && version.first().is_some_and(u8::is_ascii_digit))
}

/// Takes so many line ends away from the end of a block.
fn trim_ends(block: &mut Vec<u8>, ends: usize) {
    for _ in 0..ends {
        let bare = block.strip_suffix(b"\n").map_or(block.len(), |rest| rest.strip_suffix(b"\r").unwrap_or(rest).len());
        block.truncate(bare);
    }
}

/// Where in a block, behind an empty line, another record begins.
fn inner_record(block: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(block, b"\nWARC/").map(|at| at + 1).find(|&at| {
        let end = memchr::memchr(b'\n', &block[at..]).map_or(block.len(), |end| at + end);
        let before = block[..at - 1].strip_suffix(b"\r").unwrap_or(&block[..at - 1]);
        begins_record(&block[at..end]) && before.ends_with(b"\n")
    })
}

#[cfg(test)]
mod tests;
