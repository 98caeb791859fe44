//! What a model's frozen features tell of a task's classes: a linear probe, and the vote of the nearest examples.

use anyhow::Result;
use ssl_data::task::{Content, Encoder, Example, Task, TaskConfig};
use ssl_eval::Estimate;
use ssl_eval::adapted::features;
use ssl_eval::probe::logistic::Logistic;
use ssl_eval::probe::neighbours::Vote;
use ssl_eval::results::Metric;
use ssl_model::head::Pool;

use crate::adapted::reader;
use crate::assemble::{Opened, Session};
use crate::signal;

/// Neighbours that vote, and how sharply. Source: Wu et al. 2018.
const VOTE: Vote = Vote { neighbours: 20, temperature: Some(0.07) };

/// The probes' scores on `asked`, learned from the task's training examples.
pub(super) fn judge(
    session: &Session,
    opened: &Opened,
    config: &TaskConfig,
    task: &Task,
    asked: &[Example],
) -> Result<Vec<Metric>> {
    let encoder = Encoder::new(opened.vocab()?, opened.model.context(), reader(&opened.shape), &config.kind)?;
    let device = opened.params.device();
    let read = |examples: &[Example]| {
        let stop = |share| {
            session.progress.share("reading", share);
            signal::requested()
        };
        features(opened.model.as_ref(), &encoder, examples, Pool::Mean, device, &stop)
    };
    let (known, asked_features) = (read(&task.train.examples)?, read(asked)?);
    session.progress.finish();
    let (labels, truth) = (labels(&task.train.examples), labels(asked));
    let classes = task.labels.len();
    let probe = Logistic::fit_chosen(&known, &labels, classes, config.seed)?.predict(&asked_features)?;
    let vote = VOTE.predict(&known, &labels, classes, &asked_features)?;
    let share = |predicted: &[usize]| {
        let each: Vec<f64> = predicted.iter().zip(&truth).map(|(a, b)| f64::from(u8::from(a == b))).collect();
        Estimate::mean(&each)
    };
    let metric =
        |name: &str, predicted: &[usize]| Metric { name: name.into(), estimate: share(predicted), higher_is_better: true };
    Ok(vec![metric("probe_acc", &probe), metric("knn_acc", &vote)])
}

fn labels(examples: &[Example]) -> Vec<usize> {
    let label = |example: &Example| if let Content::Texts { label, .. } = &example.content { *label } else { 0 };
    examples.iter().map(label).collect()
}
