//! Rows of texts, words and passages, whose answers are classes of positions.

use super::{Encoded, Encoder, Reader};
use crate::error::Result;
use crate::task::{Answer, ClassificationConfig, ExtractionConfig, Long};

impl Encoder {
    pub(super) fn texts(
        &self,
        config: &ClassificationConfig,
        first: &str,
        second: Option<&str>,
        label: usize,
    ) -> Result<Vec<Encoded>> {
        let first = self.vocab.encode(first)?;
        let second = second.map(|second| self.vocab.encode(second)).transpose()?;
        let room = self.room(1 + usize::from(second.is_some()));
        let weight = self.class_weights.get(label).copied().unwrap_or(1.0);
        // The second text keeps what the first leaves, and never less than half: the longer of the two is the one that is cut.
        let kept = second.as_ref().map(|second| &second[..second.len().min((room / 2).max(room.saturating_sub(first.len())))]);
        let room = room - kept.map_or(0, <[u32]>::len);
        let windows = match config.long {
            Long::First => windows(first.len().min(room), room, room),
            Long::Mean => windows(first.len(), room, config.stride_tokens as usize),
        };
        let row = |window: std::ops::Range<usize>| {
            let (ids, segments) = self.frame(&first[window], kept);
            if self.reader == Reader::Pair {
                let one = Encoded { ids: vec![self.marks.pad], segments: vec![0], spans: vec![(0, 0)], ..Encoded::default() };
                return Encoded { targets: vec![label as u32], weights: vec![weight], source: ids, ..one };
            }
            let mut row = blank(ids, segments);
            (row.targets[0], row.weights[0]) = (label as u32, weight);
            row
        };
        Ok(windows.into_iter().map(row).collect())
    }

    pub(super) fn words(&self, words: &[String], tags: &[usize]) -> Result<Vec<Encoded>> {
        let room = self.room(1);
        let (mut rows, mut open) = (Vec::new(), Open::default());
        let mut before = None;
        for (at, (word, &tag)) in words.iter().zip(tags).enumerate() {
            let (mut ids, mut head) = self.word(word, before)?;
            before = word.chars().next_back();
            if head >= room {
                ids.drain(..head);
                head = 0;
            }
            // A word longer than a row keeps its beginning, which is where its tag is.
            ids.truncate(room);
            if open.ids.len() + ids.len() > room {
                rows.push(self.tagged(&std::mem::take(&mut open)));
            }
            for (part, id) in ids.into_iter().enumerate() {
                open.ids.push(id);
                open.targets.push(if part == head { tag as u32 } else { 0 });
                open.weights.push(if part == head { 1.0 } else { 0.0 });
                open.spans.push((at as u32 + 1, part as u32));
            }
        }
        if !open.ids.is_empty() {
            rows.push(self.tagged(&open));
        }
        Ok(rows)
    }

    /// The ids of a word among others, and which of them holds its first letter.
    fn word(&self, word: &str, before: Option<char>) -> Result<(Vec<u32>, usize)> {
        let apart = !(word.chars().next().is_some_and(spaceless) && before.is_none_or(spaceless));
        let text = if apart { format!(" {word}") } else { word.to_owned() };
        let found = self.vocab.encode_with_offsets(&text)?;
        let head = found.iter().position(|(_, bytes)| bytes.end > usize::from(apart)).unwrap_or(0);
        let ids: Vec<u32> = found.into_iter().map(|(id, _)| id).collect();
        // No word is lost: one that the vocabulary passes over has its tag all the same.
        let unknown = || vec![self.vocab.unknown().unwrap_or(self.marks.end)];
        Ok((if ids.is_empty() { unknown() } else { ids }, head))
    }

