//! Passages that stood before, found and cut: paragraphs of earlier documents, and long runs of bytes.
//!
//! Both are pieces of a text with a key. The first piece of each key is remembered with its place in the draft; a later one is asked how
//! far it repeats that. Keys that no table holds at once are looked for range by range, each a pass over the draft; what a pass
//! finds goes to a file, in the order of the documents, and at the end all files are read side by side while the draft is written
//! anew. Memory is a table of [`ROOM`] keys, a batch of documents, and 8 bytes a document, whatever the size of the corpus.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hash};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::iter::Peekable;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use super::draft::{self, Draft, Entry};
use super::{Watch, stage};
use crate::dedup::{Low, ParagraphConfig, SubstringConfig, TextHash};
use crate::error::{Error, Result};
use crate::manifest::{Cuts, Passage};
use crate::rng::below;

/// Keys held at once; an entry is 16 or 32 bytes, and the table a seventh larger to twice as large.
const ROOM: usize = 7 << 19;
/// Bytes of documents looked at at once.
const BATCH: usize = 8 << 20;
/// Passages told, and characters of each.
const EXAMPLES: usize = 5;
const BEGINS: usize = 80;

/// Which pieces of a text are looked up, and how far one repeats an earlier one.
pub(super) trait Find: Sync {
    type Key: Copy + Eq + Hash + Send;

    /// About how many pieces so many bytes have.
    fn about(&self, bytes: u64) -> u64;

    /// The pieces of a text, in the order of where they begin.
    fn pieces(&self, text: &str) -> Vec<(Self::Key, Range<usize>)>;

    /// A uniform number of the key.
    fn number(key: Self::Key) -> u64;

    /// How much of `text` around `piece` repeats what stands at `first`; `own` is where the text lies itself.
    fn repeated(
        &self,
        first: u64,
        own: u64,
        text: &str,
        piece: Range<usize>,
        originals: &Originals<'_>,
    ) -> Result<Option<Range<usize>>>;
}

impl Find for ParagraphConfig {
    type Key = TextHash;

    fn about(&self, bytes: u64) -> u64 {
        bytes / self.min_chars as u64
    }

    fn pieces(&self, text: &str) -> Vec<(TextHash, Range<usize>)> {
        self.find(text)
    }

    fn number(key: TextHash) -> u64 {
        (key.0 >> 64) as u64
    }

    fn repeated(&self, first: u64, own: u64, _: &str, piece: Range<usize>, _: &Originals<'_>) -> Result<Option<Range<usize>>> {
        Ok((first < own).then_some(piece))
    }
}

impl Find for SubstringConfig {
    type Key = u64;

    fn about(&self, bytes: u64) -> u64 {
        bytes * 4 / self.min_bytes as u64
    }

    fn pieces(&self, text: &str) -> Vec<(u64, Range<usize>)> {
        self.find(text)
    }

    fn number(key: u64) -> u64 {
        key
    }

