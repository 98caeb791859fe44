//! The page of a comparison, from what its arms left in their run folders.

use std::path::Path;

use anyhow::{Context, Result};
use ssl_train::report::{Metrics, Record};

use super::Arm;
use super::plan::Plan;
use super::size::Size;
use super::verdict::{self, Verdict, Verdicts};
use crate::compare::CompareConfig;
use crate::diagnose::Loaded;
use crate::page::comparison::Comparison;
use crate::progress::words;

/// Writes `comparison.html`.
pub(super) fn write(
    path: &Path,
    loaded: &Loaded<CompareConfig>,
    plan: &Plan,
    arms: &[Arm],
    verdicts: &Verdicts,
    sizes: &[Size],
) -> Result<()> {
    let budget = &loaded.value.budget;
    let cost = match (budget.flops, budget.minutes) {
        (Some(flops), _) => format!("{} operations each", words::scaled(flops)),
        (None, minutes) => format!("{} minutes each", words::significant(minutes.unwrap_or(0.0))),
    };
    let line = format!("{} trainings on {} tokens, {cost}", arms.len(), words::scaled(plan.manifest.train.tokens as f64));
    let answers: Vec<String> = verdicts.0.iter().map(Verdict::words).chain(sizes.iter().map(Size::words)).collect();
    let records: Vec<Vec<Record>> =
        arms.iter().map(|arm| Metrics::read(&arm.planned.dir.join("metrics.jsonl"))).collect::<Result<_, _>>()?;
    let timed = budget.flops.is_none();
    let curve = |value: fn(&Record) -> Option<f64>| -> Vec<(String, Vec<(f64, f64)>)> {
        let of = |(arm, records): (&Arm, &Vec<Record>)| {
            let per_step = arm.planned.flops.zip(arm.planned.steps).map_or(0.0, |(flops, steps)| flops / steps.max(1) as f64);
            let x = |record: &Record| if timed { record.seconds } else { record.step as f64 * per_step / 1e9 };
            let points = records.iter().filter_map(|record| Some((x(record), value(record)?))).collect::<Vec<_>>();
            (arm.planned.label(), points)
        };
        arms.iter().zip(&records).map(of).filter(|(_, points)| !points.is_empty()).collect()
    };
    let charts = vec![
        ("Bits per byte", "of validation text, lower is better", curve(|record| record.val_bpb)),
        ("Loss", "nats a target; what a target is differs between paradigms", curve(|record| Some(record.loss))),
    ];
    let sample = |(arm, records): (&Arm, &Vec<Record>)| {
        Some((arm.planned.label(), records.iter().rev().find_map(|record| record.sample.clone())?))
    };
    let samples: Vec<(String, String)> = arms.iter().zip(&records).filter_map(sample).collect();
    let title = path.parent().and_then(Path::file_name).map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let page = Comparison {
        title: &title,
        line: &line,
        answers: &answers,
        heads: &verdict::heads(plan),
        rows: &verdict::rows(arms, plan),
        across: if timed { "seconds" } else { "GFLOP" },
        charts,
        samples: &samples,
        notes: &notes(plan, arms, budget.flops.is_some()),
        config: &loaded.verbatim,
    };
    page.write(path).with_context(|| format!("cannot write {}", path.display()))
}

/// What the numbers rest on, and what they do not say.
fn notes(plan: &Plan, arms: &[Arm], counted: bool) -> Vec<String> {
    let mut notes = vec![
        format!("One corpus, {}, and one tokenizer of {} ids.", plan.manifest.fingerprint, words::count(u64::from(plan.manifest.vocab_size))),
        if counted {
            "Operations are counted over each model's own batches, attention in full, as the README's formulas say; embeddings are looked up for nothing."
        } else {
            "Minutes are wall time of training, on this machine, with whatever else ran on it."
        }
        .to_owned(),
        "Bits a byte are only known of paradigms whose loss is the text's likelihood, or a bound on it: of the others tasks alone speak.".into(),
        "Scores stand with 95 % intervals over examples; two arms are told apart by a paired permutation test on the same examples.".into(),
    ];
    for arm in arms.iter().filter(|arm| arm.planned.capped) {
        notes.push(format!("{} read the text as often as allowed and left the rest of the budget unspent.", arm.planned.label()));
    }
    for (arm, task, reason) in arms
        .iter()
        .flat_map(|arm| arm.tasks.iter().filter_map(|(task, found)| Some((arm.planned.label(), task, found.as_ref().err()?))))
    {
        notes.push(format!("{arm} was not asked {task}: {reason}."));
    }
    notes
}
