//! Reads the files of a tar archive (POSIX ustar and pax, GNU long names) as documents, without writing any of them to disk.
//!
//! Links, devices and sparse files are refused, and so are names that lead out of the archive: what stands for another file is
//! no text of its own. Each is counted.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::feed::{Cut, Feed};
use super::member::{Fate, fate, inside};
use super::records::{self, Item};
use super::{Cutting, Format};
use crate::clean::Reason;

const BLOCK: u64 = 512;
/// The most bytes of an extended header.
const HEADER: u64 = 1 << 20;

/// Cuts an archive into its files, and these by their own formats.
pub(super) struct Files {
    cutting: Cutting,
    /// How the file that stands open is cut, and the bytes that fill its last block.
    open: Option<(Box<dyn Cut>, u64)>,
    archive: Option<Arc<Path>>,
    /// What an extended header says of the next file.
    name: Option<Vec<u8>>,
    size: Option<u64>,
    number: u64,
}

/// What a header gives.
enum Next {
    Item(Item),
    /// A file, which stands open now, or something to pass over.
    More,
    End,
}

impl Files {
    pub(super) fn new(cutting: &Cutting) -> Self {
        Self { cutting: cutting.clone(), open: None, archive: None, name: None, size: None, number: 0 }
    }

    /// Reads the next header and opens its file; what is refused is an item.
    fn header(&mut self, feed: &mut Feed<'_>) -> io::Result<Next> {
        let mut block = Vec::new();
        feed.take(BLOCK).read_to_end(&mut block)?;
        if block.iter().all(|&byte| byte == 0) {
            // What stands behind the end is filling.
            feed.skip(u64::MAX)?;
            return Ok(Next::End);
        }
        let Some(head) = Head::parse(&block) else {
            feed.abandoned = true;
            return Ok(Next::Item(feed.dropped(Reason::Damaged, self.number + 1)));
        };
        let size = self.size.take().unwrap_or(head.size);
        let fill = (BLOCK - size % BLOCK) % BLOCK;
        match head.kind {
            b'x' | b'L' if size <= HEADER => {
                let mut extended = Vec::new();
                feed.take(size).read_to_end(&mut extended)?;
                feed.skip(fill)?;
                if head.kind == b'L' {
                    self.name = Some(extended.split(|&byte| byte == 0).next().unwrap_or(&[]).to_vec());
                } else {
                    self.extend(&extended);
                }
                return Ok(Next::More);
            }
            b'g' | b'K' | b'5' => {
                if head.kind == b'5' {
                    self.name = None;
                }
                feed.skip(size.saturating_add(fill))?;
                return Ok(Next::More);
            }
            _ => {}
        }
        self.number += 1;
        let name = self.name.take().unwrap_or(head.name);
        let path = inside(&name).filter(|_| matches!(head.kind, b'0' | 0 | b'7'));
        let (fate, path) = path.map_or((Fate::Dropped(Reason::Refused), None), |path| (fate(&path, &self.cutting), Some(path)));
        let archive = Arc::clone(self.archive.get_or_insert_with(|| Arc::clone(&feed.path)));
        let line = if path.is_some() { 1 } else { self.number };
        feed.path = path.map_or_else(|| Arc::clone(&archive), |path| archive.join(path).into());
        let item = match fate {
            Fate::Read(format) => {
                feed.format = format;
                feed.enter(size);
                self.open = Some((records::cut(format, &self.cutting), fill));
                return Ok(Next::More);
            }
            Fate::Dropped(reason) => Next::Item(feed.dropped(reason, line)),
            Fate::Passed => Next::More,
        };
        self.close(feed);
        feed.skip(size.saturating_add(fill))?;
        Ok(item)
    }

    /// Takes a name and a size out of a pax header: lines of `LENGTH KEY=VALUE`.
    fn extend(&mut self, mut text: &[u8]) {
        while let Some(space) = text.iter().position(|&byte| byte == b' ') {
            let length = std::str::from_utf8(&text[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
            let Some(length) = length.filter(|&length| length > space && length <= text.len()) else { return };
            let line = text[space + 1..length].trim_ascii_end();
            if let Some(name) = line.strip_prefix(b"path=") {
                self.name = Some(name.to_vec());
            } else if let Some(size) = line.strip_prefix(b"size=") {
                self.size = std::str::from_utf8(size).ok().and_then(|digits| digits.parse().ok());
            }
            text = &text[length..];
        }
    }

    /// Shows the archive again.
    fn close(&mut self, feed: &mut Feed<'_>) {
        if let Some(archive) = &self.archive {
            feed.path = Arc::clone(archive);
        }
        feed.format = Format::Tar;
    }
}

impl Cut for Files {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        loop {
            if let Some((cut, fill)) = &mut self.open {
                if let Some(item) = cut.next(feed)? {
                    return Ok(Some(item));
                }
                let fill = *fill;
                let cut_off = feed.leave()? > 0;
                let item = cut_off.then(|| feed.dropped(Reason::Damaged, 1));
                self.open = None;
                self.close(feed);
                feed.skip(fill)?;
                if item.is_some() {
                    return Ok(item);
                }
            }
            if feed.abandoned {
                return Ok(None);
            }
            match self.header(feed)? {
                Next::End => return Ok(None),
                Next::Item(item) => return Ok(Some(item)),
                Next::More => {}
            }
        }
    }
}

struct Head {
    name: Vec<u8>,
    size: u64,
    kind: u8,
}

impl Head {
    /// Reads a header; none where it is cut off or its checksum is wrong.
    fn parse(block: &[u8]) -> Option<Self> {
        if block.len() as u64 != BLOCK {
            return None;
        }
        let sum: u64 =
            block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u64::from(byte) }).sum();
        if number(&block[148..156])? != sum {
            return None;
        }
        let text = |range: std::ops::Range<usize>| block[range].split(|&byte| byte == 0).next().unwrap_or(&[]).to_vec();
        let (mut name, prefix) = (text(0..100), text(345..500));
        if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
            name = [prefix, name].join(&b'/');
        }
        Some(Self { name, size: number(&block[124..136])?, kind: block[156] })
    }
}

/// A number as octal digits, or, behind a first byte of 80, in 64 bits.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high.iter().skip(1).all(|&byte| byte == 0);
        return fits.then(|| low.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)));
    }
    let digits = field.split(|&byte| byte == 0).next().unwrap_or(&[]).trim_ascii();
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