    fn repeated(
        &self,
        first: u64,
        _: u64,
        text: &str,
        piece: Range<usize>,
        originals: &Originals<'_>,
    ) -> Result<Option<Range<usize>>> {
        // Anchors lie less than half their length apart: what of a repeat is beyond its outermost ones is near.
        let (bytes, reach) = (text.as_bytes(), piece.len());
        let (before, block) = originals.read(first, reach.min(piece.start), piece.len() + reach.min(bytes.len() - piece.end))?;
        let behind = block[before..].iter().zip(&bytes[piece.start..]).take_while(|(a, b)| a == b).count();
        // Two windows may have one key and not be the same.
        if behind < piece.len() {
            return Ok(None);
        }
        let before = block[..before].iter().rev().zip(bytes[..piece.start].iter().rev()).take_while(|(a, b)| a == b).count();
        Ok(Some(piece.start - before..piece.start + behind))
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
    /// Up to `before` bytes before `at` and `behind` from there on, within the text that holds it; how many are before, and all.
    fn read(&self, at: u64, before: usize, behind: usize) -> Result<(usize, Vec<u8>)> {
        let next = self.begins.partition_point(|&begin| begin <= at);
        let end = self.begins.get(next).map_or(self.draft.bytes, |&next| next - HEADER);
        let before = before.min((at - self.begins[next - 1]) as usize);
        let mut block = vec![0; before + behind.min((end - at) as usize)];
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
    cut_within(find, draft, into, (least, ROOM), watch, drop)
}

fn cut_within<F: Find>(
    find: &F,
    draft: &Draft,
    into: &mut draft::Writer,
    (least, room): (u64, usize),
    watch: &dyn Watch,
    mut drop: impl FnMut(&str),
) -> Result<Cuts> {
    let file = File::open(&draft.path).map_err(|source| Error::io("open", &draft.path, source))?;
    let mut originals = Originals { draft, file, begins: Vec::new() };
    let mut passes = (find.about(draft.bytes) / room as u64).max(1);
    let mut finds = Vec::new();
    while (finds.len() as u64) < passes {
        let pass = Pass { find, range: (finds.len() as u64, passes), room };
        if let Some(found) = pass.run(draft, &mut originals, watch)? {
            finds.push(found);
        } else {
            // More keys than were foreseen: narrower ranges, all from the first on.
            (passes, finds) = (passes * 2, Vec::new());
        }
    }
    let mut finds = finds.into_iter().map(|file| Ok(marks(file, draft)?.peekable())).collect::<Result<Vec<_>>>()?;
    let mut cuts = Cuts::default();
    let mut at = 0;
    for entry in draft.read(watch, stage::CUT)? {
        let entry = entry?;
        let begin = at + HEADER;
        at = begin + entry.text.len() as u64;
        let ranges = joined(&mut finds, begin..at)?;
        let ranges: Vec<Range<usize>> = ranges.into_iter().filter_map(|range| whole(&entry.text, range)).collect();
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

/// What all passes found in the text that lies at `text`, in order, what touches joined; from the text's begin on.
fn joined<I: Iterator<Item = Result<Range<u64>>>>(finds: &mut [Peekable<I>], text: Range<u64>) -> Result<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    for find in finds {
        while let Some(found) = find.next_if(|found| found.as_ref().map_or(true, |found| found.start < text.end)) {
            let found = found?;
            ranges.push((found.start - text.start) as usize..(found.end - text.start) as usize);
        }
    }
    Ok(join(ranges))
}

/// Ranges in order, what touches joined.
fn join(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// One look at all documents, for a range of keys.
struct Pass<'a, F> {
    find: &'a F,
    /// Its number, and of how many.
    range: (u64, u64),
    room: usize,
}

impl<F: Find> Pass<'_, F> {
    /// The ranges that repeat others, as a file; `None` when the keys do not fit.
    fn run(&self, draft: &Draft, originals: &mut Originals<'_>, watch: &dyn Watch) -> Result<Option<File>> {
        let io = |source| Error::io("write", &draft.path, source);
        let mut file = BufWriter::new(tempfile::tempfile_in(draft.folder()).map_err(io)?);
        let mut firsts: HashMap<F::Key, u64, BuildHasherDefault<Low>> = HashMap::default();
        originals.begins.clear();
        let (mut batch, mut cost, mut at, mut documents) = (Vec::new(), 0, 0, 0);
        let mut entries = draft.read(watch, stage::CUT)?;
        loop {
            let entry = entries.next().transpose()?;
            let last = entry.is_none();
            cost += entry.as_ref().map_or(0, |entry| entry.text.len());
            batch.extend(entry);
            if !last && cost < BATCH {
                continue;
            }
            let mine = |key| below(F::number(key), self.range.1) == self.range.0;
            let pieces: Vec<Vec<_>> = batch
                .par_iter()
                .map(|entry: &Entry| self.find.pieces(&entry.text).into_iter().filter(|&(key, _)| mine(key)).collect())
                .collect();
            for (entry, pieces) in batch.drain(..).zip(pieces) {
                let begin = at + HEADER;
                at = begin + entry.text.len() as u64;
                originals.begins.push(begin);
                for range in self.repeats(begin, &entry.text, pieces, &mut firsts, originals)? {
                    file.write_all(&(begin + range.start as u64).to_le_bytes()).map_err(io)?;
                    file.write_all(&(begin + range.end as u64).to_le_bytes()).map_err(io)?;
                }
                documents += 1;
            }
            if firsts.len() > self.room {
                return Ok(None);
            }
            let (pass, passes) = self.range;
            watch.stage(stage::CUT, pass * draft.bytes + at, Some((passes + 1) * draft.bytes), documents);
            if watch.stop() {
                return Err(Error::Interrupted { stage: stage::CUT });
            }
            if last {
                break;
            }
            cost = 0;
        }
        file.into_inner().map(Some).map_err(|fault| io(fault.into_error()))
    }

    /// What of a text repeats earlier pieces; others are remembered.
    fn repeats(
        &self,
        begin: u64,
        text: &str,
        pieces: Vec<(F::Key, Range<usize>)>,
        firsts: &mut HashMap<F::Key, u64, BuildHasherDefault<Low>>,
        originals: &Originals<'_>,
    ) -> Result<Vec<Range<usize>>> {
        let mut found = Vec::new();
        for (key, piece) in pieces {
            let place = begin + piece.start as u64;
            let first = *firsts.entry(key).or_insert(place);
            if first != place {
                found.extend(self.find.repeated(first, begin, text, piece, originals)?);
            }
        }
        Ok(join(found))
    }
}

/// The ranges of a file.
fn marks(mut file: File, draft: &Draft) -> Result<impl Iterator<Item = Result<Range<u64>>>> {
    let fault = |source| Error::io("read", draft.folder(), source);
    file.rewind().map_err(fault)?;
    let mut file = BufReader::new(file);
    Ok(std::iter::from_fn(move || {
        let (mut start, mut end) = ([0; 8], [0; 8]);
        match file.read_exact(&mut start).and_then(|()| file.read_exact(&mut end)) {
            Ok(()) => Some(Ok(u64::from_le_bytes(start)..u64::from_le_bytes(end))),
            Err(source) if source.kind() == ErrorKind::UnexpectedEof => None,
            Err(source) => Some(Err(fault(source))),
        }
    }))
}

#[cfg(test)]
mod tests;
