//! Cuts the bytes of one file into records: the whole file, its lines, or its blocks of lines.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::open::{Progress, Stamp, Unpacked, explain};
use super::{Format, Input};
use crate::clean::Reason;
use crate::config::{Limits, Unit};
use crate::document::Origin;
use crate::error::{Error, Result};

/// Bytes of unpacked text in the buffer.
const BUFFER: usize = 256 << 10;

/// The bytes of one document, as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// UTF-8 if the file is what it should be.
    pub bytes: Vec<u8>,
    /// The other side of a pair, where that is a record of another file.
    pub target: Option<Box<Record>>,
    /// Where it begins.
    pub origin: Origin,
    /// The same place in bytes from the unpacked file's start.
    pub offset: u64,
    /// What the bytes are.
    pub format: Format,
}

impl Record {
    /// The bytes of both sides.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.target.as_ref().map_or(0, |target| target.size())
    }
}

/// What stands next in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A document to look at.
    Record(Record),
    /// A document that was passed over, and where.
    Dropped(Reason, Origin),
}

/// The records of one file, in order; holds no more than one of them.
pub struct Records<'a> {
    input: &'a Input,
    bytes: BufReader<Unpacked<'a>>,
    size: u64,
    unit: Unit,
    limit: u64,
    /// The line and the byte that stand next.
    line: u64,
    offset: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Reading,
    Done,
}

/// How a line came.
#[derive(PartialEq, Eq)]
enum Line {
    Whole,
    /// It has more bytes than are allowed, and was passed over.
    Long,
    /// There is none: the file has ended.
    End,
}

