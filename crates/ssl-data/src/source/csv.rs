//! Takes the text out of tables of values parted by commas (RFC 4180) or tabs (IANA's text/tab-separated-values): of each row, the
//! cell in the column that bears the field's name in the first row.
//!
//! Between tabs quotes are text like any other, and a line is a row; but a cell that stands in quotes as a whole, each within it
//! written twice, was written by a spreadsheet, and loses them.

use std::io::{self, BufRead};

use super::feed::{Cut, Feed};
use super::records::{Item, Record};
use crate::clean::Reason;
use crate::config::Format;

/// Cuts a table into the cells of one column.
pub(super) struct Table {
    comma: u8,
    /// The column's name, and where it stands once the first row is read.
    field: String,
    column: Option<usize>,
    /// Where the row that was read last begins: its line and byte.
    begin: (u64, u64),
}

/// Cells of a row that are looked at: each costs more than its bytes.
const CELLS: usize = 1 << 16;

/// How a row came.
#[derive(PartialEq, Eq)]
enum Row {
    Whole,
    /// Its cells have more bytes than a document may have.
    Long,
    /// A quote was opened and not closed up to the end, or not closed where its cell ends.
    BadQuotes,
    End,
}

impl Table {
    pub(super) fn new(comma: u8, field: &str) -> Self {
        Self { comma, field: field.into(), column: None, begin: (1, 0) }
    }

    /// Finds the column in the first row; whether it is there.
    fn find_column(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        let mut cells = Vec::new();
        let row = self.row(feed, &mut cells)?;
        let name = |cell: Vec<u8>| {
            let cell = cell.strip_prefix(b"\xef\xbb\xbf").map_or(cell.clone(), <[u8]>::to_vec);
            self.bare(cell).trim_ascii() == self.field.as_bytes()
        };
        self.column = cells.into_iter().position(name);
        if row == Row::End || self.column.is_some() {
            return Ok(None);
        }
        feed.abandoned = true;
        let reason = match row {
            Row::Whole | Row::End => Reason::NoColumn,
            Row::Long => Reason::TooLarge,
            Row::BadQuotes => Reason::BadQuotes,
        };
        Ok(Some(feed.dropped(reason, 1)))
    }

    /// A cell between tabs without the quotes that a spreadsheet put around it.
    fn bare(&self, cell: Vec<u8>) -> Vec<u8> {
        let inner = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\"")).filter(|_| self.comma == b'\t');
        let twice = |inner: &&[u8]| inner.split(|&byte| byte != b'"').all(|quotes| quotes.len() % 2 == 0);
        match inner.filter(twice) {
            Some(inner) if !inner.contains(&b'"') => inner.to_vec(),
            Some(inner) => {
                let mut first = false;
                let keep = |byte: &&u8| {
                    first = **byte == b'"' && !first;
                    !first
                };
                inner.iter().filter(keep).copied().collect()
            }
            None => cell,
        }
    }

    /// Reads the cells of the next row that is not empty.
    fn row(&mut self, feed: &mut Feed<'_>, cells: &mut Vec<Vec<u8>>) -> io::Result<Row> {
        let mut reading = Reading::default();
        cells.clear();
        let mut size = 0;
        self.begin = (feed.line, feed.offset);
        loop {
            let limit = feed.limit;
            let block = feed.fill_buf()?;
            if block.is_empty() {
                return Ok(match reading.place {
                    _ if size > limit => Row::Long,
                    Place::Quoted => Row::BadQuotes,
                    _ if reading.bad => Row::BadQuotes,
                    Place::Start if cells.is_empty() => Row::End,
                    _ => {
                        cells.push(reading.cell);
                        Row::Whole
                    }
                });
            }
            let (mut used, mut lines, mut ended) = (0, 0, false);
            for &byte in block {
                used += 1;
                size += 1;
                lines += u64::from(byte == b'\n');
                if reading.step(byte, self.comma, cells, size <= limit) {
                    ended = true;
                    break;
                }
            }
            feed.consume(used);
            feed.line += lines;
            if !ended {
                continue;
            }
            if size > limit {
                return Ok(Row::Long);
            }
            if reading.bad {
                return Ok(Row::BadQuotes);
            }
            // An empty line is no row.
            if !(cells.len() == 1 && cells[0].is_empty() && !reading.quoted) {
                return Ok(Row::Whole);
            }
            cells.clear();
            (reading, size) = (Reading::default(), 0);
            self.begin = (feed.line, feed.offset);
        }
    }
}

/// Where in a cell the next byte stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    Bare,
    Quoted,
    /// Behind a quote within quotes: it closes the cell, or is the first of two that stand for one.
    Quote,
}

#[derive(Default)]
struct Reading {
    cell: Vec<u8>,
    place: Place,
    /// Whether the row had quotes, and whether they were wrong.
    quoted: bool,
    bad: bool,
}

