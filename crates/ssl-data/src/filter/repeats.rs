//! How much of a text says again what it said before, by lines and by runs of words.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use xxhash_rust::xxh3::Xxh3Default;

use super::profile::Profile;
use crate::rng::mix;

type Seen<'a> = HashSet<&'a str, BuildHasherDefault<Xxh3Default>>;

/// How many pieces there are, how many of them stood before, and the characters of the latter.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) pieces: u64,
    pub(super) again: u64,
    pub(super) chars: u64,
}

/// Counts the pieces that equal an earlier one.
pub(super) fn repeated<'a>(pieces: impl Iterator<Item = &'a str>) -> Repeated {
    let mut seen = Seen::default();
    let mut counts = Repeated::default();
    for piece in pieces {
        counts.pieces += 1;
        if !seen.insert(piece) {
            counts.again += 1;
            counts.chars += piece.chars().count() as u64;
        }
    }
    counts
}

/// The paragraphs of `text`: what two or more line ends part.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text.trim());
    std::iter::from_fn(move || {
        let text = rest?;
        match text.find("\n\n") {
            Some(at) => {
                rest = Some(text[at..].trim_start_matches('\n'));
                Some(&text[..at])
            }
            None => rest.take(),
        }
    })
}

/// The lines of `text`, empty ones only where it begins or ends with one.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let last = text.len();
    let place = move |line: &str| line.as_ptr() as usize - text.as_ptr() as usize;
    text.split('\n').enumerate().filter_map(move |(index, line)| {
        let edge = index == 0 || place(line) == last;
        (!line.is_empty() || edge).then_some(line)
    })
}

/// A table of hashes that is cleared in no time, for one document after another.
#[derive(Debug, Default)]
pub(super) struct Runs {
    slots: Vec<Slot>,
    mask: usize,
    round: u32,
    hashes: Vec<u64>,
}

/// A hash that was met in `round`: how often, and first where.
#[derive(Debug, Default, Clone, Copy)]
struct Slot {
    hash: u64,
    round: u32,
    count: u32,
    first: u32,
}

impl Runs {
    /// Makes room for the words of `profile`.
    pub(super) fn begin(&mut self, profile: &Profile) {
        let room = (profile.hashes.len() * 2).next_power_of_two().max(16);
        if room > self.slots.len() || room * 8 < self.slots.len() {
            self.slots = vec![Slot::default(); room];
            self.round = 0;
        }
        self.mask = self.slots.len() - 1;
        self.hashes.clone_from(&profile.hashes);
    }

    /// Turns the hashes of runs of `length` - 1 words into those of `length`.
    pub(super) fn lengthen(&mut self, profile: &Profile, length: usize) {
        let runs = (profile.hashes.len() + 1).saturating_sub(length);
        self.hashes.truncate(runs);
        for (hash, word) in self.hashes.iter_mut().zip(profile.hashes.get(length - 1..).unwrap_or(&[])) {
            *hash = mix(*hash ^ word.rotate_left(length as u32));
        }
        self.round += 1;
    }

    /// Counts one more of `hash`, first met at `at`.
    fn count(&mut self, hash: u64, at: usize) -> Slot {
        let mut place = hash as usize & self.mask;
        loop {
            let slot = &mut self.slots[place];
            if slot.round != self.round {
                *slot = Slot { hash, round: self.round, count: 1, first: at as u32 };
                return *slot;
            }
            if slot.hash == hash {
                slot.count += 1;
                return *slot;
            }
            place = (place + 1) & self.mask;
        }
    }

    /// The characters of the most frequent run of `length` words, spaces between them, times how often it stands there; of
    /// equally frequent ones the first.
    pub(super) fn top(&mut self, profile: &Profile, length: usize) -> u64 {
        let mut best = Slot::default();
        for at in 0..self.hashes.len() {
            let slot = self.count(self.hashes[at], at);
            if slot.count > best.count || slot.count == best.count && slot.first < best.first {
                best = slot;
            }
        }
        if best.count == 0 {
            return 0;
        }
        let first = best.first as usize;
        let chars: u64 = profile.chars[first..first + length].iter().map(|&chars| u64::from(chars)).sum();
        (chars + length as u64 - 1) * u64::from(best.count)
    }

    /// The characters of runs of `length` words that stood before; such runs do not overlap.
    pub(super) fn repeated(&mut self, profile: &Profile, length: usize) -> u64 {
        let (mut at, mut chars) = (0, 0);
        while at < self.hashes.len() {
            if self.count(self.hashes[at], at).count > 1 {
                chars += profile.chars[at..at + length].iter().map(|&chars| u64::from(chars)).sum::<u64>();
                at += length;
            } else {
                at += 1;
            }
        }
        chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_paragraphs_are_cut_as_the_patterns_cut() {
        // What re.split(r"\n{2,}", text.strip()) and re.split("\n+", text) give.
        let cases: [(&str, &[&str], &[&str]); 4] = [
            ("a\nb\n\n\nc", &["a\nb", "c"], &["a", "b", "c"]),
            ("\n\na\n", &["a"], &["", "a", ""]),
            ("a", &["a"], &["a"]),
            ("", &[""], &[""]),
        ];
        for (text, expect, expect_lines) in cases {
            assert_eq!(paragraphs(text).collect::<Vec<_>>(), expect, "{text:?}");
            assert_eq!(lines(text).collect::<Vec<_>>(), expect_lines, "{text:?}");
        }
    }

    #[test]
    fn runs_are_counted() {
        let profile = Profile::of("a b c a b c a b d");
        let mut runs = Runs::default();
        runs.begin(&profile);
        runs.lengthen(&profile, 2);
        // "a b" three times.
        assert_eq!(runs.top(&profile, 2), 9);
        runs.lengthen(&profile, 3);
        // "c a b" is as frequent as "a b c", and later.
        assert_eq!(runs.top(&profile, 3), 10);
        runs.lengthen(&profile, 4);
        // "a b c a" again at its end, and then no four words are left.
        assert_eq!(runs.repeated(&profile, 4), 4);
        let profile = Profile::of("a b c d e a b c d e a b c d e");
        runs.begin(&profile);
        runs.lengthen(&profile, 2);
        // From the second "a b" on: a b, c d, e a, b c, d e.
        assert_eq!(runs.repeated(&profile, 2), 10);
    }
}
