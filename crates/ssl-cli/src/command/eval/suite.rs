//! `ssl eval --suite`: tasks from a file, judged by likelihood or by probes of frozen features, example by example, so that an
//! evaluation that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::json;
use ssl_data::task::{Split, Task, TaskKind};
use ssl_eval::Estimate;
use ssl_eval::likelihood::Scorer;
use ssl_eval::results::{self, Key, Ledger, Metric, Run, Sample, TaskResult};
use ssl_model::weights::WEIGHTS;

use super::question::Question;
use super::{contamination, probe};
use crate::args::EvalArgs;
use crate::assemble::{Opened, Session};
use crate::outcome::{Outcome, Refusal};
use crate::signal;
use crate::suite::{SuiteConfig, SuiteTask};

/// Examples between two records of the ledger.
const CHUNK: usize = 64;

/// Judges the model by every task of the suite.
pub(super) fn run(session: &Session, args: &EvalArgs, opened: &Opened, file: &Path, wall: Instant) -> Result<Outcome> {
    let loaded = SuiteConfig::load(file)?;
    let out = args.out.clone().unwrap_or_else(|| opened.dir.join("eval"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let model = super::sha256(&[opened.dir.join(WEIGHTS)])?;
    let mut ledger = Ledger::open(&out.join("ledger.jsonl"))?;
    let mut found = Vec::new();
    for (name, asked) in &loaded.value.tasks {
        session.progress.say(&format!("task {name}"));
        let task = Task::load(&asked.task).with_context(|| format!("in task {name}"))?;
        let split = if task.test.examples.is_empty() { &task.validation } else { &task.test };
        let judge = Judge { session, opened, name, asked, seed: loaded.value.seed, model: &model, limit: args.limit };
        let scored = judge.judge(&task, split, &mut ledger)?;
        if !scored.samples.is_empty() {
            results::save(&out.join(format!("samples_{name}.jsonl")), &results::lines(&scored.samples)?)?;
        }
        let seen = contamination::of(opened, &args.checkpoint, split)?;
        found.push((name, scored, split.sha256.clone(), seen));
    }
    let date = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let run = Run {
        model: opened.dir.display().to_string(),
        model_sha256: model,
        batch_size: CHUNK as u64,
        limit: args.limit,
        fewshot_seed: loaded.value.seed,
        date,
    };
    let tasks: Vec<TaskResult> = found.iter().map(|(_, scored, ..)| scored.result.clone()).collect();
    let mut harness = run.results(&tasks);
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (name, scored, sha256, seen) in &found {
        for Metric { name: metric, estimate: Estimate { value, stderr, n }, higher_is_better } in &scored.result.metrics {
            rows.push(json!({
                "task": name, "metric": metric, "value": value, "stderr": stderr, "n": n, "data_sha256": sha256,
                "higher_is_better": higher_is_better, "shots": scored.result.shots, "contamination": seen,
            }));
            lines.push(format!("{name:16} {metric:16} {value:.4} ± {stderr:.4}  ({n} examples)"));
        }
        lines.push(format!("{name:16} {}", contamination::words(seen)));
    }
    harness["contamination"] =
        found.iter().map(|(name, _, _, seen)| ((*name).clone(), seen.clone())).collect::<BTreeMap<_, _>>().into_iter().collect();
    results::save(&out.join("results.json"), &format!("{harness:#}\n"))?;
    let json = json!({
        "model": opened.dir, "results": rows, "out": out, "wall_seconds": wall.elapsed().as_secs_f64(),
    });
    Ok(Outcome { json, human: lines.join("\n"), code: 0 })
}

/// A task, and all that its scores depend on.
struct Judge<'a> {
    session: &'a Session,
    opened: &'a Opened,
    name: &'a str,
    asked: &'a SuiteTask,
    seed: u64,
    model: &'a str,
    limit: Option<u64>,
}

/// What came of a task.
struct Scored {
    result: TaskResult,
    samples: Vec<Sample>,
}

impl Judge<'_> {
    fn judge(&self, task: &Task, split: &Split, ledger: &mut Ledger<Sample>) -> Result<Scored> {
        let original = split.examples.len() as u64;
        let effective = self.limit.map_or(original, |limit| limit.min(original)) as usize;
        let (metrics, samples) = match &self.asked.task.kind {
            TaskKind::Classification(config) if config.prompt.is_none() => {
                (probe::judge(self.session, self.opened, &self.asked.task, task, &split.examples[..effective])?, Vec::new())
            }
            kind => self.by_likelihood(kind, task, split, effective, ledger)?,
        };
        let hash = (!samples.is_empty()).then(|| results::task_hash(&samples));
        let result = TaskResult {
            name: self.name.to_owned(),
            version: 1,
            config: serde_json::to_value(self.asked)?,
            shots: u64::from(self.asked.shots),
            original,
            effective: effective as u64,
            metrics,
            hash,
        };
        Ok(Scored { result, samples })
    }

    fn by_likelihood(
        &self,
        kind: &TaskKind,
        task: &Task,
        split: &Split,
        effective: usize,
        ledger: &mut Ledger<Sample>,
    ) -> Result<(Vec<Metric>, Vec<Sample>)> {
        let vocab = self.opened.vocab()?;
        let (form, start) = (self.opened.objective().form(), self.opened.shape.config.start_token());
        let device = self.opened.params.device();
        let scorer =
            Scorer::new(self.opened.model.as_ref(), vocab, form, start, device)?.with_greedy(matches!(kind, TaskKind::Cloze(_)));
        let questions =
            Question::all(self.asked, task, &split.examples[..effective], self.seed, vocab, self.opened.model.context())?;
        let config = serde_json::to_string(self.asked)?;
        let key = |doc: usize| Key {
            task: blake3::hash(format!("{config} {} {}", split.sha256, self.seed).as_bytes()).to_hex().to_string(),
            model: self.model.to_owned(),
            doc: doc as u64,
        };
        let left: Vec<usize> = (0..questions.len()).filter(|&doc| ledger.get(&key(doc)).is_none()).collect();
        if left.len() < questions.len() {
            self.session.progress.say(&format!(
                "{} of {} examples were judged before",
                questions.len() - left.len(),
                questions.len()
            ));
        }
        for (done, docs) in left.chunks(CHUNK).enumerate() {
            self.session.progress.share("scoring", (done * CHUNK) as f64 / left.len() as f64);
            if signal::requested() {
                ledger.sync()?;
                return Err(ssl_eval::Error::Stopped.into());
            }
            let asked: Vec<&Question> = docs.iter().map(|&doc| &questions[doc]).collect();
            for (&doc, sample) in docs.iter().zip(Question::score(&asked, docs, &scorer, &signal::requested)?) {
                ledger.record(key(doc), sample)?;
            }
        }
        ledger.sync()?;
        self.session.progress.finish();
        let samples = (0..questions.len()).map(|doc| ledger.get(&key(doc)).cloned()).collect::<Option<Vec<_>>>();
        let samples =
            samples.ok_or_else(|| Refusal::input("the ledger lost an example", "remove ledger.jsonl and judge again"))?;
        Ok((Question::metrics(kind, &samples), samples))
    }
}
