//! Reads the files of a zip archive as documents, as its central directory lists them, without writing any of them to disk.
//!
//! Links, encrypted members, names that lead out of the archive and methods that are not read are refused and counted. Members that
//! share bytes, of which the worst bombs are made, are damage: all of them together store no more than the archive has bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use self::directory::{Directory, Entry};
use super::feed::{Cut, Feed, damage};
use super::member::{Fate, fate, inside};
use super::open::Method;
use super::records::{self, Item};
use super::store::Store;
use super::{Cutting, Format};
use crate::clean::Reason;

mod directory;

/// Cuts an archive into its files, and these by their own formats.
pub(super) struct Entries {
    cutting: Cutting,
    archive: Option<Archive>,
    /// How the file that stands open is cut, and the sum that it should have.
    open: Option<(Box<dyn Cut>, u32)>,
}

struct Archive {
    path: Arc<Path>,
    store: Arc<Store>,
    directory: Directory,
    number: u64,
    /// Bytes that members may still store.
    left: u64,
}

impl Entries {
    pub(super) fn new(cutting: &Cutting) -> Self {
        Self { cutting: cutting.clone(), archive: None, open: None }
    }

    /// Opens the next member that is read; an item where one is not, and none behind the last.
    fn enter(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        let Some(archive) = &mut self.archive else { return Ok(None) };
        while let Some(entry) = archive.directory.next(&archive.store)? {
            feed.count(0, 0)?;
            archive.number += 1;
            let Ok(entry) = entry else { return Ok(Some(feed.dropped(Reason::Damaged, archive.number))) };
            if entry.name.ends_with(b"/") {
                continue;
            }
            let Some((path, method)) = readable(&entry) else {
                return Ok(Some(feed.dropped(Reason::Refused, archive.number)));
            };
            let fate = fate(&path, &self.cutting);
            if fate == Fate::Passed {
                continue;
            }
            feed.path = archive.path.join(path).into();
            let place = archive.directory.place(&entry, &archive.store)?;
            let item = match (fate, place, archive.left.checked_sub(entry.stored)) {
                (Fate::Read(format), Some(place), Some(left)) => {
                    archive.left = left;
                    feed.format = format;
                    feed.enter_stored(place, method, entry.size)?;
                    self.open = Some((records::cut(format, &self.cutting), entry.sum));
                    return Ok(None);
                }
                (Fate::Dropped(reason), ..) => feed.dropped(reason, 1),
                _ => feed.dropped(Reason::Damaged, 1),
            };
            feed.path = Arc::clone(&archive.path);
            return Ok(Some(item));
        }
        Ok(None)
    }
}

/// Where a member stands in the archive and how it is unpacked; none where it is not read.
fn readable(entry: &Entry) -> Option<(std::path::PathBuf, Method)> {
    let method = match entry.method {
        0 if entry.stored == entry.size => Method::Stored,
        8 => Method::Deflate,
        93 => Method::Zstd,
        _ => return None,
    };
    // Names are parted by slashes (4.4.17.1); elsewhere a backslash may lead out.
    let fine = !entry.encrypted && !entry.special && !entry.name.contains(&b'\\');
    inside(&entry.name).filter(|_| fine).map(|path| (path, method))
}

impl Cut for Entries {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        if self.archive.is_none() {
            if feed.guess() == 0 || feed.abandoned {
                return Ok(None);
            }
            let store = feed.store();
            let found = store.map(|store| Ok::<_, io::Error>((Directory::find(&store)?, store.size()?, store))).transpose()?;
            let Some((Some(directory), left, store)) = found else {
                feed.abandoned = true;
                return Ok(Some(feed.dropped(Reason::Damaged, 1)));
            };
            self.archive = Some(Archive { path: Arc::clone(&feed.path), store, directory, number: 0, left });
        }
        loop {
            let Some((cut, sum)) = &mut self.open else {
                match self.enter(feed)? {
                    None if self.open.is_none() => return Ok(None),
                    None => continue,
                    item => return Ok(item),
                }
            };
            let whole = match cut.next(feed) {
                Ok(Some(item)) => return Ok(Some(item)),
                Ok(None) => feed.leave_stored(*sum),
                Err(fault) => Err(fault),
            };
            let whole = whole.or_else(|fault| {
                damage(fault)?;
                feed.abandoned = true;
                feed.leave_stored(0).map(|_| false)
            })?;
            self.open = None;
            let item = (!whole).then(|| feed.dropped(Reason::Damaged, 1));
            if let Some(archive) = &self.archive {
                (feed.path, feed.format) = (Arc::clone(&archive.path), Format::Zip);
            }
            if item.is_some() {
                return Ok(item);
            }
        }
    }
}
