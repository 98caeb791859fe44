//! Finds the input files of a corpus: single files, folders and globs, always in the same order.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clean::Reason;
use crate::config::{DataConfig, Format, Limits, PairsConfig, Unit};
use crate::error::{Error, Result};

mod address;
mod csv;
mod feed;
mod json;
mod jsonl;
mod kept;
mod lines;
mod member;
mod open;
mod pages;
mod parquet;
mod records;
#[cfg(feature = "remote")]
mod remote;
mod store;
mod tar;
pub mod warc;
mod wiki;
mod zip;

pub use address::Address;
pub(crate) use address::shown;
pub use jsonl::field;
pub use open::{Packing, Progress, Stamp, stamp};
pub use records::{Item, Record, Records};

/// Ends of names of files that hold text in ways that are not read: better said than dropped as broken text.
const UNREAD: [&str; 12] = [".7z", ".rar", ".bz2", ".xz", ".lz4", ".pdf", ".docx", ".epub", ".png", ".jpg", ".jpeg", ".gif"];

/// How files are cut into documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutting {
    /// What is a document in plain text; every other format has documents of its own.
    pub unit: Unit,
    /// The column of a table that holds the text.
    pub field: String,
    /// The ends of names of members of archives that are read; empty for all.
    pub members: Vec<String>,
}

impl Default for Cutting {
    fn default() -> Self {
        Self { unit: Unit::File, field: "text".into(), members: Vec::new() }
    }
}

impl From<&DataConfig> for Cutting {
    fn from(config: &DataConfig) -> Self {
        // A pair is a line of each side.
        let unit = if config.pairs.is_some() { Unit::Line } else { config.document };
        Self { unit, field: config.field.clone(), members: config.members.clone() }
    }
}

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it lies, as it is told.
    pub path: Arc<Path>,
    /// Its whole address, where it lies on a server.
    pub address: Option<Address>,
    /// Its name below the folder or glob that gave it: what stays the same when the data moves.
    pub name: String,
    /// What it holds, never [`Format::Auto`].
    pub format: Format,
    /// How it is compressed.
    pub packing: Packing,
    /// Which part of the configuration named it, see [`DataConfig::parts`].
    pub part: u32,
}

/// Lists the files that `config` names, part by part, and then as many that hold their other sides, where there are such.
///
/// # Errors
/// When the two sides are not as many; when a path, folder or glob gives no file, a glob cannot be parsed, or a folder that is named
/// cannot be listed. What is found below a folder or by a glob and is no file that can be read is an input all the same: its reading says
/// why, and the others are read.
///
/// A folder gives the files whose names end as `extensions` say, in itself and in all folders below it. Folders and globs are sorted by
/// name; names that begin with a dot are skipped, and so is everything inside `except` (the corpus being written may lie beside its
/// sources). A file or folder that links lead to twice is read once, which also ends loops.
pub fn find(config: &DataConfig, except: &Path) -> Result<Vec<Input>> {
    let mut finder = Finder::new(config, except);
    for (part, (_, paths)) in config.parts().into_iter().enumerate() {
        finder.part = part as u32;
        finder.paths(paths)?;
    }
    let mut inputs = finder.inputs;
    if let Some(PairsConfig::Files { targets }) = &config.pairs {
        let mut finder = Finder::new(config, except);
        finder.paths(targets)?;
        let others = finder.inputs;
        if others.len() != inputs.len() {
            return Err(Error::Sides { sources: inputs.len() as u64, targets: others.len() as u64, place: "files".into() });
        }
        inputs.extend(others);
    }
    Ok(inputs)
}

/// The lines of one file, unpacked, without their ends; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// When the file cannot be read, is damaged, or holds a line longer than a document may be.
pub fn lines(path: &Path) -> Result<Vec<String>> {
    let (limits, progress) = (Limits::default(), Progress::default());
    let name = path.to_string_lossy().to_lowercase();
    let (_, packing) = Packing::of(&name);
    let input = Input { path: path.into(), address: None, name: name.clone(), format: Format::Text, packing, part: 0 };
    let stamp = stamp(&input, &progress, &|| false)?;
    let cutting = Cutting { unit: Unit::Line, ..Cutting::default() };
    let records = Records::open(&input, stamp, &cutting, &limits, &progress, &|| false)?;
    let line = |item| match item {
        Ok(Item::Record(record)) => Some(Ok(String::from_utf8_lossy(record.bytes.trim_ascii_end()).into_owned())),
        Ok(Item::Dropped(Reason::EmptyFile, ..)) => None,
        Ok(Item::Dropped(..)) => Some(Err(Error::Line { path: path.into(), limit: limits.document_bytes })),
        Err(fault) => Some(Err(fault)),
    };
    records.filter_map(line).collect()
}

