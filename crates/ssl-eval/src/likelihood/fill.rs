//! What a model would put into the gaps of a text.
//!
//! | the model reads | a gap is | its candidates | given |
//! |---|---|---|---|
//! | rows that look to both sides | a mask | tokens | all else, other gaps masked too |
//! | a source and its target | a sentinel | runs of tokens, with the probability of the run and its end | all else, and what was put into the gaps before |
//!
//! Source: Devlin et al. 2019, section 3.1; Raffel et al. 2020, section 3.1.4.

use std::collections::BTreeSet;

use ssl_data::vocab::{MASK, sentinel};

use super::plan::{Plan, Row};
use super::{Candidate, Frame, Scorer};
use crate::error::{Error, Result};

/// Gaps of one text.
const GAPS: usize = 32;
/// Tokens of a run that is put into a gap.
const RUN_TOKENS: usize = 12;

/// Runs searched at once, however few are asked for.
const BEAM: usize = 4;

/// A run of tokens on its way, and the logarithm of its probability.
type Run = (Vec<u32>, f64);

impl Scorer<'_> {
    /// For each `[MASK]` of a text the `top_k` likeliest candidates, the best first. A space before a gap is the candidate's, where the
    /// vocabulary joins spaces to the words after them. `stop` ends it.
    ///
    /// # Errors
    /// When the model fills no gaps, the text has none, more than 32, or more tokens than are read at once, the model's output is not
    /// finite, or an operation fails.
    pub fn fill(&self, text: &str, top_k: usize, stop: &dyn Fn(f64) -> bool) -> Result<Vec<Vec<Candidate>>> {
        let parts: Vec<&str> = text.split(MASK).collect();
        let gaps = parts.len() - 1;
        if !(1..=GAPS).contains(&gaps) {
            return Err(Error::Gaps { gaps, most: GAPS });
        }
        let joins = joins_spaces(self.vocab)?;
        let encode = |(at, &part): (usize, &&str)| self.vocab.encode(if joins && at < gaps { part.trim_end() } else { part });
        let parts = parts.iter().enumerate().map(encode).collect::<ssl_data::Result<Vec<_>>>()?;
        let specials: BTreeSet<u32> = self.vocab.specials().collect();
        let (most, top_k) = (self.model.context(), top_k.max(1));
        let fits = |row: &[u32]| if row.len() > most { Err(Error::TooLong { tokens: row.len(), most }) } else { Ok(()) };
        match &self.frame {
            Frame::Both { begin, end, mask, .. } => {
                let row: Vec<u32> = [*begin].into_iter().chain(joined(&parts, |_| *mask)).chain(*end).collect();
                fits(&row)?;
                let mut plan = Plan::default();
                let masks: Vec<usize> = gaps_of(&parts).map(|at| 1 + at).collect();
                plan.push(0, Row { source: Vec::new(), ids: row }, masks.into_iter().map(|at| (at..at + 1, at..at + 1)));
                let places = self.places(&plan, top_k, stop)?.into_iter().flatten();
                let of = |(id, p): (u32, f64)| self.candidate(vec![id], p, &specials);
                Ok(places.map(|place| place.likeliest.into_iter().map(of).collect()).collect())
            }
            Frame::Pair { start, end, mark: Some(_), modes } => {
                let marks = (0..gaps).map(|k| self.vocab.special(&sentinel(k)));
                let marks = marks.collect::<ssl_data::Result<Vec<_>>>()?;
                let mode = modes.map(|[_, fills]| fills);
                let source: Vec<u32> = mode.into_iter().chain(joined(&parts, |k| marks[k])).chain([*end]).collect();
                fits(&source)?;
                let mut target = vec![*start];
                let mut filled = Vec::with_capacity(gaps);
                for mark in marks {
                    target.push(mark);
                    let runs = self.runs(&source, &target, top_k.max(BEAM), &specials, stop)?;
                    target.extend(runs.first().iter().flat_map(|(run, _)| run));
                    filled
                        .push(runs.into_iter().take(top_k).map(|(run, log)| self.candidate(run, log.exp(), &specials)).collect());
                }
                Ok(filled)
            }
            Frame::Back { .. } | Frame::Pair { .. } => Err(Error::NotFilling),
        }
    }

    /// The likeliest runs after `target`, each up to a special token that ends it, by a beam of `width`.
    fn runs(
        &self,
        source: &[u32],
        target: &[u32],
        width: usize,
        specials: &BTreeSet<u32>,
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vec<Run>> {
        let (mut open, mut ended): (Vec<Run>, Vec<Run>) = (vec![(Vec::new(), 0.0)], Vec::new());
        for _ in 0..=RUN_TOKENS {
            let mut plan = Plan::default();
            for (run, _) in &open {
                // The last id is only what is asked for.
                let ids = [target, run, &[self.pad]].concat();
                let asked = ids.len() - 1..ids.len();
                plan.push(0, Row { source: source.to_vec(), ids }, [(0..0, asked)]);
            }
            let mut longer: Vec<Run> = Vec::new();
            for ((run, log), place) in open.iter().zip(self.places(&plan, width, stop)?.into_iter().flatten()) {
                let (ends, goes_on): (Vec<_>, Vec<_>) = place.likeliest.into_iter().partition(|(id, _)| specials.contains(id));
                // Whatever ends a run, it is the same run.
                let end: f64 = ends.iter().map(|(_, p)| p).sum();
                if end > 0.0 {
                    ended.push((run.clone(), log + end.ln()));
                }
                longer.extend(goes_on.into_iter().map(|(id, p)| ([&run[..], &[id]].concat(), log + p.ln())));
            }
            best_first(&mut longer, width);
            best_first(&mut ended, width);
            open = longer;
            // An open run only becomes less likely.
            let worst =
                if ended.len() == width { ended.last().map_or(f64::NEG_INFINITY, |run| run.1) } else { f64::NEG_INFINITY };
            if open.first().is_none_or(|best| best.1 <= worst) {
                break;
            }
        }
        Ok(if ended.is_empty() { open } else { ended })
    }
}

/// Keeps the likeliest, in their order; equal ones stay as they stand.
fn best_first(runs: &mut Vec<Run>, most: usize) {
    runs.sort_by(|a, b| b.1.total_cmp(&a.1));
    runs.truncate(most);
}

/// Parts of a text with something between each two.
fn joined(parts: &[Vec<u32>], between: impl Fn(usize) -> u32) -> Vec<u32> {
    let mut ids = parts.first().cloned().unwrap_or_default();
    for (gap, part) in parts.iter().skip(1).enumerate() {
        ids.push(between(gap));
        ids.extend(part);
    }
    ids
}

/// Where the gaps between parts stand.
fn gaps_of(parts: &[Vec<u32>]) -> impl Iterator<Item = usize> {
    parts[..parts.len().saturating_sub(1)].iter().scan(0, |at, part| {
        let gap = *at + part.len();
        *at = gap + 1;
        Some(gap)
    })
}

/// Whether a space is a part of the token after it, rather than one of its own.
fn joins_spaces(vocab: &ssl_data::vocab::Vocab) -> Result<bool> {
    let space = vocab.encode(" ")?;
    Ok(!vocab.encode("in the")?.iter().any(|id| space.contains(id)))
}
