//! Puts the lines of two files together, so that each record has its other side.

use crate::error::{Error, Result};
use crate::source::{Item, Records};

/// The records of one file, each with the record of the same number of another, where there is one.
pub(super) fn side_by_side<'a>(
    sources: Records<'a>,
    targets: Option<Records<'a>>,
) -> Box<dyn Iterator<Item = Result<Item>> + 'a> {
    match targets {
        None => Box::new(sources),
        Some(targets) => Box::new(Pairs { sources, targets, read: 0, ended: false }),
    }
}

struct Pairs<'a> {
    sources: Records<'a>,
    targets: Records<'a>,
    read: u64,
    ended: bool,
}

impl Pairs<'_> {
    /// One side has ended and the other has not.
    fn uneven(&mut self, longer: bool) -> Error {
        let rest = if longer { self.sources.by_ref().count() } else { self.targets.by_ref().count() } as u64 + 1;
        let (sources, targets) = if longer { (self.read + rest, self.read) } else { (self.read, self.read + rest) };
        Error::Sides { sources, targets, place: format!("lines of {}", self.sources.path().display()) }
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let pair = match (self.sources.next(), self.targets.next()) {
            (None, None) => None,
            (Some(Err(fault)), _) | (_, Some(Err(fault))) => Some(Err(fault)),
            (Some(Ok(_)), None) => Some(Err(self.uneven(true))),
            (None, Some(Ok(_))) => Some(Err(self.uneven(false))),
            (Some(Ok(Item::Record(source))), Some(Ok(Item::Record(target)))) => {
                Some(Ok(Item::Record(crate::source::Record { target: Some(Box::new(target)), ..source })))
            }
            // Half a pair is none.
            (Some(Ok(dropped @ Item::Dropped(..))), _) | (_, Some(Ok(dropped @ Item::Dropped(..)))) => Some(Ok(dropped)),
        };
        self.read += 1;
        self.ended = !matches!(pair, Some(Ok(_)));
        pair
    }
}
