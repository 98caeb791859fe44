//! Passages that stood before, found and cut: paragraphs of earlier documents, and long runs of text.
//!
//! Both are pieces of a text with a key. The first piece of each key counts; a later one is asked how far it repeats that. The draft is
//! read once, and its pieces go to files by their keys ([`bucket`]), each of which is then looked through with a table in memory.
//! What repeats is sorted by its place on the disk ([`ranges`]), and the draft is written anew without it. Memory is a table of [`ROOM`]
//! keys and as many ranges, a batch of documents, and 8 bytes a document, whatever the size of the corpus; the work grows with the
//! corpus, and with how often its pieces must be divided again: once for every 64 times as many.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::File;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use super::draft::{self, Draft, Entry};
use super::{Watch, stage};
use crate::dedup::counted::Counted;
use crate::dedup::{Low, ParagraphConfig, SubstringConfig, TextHash};
use crate::error::{Error, Result};
use crate::manifest::{Cuts, Passage};

mod bucket;
mod ranges;

use bucket::{Bucket, Divide, Piece};
use ranges::Ranges;

/// Keys held at once; an entry is 32 bytes, and the table a seventh larger to twice as large.
const ROOM: usize = 7 << 18;
/// Files that pieces are divided among at once, and files that are merged at once.
const FAN: usize = 64;
/// Bytes of documents looked at at once.
const BATCH: usize = 8 << 20;
/// Repeats looked at at once.
const CHUNK: usize = 1 << 14;
/// Passages told, and characters of each.
const EXAMPLES: usize = 5;
const BEGINS: usize = 80;

/// Which pieces of a text are looked up, and how far one repeats an earlier one.
pub(super) trait Find: Sync {
    /// Bytes of a key, its lower ones; the others are 0.
    const KEY: usize;

    /// About how many pieces so many bytes have.
    fn about(&self, bytes: u64) -> u64;

    /// The pieces of a text, in the order of where they begin, each with a uniform key.
    fn pieces(&self, text: &str) -> Vec<(u128, Range<usize>)>;

    /// What around the text at `piece` repeats what stands at `first`.
    fn repeated(&self, first: u64, piece: Range<u64>, originals: &Originals<'_>) -> Result<Option<Range<u64>>>;

    /// What is cut of a text where `ranges` of it, of whole characters, in order and apart, repeat others.
    fn cuts(&self, text: &str, ranges: Vec<Range<usize>>) -> Vec<Range<usize>>;
}

impl Find for ParagraphConfig {
    const KEY: usize = 16;

    fn about(&self, bytes: u64) -> u64 {
        bytes / self.min_chars as u64
    }

    fn pieces(&self, text: &str) -> Vec<(u128, Range<usize>)> {
        self.find(text).into_iter().map(|(key, place)| (key.0, place)).collect()
    }

    fn repeated(&self, first: u64, piece: Range<u64>, originals: &Originals<'_>) -> Result<Option<Range<u64>>> {
        Ok((first < originals.text(piece.start).start).then_some(piece))
    }

    fn cuts(&self, _: &str, ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
        ranges
    }
}

impl Find for SubstringConfig {
    const KEY: usize = 8;

    fn about(&self, bytes: u64) -> u64 {
        bytes * 4 / self.min_bytes as u64
    }

    fn pieces(&self, text: &str) -> Vec<(u128, Range<usize>)> {
        self.find(text).into_iter().map(|(key, place)| (key.into(), place)).collect()
    }

    fn repeated(&self, first: u64, piece: Range<u64>, originals: &Originals<'_>) -> Result<Option<Range<u64>>> {
        // Anchors lie less than half their length apart: what of a repeat is beyond its outermost ones is near. Twice the bytes, as
        // the other may have more that do not count.
        let least = self.min_bytes;
        let (before, behind) = (2 * least, 2 * ((piece.end - piece.start) as usize + least));
        let (own, text) = originals.read(piece.start, before, behind)?;
        let (other, original) = originals.read(first, before, behind)?;
        let both = Counted::of(&text[own..]).zip(Counted::of(&original[other..])).take(2 * least);
        let (mut equal, mut end) = (0, 0);
        for ((at, _), _) in both.take_while(|((_, one), (_, other))| one == other) {
            (equal, end) = (equal + 1, at + 1);
        }
        // Two windows may have one key and not be the same.
        if equal < least {
            return Ok(None);
        }
        let counted = |bytes| Counted::of(bytes).collect::<Vec<_>>().into_iter().rev().take(least);
        let both = counted(&text[..own]).zip(counted(&original[..other]));
        let start = both.take_while(|((_, one), (_, other))| one == other).last().map_or(own, |((at, _), _)| at);
        Ok(Some(piece.start - (own - start) as u64..piece.start + end as u64))
    }

