//! Reads labelled data record by record: a record is named fields, whatever the file's format, and the place it stands at.
//!
//! What is broken is handed on as such with its place, and what follows it is read.

mod conll;
mod squad;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Drop, TaskConfig, TaskFormat};
use crate::clean::Reason;
use crate::config::{Format, Limits, Unit};
use crate::document::Origin;
use crate::error::{Error, Result};
use crate::source::{Cutting, Input, Item, Packing, Progress, Records, stamp};

/// Named values of one example.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) fields: BTreeMap<String, Value>,
    pub(super) origin: Origin,
}

impl Record {
    /// What stands at a field's name, or at the end of a path into it whose steps are parted by dots.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.fields.get(path) {
            return Some(value);
        }
        let mut steps = path.split('.');
        let first = self.fields.get(steps.next()?)?;
        steps.try_fold(first, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    #[cfg(test)]
    pub(super) fn test(json: &str) -> Self {
        let Object(fields) = serde_json::from_str(json).expect("an object");
        Self { fields, origin: Origin { path: Path::new("test").into(), line: 1, address: None } }
    }
}

/// A record that was left out, and what is told of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lost {
    pub(super) drop: Drop,
    pub(super) origin: Origin,
    pub(super) told: String,
}

impl Lost {
    fn broken(origin: Origin, told: impl Into<String>) -> Self {
        Self { drop: Drop::Broken, origin, told: told.into() }
    }
}

/// What a reader finds next.
pub(super) type Found = std::result::Result<Record, Lost>;
/// What takes the records.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Found);

/// Question sets are held in memory as a whole, so there is a bound to them.
const FILE_BYTES: u64 = 1 << 30;

/// Reads all records of a file, each with the line of `targets` beside it where there is such a file.
pub(super) fn read(path: &Path, targets: Option<&Path>, config: &TaskConfig, sink: Sink<'_>) -> Result<()> {
    let format = match config.format {
        TaskFormat::Auto => of_name(path),
        named => named,
    };
    let columns = &config.columns;
    match (format, targets) {
        (TaskFormat::Lines | TaskFormat::Auto, None) => {
            lines(path, &mut |line| sink(line.map(|line| record([("text", line.text.into())], line.origin))))
        }
        (_, Some(targets)) => aligned(path, targets, sink),
        (TaskFormat::Jsonl, None) => jsonl(path, sink),
        (TaskFormat::Csv, None) => table::read(path, ',', config.quotes.unwrap_or(true), columns, sink),
        (TaskFormat::Tsv, None) => table::read(path, '\t', config.quotes.unwrap_or(false), columns, sink),
        (TaskFormat::Conll, None) => conll::read(path, columns, sink),
        (TaskFormat::Squad, None) => squad::read(path, sink),
    }
}

/// The format that a file's name stands for, under any compression.
fn of_name(path: &Path) -> TaskFormat {
    let name = path.to_string_lossy().to_lowercase();
    match Packing::of(&name).0.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "jsonl" | "ndjson" => TaskFormat::Jsonl,
        "csv" => TaskFormat::Csv,
        "tsv" => TaskFormat::Tsv,
        "json" => TaskFormat::Squad,
        "conll" | "conllu" | "annotated" | "bio" => TaskFormat::Conll,
        _ => TaskFormat::Lines,
    }
}

fn record<const N: usize>(fields: [(&str, Value); N], origin: Origin) -> Record {
    Record { fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), origin }
}

/// A line without its end.
struct Line {
    text: String,
    origin: Origin,
}

/// Hands on what a file holds, unpacked, in units of at most `bytes`.
fn raw(path: &Path, unit: Unit, bytes: u64, take: &mut dyn FnMut(Item)) -> Result<()> {
    let (limits, progress) = (Limits { document_bytes: bytes, ..Limits::default() }, Progress::default());
    let name = path.to_string_lossy().to_lowercase();
    let (_, packing) = Packing::of(&name);
    let input = Input { path: path.into(), address: None, name: name.clone(), format: Format::Text, packing, part: 0 };
    let stamp = stamp(&input, &progress, &|| false)?;
    let cutting = Cutting { unit, ..Cutting::default() };
    for item in Records::open(&input, stamp, &cutting, &limits, &progress, &|| false)? {
        take(item?);
    }
    Ok(())
}

/// Every line of a file, the empty ones too.
fn lines(path: &Path, take: &mut dyn FnMut(std::result::Result<Line, Lost>)) -> Result<()> {
    let limit = Limits::default().document_bytes;
    raw(path, Unit::Line, limit, &mut |item| match item {
        Item::Record(record) => {
            let mut bytes = record.bytes;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            let origin = record.origin;
            take(match String::from_utf8(bytes) {
                // A mark of the byte order is no part of the first field.
                Ok(text) if record.offset == 0 => {
                    Ok(Line { text: text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned), origin })
                }
                Ok(text) => Ok(Line { text, origin }),
                Err(fault) => {
                    let at = record.offset + fault.utf8_error().valid_up_to() as u64;
                    Err(Lost::broken(origin, format!("not valid UTF-8 at byte {at}")))
                }
            });
        }
        Item::Dropped(Reason::EmptyFile, ..) => {}
        Item::Dropped(Reason::TooLarge, origin, _) => {
            take(Err(Lost::broken(origin, format!("a line is longer than {limit} bytes"))));
        }
        Item::Dropped(reason, origin, _) => take(Err(Lost::broken(origin, reason.to_string()))),
    })
}

fn jsonl(path: &Path, sink: Sink<'_>) -> Result<()> {
    lines(path, &mut |line| match line {
        Ok(line) if line.text.trim().is_empty() => {}
        Ok(line) => sink(match serde_json::from_str(&line.text) {
            Ok(Object(fields)) => Ok(Record { fields, origin: line.origin }),
            Err(fault) => {
                // The parser counts lines within what it was given, which is always one.
                let told = fault.to_string().replace(" at line 1 column ", " at column ");
                Err(Lost::broken(line.origin, format!("not a JSON object: {told}")))
            }
        }),
        Err(lost) => sink(Err(lost)),
    })
}

/// A JSON object none of whose fields stands twice: readers disagree on which of the two counts.
struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Object, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.insert(name, value).is_some() {
                return Err(de::Error::custom("a field stands twice"));
            }
        }
        Ok(Object(fields))
    }
}

/// Two files of which line n of one belongs to line n of the other.
fn aligned(path: &Path, targets: &Path, sink: Sink<'_>) -> Result<()> {
    let mut others = Vec::new();
    lines(targets, &mut |line| others.push(line.map(|line| line.text)))?;
    let count = others.len() as u64;
    let (mut read, mut others) = (0, others.into_iter());
    lines(path, &mut |line| {
        read += 1;
        match (line, others.next()) {
            (Ok(line), Some(Ok(target))) => {
                sink(Ok(record([("source", line.text.into()), ("target", target.into())], line.origin)));
            }
            (Err(lost), _) | (Ok(_), Some(Err(lost))) => sink(Err(lost)),
            // Told below: both files are wrong as a whole.
            (Ok(_), None) => {}
        }
    })?;
    if read == count {
        return Ok(());
    }
    let place = format!("{} and {}", path.display(), targets.display());
    Err(Error::Sides { sources: read, targets: count, place })
}

/// The origin of record `number` of a file that is one value.
fn numbered(path: &Arc<Path>, number: u64) -> Origin {
    Origin { path: Arc::clone(path), line: number, address: None }
}

#[cfg(test)]
mod tests;
