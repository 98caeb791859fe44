//! The one door to what a file holds: its records in order, whatever the format.

use std::sync::Arc;

use super::csv::Table;
use super::feed::{Cut, Feed};
use super::json::Elements;
use super::open::{Progress, Stamp, explain};
use super::pages::Pages;
use super::parquet::Column;
use super::tar::Files;
use super::wiki::Dump;
use super::zip::Entries;
use super::{Cutting, Format, Input, lines};
use crate::clean::Reason;
use crate::config::{Limits, Unit};
use crate::document::Origin;
use crate::error::{Error, Result};

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
    /// The encoding that the server named, for a page of the web.
    pub charset: Option<Box<str>>,
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
    /// So many documents that were passed over, and where the first of them is.
    Dropped(Reason, Origin, u64),
}

/// The records of one file, in order; holds no more than one of them.
pub struct Records<'a> {
    input: &'a Input,
    feed: Feed<'a>,
    cut: Box<dyn Cut>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Reading,
    Done,
}

impl<'a> Records<'a> {
    /// Opens `input`, which must still be what `stamp` says, to be cut as `cutting` says.
    ///
    /// # Errors
    /// When the file cannot be opened, or now could be read.
    pub fn open(
        input: &'a Input,
        stamp: Stamp,
        cutting: &Cutting,
        limits: &Limits,
        progress: &'a Progress,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        let feed = Feed::open(input, stamp, limits, progress, stop)?;
        if stamp == Stamp::UNREAD {
            return Err(Error::Changed { path: input.path.to_path_buf() });
        }
        Ok(Self { input, feed, cut: cut(input.format, cutting), state: State::Begun })
    }

    /// The file that is read.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.input.path
    }
}

/// How a format is cut into documents.
pub(super) fn cut(format: Format, cutting: &Cutting) -> Box<dyn Cut> {
    let Cutting { unit, field, .. } = cutting;
    match format {
        Format::Jsonl => lines::by(Unit::Line),
        Format::Json => Box::new(Elements::default()),
        Format::Csv => Box::new(Table::new(b',', field)),
        Format::Tsv => Box::new(Table::new(b'\t', field)),
        Format::Html => lines::by(Unit::File),
        Format::Warc => Box::new(Pages::default()),
        Format::Tar => Box::new(Files::new(cutting)),
        Format::Zip => Box::new(Entries::new(cutting)),
        Format::Parquet => Box::new(Column::new(field)),
        Format::Wiki => Box::new(Dump::default()),
        Format::Auto | Format::Text | Format::Markdown => lines::by(*unit),
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        match self.cut.next(&mut self.feed) {
            Ok(Some(item)) => {
                if self.state == State::Begun {
                    self.state = State::Reading;
                }
                Some(Ok(item))
            }
            Ok(None) => {
                let nothing = self.state == State::Begun;
                self.state = State::Done;
                let same = if self.feed.abandoned { Ok(true) } else { self.feed.unpacked().unchanged() };
                match same {
                    Ok(true) => {}
                    Ok(false) => return Some(Err(Error::Changed { path: self.input.path.to_path_buf() })),
                    Err(fault) => return Some(Err(explain(fault, &self.input.path, 0))),
                }
                let origin = Origin { path: Arc::clone(&self.input.path), line: 1, address: None };
                nothing.then_some(Ok(Item::Dropped(Reason::EmptyFile, origin, 1)))
            }
            Err(fault) => {
                self.state = State::Done;
                Some(Err(explain(fault, &self.input.path, self.feed.unpacked().offset)))
            }
        }
    }
}

/// Reads files for the tests of formats.
#[cfg(test)]
pub(super) mod testing {
    use std::io::Write;
    use std::path::Path;

    use super::super::{Packing, stamp};
    use super::*;

    pub(in super::super) fn read(path: &Path, format: Format, unit: Unit, limit: u64) -> Vec<Result<Item>> {
        let (_, packing) = Packing::of(path.to_str().expect("a plain name"));
        let progress = Progress::default();
        let limits = Limits { document_bytes: limit, ..Limits::default() };
        let input = Input { path: path.into(), address: None, name: "x".into(), format, packing, part: 0 };
        let stamp = stamp(&input, &progress, &|| false).expect("stamps");
        Records::open(&input, stamp, &Cutting { unit, ..Cutting::default() }, &limits, &progress, &|| false)
            .expect("opens")
            .collect()
    }

    /// Line, offset, and text or reason.
    pub(in super::super) type Found = (u64, u64, std::result::Result<String, Reason>);

    pub(in super::super) fn cut_by(bytes: &[u8], format: Format, unit: Unit, limit: u64) -> Vec<Found> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("writes");
        let item = |item: Result<Item>| match item.expect("reads") {
            Item::Record(record) => (record.origin.line, record.offset, Ok(String::from_utf8(record.bytes).expect("UTF-8"))),
            Item::Dropped(reason, origin, _) => (origin.line, 0, Err(reason)),
        };
        read(file.path(), format, unit, limit).into_iter().map(item).collect()
    }

    pub(in super::super) fn cut(bytes: &[u8], format: Format, limit: u64) -> Vec<Found> {
        cut_by(bytes, format, Unit::File, limit)
    }

    pub(in super::super) fn ok(line: u64, offset: u64, text: &str) -> Found {
        (line, offset, Ok(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::{Packing, stamp};
    use super::testing::{cut_by as cut, ok, read};
    use super::*;

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

    fn plain(path: &std::path::Path) -> Input {
        Input { path: path.into(), address: None, name: "x".into(), format: Format::Text, packing: Packing::Plain, part: 0 }
    }

    #[test]
    fn a_file_that_changed_since_it_was_stamped_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "before").expect("writes");
        let progress = Progress::default();
        let input = plain(file.path());
        let stamp = stamp(&input, &progress, &|| false).expect("stamps");
        std::fs::write(file.path(), "after!").expect("writes");
        let items: Vec<_> =
            Records::open(&input, stamp, &Cutting::default(), &Limits::default(), &progress, &|| false).expect("opens").collect();
        assert!(matches!(items.last(), Some(Err(Error::Changed { .. }))), "{items:?}");
    }

    #[test]
    fn a_file_that_is_cut_off_while_it_is_read_gives_what_was_read() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let line = [&[b'x'; 999][..], b"\n"].concat();
        std::fs::write(file.path(), line.repeat(2000)).expect("writes");
        let progress = Progress::default();
        let input = plain(file.path());
        let stamp = stamp(&input, &progress, &|| false).expect("stamps");
        let cutting = Cutting { unit: Unit::Line, ..Cutting::default() };
        let limits = Limits::default();
        let mut records = Records::open(&input, stamp, &cutting, &limits, &progress, &|| false).expect("opens");
        records.next().expect("a line").expect("reads");
        file.as_file().set_len(1_000_500).expect("cuts");
        let items: Vec<_> = records.collect();
        assert_eq!(items.iter().filter(|item| matches!(item, Ok(Item::Record(_)))).count(), 1000);
        assert!(matches!(items.last(), Some(Err(Error::Changed { .. }))));
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