    fn cuts(&self, text: &str, ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                // What does not count parts no passage.
                Some(last) if Counted::of(&text.as_bytes()[last.end..range.start]).next().is_none() => last.end = range.end,
                _ => joined.push(range),
            }
        }
        joined.into_iter().map(|range| with_space(text, range)).collect()
    }
}

/// The range with the white space on one side of it, where there is some on both: that with fewer line ends.
fn with_space(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text[..range.start].trim_end().len();
    let behind = text.len() - text[range.end..].trim_start().len();
    let lines = |place: Range<usize>| text[place].matches('\n').count();
    if before == range.start || behind == range.end {
        range
    } else if lines(before..range.start) < lines(range.end..behind) {
        before..range.end
    } else {
        range.start..behind
    }
}

/// The draft's texts by their places in its file.
pub(super) struct Originals<'a> {
    draft: &'a Draft,
    file: File,
    /// Where each text begins.
    begins: Vec<u64>,
}

/// What stands before each text in a spool.
const HEADER: u64 = 24;

impl Originals<'_> {
    /// Where the text lies that holds the byte at `at`.
    fn text(&self, at: u64) -> Range<u64> {
        let next = self.begins.partition_point(|&begin| begin <= at);
        let end = self.begins.get(next).map_or(self.draft.bytes, |&next| next - HEADER);
        next.checked_sub(1).map_or(0, |own| self.begins[own])..end
    }

    /// Up to `before` bytes before `at` and `behind` from there on, within the text that holds it; how many are before, and all.
    fn read(&self, at: u64, before: usize, behind: usize) -> Result<(usize, Vec<u8>)> {
        let text = self.text(at);
        let before = before.min((at - text.start) as usize);
        let mut block = vec![0; before + behind.min((text.end - at) as usize)];
        let read = self.file.read_exact_at(&mut block, at - before as u64);
        read.map_err(|source| Error::io("read", &self.draft.path, source))?;
        Ok((before, block))
    }
}

/// Writes the documents of `draft` to `into` without what stood before; a document of which less than `least` characters are left goes,
/// and its place is told to `drop`.
pub(super) fn cut<F: Find>(
    find: &F,
    draft: &Draft,
    into: &mut draft::Writer,
    least: u64,
    watch: &dyn Watch,
    drop: impl FnMut(&str),
) -> Result<Cuts> {
    cut_within(find, draft, into, least, Bounds { room: ROOM, fan: FAN }, watch, drop)
}

/// What is held in memory and open at once; the result does not depend on it.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    room: usize,
    fan: usize,
}

fn cut_within<F: Find>(
    find: &F,
    draft: &Draft,
    into: &mut draft::Writer,
    least: u64,
    bounds: Bounds,
    watch: &dyn Watch,
    mut drop: impl FnMut(&str),
) -> Result<Cuts> {
    let mut found = search(find, draft, bounds, watch)?.peekable();
    let mut cuts = Cuts::default();
    let mut at = 0;
    for entry in draft.read(watch, stage::CUT)? {
        let entry = entry?;
        let begin = at + HEADER;
        at = begin + entry.text.len() as u64;
        let mut ranges = Vec::new();
        while let Some(range) = found.next_if(|range| range.as_ref().map_or(true, |range| range.start < at)) {
            let range = range?;
            ranges.extend(whole(&entry.text, (range.start - begin) as usize..(range.end - begin) as usize));
        }
        let ranges = find.cuts(&entry.text, ranges);
        if ranges.is_empty() {
            into.push(&entry.text, entry.hash, &entry.about)?;
            continue;
        }
        let left = without(&entry, &ranges, &mut cuts);
        let left = left.trim_matches('\n');
        if left.trim().is_empty() || (left.chars().count() as u64) < least {
            cuts.dropped += 1;
            drop(&entry.about.place);
        } else {
            into.push(left, TextHash::of(left), &entry.about)?;
        }
    }
    Ok(cuts)
}

/// The text without `ranges`, which are counted.
fn without(entry: &Entry, ranges: &[Range<usize>], cuts: &mut Cuts) -> String {
    let mut left = String::with_capacity(entry.text.len());
    let mut from = 0;
    cuts.documents += 1;
    for range in ranges {
        left.push_str(&entry.text[from..range.start]);
        from = range.end;
        let passage = &entry.text[range.clone()];
        cuts.passages += 1;
        cuts.bytes += passage.len() as u64;
        if cuts.examples.len() < EXAMPLES {
            let begins = passage.chars().take(BEGINS).collect();
            cuts.examples.push(Passage { document: entry.about.place.clone(), bytes: passage.len() as u64, begins });
        }
    }
    left.push_str(&entry.text[from..]);
    left
}

/// The largest range of whole characters within `range`.
fn whole(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let range = text.ceil_char_boundary(range.start)..text.floor_char_boundary(range.end);
    (!range.is_empty()).then_some(range)
}

