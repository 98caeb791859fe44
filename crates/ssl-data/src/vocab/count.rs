//! How often each word of a text occurs, in bounded memory and 64 bits.
//!
//! Words are counted in a table. When the table is as large as it may be, it is written to a temporary file in the order of the words
//! and begun anew; at the end the files are merged. The counts are exact. If the different words are still too many to be held, the
//! rarest are left out: all of counts lower than that at which the room ends, and of that count those of the higher hashes, so that what
//! is kept is a function of the text and the bound.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::hash::BuildHasherDefault;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::Path;

use rayon::prelude::*;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::split;
use crate::document::BORDER;

/// Text that is counted as one piece of work.
const WORK_BYTES: usize = 1 << 18;
/// Text that waits to be counted.
const BATCH_BYTES: usize = 8 << 20;
/// Counts from here on are one class when it is decided which words are left out; none of these is.
const CLASSES: usize = 1 << 16;
/// Parts of the words of one count, of which some are kept where not all are.
const PARTS: u64 = 1024;
/// Files that are open at once; when there are more, they become one.
const FILES: usize = 64;

type Table<K> = HashMap<K, u64, BuildHasherDefault<Xxh3Default>>;

/// Cuts a text into what is counted.
pub(super) type Cut<'c> = dyn for<'a> Fn(&'a str) -> io::Result<Vec<Cow<'a, [u8]>>> + Sync + 'c;

/// A word as bytes, and how often it occurs.
pub(super) type Counted = (Box<[u8]>, u64);

/// What a word costs, in the table or while its pairs are joined.
fn cost(word: &[u8]) -> usize {
    96 + 16 * word.len()
}

/// The counts of all words, in the order of the words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) words: Vec<Counted>,
    /// Different words that were left out, and how often they occur in all.
    pub(super) rare: u64,
    pub(super) rare_occurrences: u64,
}

/// Counts the words of `texts` within about `bytes` of memory; what that does not hold is put into `folder`, or where the
/// system has such files.
///
/// # Errors
/// When temporary files cannot be written, or a text cannot be cut.
pub(super) fn count(
    texts: impl Iterator<Item = String>,
    cut: &Cut<'_>,
    bytes: usize,
    folder: Option<&Path>,
) -> io::Result<Counts> {
    let mut counter = Counter::new(cut, bytes, folder);
    let (mut batch, mut waiting) = (Vec::new(), 0);
    let most = BATCH_BYTES.min(bytes / 8 + 1);
    for text in texts {
        waiting += text.len();
        batch.push(text);
        if waiting >= most {
            counter.add(&batch)?;
            batch.clear();
            waiting = 0;
        }
    }
    counter.add(&batch)?;
    counter.finish()
}

struct Counter<'a> {
    cut: &'a Cut<'a>,
    bytes: usize,
    folder: Option<&'a Path>,
    table: Table<Box<[u8]>>,
    cost: usize,
    files: Vec<File>,
}

impl<'a> Counter<'a> {
    fn new(cut: &'a Cut<'a>, bytes: usize, folder: Option<&'a Path>) -> Self {
        Self { cut, bytes, folder, table: Table::default(), cost: 0, files: Vec::new() }
    }

