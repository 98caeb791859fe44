//! Tables of values parted by commas or tabs, row by row with all their cells.
//!
//! Between quotes (RFC 4180) a row may go on over lines. A quote that is never closed would take the rest of the file along, so a row
//! has bounds: where it passes them, or its quotes are wrong, its first line alone is left out, and reading goes on at the next.

use std::collections::VecDeque;
use std::path::Path;

use super::{Line, Lost, Record, Sink, lines};
use crate::error::Result;

/// Lines, and bytes on several lines, that a row may have.
const ROW_LINES: usize = 1000;
const ROW_BYTES: usize = 1 << 20;

/// Reads the rows of a table; its first names the columns where `columns` does not.
pub(super) fn read(path: &Path, comma: char, quotes: bool, columns: &[String], sink: Sink<'_>) -> Result<()> {
    let names = (!columns.is_empty()).then(|| columns.to_vec());
    let row = Row::default();
    let mut table =
        Table { comma, quotes, named: names.is_some(), names, held: vec![], bytes: 0, queue: VecDeque::new(), row, sink };
    lines(path, &mut |line| match line {
        Ok(line) => table.take(line),
        Err(lost) => {
            // A line that cannot be read ends whatever was open.
            table.end();
            (table.sink)(Err(lost));
        }
    })?;
    table.end();
    Ok(())
}

struct Table<'a> {
    comma: char,
    quotes: bool,
    /// Whether the configuration names the columns: then rows may have more of them.
    named: bool,
    names: Option<Vec<String>>,
    /// The lines of the row that is open, and their bytes.
    held: Vec<Line>,
    bytes: usize,
    /// Lines to be read again.
    queue: VecDeque<Line>,
    row: Row,
    sink: Sink<'a>,
}

impl Table<'_> {
    fn take(&mut self, line: Line) {
        self.queue.push_back(line);
        self.work();
    }

    fn work(&mut self) {
        while let Some(line) = self.queue.pop_front() {
            if self.held.is_empty() && line.text.is_empty() {
                continue;
            }
            let state = if self.quotes {
                self.row.line(&line.text, self.comma)
            } else {
                self.row.cells = line.text.split(self.comma).map(str::to_owned).collect();
                State::Done
            };
            self.bytes += line.text.len();
            self.held.push(line);
            match state {
                State::Done => self.row(),
                State::Open if self.held.len() < ROW_LINES && self.bytes < ROW_BYTES => {}
                State::Open => self.fail("a quote opens and is not closed"),
                State::Bad => self.fail("a quote closes before its cell ends"),
            }
        }
    }

    /// A row is whole.
    fn row(&mut self) {
        let cells = std::mem::take(&mut self.row).cells;
        let origin = self.held.swap_remove(0).origin;
        self.held.clear();
        self.bytes = 0;
        let Some(names) = &self.names else {
            self.names = Some(cells.into_iter().map(|name| name.trim().to_owned()).collect());
            return;
        };
        if cells.len() < names.len() || (cells.len() > names.len() && !self.named) {
            let told = format!("{} cells in a table of {} columns", cells.len(), names.len());
            return (self.sink)(Err(Lost::broken(origin, told)));
        }
        let fields = names.iter().cloned().zip(cells.into_iter().map(Into::into)).collect();
        (self.sink)(Ok(Record { fields, origin }));
    }

    /// The first line of the open row is left out, the others are read again.
    fn fail(&mut self, told: &str) {
        self.row = Row::default();
        self.bytes = 0;
        let mut held = std::mem::take(&mut self.held).into_iter();
        if let Some(first) = held.next() {
            (self.sink)(Err(Lost::broken(first.origin, told)));
        }
        for line in held.rev() {
            self.queue.push_front(line);
        }
    }

    fn end(&mut self) {
        while !self.held.is_empty() {
            self.fail("a quote opens and is not closed");
            self.work();
        }
    }
}

enum State {
    Done,
    Open,
    Bad,
}

/// Where in a cell the next character stands.
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
struct Row {
    cells: Vec<String>,
    cell: String,
    place: Place,
}

impl Row {
    fn line(&mut self, text: &str, comma: char) -> State {
        for char in text.chars() {
            match (self.place, char) {
                (Place::Quoted, '"') => self.place = Place::Quote,
                (Place::Quote, '"') => {
                    self.cell.push('"');
                    self.place = Place::Quoted;
                }
                (Place::Quoted, _) => self.cell.push(char),
                (Place::Start, '"') => self.place = Place::Quoted,
                (_, char) if char == comma => self.end(),
                (Place::Quote, _) => return State::Bad,
                _ => {
                    self.cell.push(char);
                    self.place = Place::Bare;
                }
            }
        }
        if self.place == Place::Quoted {
            self.cell.push('\n');
            return State::Open;
        }
        self.end();
        State::Done
    }

    fn end(&mut self) {
        self.cells.push(std::mem::take(&mut self.cell));
        self.place = Place::Start;
    }
}
