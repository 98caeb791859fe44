//! What is read of an archive's members, whatever the archive: decided by their names alone, and never written anywhere.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::{Cutting, Format, Packing, UNREAD, ends_with};
use crate::clean::Reason;

/// What becomes of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is read.
    Read(Format),
    /// It is counted.
    Dropped(Reason),
    /// Nobody asked for it.
    Passed,
}

/// The path of a member within its archive; none where it leads out of it.
pub(super) fn inside(name: &[u8]) -> Option<PathBuf> {
    let name = String::from_utf8_lossy(name);
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::new(&*name)).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// What becomes of the member at `path`. Archives within archives and compressed members are not read.
pub(super) fn fate(path: &Path, cutting: &Cutting) -> Fate {
    let lower = path.to_string_lossy().to_lowercase();
    let (stem, packing) = Packing::of(&lower);
    if !cutting.members.is_empty() && !ends_with(&lower, &cutting.members) && !ends_with(stem, &cutting.members) {
        return Fate::Passed;
    }
    let format = Format::of_name(stem);
    let whole = packing == Packing::Plain && !format.needs_file() && format != Format::Tar;
    if whole && !UNREAD.iter().any(|end| stem.ends_with(end)) { Fate::Read(format) } else { Fate::Dropped(Reason::NotText) }
}