/// Whether a name in lower case has one of the `extensions`, which are written with a dot or without.
fn ends_with(name: &str, extensions: &[String]) -> bool {
    extensions.iter().any(|extension| {
        let extension = extension.trim_start_matches('.').to_lowercase();
        name.strip_suffix(&extension).is_some_and(|stem| stem.ends_with('.'))
    })
}

struct Finder<'a> {
    config: &'a DataConfig,
    except: Option<PathBuf>,
    seen: HashSet<PathBuf>,
    /// Files met, those met before included.
    found: u64,
    part: u32,
    inputs: Vec<Input>,
}

impl<'a> Finder<'a> {
    fn new(config: &'a DataConfig, except: &Path) -> Self {
        let except = fs::canonicalize(except).ok();
        Self { config, except, seen: HashSet::new(), found: 0, part: 0, inputs: Vec::new() }
    }

    fn paths(&mut self, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            let before = self.found;
            self.path(path)?;
            if self.found == before {
                return Err(Error::NoFiles { pattern: shown(path).into() });
            }
        }
        Ok(())
    }

    fn path(&mut self, path: &Path) -> Result<()> {
        if let Some(address) = path.to_str().and_then(Address::of) {
            return self.address(&address);
        }
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '['])).filter(|_| !path.exists());
        let Some(pattern) = pattern else {
            return if path.is_dir() {
                self.folder(path, path)
            } else if path.exists() {
                // Who names a pipe or a device has made a mistake.
                store::regular(path).map_err(|source| Error::io("open", path, source))?;
                self.file(path, path.parent().unwrap_or(path))
            } else {
                Ok(())
            };
        };
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let fixed: PathBuf = path.iter().take_while(|part| !part.to_string_lossy().contains(['*', '?', '['])).collect();
        let fault = |fault: glob::PatternError| Error::Glob { pattern: path.into(), reason: fault.msg.into() };
        // The glob crate walks in the order of names.
        for entry in glob::glob_with(pattern, options).map_err(fault)? {
            match entry {
                Ok(entry) if entry.is_dir() => self.folder(&entry, &fixed)?,
                Ok(entry) => self.file(&entry, &fixed)?,
                Err(fault) => self.file(fault.path(), &fixed)?,
            }
        }
        Ok(())
    }

    /// One object of a server, or those below an address.
    fn address(&mut self, address: &Address) -> Result<()> {
        let shown = address.shown();
        if !address.is_many() {
            let name = shown.rsplit('/').next().unwrap_or("");
            return self.object(name, address.clone());
        }
        #[cfg(feature = "remote")]
        for (name, address) in remote::list(address, |name| self.wanted(name))? {
            self.object(&name, address)?;
        }
        #[cfg(not(feature = "remote"))]
        self.object("", address.clone())?;
        Ok(())
    }

    fn object(&mut self, name: &str, address: Address) -> Result<()> {
        let path = PathBuf::from(address.shown());
        if cfg!(not(feature = "remote")) {
            let reason = "this program was built without the feature `remote`".into();
            return Err(Error::Remote { address: address.shown(), reason });
        }
        self.found += 1;
        if self.seen.insert(PathBuf::from(format!("{address:?}"))) {
            self.add(&path, name.to_owned(), Some(address))?;
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path, root: &Path) -> Result<()> {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
        if self.except.as_deref() == Some(&*real) || self.seen.contains(&real) {
            return Ok(());
        }
        let listed: io::Result<Vec<_>> = fs::read_dir(folder).and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(source) if folder == root => return Err(Error::io("list", folder, source)),
            // Below what was named it is one bad input among others.
            Err(_) => return self.file(folder, root),
        };
        self.seen.insert(real);
        paths.sort_unstable();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, root)?;
            } else if self.wanted(&name) {
                self.file(&path, root)?;
            }
        }
        Ok(())
    }

    fn wanted(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let (stem, _) = Packing::of(&name);
        ends_with(&name, &self.config.extensions) || ends_with(stem, &self.config.extensions)
    }

    /// Adds what lies at `path`. Whether it can be read is seen when it is: if not, it is a bad input among others.
    fn file(&mut self, path: &Path, root: &Path) -> Result<()> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        if self.except.as_ref().is_some_and(|except| real.starts_with(except)) {
            return Ok(());
        }
        self.found += 1;
        if self.seen.insert(real) {
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            self.add(path, name, None)?;
        }
        Ok(())
    }

    /// Adds a file or an object by what its name says.
    fn add(&mut self, path: &Path, name: String, address: Option<Address>) -> Result<()> {
        let lower = name.to_lowercase();
        let (stem, packing) = match lower.strip_suffix(".tgz") {
            Some(_) => ("x.tar", Packing::Gzip),
            None => Packing::of(&lower),
        };
        let format = match self.config.format {
            Format::Auto => {
                let unread = UNREAD.iter().find(|extension| stem.ends_with(*extension));
                if let Some(extension) = unread {
                    return Err(Error::Unread { path: path.into(), extension });
                }
                match Format::of_name(stem) {
                    // Pairs are lines: two columns with a tab between are what `pairs.tab` reads, and no table.
                    Format::Jsonl => Format::Jsonl,
                    format if self.config.pairs.is_some() && !format.needs_file() => Format::Text,
                    format => format,
                }
            }
            named => named,
        };
        if format.needs_file() && (packing != Packing::Plain || self.config.pairs.is_some()) {
            let extension = if format == Format::Zip { ".zip" } else { ".parquet" };
            return Err(Error::Unread { path: path.into(), extension });
        }
        self.inputs.push(Input { path: path.into(), address, name, format, packing, part: self.part });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn config(paths: &[PathBuf]) -> DataConfig {
        serde_json::from_value(serde_json::json!({ "paths": paths, "tokenizer": { "char": {} } })).expect("a configuration")
    }

    fn names(dir: &Path, paths: &[&str]) -> Result<Vec<String>> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| dir.join(path)).collect();
        Ok(find(&config(&paths), &dir.join("corpus"))?.into_iter().map(|input| input.name).collect())
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
            fs::write(path, "text").expect("writes");
        }
        dir
    }

    #[test]
    fn a_folder_gives_its_text_files_sorted_and_skips_the_rest() {
        let dir = tree(&[
            "b.txt",
            "a.TXT.gz",
            "a/z.jsonl.zst",
            "a/.hidden.txt",
            ".git/x.txt",
            "c.png",
            "notxt",
            "corpus/validation.txt",
        ]);
        fs::create_dir_all(dir.path().join("empty")).expect("creates");
        assert_eq!(names(dir.path(), &[""]).expect("finds"), ["a/z.jsonl.zst", "a.TXT.gz", "b.txt"]);
        assert!(matches!(names(dir.path(), &["empty"]), Err(Error::NoFiles { .. })));
        assert!(
            matches!(names(dir.path(), &["b.txt", "missing.txt"]), Err(Error::NoFiles { pattern }) if pattern.ends_with("missing.txt"))
        );
    }

    #[test]
    fn a_file_is_read_once_by_whatever_way_it_is_reached() {
        let dir = tree(&["a/x.txt", "a/y.txt"]);
        symlink(dir.path().join("a"), dir.path().join("a/loop")).expect("links");
        symlink(dir.path().join("a/y.txt"), dir.path().join("a/again.txt")).expect("links");
        assert_eq!(names(dir.path(), &["a", "a/y.txt", "a/*.txt"]).expect("finds"), ["again.txt", "x.txt"]);
    }

    #[test]
    fn a_glob_gives_what_it_matches_under_any_extension() {
        let dir = tree(&["a/1.log", "a/2.log.gz", "b/3.log", "b/.4.log"]);
        assert_eq!(names(dir.path(), &["*/*.log*"]).expect("finds"), ["a/1.log", "a/2.log.gz", "b/3.log"]);
        assert!(matches!(names(dir.path(), &["*/*.txt"]), Err(Error::NoFiles { .. })));
        assert!(matches!(names(dir.path(), &["***"]), Err(Error::Glob { .. })));
    }

    #[test]
    fn a_file_whose_name_looks_like_a_glob_is_that_file() {
        let dir = tree(&["a[1].txt", "a1.txt"]);
        assert_eq!(names(dir.path(), &["a[1].txt"]).expect("finds"), ["a[1].txt"]);
    }

    #[test]
    fn files_that_cannot_be_read_are_refused_by_name() {
        let dir = tree(&["a.7z", "b.tgz", "c.zip.gz"]);
        assert!(matches!(names(dir.path(), &["a.7z"]), Err(Error::Unread { extension: ".7z", .. })));
        assert!(matches!(names(dir.path(), &["c.zip.gz"]), Err(Error::Unread { .. })));
        let inputs = find(&config(&[dir.path().join("b.tgz")]), dir.path().join("no").as_path()).expect("finds");
        assert_eq!((inputs[0].format, inputs[0].packing), (Format::Tar, Packing::Gzip));
    }

    #[test]
    fn formats_follow_the_name_under_the_compression() {
        let dir = tree(&["x.jsonl.gz", "x.ndjson", "x.md.zst"]);
        let inputs = find(&config(&[dir.path().into()]), dir.path().join("no").as_path()).expect("finds");
        let kinds: Vec<_> = inputs.iter().map(|input| (input.format, input.packing)).collect();
        assert_eq!(kinds, [(Format::Jsonl, Packing::Gzip), (Format::Text, Packing::Zstd), (Format::Jsonl, Packing::Plain)]);
    }
}
