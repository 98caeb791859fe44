//! Learns from questions whose answers are known what probabilities mean, and below which nothing is said.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use ssl_data::retrieve::Index;
use ssl_eval::metric::squad::Answer;

use super::{Finder, stop};
use crate::assemble::{Opened, Session};
use crate::documents::labelled::{self, Labelled, score};
use crate::documents::{Answering, Asked, Calibration, Judged};
use crate::outcome::Outcome;

/// Fewer questions than this are warned of.
const FEW: usize = 50;

/// Learns, and stores what was learned beside the index.
pub(super) fn run(
    session: &Session,
    file: &Path,
    wanted: f64,
    finder: &Finder<'_>,
    answers: (&Opened, &Answering),
    dir: &Path,
    of: &str,
) -> Result<Outcome> {
    let labelled = labelled::read(file)?;
    let asked = labelled.iter().map(|one| finder.find(one.question.clone())).collect::<Result<Vec<Asked>>>()?;
    let judged = judge(session, finder.index, answers, &asked, &labelled)?;
    if judged.len() < FEW {
        session
            .progress
            .say(&format!("warning: {} questions say little of how sure answers are; give {FEW} or more", judged.len()));
    }
    let calibration = Calibration::learn(&judged, wanted, of);
    calibration.save(dir)?;
    let human = calibration.learned.as_ref().map_or_else(String::new, |learned| {
        if learned.coverage == 0.0 {
            let wanted = 100.0 * learned.wanted;
            return format!(
                "{} questions: no threshold makes {wanted:.1} % of the answers right; nothing will be answered",
                learned.questions
            );
        }
        format!(
            "{} questions: from probability {:.3} on, {:.1} % of the answers are right ({:.1} % were wanted), and {:.1} % of the \
             questions are answered",
            learned.questions,
            calibration.threshold,
            100.0 * learned.precision,
            100.0 * learned.wanted,
            100.0 * learned.coverage
        )
    });
    Ok(Outcome { json: json!({ "index": dir, "calibration": calibration }), human, code: 0 })
}

/// What a model may answer to each question, and how right that is.
pub(super) fn judge(
    session: &Session,
    index: &Index,
    (opened, answering): (&Opened, &Answering),
    asked: &[Asked],
    labelled: &[Labelled],
) -> Result<Vec<Judged>> {
    let candidates = answering.candidates(opened.model.as_ref(), index, asked, &stop(session, "answering"));
    session.progress.finish();
    let candidates = candidates?;
    let each = || candidates.iter().zip(labelled).flat_map(|(some, labelled)| some.iter().map(move |one| (one, labelled)));
    let texts: Vec<String> = each().map(|(candidate, _)| candidate.text.clone()).collect();
    let of: Vec<&Labelled> = each().map(|(_, labelled)| labelled).collect();
    let mut scores = score(&texts, &of)?.into_iter();
    let judged = candidates.into_iter().map(|candidates| {
        let scores: Vec<Answer> = scores.by_ref().take(candidates.len()).collect();
        let part = |of: fn(&Answer) -> f64| scores.iter().map(of).collect();
        Judged { exact: part(|answer| answer.exact), f1: part(|answer| answer.f1), candidates }
    });
    Ok(judged.collect())
}