/// Where the draft repeats itself, in order and apart.
fn search<F: Find>(
    find: &F,
    draft: &Draft,
    bounds: Bounds,
    watch: &dyn Watch,
) -> Result<impl Iterator<Item = Result<Range<u64>>> + use<F>> {
    let (buckets, begins) = divide(find, draft, bounds, watch)?;
    let file = File::open(&draft.path).map_err(|source| Error::io("open", &draft.path, source))?;
    let originals = Originals { draft, file, begins };
    let pieces = buckets.iter().map(Bucket::pieces).sum();
    let found = Ranges::new(draft.folder(), bounds.room, bounds.fan);
    let mut search = Search { find, bounds, originals, found, watch, pieces, done: 0 };
    for bucket in buckets {
        search.look_through(bucket)?;
    }
    search.found.finish()
}

/// The pieces of all documents by their keys, and where the texts begin.
fn divide<F: Find>(find: &F, draft: &Draft, bounds: Bounds, watch: &dyn Watch) -> Result<(Vec<Bucket>, Vec<u64>)> {
    // Twice as many as would do if keys and guesses were even.
    let files = (find.about(draft.bytes) / bounds.room.div_ceil(2) as u64 + 1).min(bounds.fan as u64);
    let mut buckets = Divide::create(draft.folder(), F::KEY, files, 0)?;
    let mut begins = Vec::new();
    let (mut batch, mut cost, mut at) = (Vec::new(), 0, 0);
    let mut entries = draft.read(watch, stage::CUT)?;
    loop {
        let entry = entries.next().transpose()?;
        let last = entry.is_none();
        cost += entry.as_ref().map_or(0, |entry| entry.text.len());
        batch.extend(entry);
        if !last && cost < BATCH {
            continue;
        }
        let pieces: Vec<_> = batch.par_iter().map(|entry: &Entry| find.pieces(&entry.text)).collect();
        for (entry, pieces) in batch.drain(..).zip(pieces) {
            let begin = at + HEADER;
            at = begin + entry.text.len() as u64;
            begins.push(begin);
            for (key, place) in pieces {
                buckets.push(&Piece { key, place: begin + place.start as u64..begin + place.end as u64 })?;
            }
        }
        watch.stage(stage::CUT, at, Some(3 * draft.bytes), begins.len() as u64);
        if watch.stop() {
            return Err(Error::Interrupted { stage: stage::CUT });
        }
        if last {
            return Ok((buckets.finish()?, begins));
        }
        cost = 0;
    }
}

/// Looks through buckets.
struct Search<'a, F> {
    find: &'a F,
    bounds: Bounds,
    originals: Originals<'a>,
    found: Ranges,
    watch: &'a dyn Watch,
    /// Pieces in all, and those that were looked at.
    pieces: u64,
    done: u64,
}

impl<F: Find> Search<'_, F> {
    /// Adds what the pieces of a bucket repeat.
    fn look_through(&mut self, mut bucket: Bucket) -> Result<()> {
        let mut firsts: HashMap<u128, u64, BuildHasherDefault<Low>> = HashMap::default();
        let mut again = Vec::new();
        let mut fits = true;
        for piece in bucket.read()? {
            let Piece { key, place } = piece?;
            let room = firsts.len() < self.bounds.room;
            match firsts.entry(key) {
                Slot::Occupied(first) => again.push((*first.get(), place)),
                Slot::Vacant(free) if room => drop(free.insert(place.start)),
                Slot::Vacant(_) => {
                    fits = false;
                    break;
                }
            }
            if again.len() == CHUNK {
                self.look_at(&mut again)?;
            }
        }
        if fits {
            self.done += bucket.pieces();
            return self.look_at(&mut again);
        }
        // What was found of it so far is found again below, and is the same.
        drop((firsts, again));
        let parts = bucket.divide(self.bounds.fan as u64)?;
        parts.into_iter().try_for_each(|part| self.look_through(part))
    }

    /// Adds what of pieces repeats what stands at their firsts.
    fn look_at(&mut self, again: &mut Vec<(u64, Range<u64>)>) -> Result<()> {
        let (find, originals) = (self.find, &self.originals);
        let found = again.par_drain(..).map(|(first, piece)| find.repeated(first, piece, originals));
        for range in found.collect::<Vec<_>>() {
            range?.map_or(Ok(()), |range| self.found.push(range))?;
        }
        let bytes = self.originals.draft.bytes;
        let share = self.done as f64 / self.pieces.max(1) as f64;
        let done = bytes + (bytes as f64 * share) as u64;
        self.watch.stage(stage::CUT, done, Some(3 * bytes), self.originals.begins.len() as u64);
        if self.watch.stop() { Err(Error::Interrupted { stage: stage::CUT }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
