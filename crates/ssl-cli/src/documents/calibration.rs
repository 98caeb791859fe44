//! What a model's scores mean: which of several answers to believe, how probably it is right, and when to say nothing.
//!
//! An answer's score is its margin over no answer, and so much as its passage is the best one: `s = margin + weight * prior`. That it is
//! right has the probability `1 / (1 + exp(-(slope s + offset)))`, learned from questions whose answers are known.
//!
//! Source: Platt 1999, "Probabilistic outputs for support vector machines", with the targets of its section 2.2.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Candidate;

/// The file beside an index.
const CALIBRATION: &str = "calibration.json";
/// Weights that are tried.
const WEIGHTS: [f64; 9] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// How scores are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// How much a passage counts beside what was read in it.
    weight: f64,
    slope: f64,
    offset: f64,
    /// Less probable answers are not given.
    pub(crate) threshold: f64,
    /// What it was learned from; absent before anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learned: Option<Learned>,
}

/// What a calibration was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learned {
    /// For which models and how many passages.
    pub(crate) of: String,
    /// Questions.
    pub(crate) questions: u64,
    /// The precision that was asked for.
    pub(crate) wanted: f64,
    /// That of the answers given at the threshold.
    pub(crate) precision: f64,
    /// The share of questions that are answered there.
    pub(crate) coverage: f64,
}

impl Default for Calibration {
    /// The probability of the span against that of no answer, each logit taken at its word.
    fn default() -> Self {
        Self { weight: 4.0, slope: 1.0, offset: 0.0, threshold: 0.5, learned: None }
    }
}

/// What may be answered to a question, and how right each is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    /// What may be answered.
    pub(crate) candidates: Vec<Candidate>,
    /// 1 where it is exactly right, else 0.
    pub(crate) exact: Vec<f64>,
    /// The share of words that it has in common with the right one.
    pub(crate) f1: Vec<f64>,
}

impl Calibration {
    fn score(&self, candidate: &Candidate) -> f64 {
        candidate.margin + self.weight * candidate.prior
    }

    /// The best of several answers by its number, and the probability that it is right.
    pub(crate) fn best_of(&self, candidates: &[Candidate]) -> Option<(usize, f64)> {
        let scores = candidates.iter().map(|candidate| self.score(candidate)).enumerate();
        let (at, score) = scores.reduce(|best, one| if one.1 > best.1 { one } else { best })?;
        Some((at, 1.0 / (1.0 + (-(self.slope * score + self.offset)).exp())))
    }

