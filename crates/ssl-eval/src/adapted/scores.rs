//! Answers against what is true: the scores that a task's kind is judged by, the first of them the one that decides.

use serde::Serialize;
use ssl_data::task::{Content, Example, Language, TaskKind, WritingMetric};

use super::said::{Said, largest};
use crate::bleu;
use crate::bootstrap::{Bootstrap, Interval};
use crate::error::Result;
use crate::metric::calibration::Calibration;
use crate::metric::classification::{Guess, matthews, scorer};
use crate::metric::rouge::{Rouge, rouge};
use crate::metric::spans::{self, Spans};
use crate::metric::squad::{self, Version};
use crate::metric::{Average, Measure, chrf, cmrc};

/// One score of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// What is measured.
    pub metric: &'static str,
    /// The score and its bounds.
    #[serde(flatten)]
    pub interval: Interval,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// What was said, and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The scores, the one that decides first.
    pub scores: Vec<Score>,
    /// What was said of each example.
    pub said: Vec<Said>,
    /// What each example adds to the score that decides, where that is a mean: for paired comparisons.
    pub each: Vec<f64>,
}

impl Judgement {
    /// The score that decides, turned so that less is better.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.scores.first().map_or(f64::NAN, |score| {
            if score.higher_is_better { -score.interval.estimate.value } else { score.interval.estimate.value }
        })
    }
}

fn score(metric: &'static str, interval: Interval) -> Score {
    Score { metric, interval, higher_is_better: !matches!(metric, "ece" | "nats") }
}

fn mean(metric: &'static str, each: &[f64]) -> Result<Score> {
    let value = |drawn: &[&f64]| drawn.iter().copied().sum::<f64>() / drawn.len() as f64;
    Ok(score(metric, Bootstrap::default().interval(each, value)?))
}

/// Scores what was said of examples.
pub(super) fn judge(kind: &TaskKind, labels: &[String], examples: &[Example], said: Vec<Said>) -> Result<Judgement> {
    let (scores, each) = match kind {
        TaskKind::Classification(_) => classes(labels.len(), examples, &said)?,
        TaskKind::Tagging(config) => tags(labels, config.spans, examples, &said)?,
        TaskKind::Extraction(config) => answers(config.language, config.unanswerable, examples, &said)?,
        TaskKind::Writing(config) => texts(config.metric, examples, &said)?,
        _ => nats(&said)?,
    };
    Ok(Judgement { scores, said, each })
}

type Scored = (Vec<Score>, Vec<f64>);

fn classes(count: usize, examples: &[Example], said: &[Said]) -> Result<Scored> {
    let mut guesses = Vec::with_capacity(said.len());
    let (mut confidences, mut right) = (Vec::with_capacity(said.len()), Vec::with_capacity(said.len()));
    for (example, said) in examples.iter().zip(said) {
        let (Content::Texts { label, .. }, Said::Class(shares)) = (&example.content, said) else { continue };
        let predicted = largest(shares);
        guesses.push(Guess { truth: *label, predicted });
        let confidence = f64::from(shares.get(predicted).copied().unwrap_or(0.0)).clamp(0.0, 1.0);
        confidences.push(confidence);
        right.push(*label == predicted);
    }
    let each: Vec<f64> = guesses.iter().map(|guess| f64::from(u8::from(guess.truth == guess.predicted))).collect();
    let how = Bootstrap::default();
    let scores = vec![
        mean("accuracy", &each)?,
        score("f1_macro", how.interval(&guesses, scorer(count, Measure::F1, Average::Macro))?),
        score("matthews", how.interval(&guesses, matthews(count))?),
        score("ece", Calibration::new(&confidences, &right)?.error(&how)?),
    ];
    Ok((scores, each))
}