    fn tagged(&self, open: &Open) -> Encoded {
        let (ids, segments) = self.frame(&open.ids, None);
        let mut row = blank(ids, segments);
        let from = usize::from(self.marks.first.is_some());
        let end = from + open.ids.len();
        row.targets[from..end].copy_from_slice(&open.targets);
        row.weights[from..end].copy_from_slice(&open.weights);
        row.spans[from..end].copy_from_slice(&open.spans);
        row
    }

    pub(super) fn question(
        &self,
        config: &ExtractionConfig,
        question: &str,
        context: &str,
        answer: Option<&Answer>,
    ) -> Result<Vec<Encoded>> {
        let mut question = self.vocab.encode(question)?;
        let room = self.room(2);
        question.truncate(room / 2);
        let room = room - question.len();
        let (ids, mut bytes): (Vec<u32>, Vec<_>) = self.vocab.encode_with_offsets(context)?.into_iter().unzip();
        let answer = answer.and_then(|answer| {
            let end = answer.start + answer.text.len();
            let first = bytes.iter().position(|bytes| bytes.end > answer.start && bytes.start < bytes.end)?;
            let last = bytes.iter().rposition(|bytes| bytes.start < end && bytes.start < bytes.end)?;
            (first <= last).then_some((first, last))
        });
        // A token may end within a letter, which is no place to cut a text at.
        for bytes in &mut bytes {
            bytes.start = (0..=bytes.start).rev().find(|&at| context.is_char_boundary(at)).unwrap_or(0);
            bytes.end = (bytes.end..=context.len()).find(|&at| context.is_char_boundary(at)).unwrap_or(context.len());
        }
        let row = |window: std::ops::Range<usize>| {
            let (ids, segments) = self.frame(&question, Some(&ids[window.clone()]));
            let mut row = blank(ids, segments);
            let from = row.ids.len() - 1 - window.len();
            for (span, bytes) in row.spans[from..].iter_mut().zip(&bytes[window.clone()]) {
                *span = (bytes.start as u32, bytes.end as u32);
            }
            if let Some((first, last)) = answer.filter(|(first, last)| window.contains(first) && window.contains(last)) {
                for (at, bit) in [(first, 1), (last, 2)] {
                    let at = from + at - window.start;
                    row.targets[at] |= bit;
                    row.weights[at] += 0.5;
                }
            } else {
                (row.targets[0], row.weights[0]) = (3, 1.0);
            }
            row
        };
        Ok(windows(bytes.len(), room, config.stride_tokens as usize).into_iter().map(row).collect())
    }
}

/// A row of tagged words under construction.
#[derive(Default)]
struct Open {
    ids: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    spans: Vec<(u32, u32)>,
}

/// A row without targets.
fn blank(ids: Vec<u32>, segments: Vec<u8>) -> Encoded {
    let n = ids.len();
    Encoded { ids, segments, targets: vec![0; n], weights: vec![0.0; n], spans: vec![(0, 0); n], ..Encoded::default() }
}

/// Windows of up to `room` over `count` tokens, each `stride` behind the one before it, up to the one that reaches the end; at least one.
fn windows(count: usize, room: usize, stride: usize) -> Vec<std::ops::Range<usize>> {
    let step = stride.clamp(1, room.max(1));
    let mut windows = Vec::new();
    let mut from = 0;
    loop {
        let end = (from + room).min(count);
        windows.push(from..end);
        if end >= count {
            return windows;
        }
        from += step;
    }
}

/// Letters and marks of scripts that put no space between words.
fn spaceless(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0xE00..=0xEFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFF65 | 0x20000..=0x3FFFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_leave_nothing_out() {
        let one = |window: std::ops::Range<usize>| std::iter::once(window).collect::<Vec<_>>();
        assert_eq!(windows(0, 4, 2), one(0..0));
        assert_eq!(windows(4, 4, 2), one(0..4));
        assert_eq!(windows(9, 4, 2), [0..4, 2..6, 4..8, 6..9]);
        // A stride beyond the window would leave gaps.
        assert_eq!(windows(9, 4, 128), [0..4, 4..8, 8..9]);
    }
}
