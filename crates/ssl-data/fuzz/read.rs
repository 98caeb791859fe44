//! What is done to bytes of chance: they are read and cleaned as a run would. Shared by the fuzz targets and `tests/mutations.rs`.

use std::fs;
use std::path::Path;

use serde_json::json;
use ssl_data::clean::{Verdict, clean};
use ssl_data::config::DataConfig;
use ssl_data::source::{self, Cutting, Item, Progress, Records};

/// A document may have so many bytes, and a file may unpack to so many times its own.
const DOCUMENT: u64 = 1 << 20;
const EXPANSION: u64 = 50;

/// What came of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Came {
    /// Documents.
    pub(crate) documents: u64,
    /// What was dropped.
    pub(crate) dropped: u64,
    /// Bytes of all documents.
    pub(crate) bytes: u64,
    /// The fault that ended it.
    pub(crate) fault: Option<String>,
}

/// Reads `bytes` as a file whose name ends in `end`, of that format if one is given.
///
/// # Panics
/// When anything of it does, or a document is larger than allowed: which is what this is for.
#[must_use]
pub(crate) fn read(end: &str, format: &str, bytes: &[u8]) -> Came {
    let file = tempfile::Builder::new().suffix(end).tempfile().expect("a temporary file");
    fs::write(file.path(), bytes).expect("writes");
    let config = json!({
        "paths": [file.path()],
        "format": format,
        "tokenizer": { "char": {} },
        "document": if bytes.len().is_multiple_of(2) { "line" } else { "block" },
        "limits": { "document-bytes": DOCUMENT, "expansion": EXPANSION },
        "clean": { "bad-utf8": "detect", "mojibake": true, "boilerplate": ["gutenberg", "mail"] },
    });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let (progress, stop) = (Progress::default(), || false);
    let mut came = Came::default();
    let inputs = source::find(&config, Path::new("/nowhere")).expect("finds");
    let stamp = source::stamp(&inputs[0], &progress, &stop).expect("stamps");
    let records = Records::open(&inputs[0], stamp, &Cutting::from(&config), &config.limits, &progress, &stop);
    let items = match records {
        Ok(records) => records,
        Err(fault) => return Came { fault: Some(fault.to_string()), ..came },
    };
    for item in items {
        match item {
            Ok(Item::Record(record)) => {
                assert!(record.bytes.len() as u64 <= DOCUMENT, "a document of {} bytes", record.bytes.len());
                came.bytes += record.bytes.len() as u64;
                match clean(record, &config) {
                    Verdict::Kept(..) => came.documents += 1,
                    Verdict::Dropped(_) | Verdict::Unreadable(..) => came.dropped += 1,
                }
            }
            Ok(Item::Dropped(..)) => came.dropped += 1,
            // The file's name is another each time.
            Err(fault) => came.fault = Some(fault.to_string().replace(&*file.path().to_string_lossy(), "")),
        }
    }
    came
}