fn tags(labels: &[String], as_spans: bool, examples: &[Example], said: &[Said]) -> Result<Scored> {
    let name = |tag: usize| labels.get(tag).map_or("O", String::as_str);
    let (mut truth, mut predicted, mut right) = (Vec::new(), Vec::new(), Vec::new());
    for (example, said) in examples.iter().zip(said) {
        let (Content::Words { tags, .. }, Said::Tags(found)) = (&example.content, said) else { continue };
        let hits = tags.iter().zip(found).filter(|(a, b)| a == b).count();
        right.push((hits as f64, tags.len() as f64));
        truth.push(tags.iter().map(|&tag| name(tag)).collect::<Vec<_>>());
        predicted.push(found.iter().map(|&tag| name(tag)).collect::<Vec<_>>());
    }
    let share = |drawn: &[&(f64, f64)]| {
        let (hits, words) = drawn.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        hits / words
    };
    let accuracy = score("accuracy", Bootstrap::default().interval(&right, share)?);
    let each = right.iter().map(|(hits, words)| hits / words).collect();
    if !as_spans {
        return Ok((vec![accuracy], each));
    }
    let found = Spans::new(&truth, &predicted)?;
    let how = Bootstrap::default();
    let of = |measure| how.interval(found.sentences(), spans::scorer(found.types().len(), measure, Average::Micro));
    let scores = vec![
        score("f1", of(Measure::F1)?),
        score("precision", of(Measure::Precision)?),
        score("recall", of(Measure::Recall)?),
        accuracy,
    ];
    // F1 is no mean over sentences, so none adds a number to it.
    Ok((scores, Vec::new()))
}

fn answers(language: Language, unanswerable: bool, examples: &[Example], said: &[Said]) -> Result<Scored> {
    let (mut texts, mut references) = (Vec::new(), Vec::new());
    for (example, said) in examples.iter().zip(said) {
        let (Content::Question { references: known, .. }, Said::Span { text, no_answer, .. }) = (&example.content, said) else {
            continue;
        };
        texts.push(if unanswerable && *no_answer > 0.0 { String::new() } else { text.clone() });
        references.push(known.clone());
    }
    let version = if unanswerable { Version::V2 } else { Version::V1 };
    let found = match language {
        Language::En => squad::answers(version, &texts, &references)?,
        Language::Zh => cmrc::answers(&texts, &references)?,
    };
    let part = |of: fn(&squad::Answer) -> f64| found.iter().map(of).collect::<Vec<f64>>();
    let f1 = part(|answer| answer.f1);
    Ok((vec![mean("f1", &f1)?, mean("exact_match", &part(|answer| answer.exact))?], f1))
}

fn texts(metric: WritingMetric, examples: &[Example], said: &[Said]) -> Result<Scored> {
    let (mut ours, mut first, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (example, said) in examples.iter().zip(said) {
        let (Content::Writing { targets, .. }, Said::Text(text)) = (&example.content, said) else { continue };
        ours.push(text.clone());
        first.push(targets.first().cloned().unwrap_or_default());
        all.push(targets.clone());
    }
    let how = Bootstrap::default();
    let bleu = || how.interval(&bleu::counts(&ours, &first), bleu::score).map(|found| score("bleu", found));
    let chrf = || chrf::chrf(chrf::Runs::Characters, &ours, &all, &how).map(|found| score("chrf", found));
    match metric {
        WritingMetric::Bleu => Ok((vec![bleu()?, chrf()?], Vec::new())),
        WritingMetric::Chrf => Ok((vec![chrf()?, bleu()?], Vec::new())),
        WritingMetric::Rouge => {
            let of = |kind| rouge(kind, &ours, &all).map(|found| found.iter().map(|one| one.f1).collect::<Vec<f64>>());
            let longest = of(Rouge::L)?;
            let scores =
                vec![mean("rouge_l", &longest)?, mean("rouge_1", &of(Rouge::N(1))?)?, mean("rouge_2", &of(Rouge::N(2))?)?];
            Ok((scores, longest))
        }
    }
}

/// Of pairs the share whose first is likelier, ties counted half; of single texts their mean nats.
fn nats(said: &[Said]) -> Result<Scored> {
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for said in said {
        match said {
            Said::Nats(nats) if nats.len() == 2 => pairs.push(match nats[0].total_cmp(&nats[1]) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            }),
            Said::Nats(nats) => alone.push(nats.iter().copied().map(f64::from).sum()),
            _ => {}
        }
    }
    if pairs.is_empty() { Ok((vec![mean("nats", &alone)?], alone)) } else { Ok((vec![mean("accuracy", &pairs)?], pairs)) }
}