impl<'a> Records<'a> {
    /// Opens `input`, which must still be what `stamp` says. A line of JSONL is always one record, whatever `unit` says.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(
        input: &'a Input,
        stamp: Stamp,
        unit: Unit,
        limits: &Limits,
        progress: &'a Progress,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        let bytes = BufReader::with_capacity(BUFFER, Unpacked::open(input, stamp, limits.expansion, progress, stop)?);
        let unit = if input.format == Format::Jsonl { Unit::Line } else { unit };
        Ok(Self { input, bytes, size: stamp.size, unit, limit: limits.document_bytes, line: 1, offset: 0, state: State::Begun })
    }

    /// The file that is read.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.input.path
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        match self.unit {
            Unit::File => self.file(),
            Unit::Line => self.one_line(),
            Unit::Block => self.block(),
        }
    }

    fn file(&mut self) -> io::Result<Option<Item>> {
        if self.state != State::Begun {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.size.min(self.limit) as usize + 1);
        (&mut self.bytes).take(self.limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit {
            // Nobody wants the rest, so it is not unpacked either.
            self.state = State::Done;
            return Ok(Some(self.too_large(1)));
        }
        Ok((!bytes.is_empty()).then(|| self.record(bytes, 1, 0)))
    }

    fn one_line(&mut self) -> io::Result<Option<Item>> {
        loop {
            let (mut bytes, line, offset) = (Vec::new(), self.line, self.offset);
            match self.take_line(&mut bytes)? {
                Line::End => return Ok(None),
                Line::Long => return Ok(Some(self.too_large(line))),
                // An empty line of JSONL is no record, by the format's own rules.
                Line::Whole if self.input.format == Format::Jsonl && bytes.trim_ascii().is_empty() => {}
                Line::Whole => return Ok(Some(self.record(bytes, line, offset))),
            }
        }
    }

    fn block(&mut self) -> io::Result<Option<Item>> {
        let (mut bytes, mut begin, mut large) = (Vec::new(), None, false);
        loop {
            let (before, here) = (bytes.len(), (self.line, self.offset));
            let taken = self.take_line(&mut bytes)?;
            let empty = taken != Line::Long && bytes[before..].trim_ascii().is_empty();
            if !empty {
                begin.get_or_insert(here);
                large |= taken == Line::Long || bytes.len() as u64 > self.limit;
            }
            if large {
                bytes.clear();
            }
            if !empty {
                continue;
            }
            bytes.truncate(before);
            match begin {
                Some((line, _)) if large => return Ok(Some(self.too_large(line))),
                Some((line, offset)) => return Ok(Some(self.record(bytes, line, offset))),
                None if taken == Line::End => return Ok(None),
                None => {}
            }
        }
    }

    fn record(&self, bytes: Vec<u8>, line: u64, offset: u64) -> Item {
        let origin = Origin { path: Arc::clone(&self.input.path), line };
        Item::Record(Record { bytes, target: None, origin, offset, format: self.input.format })
    }

    fn too_large(&self, line: u64) -> Item {
        Item::Dropped(Reason::TooLarge, Origin { path: Arc::clone(&self.input.path), line })
    }

    /// Appends the next line, with its end, unless it has more bytes than a document may have.
    fn take_line(&mut self, into: &mut Vec<u8>) -> io::Result<Line> {
        let before = into.len();
        let mut read = (&mut self.bytes).take(self.limit.saturating_add(1)).read_until(b'\n', into)? as u64;
        if read == 0 {
            return Ok(Line::End);
        }
        let long = read > self.limit;
        if long {
            let mut ended = into.last() == Some(&b'\n');
            into.truncate(before);
            let mut rest = Vec::new();
            while !ended {
                rest.clear();
                let more = (&mut self.bytes).take(BUFFER as u64).read_until(b'\n', &mut rest)?;
                ended = more == 0 || rest.last() == Some(&b'\n');
                read += more as u64;
            }
        }
        self.offset += read;
        self.line += 1;
        Ok(if long { Line::Long } else { Line::Whole })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        match self.read() {
            Ok(Some(item)) => {
                if self.state == State::Begun {
                    self.state = State::Reading;
                }
                Some(Ok(item))
            }
            Ok(None) => {
                let nothing = self.state == State::Begun;
                self.state = State::Done;
                if !self.bytes.get_ref().unchanged() {
                    return Some(Err(Error::Changed { path: self.input.path.to_path_buf() }));
                }
                let origin = Origin { path: Arc::clone(&self.input.path), line: 1 };
                nothing.then_some(Ok(Item::Dropped(Reason::EmptyFile, origin)))
            }
            Err(fault) => {
                self.state = State::Done;
                Some(Err(explain(fault, &self.input.path, self.bytes.get_ref().offset)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::{Packing, stamp};
    use super::*;

    fn input(path: &Path, format: Format, packing: Packing) -> Input {
        Input { path: path.into(), name: "x".into(), format, packing }
    }

    fn read(path: &Path, format: Format, unit: Unit, limit: u64) -> Vec<Result<Item>> {
        let (_, packing) = Packing::of(path.to_str().expect("a plain name"));
        let progress = Progress::default();
        let limits = Limits { document_bytes: limit, ..Limits::default() };
        let stamp = stamp(path, &progress, &|| false).expect("stamps");
        Records::open(&input(path, format, packing), stamp, unit, &limits, &progress, &|| false).expect("opens").collect()
    }

    fn cut(text: &[u8], format: Format, unit: Unit, limit: u64) -> Vec<(u64, u64, std::result::Result<String, Reason>)> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text).expect("writes");
        let item = |item: Result<Item>| match item.expect("reads") {
            Item::Record(record) => (record.origin.line, record.offset, Ok(String::from_utf8(record.bytes).expect("UTF-8"))),
            Item::Dropped(reason, origin) => (origin.line, 0, Err(reason)),
        };
        read(file.path(), format, unit, limit).into_iter().map(item).collect()
    }

    fn ok(line: u64, offset: u64, text: &str) -> (u64, u64, std::result::Result<String, Reason>) {
        (line, offset, Ok(text.into()))
    }

    const LARGE: std::result::Result<String, Reason> = Err(Reason::TooLarge);

    #[test]
    fn units_cut_where_they_say() {
        let text = b"a\n\nbb\r\n \n\nc\nd";
        assert_eq!(cut(text, Format::Text, Unit::File, 99), [ok(1, 0, "a\n\nbb\r\n \n\nc\nd")]);
        assert_eq!(cut(text, Format::Text, Unit::Block, 99), [ok(1, 0, "a\n"), ok(3, 3, "bb\r\n"), ok(6, 10, "c\nd")]);
        assert_eq!(cut(b"a\n\nb", Format::Text, Unit::Line, 99), [ok(1, 0, "a\n"), ok(2, 2, "\n"), ok(3, 3, "b")]);
        assert_eq!(cut(b"\n{}\n \r\n{}", Format::Jsonl, Unit::File, 99), [ok(2, 1, "{}\n"), ok(4, 7, "{}")]);
    }

    #[test]
    fn what_is_too_large_is_passed_over_and_the_rest_read() {
        assert_eq!(cut(b"12345", Format::Text, Unit::File, 4), [(1, 0, LARGE)]);
        assert_eq!(cut(b"1234", Format::Text, Unit::File, 4), [ok(1, 0, "1234")]);
        assert_eq!(cut(b"a\n12345\nb", Format::Text, Unit::Line, 4), [ok(1, 0, "a\n"), (2, 0, LARGE), ok(3, 8, "b")]);
        let long = [b"x".repeat(600_000), b"\ny\n".to_vec()].concat();
        assert_eq!(cut(&long, Format::Text, Unit::Line, 9), [(1, 0, LARGE), ok(2, 600_001, "y\n")]);
        assert_eq!(
            cut(b"1\n2\n3\n\na\n\n12345\n6\n\nb", Format::Text, Unit::Block, 4),
            [(1, 0, LARGE), ok(5, 7, "a\n"), (7, 0, LARGE), ok(10, 19, "b")]
        );
    }

    #[test]
    fn a_file_without_a_record_is_counted() {
        for (text, unit) in [("", Unit::File), ("", Unit::Line), ("\n \n", Unit::Block)] {
            assert_eq!(cut(text.as_bytes(), Format::Text, unit, 9), [(1, 0, Err(Reason::EmptyFile))]);
        }
        assert_eq!(cut(b"\n\n", Format::Jsonl, Unit::Line, 9), [(1, 0, Err(Reason::EmptyFile))]);
    }

    #[test]
    fn a_file_that_changed_since_it_was_stamped_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "before").expect("writes");
        let progress = Progress::default();
        let stamp = stamp(file.path(), &progress, &|| false).expect("stamps");
        std::fs::write(file.path(), "after!").expect("writes");
        let input = input(file.path(), Format::Text, Packing::Plain);
        let items: Vec<_> =
            Records::open(&input, stamp, Unit::Line, &Limits::default(), &progress, &|| false).expect("opens").collect();
        assert!(matches!(items.last(), Some(Err(Error::Changed { .. }))), "{items:?}");
    }

    proptest! {
        /// Whatever the bytes, lines and blocks lose nothing but what lies between them.
        #[test]
        fn nothing_is_lost(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()], 0..200)) {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(&bytes).expect("writes");
            for unit in [Unit::File, Unit::Line, Unit::Block] {
                let mut from = 0;
                for item in read(file.path(), Format::Text, unit, 1000) {
                    let Ok(Item::Record(record)) = item else { continue };
                    let at = record.offset as usize;
                    prop_assert!(bytes[from..at].trim_ascii().is_empty());
                    from = at + record.bytes.len();
                    prop_assert_eq!(&bytes[at..from], &record.bytes[..]);
                    let lines = bytes[..at].split(|&byte| byte == b'\n').count() as u64;
                    prop_assert_eq!(record.origin.line, lines);
                }
                prop_assert!(bytes[from..].trim_ascii().is_empty());
            }
        }
    }
}
