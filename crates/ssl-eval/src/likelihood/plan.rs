//! Which rows are read and what is asked of each, and how they are put into batches.

use std::cmp::Reverse;
use std::ops::Range;

use ssl_data::batch::{Attend, Batch, Grid, Rows, Source};

/// What a model reads at once.
#[derive(Debug)]
pub(super) struct Row {
    /// The source of a model of two stacks, else nothing.
    pub(super) source: Vec<u32>,
    /// The row; of one that looks back, with the last target.
    pub(super) ids: Vec<u32>,
}

/// One reading of a row. Places are those of its ids.
#[derive(Debug)]
struct Question {
    /// The request that it is of.
    of: usize,
    row: usize,
    masked: Range<usize>,
    scored: Range<usize>,
}

/// All rows and all questions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    rows: Vec<Row>,
    questions: Vec<Question>,
}

impl Plan {
    /// Adds a row of request `of`, and for each pair of ranges one reading: which ids are masked, and which scored.
    pub(super) fn push(&mut self, of: usize, row: Row, asked: impl IntoIterator<Item = (Range<usize>, Range<usize>)>) {
        let at = self.rows.len();
        self.questions.extend(asked.into_iter().map(|(masked, scored)| Question { of, row: at, masked, scored }));
        self.rows.push(row);
    }

    /// The request of each question, in order.
    pub(super) fn owners(&self) -> impl ExactSizeIterator<Item = usize> {
        self.questions.iter().map(|question| question.of)
    }

    /// The row that a question is about.
    pub(super) fn row(&self, question: usize) -> &Row {
        &self.rows[self.questions[question].row]
    }

    /// The questions in batches of at most `tokens` positions, padding and sources included, the longest first: a batch that does
    /// not fit into memory is met at once.
    pub(super) fn batches(&self, tokens: usize) -> Vec<Vec<usize>> {
        let lengths = |at: usize| (self.row(at).source.len(), self.row(at).ids.len());
        let mut order: Vec<usize> = (0..self.questions.len()).collect();
        order.sort_by_key(|&at| Reverse((lengths(at).0 + lengths(at).1, lengths(at).0)));
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let (mut source, mut row) = (0, 0);
        for at in order {
            let (own_source, own_row) = lengths(at);
            let (wider_source, wider_row) = (source.max(own_source), row.max(own_row));
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * (wider_source + wider_row) <= tokens => {
                    batch.push(at);
                    (source, row) = (wider_source, wider_row);
                }
                _ => {
                    batches.push(vec![at]);
                    (source, row) = (own_source, own_row);
                }
            }
        }
        batches
    }

    /// One batch, filled up on the right. Rows that look to both sides predict in place, others the next id.
    pub(super) fn batch(
        &self,
        questions: &[usize],
        attend: Attend<Grid>,
        mask: u32,
        pad: u32,
        never: Option<i64>,
    ) -> Batch<Grid> {
        let shift = usize::from(attend != Attend::Both);
        let longest = |of: &dyn Fn(&Row) -> usize| questions.iter().map(|&at| of(self.row(at))).max().unwrap_or(0);
        let t = longest(&|row| row.ids.len() - shift);
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counts, mut documents) = (Vec::new(), Vec::new());
        for &at in questions {
            let Question { masked, scored, .. } = &self.questions[at];
            let ids = &self.row(at).ids;
            let n = ids.len() - shift;
            let hidden = |place: usize| if masked.contains(&place) { mask } else { ids[place] };
            let padded = |ids: &mut dyn Iterator<Item = u32>| -> Vec<i64> {
                ids.map(i64::from).chain(std::iter::repeat(i64::from(pad))).take(t).collect()
            };
            inputs.extend(padded(&mut (0..n).map(hidden)));
            targets.extend(padded(&mut ids[shift..].iter().copied()));
            weights.extend((shift..shift + t).map(|place| f32::from(scored.contains(&place))));
            counts.push(scored.len() as f32);
            documents.extend((0..t).map(|place| i64::from(place >= n)));
        }
        let ids = |data| Grid::ids(data, t);
        // Only rows that look ahead see the padding; a document of its own keeps them apart.
        let apart = attend == Attend::Both && documents.contains(&1);
        let positions = questions.iter().flat_map(|_| 0..t as i64).collect();
        let weights = Grid::reals(weights, t);
        let rows = Rows {
            documents: apart.then(|| ids(documents)),
            attend,
            never,
            ..Rows::new(ids(inputs), ids(targets), weights, Grid::column(counts), ids(positions))
        };
        let s = longest(&|row| row.source.len());
        if s == 0 {
            return Batch::Rows(rows);
        }
        let sources = || questions.iter().map(|&at| &self.row(at).source);
        let fill = |id: i64| std::iter::repeat(id);
        let read = sources().flat_map(|ids| ids.iter().map(|&id| i64::from(id)).chain(fill(i64::from(pad))).take(s)).collect();
        let present = sources().flat_map(|ids| ids.iter().map(|_| 1).chain(fill(0)).take(s)).collect();
        Batch::Pair(Source { ids: Grid::ids(read, s), present: Grid::ids(present, s) }, rows)
    }
}

