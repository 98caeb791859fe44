//! Rows of several lengths as one batch.

use super::{Encoded, Encoder, ROUND, Reader};
use crate::batch::{Attend, Batch, Grid, Rows, Sentences, Source};
use crate::task::TaskKind;

impl Encoder {
    /// A batch of rows, each filled up to the longest on its right: a row's own tokens and targets do not depend on the others.
    ///
    /// Padding is a document of its own wherever there is any, though rows that look back never see it: who takes a row's last token has
    /// to know which that is.
    #[must_use]
    pub fn collate(&self, rows: &[&Encoded]) -> Batch<Grid> {
        let longest = |list: fn(&Encoded) -> &[u32]| rows.iter().map(|row| list(row).len()).max().unwrap_or(0);
        let rounded = |longest: usize| longest.next_multiple_of(ROUND).min(self.length).max(1);
        let written = longest(|row| &row.ids);
        if self.reader == Reader::Pair {
            let length = rounded(longest(|row| &row.source));
            let ids = grid(rows, length, i64::from(self.marks.pad), |row| row.source.iter().map(|&id| i64::from(id)));
            let present = grid(rows, length, 0, |row| row.source.iter().map(|_| 1));
            return Batch::Pair(Source { ids, present }, self.rows(rows, written.max(1)));
        }
        let length = rounded(written);
        let padded = rows.iter().any(|row| row.ids.len() < length);
        let documents = padded.then(|| grid(rows, length, 1, |row| row.ids.iter().map(|_| 0)));
        let sentences = self.has_second().then(|| Sentences {
            segments: grid(rows, length, 0, |row| row.segments.iter().map(|&segment| i64::from(segment))),
            random: Grid::Ids { data: vec![0; rows.len()], shape: vec![rows.len() as i64] },
        });
        let attend = if self.reader == Reader::Both { Attend::Both } else { Attend::Causal };
        Batch::Rows(Rows { documents, sentences, attend, ..self.rows(rows, length) })
    }

    /// Whether rows of a model that looks to both sides may hold two texts, which it tells apart.
    fn has_second(&self) -> bool {
        let two = match &self.kind {
            TaskKind::Classification(config) => config.second.is_some(),
            TaskKind::Extraction(_) => true,
            _ => false,
        };
        two && self.reader == Reader::Both
    }

    fn rows(&self, rows: &[&Encoded], length: usize) -> Rows<Grid> {
        let pad = i64::from(self.marks.pad);
        // Where targets are classes, the padding's id may be none of them.
        let none = if self.kind.has_labels() || matches!(self.kind, TaskKind::Extraction(_)) { 0 } else { pad };
        let weights = rows.iter().flat_map(|row| row.weights.iter().copied().chain(std::iter::repeat(0.0)).take(length));
        let count = |row: &&Encoded| {
            let sum: f32 = row.weights.iter().sum();
            if sum == 0.0 { 1.0 } else { sum }
        };
        Rows::new(
            grid(rows, length, pad, |row| row.ids.iter().map(|&id| i64::from(id))),
            grid(rows, length, none, |row| row.targets.iter().map(|&id| i64::from(id))),
            Grid::reals(weights.collect(), length),
            Grid::column(rows.iter().map(count).collect()),
            Grid::ids(rows.iter().flat_map(|_| 0..length as i64).collect(), length),
        )
    }
}

/// One list of each row, filled up to `length`.
fn grid<'a, I: Iterator<Item = i64> + 'a>(
    rows: &[&'a Encoded],
    length: usize,
    fill: i64,
    list: impl Fn(&'a Encoded) -> I,
) -> Grid {
    let padded = |&row: &&'a Encoded| list(row).chain(std::iter::repeat(fill)).take(length).collect::<Vec<i64>>();
    Grid::ids(rows.iter().flat_map(padded).collect(), length)
}
