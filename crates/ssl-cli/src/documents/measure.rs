//! How well questions are answered from a collection: whether their passages are found, whether answers are right, and how that grows
//! where the less certain ones are withheld.
//!
//! Source: the curve of risk over coverage and the area under it: Geifman and El-Yaniv 2017, "Selective classification for deep neural
//! networks", section 2.

use serde::Serialize;
use ssl_eval::Estimate;

use super::calibration::{Calibration, Judged};

/// The shares of questions whose passage is among the first 1, 5 and 20.
pub(crate) const DEPTHS: [usize; 3] = [1, 5, 20];

/// A share with its standard error.
pub(crate) fn share(each: impl IntoIterator<Item = bool>) -> Estimate {
    Estimate::mean(&each.into_iter().map(|hit| f64::from(u8::from(hit))).collect::<Vec<f64>>())
}

/// Scores of answers, and of those that are given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scores {
    /// Where every question is answered.
    pub(crate) all: Means,
    /// Of the answers given at the threshold.
    pub(crate) given: Means,
    /// The share of questions that are answered there.
    pub(crate) coverage: f64,
    /// The precision that the threshold was learned for; absent where it was named.
    pub(crate) wanted: Option<f64>,
    /// The mean over all coverages of the share of wrong answers.
    pub(crate) area_under_risk: f64,
    /// From the most certain answer alone to all.
    pub(crate) curve: Vec<Point>,
}

/// Means over answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Means {
    /// The share that is exactly right.
    pub(crate) exact_match: Estimate,
    /// The mean share of words in common with what is right.
    pub(crate) f1: Estimate,
}

/// A point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Point {
    /// The share of questions answered.
    pub(crate) coverage: f64,
    /// The share of those whose answer is not exactly right.
    pub(crate) risk: f64,
    /// One less their mean F1.
    pub(crate) f1_risk: f64,
    /// The probability of the last one.
    pub(crate) threshold: f64,
}

/// An answer as it would be given: its probability, whether it is exactly right, and its F1.
type Given = (f64, f64, f64);

/// Scores questions; each half, as `side` parts them, is judged by what was learned on the other, so that none is judged by itself.
pub(crate) fn scores(judged: &[Judged], side: &dyn Fn(usize) -> bool, wanted: f64, threshold: Option<f64>) -> Scores {
    let half = |which: bool| judged.iter().enumerate().filter(move |(at, _)| side(*at) == which).map(|(_, one)| one.clone());
    let learn = |which: bool| Calibration::learn(&half(which).collect::<Vec<_>>(), wanted, "");
    let by = [learn(true), learn(false)];
    let mut given: Vec<(Given, bool)> = Vec::with_capacity(judged.len());
    for (at, one) in judged.iter().enumerate() {
        let calibration = &by[usize::from(side(at))];
        let best = calibration.best_of(&one.candidates);
        let answer = best.map_or((0.0, 0.0, 0.0), |(best, probability)| (probability, one.exact[best], one.f1[best]));
        given.push((answer, best.is_some() && answer.0 >= threshold.unwrap_or(calibration.threshold)));
    }
    let all: Vec<Given> = given.iter().map(|one| one.0).collect();
    let kept: Vec<Given> = given.iter().filter(|one| one.1).map(|one| one.0).collect();
    let (curve, area_under_risk) = curve(all.clone());
    Scores {
        coverage: kept.len() as f64 / all.len().max(1) as f64,
        all: means(&all),
        given: means(&kept),
        wanted: threshold.is_none().then_some(wanted),
        area_under_risk,
        curve,
    }
}

fn means(given: &[Given]) -> Means {
    let of = |part: fn(&Given) -> f64| Estimate::mean(&given.iter().map(part).collect::<Vec<f64>>());
    Means { exact_match: of(|one| one.1), f1: of(|one| one.2) }
}

/// The curve at each hundredth of coverage, and the area under all of it.
fn curve(mut given: Vec<Given>) -> (Vec<Point>, f64) {
    given.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n = given.len();
    let (mut right, mut shared, mut area) = (0.0, 0.0, 0.0);
    let mut points: Vec<Point> = Vec::new();
    for (at, (probability, exact, f1)) in given.into_iter().enumerate() {
        right += exact;
        shared += f1;
        let count = (at + 1) as f64;
        let risk = 1.0 - right / count;
        area += risk / n as f64;
        // Each hundredth once, at the first question that reaches it.
        if (at + 1) * 100 / n > at * 100 / n {
            points.push(Point { coverage: count / n as f64, risk, f1_risk: 1.0 - shared / count, threshold: probability });
        }
    }
    (points, area)
}

#[cfg(test)]
mod tests {
    use super::super::Candidate;
    use super::*;

    fn judged(margins: &[(f64, f64)]) -> Vec<Judged> {
        let one = |&(margin, exact): &(f64, f64)| Judged {
            candidates: vec![Candidate { text: "x".into(), place: None, margin, prior: 0.0 }],
            exact: vec![exact],
            f1: vec![exact],
        };
        margins.iter().map(one).collect()
    }

    #[test]
    fn risk_grows_with_coverage_where_scores_know_what_is_right() {
        let sure: Vec<(f64, f64)> =
            (0..400).map(|at| (f64::from(at % 100) / 10.0, f64::from(u8::from(at % 100 >= 40)))).collect();
        let found = scores(&judged(&sure), &|at| at < 200, 0.95, None);
        assert!((found.all.exact_match.value - 0.6).abs() < 1e-12 && found.given.exact_match.value >= 0.95, "{found:?}");
        assert!((0.55..0.68).contains(&found.coverage) && found.curve.len() == 100, "{found:?}");
        assert!(found.curve[50].risk < 1e-9 && (found.curve[99].risk - 0.4).abs() < 1e-9, "{found:?}");
        // 1 - 0.6 - 0.6 ln(1 / 0.6), the integral of the shares that are wrong beyond the first 0.6.
        assert!((found.area_under_risk - (0.4 + 0.6 * 0.6_f64.ln())).abs() < 0.01, "{}", found.area_under_risk);
    }

    #[test]
    fn a_question_without_a_candidate_is_never_answered() {
        let mut all = judged(&[(1.0, 1.0), (2.0, 1.0), (3.0, 0.0)]);
        all[2].candidates.clear();
        let found = scores(&all, &|at| at == 0, 0.5, Some(0.0));
        assert!((found.coverage - 2.0 / 3.0).abs() < 1e-12 && found.wanted.is_none());
        assert!((found.given.exact_match.value - 1.0).abs() < 1e-12 && (found.all.exact_match.value - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(share([true, false]).value, 0.5);
    }
}