    /// The same with the answer itself.
    pub(super) fn best<'a>(&self, candidates: &'a [Candidate]) -> Option<(&'a Candidate, f64)> {
        self.best_of(candidates).map(|(at, probability)| (&candidates[at], probability))
    }

    /// Learns from questions whose answers are known; the threshold is the lowest at which a share `wanted` of the answers given is right.
    /// Where there is none, it is 1, and nothing is answered.
    pub(crate) fn learn(judged: &[Judged], wanted: f64, of: &str) -> Self {
        let with = |weight: f64| Self { weight, ..Self::default() };
        let right = |weight: &f64| judged.iter().map(|one| one.outcome(&with(*weight)).map_or(0.0, |best| best.1)).sum::<f64>();
        let weight = WEIGHTS.into_iter().reduce(|a, b| if right(&b) > right(&a) { b } else { a }).unwrap_or(0.0);
        let mut found = with(weight);
        let scores: Vec<(f64, f64)> = judged
            .iter()
            .filter_map(|one| found.best_of(&one.candidates).map(|(at, _)| (found.score(&one.candidates[at]), one.exact[at])))
            .collect();
        (found.slope, found.offset) = platt(&scores);
        let mut given: Vec<(f64, f64)> = judged.iter().filter_map(|one| one.outcome(&found)).collect();
        given.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut right, mut best) = (0.0, (1.0, 0, 0.0));
        for (at, (probability, exact)) in given.iter().enumerate() {
            right += exact;
            let precision = right / (at + 1) as f64;
            // Equal probabilities are given or withheld together.
            if precision >= wanted && given.get(at + 1).is_none_or(|next| next.0 < *probability) {
                best = (*probability, at + 1, precision);
            }
        }
        let (threshold, answered, precision) = best;
        let coverage = answered as f64 / judged.len().max(1) as f64;
        let learned = Learned { of: of.to_owned(), questions: judged.len() as u64, wanted, precision, coverage };
        Self { threshold, learned: Some(learned), ..found }
    }

    /// Reads what was learned for `of` beside an index; nothing where it was learned for another, or never.
    pub(crate) fn load(dir: &Path, of: &str) -> Result<Option<Self>> {
        let path = dir.join(CALIBRATION);
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        let read: Self = serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(Some(read).filter(|read| read.learned.as_ref().is_some_and(|learned| learned.of == of)))
    }

    /// Whether there is one beside an index, learned for whatever.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(CALIBRATION).exists()
    }

    /// Writes it beside an index, whole or not at all.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(CALIBRATION);
        let text = serde_json::to_string_pretty(self)? + "\n";
        let write = || -> std::io::Result<()> {
            // Called as the index's own drafts are, which the next update removes where a process was killed.
            let mut file = tempfile::Builder::new().prefix(".draft-").tempfile_in(dir)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map(|_| ()).map_err(|fault| fault.error)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Judged {
    /// How probable the best answer is, and whether it is right; nothing where there is none.
    pub(crate) fn outcome(&self, calibration: &Calibration) -> Option<(f64, f64)> {
        calibration.best_of(&self.candidates).map(|(at, probability)| (probability, self.exact[at]))
    }
}

/// Slope and offset of the logistic function of scores under which what is right is likeliest.
fn platt(scores: &[(f64, f64)]) -> (f64, f64) {
    let right: f64 = scores.iter().map(|(_, right)| right).sum();
    let wrong = scores.len() as f64 - right;
    // Targets are held away from 0 and 1, so that scores that part right from wrong do not lead to infinite slopes.
    let (high, low) = ((right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0));
    let (mut slope, mut offset) = (0.0, ((right + 1.0) / (wrong + 1.0)).ln());
    for _ in 0..100 {
        let (mut ga, mut gb, mut aa, mut ab, mut bb) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
        for &(score, right) in scores {
            let target = if right > 0.5 { high } else { low };
            let p = 1.0 / (1.0 + (-(slope * score + offset)).exp());
            let (d, w) = (p - target, (p * (1.0 - p)).max(1e-12));
            (ga, gb) = (ga + d * score, gb + d);
            (aa, ab, bb) = (aa + w * score * score, ab + w * score, bb + w);
        }
        let determinant = aa * bb - ab * ab;
        if determinant.abs() < 1e-12 {
            break;
        }
        // Newton's steps may overshoot where the function is flat; half a logit a time cannot.
        let (da, db) = ((bb * ga - ab * gb) / determinant, (aa * gb - ab * ga) / determinant);
        let size = scores.iter().map(|(score, _)| (da * score + db).abs()).fold(0.0, f64::max);
        let step = if size > 2.0 { 2.0 / size } else { 1.0 };
        (slope, offset) = (slope - step * da, offset - step * db);
        if size < 1e-9 {
            break;
        }
    }
    (slope, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(margin: f64, prior: f64) -> Candidate {
        Candidate { text: "x".into(), place: None, margin, prior }
    }

    /// Right with the probability that a logistic function of the margin gives.
    fn questions(slope: f64, offset: f64) -> Vec<Judged> {
        let question = |at: u32| {
            let margin = f64::from(at % 100) / 10.0 - 5.0;
            let draw = f64::from((at * 7919 + at / 100 * 104_729) % 1000) / 1000.0;
            let right = f64::from(u8::from(draw < 1.0 / (1.0 + (-(slope * margin + offset)).exp())));
            Judged { candidates: vec![candidate(margin, 0.0)], exact: vec![right], f1: vec![right] }
        };
        (0..10_000).map(question).collect()
    }

    #[test]
    fn probabilities_are_what_they_say_and_the_threshold_keeps_its_promise() {
        let judged = questions(0.8, -0.5);
        let found = Calibration::learn(&judged, 0.9, "x");
        assert!((found.slope - 0.8).abs() < 0.08 && (found.offset + 0.5).abs() < 0.1, "{found:?}");
        let given: Vec<f64> =
            judged.iter().filter_map(|one| one.outcome(&found)).filter(|one| one.0 >= found.threshold).map(|one| one.1).collect();
        let learned = found.learned.expect("it learned");
        assert!(given.iter().sum::<f64>() / given.len() as f64 >= 0.9);
        // By the integral of the logistic function, its mean is 0.9 from a margin of 2.17 on, of margins from -5 to 5.
        assert!(
            (learned.coverage - given.len() as f64 / judged.len() as f64).abs() < 1e-9 && (learned.coverage - 0.283).abs() < 0.03,
            "{learned:?}"
        );
        // Fewer right answers than are wanted: none is given.
        let never = Calibration::learn(&questions(0.0, -2.0), 0.95, "x");
        assert!(never.threshold > 0.9, "{never:?}");
    }

    #[test]
    fn passages_count_as_much_as_they_help() {
        let question = |helps: bool| Judged {
            candidates: vec![candidate(1.0, 0.0), candidate(2.0, -0.3)],
            exact: vec![f64::from(u8::from(helps)), f64::from(u8::from(!helps))],
            f1: vec![0.0, 0.0],
        };
        let learn = |helps| {
            Calibration::learn(&vec![question(helps); 20], 0.5, "x").best_of(&question(true).candidates).map(|best| best.0)
        };
        assert_eq!((learn(true), learn(false)), (Some(0), Some(1)));
        assert_eq!(Calibration::default().best_of(&[]), None);
    }

    #[test]
    fn what_was_learned_for_another_model_is_not_used() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Calibration::load(dir.path(), "a").expect("reads"), None);
        let found = Calibration::learn(&questions(0.8, -0.5), 0.9, "a");
        found.save(dir.path()).expect("saves");
        assert_eq!(Calibration::load(dir.path(), "a").expect("reads"), Some(found));
        assert_eq!(Calibration::load(dir.path(), "b").expect("reads"), None);
    }
}
