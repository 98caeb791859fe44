//! Judged records as frames: what stood in the record, then the text of a document that is kept.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::frames::{Reader, Writer};
use crate::clean::{Reason, Repairs};
use crate::dedup::TextHash;
use crate::document::{Document, Origin};
use crate::error::{Error, Result};
use crate::prepare::curate::Notes;
use crate::prepare::read::Judged;

/// What is written of a record.
#[derive(Serialize, Deserialize)]
enum Line {
    Kept {
        part: u32,
        place: Place,
        repairs: Repairs,
        notes: Notes,
    },
    Dropped {
        part: u32,
        place: Place,
        reason: Reason,
    },
    Unreadable {
        part: u32,
        reason: Reason,
        fault: Fault,
    },
    /// The last: bytes that were unpacked.
    End {
        unpacked: u64,
    },
}

/// Where a document came from, as it is told.
#[derive(Serialize, Deserialize)]
struct Place {
    path: String,
    line: u64,
    address: Option<String>,
}

impl From<&Origin> for Place {
    fn from(origin: &Origin) -> Self {
        Self {
            path: origin.path.to_string_lossy().into_owned(),
            line: origin.line,
            address: origin.address.as_deref().map(str::to_owned),
        }
    }
}

impl From<Place> for Origin {
    fn from(place: Place) -> Self {
        Self { path: Path::new(&place.path).into(), line: place.line, address: place.address.map(Into::into) }
    }
}

/// The faults of a record that do not end a run by themselves.
#[derive(Serialize, Deserialize)]
enum Fault {
    Utf8 { path: String, offset: u64 },
    Json { place: Place, reason: String },
    Field { place: Place, field: String },
    Broken { place: Place, reason: Reason, records: u64 },
    GivenUp { reason: Reason, told: String },
}

impl Fault {
    /// The fault as it is written; one of another kind is handed back.
    fn of(fault: Error) -> Result<Self> {
        Ok(match fault {
            Error::Utf8 { path, offset } => Self::Utf8 { path: path.to_string_lossy().into_owned(), offset },
            Error::Json { origin, reason } => Self::Json { place: (&origin).into(), reason },
            Error::Field { origin, field } => Self::Field { place: (&origin).into(), field },
            Error::Broken { origin, reason, records } => Self::Broken { place: (&origin).into(), reason, records },
            Error::GivenUp { reason, told } => Self::GivenUp { reason, told },
            other => return Err(other),
        })
    }

    fn error(self) -> Error {
        match self {
            Self::Utf8 { path, offset } => Error::Utf8 { path: PathBuf::from(path), offset },
            Self::Json { place, reason } => Error::Json { origin: place.into(), reason },
            Self::Field { place, field } => Error::Field { origin: place.into(), field },
            Self::Broken { place, reason, records } => Error::Broken { origin: place.into(), reason, records },
            Self::GivenUp { reason, told } => Error::GivenUp { reason, told },
        }
    }
}

/// Writes one record.
pub(super) fn write(file: &mut Writer, part: u32, judged: Judged) -> Result<()> {
    match judged {
        Judged::Kept(document, repairs, _, notes) => {
            file.json(&Line::Kept { part, place: (&document.origin).into(), repairs, notes: *notes })?;
            file.push(document.text.as_bytes())
        }
        Judged::Dropped(reason, origin) => file.json(&Line::Dropped { part, place: (&origin).into(), reason }),
        Judged::Unreadable(reason, fault) => file.json(&Line::Unreadable { part, reason, fault: Fault::of(fault)? }),
    }
}

/// Writes what comes behind the last record.
pub(super) fn end(file: &mut Writer, unpacked: u64) -> Result<()> {
    file.json(&Line::End { unpacked })
}

/// The records of one file in order; the bytes unpacked are added to `unpacked` at its end.
pub(super) fn read<'a>(path: &Path, unpacked: &'a Cell<u64>) -> Result<impl Iterator<Item = Result<(u32, Judged)>> + use<'a>> {
    let mut file = Reader::open(path)?;
    // The stamps, which were looked at before.
    file.bytes()?;
    let mut next = move || {
        let Some(line) = file.json()? else { return Ok(None) };
        Ok(Some(match line {
            Line::Kept { part, place, repairs, notes } => {
                let text = file.text()?;
                let hash = TextHash::of(&text);
                (part, Judged::Kept(Document { text, origin: place.into() }, repairs, hash, Box::new(notes)))
            }
            Line::Dropped { part, place, reason } => (part, Judged::Dropped(reason, place.into())),
            Line::Unreadable { part, reason, fault } => (part, Judged::Unreadable(reason, fault.error())),
            Line::End { unpacked: bytes } => {
                unpacked.set(unpacked.get() + bytes);
                // What comes behind is the end of the file, which is checked.
                return file.next().map_or(Ok(None), |_| Err(file.damaged("records behind the end")));
            }
        }))
    };
    Ok(std::iter::from_fn(move || next().transpose()))
}
