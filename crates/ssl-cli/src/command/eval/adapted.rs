//! `ssl eval CHECKPOINT task`: an adapted model on its own task, or on other examples of it.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use ssl_data::task::{Encoder, Split, Task, TaskConfig};
use ssl_eval::adapted::{Asked, Score};

use crate::adapted::reader;
use crate::args::EvalArgs;
use crate::assemble::{Opened, Session};
use crate::outcome::{Outcome, Refusal};
use crate::signal;

/// What it is called among the tasks.
pub(super) const TASK: &str = "task";

/// Scores the adapted model.
pub(super) fn run(session: &Session, args: &EvalArgs, opened: &Opened, wall: Instant) -> Result<Outcome> {
    let Some(adapted) = &opened.adapted else {
        let message = format!("{} was not adapted to a task", opened.dir.display());
        return Err(Refusal::usage(message, "adapt it with ssl finetune, or judge it as it is with --suite"));
    };
    if args.tasks.len() > 1 {
        return Err(Refusal::usage("an adapted model is scored on its task alone", "name no other task beside it"));
    }
    let config = match &args.data {
        // Other examples stand in the place of the test.
        Some(path) => TaskConfig {
            test: vec![path.clone()],
            train: Vec::new(),
            validation: Vec::new(),
            validation_share: 0.0,
            test_share: 0.0,
            ..adapted.config.task.clone()
        },
        None => adapted.config.task.clone(),
    };
    let task = Task::load_with(&config, &adapted.labels)?;
    let length = adapted.config.adapt.row_tokens.map_or(opened.model.context(), |most| opened.model.context().min(most as usize));
    let encoder = Encoder::new(opened.vocab()?, length, reader(&opened.shape), &config.kind)?;
    let asked = Asked {
        model: opened.model.as_ref(),
        encoder: &encoder,
        kind: &config.kind,
        labels: &adapted.labels,
        device: opened.params.device(),
    };
    let (mut results, mut lines) = (Vec::new(), Vec::new());
    let splits: [(&str, &Split); 2] = [("validation", &task.validation), ("test", &task.test)];
    for (name, split) in splits.into_iter().filter(|(_, split)| !split.examples.is_empty()) {
        let stop = |share| {
            session.progress.share("scoring", share);
            signal::requested()
        };
        let found = asked.judge(&split.examples, &stop)?;
        session.progress.finish();
        for Score { metric, interval, .. } in &found.scores {
            let (value, stderr) = (interval.estimate.value, interval.estimate.stderr);
            results.push(json!({
                "task": config.name, "split": name, "metric": metric, "value": value, "stderr": stderr, "low": interval.low,
                "high": interval.high, "n": split.examples.len(), "data_sha256": split.sha256,
            }));
            lines.push(format!(
                "{name:12} {metric:12} {value:.4} [{:.4}, {:.4}]  ({} examples)",
                interval.low,
                interval.high,
                split.examples.len()
            ));
        }
    }
    let json = json!({ "model": opened.dir, "results": results, "wall_seconds": wall.elapsed().as_secs_f64() });
    Ok(Outcome { json, human: lines.join("\n"), code: 0 })
}