impl Reading {
    /// Takes one byte; whether it ends the row. Bytes are kept only while there are not too many.
    fn step(&mut self, byte: u8, comma: u8, cells: &mut Vec<Vec<u8>>, keep: bool) -> bool {
        match (self.place, byte) {
            (Place::Quoted, b'"') => self.place = Place::Quote,
            (Place::Quoted, _) => self.push(byte, keep),
            (Place::Quote, b'"') => {
                self.push(byte, keep);
                self.place = Place::Quoted;
            }
            (Place::Start, b'"') if comma != b'\t' => {
                self.place = Place::Quoted;
                self.quoted = true;
            }
            (_, b'\n') => {
                if self.cell.last() == Some(&b'\r') && self.place != Place::Quote {
                    self.cell.pop();
                }
                self.end(cells, keep);
                return true;
            }
            (_, byte) if byte == comma => self.end(cells, keep),
            // Between a closing quote and the end of its cell only the end of a line may stand.
            (Place::Quote, b'\r') => {}
            (Place::Quote, _) => self.bad = true,
            _ => {
                self.push(byte, keep);
                self.place = Place::Bare;
            }
        }
        false
    }

    fn push(&mut self, byte: u8, keep: bool) {
        if keep {
            self.cell.push(byte);
        }
    }

    fn end(&mut self, cells: &mut Vec<Vec<u8>>, keep: bool) {
        let cell = std::mem::take(&mut self.cell);
        if keep && cells.len() < CELLS {
            cells.push(cell);
        }
        self.place = Place::Start;
    }
}

impl Cut for Table {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        if feed.abandoned {
            return Ok(None);
        }
        if self.column.is_none()
            && let Some(fault) = self.find_column(feed)?
        {
            return Ok(Some(fault));
        }
        let Some(column) = self.column else { return Ok(None) };
        let mut cells = Vec::new();
        let row = self.row(feed, &mut cells)?;
        let (line, offset) = self.begin;
        Ok(match row {
            Row::End => None,
            Row::Long => Some(feed.dropped(Reason::TooLarge, line)),
            Row::BadQuotes => Some(feed.dropped(Reason::BadQuotes, line)),
            Row::Whole if column >= cells.len() => Some(feed.dropped(Reason::NoText, line)),
            Row::Whole => {
                let item = feed.record(self.bare(cells.swap_remove(column)), line, offset);
                let Item::Record(record) = item else { return Ok(Some(item)) };
                Some(Item::Record(Record { format: Format::Text, ..record }))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::testing::{cut, ok};
    use super::*;

    fn dropped(line: u64, reason: Reason) -> (u64, u64, Result<String, Reason>) {
        (line, 0, Err(reason))
    }

    #[test]
    fn the_cells_of_the_named_column_come_out() {
        let table = b"id,text,more\r\n1,plain,x\r\n\r\n2,\"a \"\"quote\"\", a comma\r\nand a line\",y\n3,\"\",\n4,last";
        assert_eq!(
            cut(table, Format::Csv, 99),
            [ok(2, 14, "plain"), ok(4, 27, "a \"quote\", a comma\r\nand a line"), ok(6, 66, ""), ok(7, 72, "last")]
        );
        let table = "\u{feff}text\tid\na \"b\" c\t1\nd,e\t2\n";
        assert_eq!(cut(table.as_bytes(), Format::Tsv, 99), [ok(2, 11, "a \"b\" c"), ok(3, 21, "d,e")]);
        let table = "\"text\"\tid\n\"Yes,\" he said\t1\n\"He said \"\"yes\"\"\"\t2\n\"open\t3\n\"\t4\n\"\"\t5\n\"a\"b\"\t6\n";
        let texts: Vec<_> = cut(table.as_bytes(), Format::Tsv, 99).into_iter().map(|(.., text)| text.expect("a cell")).collect();
        assert_eq!(texts, ["\"Yes,\" he said", "He said \"yes\"", "\"open", "\"", "", "\"a\"b\""]);
    }

    #[test]
    fn rows_that_are_wrong_are_named_and_the_rest_is_read() {
        let table = b"id,text\n1,\"a\" b\n2\n3,fine\n4,\"never closed\n5,x\n";
        let expect =
            [dropped(2, Reason::BadQuotes), dropped(3, Reason::NoText), ok(4, 18, "fine"), dropped(5, Reason::BadQuotes)];
        assert_eq!(cut(table, Format::Csv, 99), expect);
        assert_eq!(cut(b"id,words\n1,a\n", Format::Csv, 99), [dropped(1, Reason::NoColumn)]);
        let long = [b"text\n".to_vec(), b"x".repeat(600_000), b"\ny\n\"".to_vec(), b"\n".repeat(600_000)].concat();
        assert_eq!(cut(&long, Format::Csv, 9), [dropped(2, Reason::TooLarge), ok(3, 600_006, "y"), dropped(4, Reason::TooLarge)]);
    }
}
