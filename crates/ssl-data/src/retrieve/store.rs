//! An index on disk: `index.jsonl` with a header, a document a line, and a checksum of all before it.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Document, PassageConfig, Source};
use crate::error::{Error, Result};

/// The file.
const INDEX: &str = "index.jsonl";
/// Held by the process that writes; never removed, so that two processes never hold two locks of one name.
const LOCK: &str = "index.lock";
/// The version that this code writes and reads.
const VERSION: u32 = 1;
/// How drafts are called, which a process that was killed leaves behind.
const DRAFT: &str = ".draft-";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    ssl_index: u32,
    pub(super) passages: PassageConfig,
    pub(super) files: Vec<Source>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    documents: u64,
    /// BLAKE3 of the lines before.
    blake3: String,
}

/// Makes the folder and takes its lock, which is held until it is dropped.
pub(super) fn lock(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).map_err(|source| Error::io("create", dir, source))?;
    let path = dir.join(LOCK);
    let options = || File::options().create(true).truncate(false).write(true).open(&path);
    let file = options().map_err(|source| Error::io("create", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Index { path: dir.into(), reason: "another process writes it".into() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path, source)),
    }
    let drafts = fs::read_dir(dir).map_err(|source| Error::io("list", dir, source))?;
    for draft in drafts.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(DRAFT)) {
        // Whoever wrote it is gone, and a draft is in nobody's way.
        let _ = fs::remove_file(draft.path());
    }
    Ok(file)
}

/// Reads an index, whole or not at all.
pub(super) fn load(dir: &Path) -> Result<(Header, Vec<Document>)> {
    let path = dir.join(INDEX);
    let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
    let fault = |reason: String| Error::Index { path: path.clone(), reason };
    let damaged = || fault("damaged or cut off".into());
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let body = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).ok_or_else(damaged)? + 1;
    let footer: Footer = serde_json::from_str(&text[body..]).map_err(|_| damaged())?;
    if blake3::hash(&bytes[..body]).to_hex().as_str() != footer.blake3 {
        return Err(damaged());
    }
    let mut lines = text[..body].lines();
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|reason| fault(reason.to_string()))?;
    if header.ssl_index != VERSION {
        return Err(fault(format!("of version {}, this program reads version {VERSION}", header.ssl_index)));
    }
    let documents: Vec<Document> =
        lines.map(serde_json::from_str).collect::<serde_json::Result<_>>().map_err(|reason| fault(reason.to_string()))?;
    // A checksum finds accidents only: no range may lead outside its text.
    let fits = |document: &Document| document.passages.iter().all(|bytes| document.text.get(bytes.clone()).is_some());
    if documents.len() as u64 != footer.documents || !documents.iter().all(fits) {
        return Err(damaged());
    }
    Ok((header, documents))
}

/// Puts an index in the place of the one before.
pub(super) fn save(dir: &Path, passages: PassageConfig, files: &[Source], documents: &[Document]) -> Result<()> {
    let header = Header { ssl_index: VERSION, passages, files: files.to_vec() };
    let mut text = line(&header)?;
    for document in documents {
        text.extend(line(document)?);
    }
    let footer = Footer { documents: documents.len() as u64, blake3: blake3::hash(&text).to_hex().to_string() };
    text.extend(line(&footer)?);
    write(dir, INDEX, &text)
}

fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let fault = |source: serde_json::Error| Error::Index { path: INDEX.into(), reason: source.to_string() };
    let mut line = serde_json::to_vec(value).map_err(fault)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes a file of the folder, whole or not at all.
pub(super) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let write = || -> std::io::Result<()> {
        let mut draft = tempfile::Builder::new();
        // Whoever may read the folder may read it, as far as the user's mask lets: a server often is another user.
        #[cfg(unix)]
        draft.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = draft.prefix(DRAFT).tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|fault| fault.error)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| Error::io("write", &path, source))
}