/// The windows, of at most `size` of `total` ids, in which those from `asked` on are scored, each in one: the window, and the id
/// from which it scores. The first `lead` ids of a window cannot be scored in it.
///
/// One window does where it holds all that is asked, and it begins as far left as it can; otherwise each further one scores
/// `stride` ids more. Needs `stride + lead <= size` and `lead <= asked`.
pub(super) fn windows(total: usize, asked: usize, size: usize, stride: usize, lead: usize) -> Vec<(Range<usize>, usize)> {
    let window = |end: usize| end.saturating_sub(size)..end;
    if asked >= total {
        return Vec::new();
    }
    if total - asked + lead <= size {
        return vec![(window(total), asked)];
    }
    let (mut windows, mut from, mut end) = (Vec::new(), asked, size.max(asked + stride).min(total));
    loop {
        windows.push((window(end), from));
        if end == total {
            return windows;
        }
        (from, end) = (end, (end + stride).min(total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_score_each_id_once_and_see_what_stands_before() {
        for (total, asked, size, stride, lead) in [
            (1, 0, 4, 2, 0),
            (9, 1, 5, 2, 1),
            (30, 1, 5, 2, 1),
            (30, 7, 5, 2, 1),
            (31, 0, 6, 3, 0),
            (30, 27, 6, 4, 0),
            (9, 8, 2, 1, 1),
        ] {
            let found = windows(total, asked, size, stride, lead);
            let case = format!("{total} {asked} {size} {stride} {lead}: {found:?}");
            let scored: Vec<usize> = found.iter().flat_map(|(window, from)| *from..window.end).collect();
            assert_eq!(scored, (asked..total).collect::<Vec<_>>(), "{case}");
            for (nth, (window, from)) in found.iter().enumerate() {
                assert!(window.len() <= size && window.start + lead <= *from, "{case}");
                // All but the first see at least what a stride leaves of a window.
                assert!(nth == 0 || from - window.start >= size - stride, "{case}");
            }
            assert_eq!(found.len() == 1, total - asked + lead <= size, "{case}");
        }
        // What is asked fits, the context does not: it loses its beginning.
        assert_eq!(windows(30, 27, 6, 4, 0), [(24..30, 27)]);
        assert!(windows(3, 3, 6, 4, 0).is_empty());
    }

    fn plan() -> Plan {
        let mut plan = Plan::default();
        for (of, length) in [3, 9, 2, 5, 9, 4].into_iter().enumerate() {
            plan.push(of, Row { source: Vec::new(), ids: (0..length).collect() }, [(1..2, 1..2)]);
        }
        plan
    }

    #[test]
    fn batches_hold_every_question_once_within_the_budget() {
        let plan = plan();
        for tokens in [1, 9, 18, 20, 1000] {
            let batches = plan.batches(tokens);
            let mut all = batches.concat();
            for batch in &batches {
                let longest = batch.iter().map(|&at| plan.row(at).ids.len()).max().unwrap();
                assert!(batch.len() == 1 || batch.len() * longest <= tokens, "{tokens}: {batches:?}");
            }
            all.sort_unstable();
            assert_eq!(all, (0..6).collect::<Vec<_>>());
        }
        assert_eq!(plan.batches(18), [vec![1, 4], vec![3, 5, 0], vec![2]]);
        assert_eq!(plan.batches(1000).len(), 1);
    }

    #[test]
    fn padding_is_a_document_that_nothing_looks_at_and_masks_hide_their_ids() {
        let Batch::Rows(rows) = plan().batch(&[0, 2], Attend::Both, 77, 99, None) else { unreachable!("there is no source") };
        assert_eq!(rows.inputs, Grid::ids(vec![0, 77, 2, 0, 77, 99], 3));
        assert_eq!(rows.targets, Grid::ids(vec![0, 1, 2, 0, 1, 99], 3));
        assert_eq!(rows.weights, Grid::reals(vec![0.0, 1.0, 0.0, 0.0, 1.0, 0.0], 3));
        assert_eq!(rows.documents, Some(Grid::ids(vec![0, 0, 0, 0, 0, 1], 3)));
    }

    #[test]
    fn rows_that_look_back_predict_the_next_id() {
        let mut plan = Plan::default();
        plan.push(0, Row { source: vec![7], ids: vec![1, 2, 3] }, [(0..0, 2..3)]);
        plan.push(1, Row { source: vec![7, 8], ids: vec![1, 2] }, [(0..0, 1..2)]);
        let Batch::Pair(source, rows) = plan.batch(&[0, 1], Attend::Causal, 0, 99, None) else {
            unreachable!("there is a source")
        };
        assert_eq!((source.ids, source.present), (Grid::ids(vec![7, 99, 7, 8], 2), Grid::ids(vec![1, 0, 1, 1], 2)));
        assert_eq!((rows.inputs, rows.targets), (Grid::ids(vec![1, 2, 1, 99], 2), Grid::ids(vec![2, 3, 2, 99], 2)));
        assert_eq!((rows.weights, rows.counts), (Grid::reals(vec![0.0, 1.0, 1.0, 0.0], 2), Grid::column(vec![1.0, 1.0])));
        assert_eq!(rows.documents, None);
    }
}
