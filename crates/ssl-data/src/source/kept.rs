//! Remembers what a decoder read of a gzip member, so that a damaged one can be searched for the next: a decoder that went
//! astray reads on over the member's end.

use std::io::{self, BufRead, BufReader, Read};

use super::feed::read_buffered;
use super::open::{MAGIC, Raw};

/// The most bytes of a member that are remembered.
const MEMBER: usize = 1 << 20;
/// The most bytes of a file that are read again.
const AGAIN: usize = 64 << 20;

/// The stored bytes of a file.
pub(super) struct Kept<'a> {
    bytes: BufReader<Raw<'a>>,
    /// Bytes to be read again, from `at`.
    again: Vec<u8>,
    at: usize,
    /// What was read of the member, if that is not too much.
    seen: Option<Vec<u8>>,
    /// Bytes that may still be read again.
    budget: usize,
}

impl<'a> Kept<'a> {
    pub(super) fn new(bytes: BufReader<Raw<'a>>) -> Self {
        Self { bytes, again: Vec::new(), at: 0, seen: Some(Vec::new()), budget: AGAIN }
    }

    pub(super) fn raw(&self) -> &Raw<'a> {
        self.bytes.get_ref()
    }

    /// Begins a member.
    pub(super) fn begin(&mut self) {
        self.seen = Some(Vec::new());
    }

    /// Goes to the next bytes that look like the head of a member, behind the beginning of the one that is read; whether there
    /// are such.
    pub(super) fn find_next(&mut self) -> io::Result<bool> {
        if let Some(seen) = self.seen.take().filter(|seen| seen.len() <= self.budget)
            && let Some(at) = seen.get(1..).and_then(head).map(|at| at + 1)
        {
            self.budget -= seen.len();
            self.again.splice(..self.at, seen[at..].iter().copied());
            self.at = 0;
            return Ok(true);
        }
        loop {
            let block = self.fill_buf()?;
            if block.is_empty() {
                return Ok(false);
            }
            // A head across the border of two blocks is not seen; it costs one more member.
            let (found, all) = (head(block), block.len());
            self.consume(found.unwrap_or(all));
            if found.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Where the head of a member could begin: the magic number and the method, and flags without reserved bits.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|head| head[..3] == MAGIC && head[3] < 0x20)
}

impl BufRead for Kept<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.again.len() { Ok(&self.again[self.at..]) } else { self.bytes.fill_buf() }
    }

    fn consume(&mut self, count: usize) {
        let is_again = self.at < self.again.len();
        let taken = if is_again { &self.again[self.at..] } else { self.bytes.buffer() };
        self.seen = self.seen.take().filter(|seen| seen.len() + count <= MEMBER).map(|mut seen| {
            seen.extend_from_slice(&taken[..count]);
            seen
        });
        if is_again {
            self.at += count;
        } else {
            self.bytes.consume(count);
        }
    }
}

impl Read for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}
