//! Takes the text out of Parquet files: of each row, the value in the column of the field's name. Pages are read one at a time.
//!
//! The decoder is Apache's. What a file states of itself is looked at before the decoder sees it, because that recurses and
//! allocates as it is told; a panic of its own is damage of the file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use self::look::Looked;
use self::pages::Pages;
use super::feed::{Cut, Feed};
use super::records::{Item, Record};
use crate::clean::Reason;
use crate::config::Format;

mod look;
mod pages;
mod thrift;

/// What stands behind the metadata: their length, and the mark that the file also begins with.
const FOOTER: u64 = 8;
const MARK: &[u8] = b"PAR1";
/// The most bytes of metadata: built, they take some twenty times as many.
const METADATA: u64 = 32 << 20;
/// How deep a schema may be.
const DEPTH: usize = 64;
/// What a page may have beside the largest text: pages are closed at about a megabyte, and one text may come on top.
const PAGE: u64 = 16 << 20;

/// Cuts a table into the values of one column. Their line is the number of their row, from 1.
pub(super) struct Column {
    field: String,
    table: Option<Table>,
}

/// A file whose metadata are read.
struct Table {
    metadata: ParquetMetaData,
    pages: Arc<Pages>,
    /// Which column is wanted, and from which definition level on its values are there.
    column: usize,
    defined: i16,
    /// The group of rows that is read next, the rows before it, and the reader of the one before.
    group: usize,
    rows: u64,
    open: Option<Open>,
    /// How much of what was read has been told.
    told: u64,
}

struct Open {
    values: ColumnReader,
    /// The row that was read last, and the last of the group.
    row: u64,
    last: u64,
}

/// What a step of reading gave.
enum Step {
    /// A row: its value, if it has one.
    Row(Option<ByteArray>),
    /// The group is read.
    End,
    /// The rest of the group cannot be read.
    Broken,
}

impl Column {
    pub(super) fn new(field: &str) -> Self {
        Self { field: field.into(), table: None }
    }

    /// Reads the metadata and finds the column.
    fn open(&self, feed: &mut Feed<'_>) -> io::Result<Result<Table, Reason>> {
        let Some(store) = feed.store() else { return Ok(Err(Reason::NotText)) };
        let size = store.size()?;
        let footer = store.bytes(size.saturating_sub(FOOTER), FOOTER as usize)?;
        let Some((&length, mark)) = footer.split_first_chunk::<4>() else { return Ok(Err(Reason::Damaged)) };
        let length = u64::from(u32::from_le_bytes(length));
        let Some(at) = size.checked_sub(FOOTER + length).filter(|_| mark == MARK && length <= METADATA) else {
            return Ok(Err(Reason::Damaged));
        };
        let bytes = store.bytes(at, length as usize)?;
        feed.count(length + FOOTER, 0)?;
        if thrift::check_metadata(&bytes, DEPTH).is_err() {
            return Ok(Err(Reason::Damaged));
        }
        let Some(metadata) = guard(|| ParquetMetaDataReader::decode_metadata(&bytes)) else { return Ok(Err(Reason::Damaged)) };
        let schema = metadata.file_metadata().schema_descr();
        let found = schema.columns().iter().position(|column| column.path().string() == self.field);
        let text = found.map(|at| (at, schema.column(at)));
        let text = text.filter(|(_, column)| column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0);
        let Some((column, description)) = text else { return Ok(Err(Reason::NoColumn)) };
        let pages =
            Pages { store, size, limit: feed.limit.saturating_add(PAGE), read: AtomicU64::new(0), fault: Mutex::default() };
        let defined = description.max_def_level();
        Ok(Ok(Table { metadata, pages: pages.into(), column, defined, group: 0, rows: 0, open: None, told: 0 }))
    }
}

impl Table {
    /// Opens the next group of rows: none behind the last, and where it cannot be opened the rows before it and in it.
    fn next_group(&mut self) -> Option<Result<Open, (u64, u64)>> {
        let group = self.metadata.row_groups().get(self.group)?;
        self.group += 1;
        let row = self.rows;
        let count = u64::try_from(group.num_rows()).unwrap_or(0);
        self.rows = self.rows.saturating_add(count);
        let open = guard(|| {
            let column = group.columns().get(self.column).ok_or(parquet::errors::ParquetError::NYI(String::new()))?;
            let reader = SerializedPageReader::new(Arc::clone(&self.pages), column, count as usize, None)?;
            let looked = Looked { pages: reader, levels: self.defined > 0 };
            Ok(get_column_reader(column.column_descr_ptr(), Box::new(looked)))
        });
        Some(open.map(|values| Open { values, row, last: self.rows }).ok_or((row, count)))
    }
}

impl Open {
    /// Reads the next row.
    fn step(&mut self, defined: i16) -> Step {
        let ColumnReader::ByteArrayColumnReader(reader) = &mut self.values else { return Step::Broken };
        if self.row == self.last {
            return Step::End;
        }
        self.row += 1;
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let read = guard(|| reader.read_records(1, (defined > 0).then_some(&mut levels), None, &mut values));
        match (read, values.pop()) {
            (Some((1, 0, _)), None) => Step::Row(None),
            (Some((1, 1, _)), Some(value)) => Step::Row(Some(value)),
            // There are fewer rows than stated, or something is wrong with them.
            _ => Step::Broken,
        }
    }
}

/// What `run` gives, unless it fails or panics.
fn guard<T>(run: impl FnOnce() -> parquet::errors::Result<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()?.ok()
}

impl Cut for Column {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        if feed.abandoned {
            return Ok(None);
        }
        if self.table.is_none() {
            if feed.guess() == 0 {
                return Ok(None);
            }
            match self.open(feed)? {
                Ok(table) => self.table = Some(table),
                Err(reason) => {
                    feed.abandoned = true;
                    return Ok(Some(feed.dropped(reason, 1)));
                }
            }
        }
        let Some(table) = &mut self.table else { return Ok(None) };
        loop {
            let Some(open) = &mut table.open else {
                match table.next_group() {
                    None => return Ok(None),
                    Some(Ok(open)) => table.open = Some(open),
                    Some(Err((row, rows))) => return Ok(Some(feed.dropped_all(Reason::Damaged, row.saturating_add(1), rows))),
                }
                continue;
            };
            let step = open.step(table.defined);
            let (row, left) = (open.row, open.last - open.row);
            let read = table.pages.read.load(Ordering::Relaxed);
            let size = if let Step::Row(Some(value)) = &step { value.len() as u64 } else { 0 };
            feed.count(read - std::mem::replace(&mut table.told, read), size + 1)?;
            match step {
                Step::Row(Some(value)) if size > feed.limit => {
                    drop(value);
                    return Ok(Some(feed.dropped(Reason::TooLarge, row)));
                }
                Step::Row(Some(value)) => {
                    let item = feed.record(value.data().to_vec(), row, feed.offset);
                    feed.offset += size;
                    let Item::Record(record) = item else { return Ok(Some(item)) };
                    return Ok(Some(Item::Record(Record { format: Format::Text, ..record })));
                }
                Step::Row(None) => return Ok(Some(feed.dropped(Reason::NoText, row))),
                Step::End => table.open = None,
                Step::Broken => {
                    table.open = None;
                    if let Some(fault) = table.pages.fault() {
                        return Err(fault);
                    }
                    return Ok(Some(feed.dropped_all(Reason::Damaged, row, left + 1)));
                }
            }
        }
    }
}
