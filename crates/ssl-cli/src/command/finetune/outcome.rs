//! What a fine-tuning came to: scores of the best checkpoint of each seed, their mean and spread, and the files that hold them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::task::Task;
use ssl_eval::Estimate;
use ssl_eval::adapted::{Asked, Judgement, Score};
use ssl_model::Model;
use ssl_model::weights::{self, WEIGHTS};
use ssl_train::state::TrainState;

use super::learner::Data;
use crate::adapt::FinetuneConfig;
use crate::assemble::Session;
use crate::outcome::Outcome;
use crate::{peft, signal};

/// One seed's scores.
pub(super) struct Found {
    seed: u64,
    checkpoint: PathBuf,
    steps: u64,
    loss: Option<f64>,
    params: u64,
    trained: u64,
    seconds: f64,
    /// By split.
    scores: Vec<(&'static str, Vec<Score>)>,
}

/// What the task has, in a few lines.
pub(super) fn describe(task: &Task) -> String {
    let mut lines = Vec::new();
    for (name, split) in [("train", &task.train), ("validation", &task.validation), ("test", &task.test)] {
        lines.push(format!("{name}: {}", split.describe()));
    }
    if !task.labels.is_empty() {
        let some: Vec<&str> = task.labels.iter().take(12).map(String::as_str).collect();
        let more = if task.labels.len() > some.len() { ", ..." } else { "" };
        lines.push(format!("{} labels: {}{more}", task.labels.len(), some.join(", ")));
    }
    for (name, repeated) in ["validation", "test"].into_iter().zip(task.repeated) {
        if repeated > 0 {
            lines.push(format!("warning: {repeated} {name} examples are training examples too, word for word"));
        }
    }
    lines.join("\n")
}

/// Scores the best checkpoint on every split that is not trained on, and writes what it said.
#[expect(clippy::too_many_arguments, reason = "everything that a score depends on")]
pub(super) fn judge_best(
    session: &Session,
    config: &FinetuneConfig,
    task: &Task,
    data: &Data,
    model: &dyn Model,
    state: &TrainState,
    checkpoint: &Path,
    (dir, seed): (&Path, u64),
    wall: Instant,
) -> Result<Found> {
    weights::load(&checkpoint.join(WEIGHTS), &state.params)?;
    let asked = Asked { model, encoder: &data.encoder, kind: &config.task.kind, labels: &task.labels, device: data.device };
    let mut scores = Vec::new();
    for (name, split) in [("validation", &task.validation), ("test", &task.test)] {
        if split.examples.is_empty() {
            continue;
        }
        let stop = |share| {
            session.progress.share("scoring", share);
            signal::requested()
        };
        let found = asked.judge(&split.examples, &stop)?;
        session.progress.finish();
        write_said(&dir.join(format!("said-{name}.jsonl")), task, split, &found)?;
        scores.push((name, found.scores));
    }
    if let Some(lora) = &config.adapt.lora {
        peft::write(&dir.join("adapter"), &state.params, lora, config)?;
    }
    Ok(Found {
        seed,
        checkpoint: checkpoint.into(),
        steps: state.progress.step,
        loss: state.progress.last_loss,
        params: state.params.count(),
        trained: state.params.moved().count(),
        seconds: wall.elapsed().as_secs_f64(),
        scores,
    })
}

/// One line an example: what was asked, what is true, what was said.
fn write_said(path: &Path, task: &Task, split: &ssl_data::task::Split, found: &Judgement) -> Result<()> {
    let mut text = String::new();
    for (at, (example, said)) in split.examples.iter().zip(&found.said).enumerate() {
        let mut line = json!({ "id": example.id, "doc": example.content.to_json(&task.labels), "said": said });
        if let Some(each) = found.each.get(at) {
            line[found.scores.first().map_or("score", |score| score.metric)] = (*each).into();
        }
        text.push_str(&line.to_string());
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The document of all seeds, also as `results.json`.
pub(super) fn write(out: &Path, task_name: &str, task: &Task, found: &[Found], seconds: f64) -> Result<Outcome> {
    let mut results = Vec::new();
    let mut lines = Vec::new();
    let splits = [("validation", &task.validation), ("test", &task.test)];
    for (name, split) in splits {
        let of: Vec<&Vec<Score>> =
            found.iter().flat_map(|one| &one.scores).filter(|(other, _)| *other == name).map(|(_, scores)| scores).collect();
        let Some(first) = of.first() else { continue };
        for (place, score) in first.iter().enumerate() {
            let values: Vec<f64> = of.iter().filter_map(|scores| Some(scores.get(place)?.interval.estimate.value)).collect();
            let over = Estimate::mean(&values);
            // The spread of seeds, where there are several; else the error of the examples.
            let spread = (values.len() > 1).then(|| over.stderr * (values.len() as f64).sqrt());
            let interval = score.interval;
            results.push(json!({
                "task": task_name, "split": name, "metric": score.metric, "value": over.value,
                "stderr": interval.estimate.stderr, "low": interval.low, "high": interval.high,
                "seeds": values.len(), "spread": spread, "values": values, "n": split.examples.len(), "data_sha256": split.sha256,
                "higher_is_better": score.higher_is_better,
            }));
            let width = spread.map_or_else(
                || format!("[{:.4}, {:.4}]", interval.low, interval.high),
                |spread| format!("± {spread:.4} over {} seeds", values.len()),
            );
            lines.push(format!("{name:12} {:12} {:.4} {width}  ({} examples)", score.metric, over.value, split.examples.len()));
        }
    }
    let runs: Vec<Value> = found.iter().map(Found::json).collect();
    let dropped = |split: &ssl_data::task::Split| json!({ "examples": split.examples.len(), "dropped": split.dropped_json() });
    let json = json!({
        "run_dir": out, "task": task_name, "results": results, "runs": runs,
        "checkpoint": found.first().map(|one| &one.checkpoint),
        "data": { "train": dropped(&task.train), "validation": dropped(&task.validation), "test": dropped(&task.test),
            "repeated": { "validation": task.repeated[0], "test": task.repeated[1] } },
        "peak_rss_mib": ssl_torch::memory::peak_mib(), "wall_seconds": seconds,
    });
    let path = out.join("results.json");
    std::fs::write(&path, format!("{json:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Outcome { json, human: lines.join("\n"), code: 0 })
}

impl Found {
    fn json(&self) -> Value {
        let Self { seed, checkpoint, steps, loss, params, trained, seconds, .. } = self;
        json!({
            "seed": seed, "checkpoint": checkpoint, "steps": steps, "train_loss": loss, "params": params,
            "trained_params": trained, "wall_seconds": seconds,
        })
    }
}