    fn add(&mut self, texts: &[String]) -> io::Result<()> {
        let sides = texts.iter().flat_map(|text| text.split(BORDER));
        let pieces: Vec<&str> = sides.flat_map(|side| split::pieces(side, WORK_BYTES)).collect();
        let cut = self.cut;
        let tables = pieces.par_iter().try_fold(Table::default, |mut table, text| {
            for word in cut(text)? {
                *table.entry(word).or_default() += 1;
            }
            io::Result::Ok(table)
        });
        for (word, count) in tables.collect::<io::Result<Vec<Table<Cow<'_, [u8]>>>>>()?.into_iter().flatten() {
            if let Some(known) = self.table.get_mut(&*word) {
                *known += count;
            } else {
                self.cost += cost(&word);
                self.table.insert(Box::from(&*word), count);
            }
        }
        if self.cost > self.bytes { self.spill() } else { Ok(()) }
    }

    /// The table's words in order; the table is empty then.
    fn sorted(&mut self) -> Vec<Counted> {
        self.cost = 0;
        let mut words: Vec<Counted> = std::mem::take(&mut self.table).into_iter().collect();
        words.par_sort_unstable();
        words
    }

    fn file(&self) -> io::Result<BufWriter<File>> {
        self.folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in).map(BufWriter::new)
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.files.len() == FILES {
            let mut file = self.file()?;
            self.merged(|word, count| write(&mut file, &word, count))?;
            self.files = vec![file.into_inner().map_err(io::IntoInnerError::into_error)?];
        }
        let mut file = self.file()?;
        for (word, count) in self.sorted() {
            write(&mut file, &word, count)?;
        }
        self.files.push(file.into_inner().map_err(io::IntoInnerError::into_error)?);
        Ok(())
    }

    fn finish(mut self) -> io::Result<Counts> {
        if self.files.is_empty() {
            return Ok(Counts { words: self.sorted(), ..Counts::default() });
        }
        self.spill()?;
        // Once for how much the words of each count cost, once for the words.
        let mut costs = vec![0_usize; CLASSES];
        self.merged(|word, count| {
            costs[(count as usize).min(CLASSES - 1)] += cost(&word);
            Ok(())
        })?;
        let (mut room, mut least) = (self.bytes.saturating_sub(costs[CLASSES - 1]), CLASSES as u64 - 1);
        for (count, cost) in costs.iter().enumerate().rev().skip(1).take_while(|(count, _)| *count > 0) {
            if *cost > room {
                break;
            }
            room -= cost;
            least = count as u64;
        }
        // Of the next lower count, as many parts as have room: a text whose words are all different would else give nothing.
        let mut parts = [0_usize; PARTS as usize];
        self.merged(|word, count| {
            if count + 1 == least {
                parts[part(&word)] += cost(&word);
            }
            Ok(())
        })?;
        let sums = parts.iter().scan(0, |sum, cost| {
            *sum += cost;
            Some(*sum)
        });
        let kept = sums.take_while(|sum| *sum <= room).count();
        let mut counts = Counts::default();
        self.merged(|word, count| {
            if count >= least || count + 1 == least && part(&word) < kept {
                counts.words.push((word, count));
            } else {
                counts.rare += 1;
                counts.rare_occurrences += count;
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Calls `each` with every word and its count over all files, in the order of the words.
    fn merged(&mut self, mut each: impl FnMut(Box<[u8]>, u64) -> io::Result<()>) -> io::Result<()> {
        let mut readers = Vec::with_capacity(self.files.len());
        let mut heads = BinaryHeap::new();
        for (number, file) in self.files.iter_mut().enumerate() {
            file.rewind()?;
            let mut reader = BufReader::new(&*file);
            heads.extend(next(&mut reader)?.map(|(word, count)| Reverse((word, number, count))));
            readers.push(reader);
        }
        let mut open: Option<Counted> = None;
        while let Some(Reverse((word, number, count))) = heads.pop() {
            heads.extend(next(&mut readers[number])?.map(|(word, count)| Reverse((word, number, count))));
            match &mut open {
                Some((known, sum)) if *known == word => *sum += count,
                _ => {
                    if let Some((word, count)) = open.replace((word, count)) {
                        each(word, count)?;
                    }
                }
            }
        }
        if let Some((word, count)) = open { each(word, count) } else { Ok(()) }
    }
}

/// Which part of the words of one count it is in.
fn part(word: &[u8]) -> usize {
    (xxh3_64(word) % PARTS) as usize
}

fn write(file: &mut impl Write, word: &[u8], count: u64) -> io::Result<()> {
    file.write_all(&(word.len() as u32).to_le_bytes())?;
    file.write_all(word)?;
    file.write_all(&count.to_le_bytes())
}

/// The next word of a file, none at its end.
fn next(file: &mut impl Read) -> io::Result<Option<Counted>> {
    let (mut length, mut count) = ([0; 4], [0; 8]);
    match file.read_exact(&mut length) {
        Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut word = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut word)?;
    file.read_exact(&mut count)?;
    Ok(Some((word.into(), u64::from_le_bytes(count))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        (0..4000_u64).map(|n| format!("the word{} and{} again\n", n % 700, n % 13)).collect()
    }

    /// At spaces, which stay with the word before.
    #[expect(clippy::unnecessary_wraps, reason = "others can fail")]
    fn cut(text: &str) -> io::Result<Vec<Cow<'_, [u8]>>> {
        Ok(text.split_inclusive(' ').map(|word| Cow::Borrowed(word.as_bytes())).collect())
    }

    fn counted(bytes: usize) -> Counts {
        count(texts().into_iter(), &cut, bytes, None).expect("counts")
    }

    #[test]
    fn spilled_counts_are_those_of_one_table() {
        let whole = counted(usize::MAX);
        assert_eq!((whole.rare, whole.words.len()), (0, 700 + 13 + 2));
        assert!(whole.words.contains(&(b"the "[..].into(), 4000)));
        let cost: usize = whole.words.iter().map(|(word, _)| cost(word)).sum();
        // The table is written out more often than files may be open, yet in the end all words have room.
        let mut counter = Counter::new(&cut, cost, None);
        for batch in texts().chunks(50) {
            counter.add(batch).expect("counts");
            counter.spill().expect("writes");
            assert!(counter.files.len() <= FILES);
        }
        assert_eq!(counter.finish().expect("counts"), whole);
    }

    #[test]
    fn what_has_no_room_is_the_rarest() {
        let whole = counted(usize::MAX);
        let counts = counted(4000);
        assert!(counts.words.len() < 30 && counts.rare as usize + counts.words.len() == whole.words.len());
        let least = counts.words.iter().map(|word| word.1).min().expect("words");
        let more = |words: &[Counted]| -> Vec<Counted> { words.iter().filter(|word| word.1 > least).cloned().collect() };
        assert_eq!(more(&counts.words), more(&whole.words), "all that are more frequent than the rarest");
        assert!(counts.words.iter().all(|word| whole.words.contains(word)));
        let all = 4000 * 4;
        assert_eq!(counts.words.iter().map(|word| word.1).sum::<u64>() + counts.rare_occurrences, all);
    }

    #[test]
    fn of_words_that_are_all_different_as_many_are_kept_as_have_room() {
        let text = || (0..3000).map(|n| format!("{n:04} "));
        let bytes = 1000 * cost(b"0000 ");
        let kept = count(text(), &cut, bytes, None).expect("counts");
        assert!(
            (900..=1000).contains(&kept.words.len()) && kept.rare as usize == 3000 - kept.words.len(),
            "{}",
            kept.words.len()
        );
        // Not by their place in the text.
        assert!(kept.words.iter().any(|word| *word.0 < b"0300 "[..]) && kept.words.iter().any(|word| *word.0 > b"2700 "[..]));
        let backwards = count(text().collect::<Vec<_>>().into_iter().rev(), &cut, bytes, None).expect("counts");
        assert_eq!(backwards, kept);
    }

    #[test]
    fn the_most_frequent_words_take_room_too() {
        let kept = |bytes| {
            let mut counter = Counter::new(&cut, bytes, None);
            counter.table.extend([(b"everywhere"[..].into(), 1 << 20), (b"now and then"[..].into(), 9)]);
            counter.spill().expect("writes");
            counter.finish().expect("counts").words.len()
        };
        assert_eq!((kept(cost(b"everywhere") + cost(b"now and then")), kept(cost(b"everywhere") + 8)), (2, 1));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        assert!(count(texts().into_iter(), &cut, 1000, Some(Path::new("/nowhere/at/all"))).is_err());
    }

    #[test]
    fn counts_have_64_bits() {
        let mut counter = Counter::new(&cut, usize::MAX, None);
        counter.table.insert(b"the"[..].into(), u64::from(u32::MAX));
        counter.spill().expect("writes");
        counter.add(&["the".into()]).expect("counts");
        assert_eq!(counter.finish().expect("counts").words, [(b"the"[..].into(), 1 << 32)]);
    }
}
