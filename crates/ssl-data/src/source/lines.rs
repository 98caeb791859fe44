//! Cuts text into documents: the whole file, its lines, or its blocks of lines.

use std::io::{self, Read};

use super::feed::{Cut, Feed, Line};
use super::records::Item;
use crate::clean::Reason;
use crate::config::{Format, Unit};

/// Cuts by `unit`.
pub(super) fn by(unit: Unit) -> Box<dyn Cut> {
    match unit {
        Unit::File => Box::new(Whole(false)),
        Unit::Line => Box::new(Lines),
        Unit::Block => Box::new(Blocks),
    }
}

/// The whole file as one document; whether it was read.
struct Whole(bool);

impl Cut for Whole {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        if std::mem::replace(&mut self.0, true) {
            return Ok(None);
        }
        let limit = feed.limit;
        let mut bytes = Vec::with_capacity(feed.guess().min(limit) as usize + 1);
        feed.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            // Nobody wants the rest, so it is not unpacked either.
            feed.abandoned = true;
            return Ok(Some(feed.dropped(Reason::TooLarge, 1)));
        }
        if feed.cut_off() {
            return Ok(Some(feed.dropped(Reason::Damaged, 1)));
        }
        Ok((!bytes.is_empty()).then(|| feed.record(bytes, 1, 0)))
    }
}

struct Lines;

impl Cut for Lines {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        loop {
            let (mut bytes, line, offset) = (Vec::new(), feed.line, feed.offset);
            match feed.take_line(&mut bytes)? {
                Line::End => return Ok(None),
                Line::Long => return Ok(Some(feed.dropped(Reason::TooLarge, line))),
                // An empty line of JSONL is no record, by the format's own rules.
                Line::Whole if feed.format == Format::Jsonl && bytes.trim_ascii().is_empty() => {}
                Line::Whole => return Ok(Some(feed.record(bytes, line, offset))),
            }
        }
    }
}

struct Blocks;

impl Cut for Blocks {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        let (mut bytes, mut begin, mut large) = (Vec::new(), None, false);
        loop {
            let (before, here) = (bytes.len(), (feed.line, feed.offset));
            let taken = feed.take_line(&mut bytes)?;
            let empty = taken != Line::Long && bytes[before..].trim_ascii().is_empty();
            if !empty {
                begin.get_or_insert(here);
                large |= taken == Line::Long || bytes.len() as u64 > feed.limit;
            }
            if large {
                bytes.clear();
            }
            if !empty {
                continue;
            }
            bytes.truncate(before);
            match begin {
                Some((line, _)) if large => return Ok(Some(feed.dropped(Reason::TooLarge, line))),
                Some((line, offset)) => return Ok(Some(feed.record(bytes, line, offset))),
                None if taken == Line::End => return Ok(None),
                None => {}
            }
        }
    }
}
