//! Reads documents for an index: those that are known by their files or their texts are taken over, the others cut.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{Document, Known, PassageConfig, Source, Update, fingerprint};
use crate::clean::{Verdict, clean};
use crate::config::{BadUtf8, CleanConfig, DataConfig, Format, Limits, TokenizerConfig, Unit, WindowConfig};
use crate::dedup::DedupConfig;
use crate::document::Origin;
use crate::error::{Error, Result};
use crate::filter::FilterConfig;
use crate::source::{self, Cutting, Input, Item, Progress, Record, Records, Stamp};

/// What a folder gives.
const EXTENSIONS: [&str; 9] = ["txt", "md", "markdown", "jsonl", "ndjson", "html", "htm", "xhtml", "csv"];

/// What was read.
pub(super) struct Read {
    pub(super) files: Vec<Source>,
    pub(super) documents: Vec<Document>,
    /// Without what is removed, and passages.
    pub(super) update: Update,
}

/// Reads what `paths` name, with what is known of before.
pub(super) fn read(
    dir: &Path,
    paths: &[PathBuf],
    passages: PassageConfig,
    old_files: &[Source],
    old: &[Document],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Read> {
    let config = config(paths);
    let progress = Progress::default();
    let numbers: HashMap<(&str, &str), u32> = (0..)
        .zip(old_files)
        .filter(|(_, file)| file.whole)
        .map(|(number, file)| ((file.path.as_str(), file.digest.as_str()), number))
        .collect();
    let mut by_file: HashMap<u32, Vec<&Document>> = HashMap::new();
    for document in old {
        by_file.entry(document.file).or_default().push(document);
    }
    let of_file = |file: &Source| {
        let number = numbers.get(&(file.path.as_str(), file.digest.as_str()))?;
        Some(by_file.get(number).into_iter().flatten().copied())
    };
    let known: Known<'_> = old.iter().map(|old| ((old.name.as_str(), old.fingerprint.as_str()), old)).collect();
    let mut reader = Reader {
        config: &config,
        passages,
        known,
        read: Read { files: Vec::new(), documents: Vec::new(), update: Update::default() },
    };
    for input in source::find(&config, dir)? {
        let stamp = source::stamp(&input, &progress, stop)?;
        let path = input.path.display().to_string();
        let mut file = Source { path, digest: blake3::Hash::from(stamp.digest).to_hex().to_string(), whole: true };
        let number = reader.read.files.len() as u32;
        reader.read.update.files += 1;
        if let Some(documents) = of_file(&file).filter(|_| stamp != Stamp::UNREAD) {
            reader.read.documents.extend(documents.map(|document| Document { file: number, ..document.clone() }));
        } else {
            let before = reader.read.update.dropped;
            reader.file(&input, stamp, number, &progress, stop)?;
            file.whole = reader.read.update.dropped == before;
        }
        reader.read.files.push(file);
    }
    let Read { update, documents, .. } = &mut reader.read;
    update.documents = documents.len() as u64;
    if documents.is_empty() {
        let first = update.first_dropped.clone().unwrap_or_else(|| "nothing but empty files".into());
        return Err(Error::Index { path: dir.into(), reason: format!("no document was left: {first}") });
    }
    Ok(reader.read)
}

struct Reader<'a> {
    config: &'a DataConfig,
    passages: PassageConfig,
    known: Known<'a>,
    read: Read,
}

impl Reader<'_> {
    fn file(
        &mut self,
        input: &Input,
        stamp: Stamp,
        number: u32,
        progress: &Progress,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let records = match Records::open(input, stamp, &Cutting::from(self.config), &self.config.limits, progress, stop) {
            Ok(records) => records,
            Err(fault) => return self.give_up(fault),
        };
        // One document is named as its file is.
        let alone = matches!(input.format, Format::Text | Format::Markdown | Format::Html);
        let mut names: HashMap<String, u32> = HashMap::new();
        for item in records {
            let record = match item {
                Ok(Item::Record(record)) => record,
                Ok(Item::Dropped(reason, origin, count)) => {
                    self.drop(count, &|| format!("{origin}: {reason}"));
                    continue;
                }
                Err(fault) => return self.give_up(fault),
            };
            let origin = record.origin.clone();
            match text(record, self.config) {
                Ok(text) => {
                    let mut name = if alone { input.path.display().to_string() } else { origin.to_string() };
                    let twice = names.entry(name.clone()).or_default();
                    *twice += 1;
                    if *twice > 1 {
                        name = format!("{name}#{twice}");
                    }
                    self.add(name, text, number);
                }
                Err(told) => self.drop(1, &|| told.clone()),
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, text: String, file: u32) {
        let fingerprint = fingerprint(&text);
        let document = if let Some(known) = self.known.get(&(name.as_str(), fingerprint.as_str())) {
            Document { file, ..(*known).clone() }
        } else {
            self.read.update.cut += 1;
            Document { name, fingerprint, file, passages: self.passages.cut(&text), text }
        };
        self.read.documents.push(document);
    }

    fn drop(&mut self, count: u64, told: &dyn Fn() -> String) {
        self.read.update.dropped += count;
        self.read.update.first_dropped.get_or_insert_with(told);
    }

    /// Leaves out the rest of a file, where the fault is the file's own.
    fn give_up(&mut self, fault: Error) -> Result<()> {
        let told = match fault {
            fault @ (Error::Broken { .. } | Error::Unread { .. }) => fault,
            fault => fault.given_up()?.1,
        };
        self.drop(1, &|| told.to_string());
        Ok(())
    }
}

/// The text of a record, or why it has none.
///
/// A plain text stays as it is, so that places in it are places in the file.
fn text(record: Record, config: &DataConfig) -> std::result::Result<String, String> {
    let plain = matches!(record.format, Format::Text | Format::Markdown);
    if plain && let Ok(text) = std::str::from_utf8(&record.bytes) {
        let empty = text.trim().is_empty();
        return if empty { Err(format!("{}: empty", record.origin)) } else { Ok(text.to_owned()) };
    }
    let origin: Origin = record.origin.clone();
    match clean(record, config) {
        Verdict::Kept(document, _) => Ok(document.text),
        Verdict::Dropped(reason) => Err(format!("{origin}: {reason}")),
        Verdict::Unreadable(_, fault) => Err(fault.to_string()),
    }
}

/// What a run file says of documents, for documents that are asked rather than learned from.
fn config(paths: &[PathBuf]) -> DataConfig {
    DataConfig {
        paths: paths.to_vec(),
        sources: BTreeMap::new(),
        curriculum: Vec::new(),
        format: Format::Auto,
        field: "text".into(),
        document: Unit::File,
        pairs: None,
        extensions: EXTENSIONS.map(String::from).to_vec(),
        members: Vec::new(),
        validation_fraction: 0.0,
        seed: 0,
        limits: Limits::default(),
        clean: CleanConfig { bad_utf8: BadUtf8::Detect, ..CleanConfig::default() },
        filter: FilterConfig::default(),
        scrub: None,
        decontaminate: None,
        dedup: DedupConfig::default(),
        tokenizer: TokenizerConfig::Char {},
        special_tokens: Vec::new(),
        windows: WindowConfig::default(),
    }
}
