//! The central directory of a zip archive: what it says of each member, one at a time.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 4.3.12 to 4.3.16, 4.4 and 4.5.3.

use std::io;

use super::super::store::Store;

/// The record at the end, without its comment, which may be this long.
const END: u64 = 22;
const COMMENT: u64 = u16::MAX as u64;
/// Where the 64-bit record at the end is found, and what of it is read.
const LOCATOR: u64 = 20;
const END64: usize = 56;
/// A member's head in the directory, and before its bytes.
const HEAD: usize = 46;
const LOCAL: usize = 30;

/// Where the members' heads stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    /// What is read next, and where the directory ends.
    at: u64,
    end: u64,
    /// Where the directory began: no member reaches further.
    start: u64,
    /// What was put before the archive, such as a program that unpacks it.
    before: u64,
    /// Heads that are still to come.
    left: u64,
}

/// Where a member's head should be is none, or one that contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHead;

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) encrypted: bool,
    /// Whether it is a link, a device or another thing that is no file.
    pub(super) special: bool,
    pub(super) method: u16,
    pub(super) sum: u32,
    /// Its bytes as stored and unpacked.
    pub(super) stored: u64,
    pub(super) size: u64,
    at: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16_at(bytes, at)) | u64::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u32_at(bytes, at) | u32_at(bytes, at + 4) << 32
}

impl Directory {
    /// Finds the directory; none where there is none, or its archive goes on in another file.
    pub(super) fn find(store: &Store) -> io::Result<Option<Self>> {
        let size = store.size()?;
        let tail = store.bytes(size.saturating_sub(END + COMMENT), (END + COMMENT) as usize)?;
        let first = size - (tail.len() as u64).min(size);
        // A comment may hold what looks like the record: the right one reaches to the end.
        let whole = |&at: &usize| tail.len() >= at + 22 && tail.len() == at + 22 + usize::from(u16_at(&tail, at + 20));
        let Some(found) = memchr::memmem::rfind_iter(&tail, b"PK\x05\x06").find(whole) else { return Ok(None) };
        let record = &tail[found..];
        let at = first + found as u64;
        let (mut length, mut start, mut left) = (u32_at(record, 12), u32_at(record, 16), u64::from(u16_at(record, 10)));
        let mut end = at;
        if u16_at(record, 4) != u16_at(record, 6) || u16_at(record, 8) != u16_at(record, 10) {
            return Ok(None);
        }
        let locator = store.bytes(at.saturating_sub(LOCATOR), LOCATOR as usize)?;
        if locator.len() as u64 == LOCATOR && locator.starts_with(b"PK\x06\x07") {
            let bytes = store.bytes(u64_at(&locator, 8), END64)?;
            if bytes.len() != END64 || !bytes.starts_with(b"PK\x06\x06") {
                return Ok(None);
            }
            (left, length, start) = (u64_at(&bytes, 32), u64_at(&bytes, 40), u64_at(&bytes, 48));
            end = u64_at(&locator, 8);
        }
        let Some(begin) = end.checked_sub(length) else { return Ok(None) };
        let Some(before) = begin.checked_sub(start) else { return Ok(None) };
        Ok(Some(Self { at: begin, end, start: begin, before, left }))
    }

    /// The next member; none behind the last.
    pub(super) fn next(&mut self, store: &Store) -> io::Result<Option<Result<Entry, NoHead>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let head = store.bytes(self.at, HEAD)?;
        if head.len() != HEAD || !head.starts_with(b"PK\x01\x02") {
            self.left = 0;
            return Ok(Some(Err(NoHead)));
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(&head, at)));
        let rest = store.bytes(self.at + HEAD as u64, name + extra)?;
        self.at += (HEAD + name + extra + comment) as u64;
        if rest.len() != name + extra || self.at > self.end {
            self.left = 0;
            return Ok(Some(Err(NoHead)));
        }
        let (name, extra) = rest.split_at(name);
        let flags = u16_at(&head, 8);
        // What made it says how its attributes are meant: 3 is Unix, whose kinds of files stand in the upper half.
        let kind = if head[5] == 3 { u32_at(&head, 38) >> 28 } else { 0 };
        let mut entry = Entry {
            name: name.to_vec(),
            encrypted: flags & 1 << 0 != 0 || flags & 1 << 6 != 0 || flags & 1 << 13 != 0,
            special: !matches!(kind, 0 | 4 | 8),
            method: u16_at(&head, 10),
            sum: u32_at(&head, 16) as u32,
            stored: u32_at(&head, 20),
            size: u32_at(&head, 24),
            at: u32_at(&head, 42),
        };
        Ok(Some(if entry.extend(extra) { Ok(entry) } else { Err(NoHead) }))
    }

    /// Where the bytes of a member stand; none where its own head is not what the directory says.
    pub(super) fn place(&self, entry: &Entry, store: &Store) -> io::Result<Option<std::ops::Range<u64>>> {
        let Some(at) = self.before.checked_add(entry.at) else { return Ok(None) };
        let local = store.bytes(at, LOCAL + entry.name.len())?;
        if local.len() != LOCAL + entry.name.len() || !local.starts_with(b"PK\x03\x04") {
            return Ok(None);
        }
        // Two names, or two methods, would let two readers see two different members.
        let same = usize::from(u16_at(&local, 26)) == entry.name.len() && local[LOCAL..] == entry.name;
        if !same || u16_at(&local, 8) != entry.method {
            return Ok(None);
        }
        let begin = at + local.len() as u64 + u64::from(u16_at(&local, 28));
        Ok(begin.checked_add(entry.stored).filter(|&end| end <= self.start).map(|end| begin..end))
    }
}

impl Entry {
    /// Takes the numbers of 64 bits out of the extra field; whether all are there that should be.
    fn extend(&mut self, mut extra: &[u8]) -> bool {
        let missing = |number: u64| number == u64::from(u32::MAX);
        while extra.len() >= 4 {
            let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
            let Some(mut field) = extra.get(4..4 + length) else { return false };
            extra = &extra[4 + length..];
            if kind != 1 {
                continue;
            }
            for number in [&mut self.size, &mut self.stored, &mut self.at] {
                if missing(*number) {
                    let Some((found, rest)) = field.split_first_chunk::<8>() else { return false };
                    (*number, field) = (u64::from_le_bytes(*found), rest);
                }
            }
        }
        true
    }
}
