//! Results of an evaluation as lm-evaluation-harness writes them, so that what reads its files reads ours.
//!
//! A file of all scores, and for each task one line an example: the text that was scored, what the model said of it, and hashes by
//! which two runs on the same examples are known to be so. [`Ledger`] keeps what is done until the whole is.
//!
//! Source: Gao et al. 2021, lm-evaluation-harness, `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py`.
//!
//! Differs: what is no number is `null`, and an unknown standard error "N/A", where the harness may write `NaN`, which is no JSON;
//! the revision of the program is left out; the model is known by a hash of its weights.

mod ledger;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::likelihood::{Request, Scored};

pub use ledger::{Key, Ledger};

/// The filter that the harness names where answers are taken as they come.
const FILTER: &str = "none";

/// What was evaluated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The name of the model.
    pub model: String,
    /// The SHA-256 of its weights, in hexadecimal.
    pub model_sha256: String,
    /// Rows or positions of a batch, as the caller counts them.
    pub batch_size: u64,
    /// The most examples of a task, where not all were taken.
    pub limit: Option<u64>,
    /// The seed by which examples were drawn into prompts.
    pub fewshot_seed: u64,
    /// When it began, in seconds since 1970.
    pub date: u64,
}

/// One score of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name in the harness, such as `acc_norm`.
    pub name: String,
    /// The score.
    pub estimate: Estimate,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// A task and its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// The name of the task.
    pub name: String,
    /// Its version; scores of different versions do not compare.
    pub version: u64,
    /// What it is, as the task's author describes it.
    pub config: Value,
    /// Examples in a prompt.
    pub shots: u64,
    /// Examples that there are.
    pub original: u64,
    /// Examples that were taken.
    pub effective: u64,
    /// The scores.
    pub metrics: Vec<Metric>,
    /// The hash of its examples, of [`task_hash`], where they were kept.
    pub hash: Option<String>,
}

impl Run {
    /// The file of all scores.
    #[must_use]
    pub fn results(&self, tasks: &[TaskResult]) -> Value {
        let each = |of: &dyn Fn(&TaskResult) -> Value| -> Value {
            tasks.iter().map(|task| (task.name.clone(), of(task))).collect::<Map<_, _>>().into()
        };
        let scores = |task: &TaskResult| -> Value {
            let mut scores = Map::from_iter([("alias".into(), json!(task.name))]);
            for Metric { name, estimate, .. } in &task.metrics {
                scores.insert(format!("{name},{FILTER}"), json!(estimate.value));
                let stderr = if estimate.stderr.is_finite() { json!(estimate.stderr) } else { json!("N/A") };
                scores.insert(format!("{name}_stderr,{FILTER}"), stderr);
            }
            scores.into()
        };
        let better = |task: &TaskResult| -> Value {
            task.metrics.iter().map(|metric| (metric.name.clone(), json!(metric.higher_is_better))).collect::<Map<_, _>>().into()
        };
        let hashes: BTreeMap<&str, &str> =
            tasks.iter().filter_map(|task| Some((task.name.as_str(), task.hash.as_deref()?))).collect();
        json!({
            "results": each(&scores),
            "group_subtasks": each(&|_| json!([])),
            "configs": each(&|task| task.config.clone()),
            "versions": each(&|task| json!(task.version)),
            "n-shot": each(&|task| json!(task.shots)),
            "higher_is_better": each(&better),
            "n-samples": each(&|task| json!({ "original": task.original, "effective": task.effective })),
            "config": {
                "model": self.model,
                "model_sha256": self.model_sha256,
                "batch_size": self.batch_size,
                "limit": self.limit,
                "fewshot_seed": self.fewshot_seed,
            },
            "date": self.date,
            "task_hashes": hashes,
            "model_name": self.model,
        })
    }
}

/// One example: what was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its place in the task.
    pub doc_id: u64,
    /// The example as the task has it.
    pub doc: Value,
    /// The right answer.
    pub target: String,
    /// The texts that were scored: `gen_args_0` has the context `arg_0` and the continuation `arg_1`.
    pub arguments: BTreeMap<String, BTreeMap<String, String>>,
    /// Of each text the model's answer: the log-likelihood, and whether it was the likeliest, as text.
    pub resps: Vec<Vec<Vec<String>>>,
    /// The same, as the metrics read it.
    pub filtered_resps: Vec<Vec<String>>,
    /// How answers were filtered: not at all.
    pub filter: String,
    /// The names of the scores below.
    pub metrics: Vec<String>,
    /// The SHA-256 of the example.
    pub doc_hash: String,
    /// The SHA-256 of the first context.
    pub prompt_hash: String,
    /// The SHA-256 of the right answer.
    pub target_hash: String,
    /// What it adds to each score.
    #[serde(flatten)]
    pub scores: BTreeMap<String, f64>,
}

impl Sample {
    /// An example whose texts were scored.
    ///
    /// # Panics
    /// When there are not as many scores as texts.
    #[must_use]
    pub fn new(
        doc_id: u64,
        doc: Value,
        target: String,
        requests: &[Request<'_>],
        scored: &[Scored],
        scores: BTreeMap<String, f64>,
    ) -> Self {
        assert_eq!(requests.len(), scored.len(), "a score for each text");
        let texts = requests.iter().enumerate().map(|(at, request)| {
            let texts = [("arg_0", request.context), ("arg_1", request.continuation)];
            (format!("gen_args_{at}"), texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into())
        });
        // As Python writes them.
        let answer = |one: &Scored| vec![format!("{:?}", -one.nats), if one.greedy { "True" } else { "False" }.to_owned()];
        let filtered_resps: Vec<Vec<String>> = scored.iter().map(answer).collect();
        Self {
            doc_id,
            arguments: texts.collect(),
            resps: filtered_resps.iter().map(|one| vec![one.clone()]).collect(),
            filtered_resps,
            filter: FILTER.into(),
            metrics: scores.keys().cloned().collect(),
            doc_hash: sha256(&format!("{doc:#}")),
            prompt_hash: sha256(requests.first().map_or("", |request| request.context)),
            target_hash: sha256(&target),
            doc,
            target,
            scores,
        }
    }
}

/// The hash of a task's examples, by which two runs are known to be of the same.
#[must_use]
pub fn task_hash(samples: &[Sample]) -> String {
    let hashes = samples.iter().flat_map(|sample| [&sample.doc_hash, &sample.prompt_hash, &sample.target_hash]);
    sha256(&hashes.map(String::as_str).collect::<String>())
}

/// Examples, one a line.
///
/// # Errors
/// When a score is not finite, which JSON has no word for.
pub fn lines(samples: &[Sample]) -> Result<String> {
    let mut text = String::new();
    for sample in samples {
        if let Some((name, value)) = sample.scores.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::Record { doc: sample.doc_id, reason: format!("{name} is {value}") });
        }
        let line =
            serde_json::to_string(sample).map_err(|fault| Error::Record { doc: sample.doc_id, reason: fault.to_string() })?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(part, path)
    };
    write().map_err(|source| Error::File { what: "written", path: path.into(), source })
}

fn sha256(text: &str) -> String {
    use std::fmt::Write;

    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_stand_where_the_harness_puts_them() {
        let run = Run {
            model: "runs/gpt".into(),
            model_sha256: "ab".into(),
            batch_size: 8192,
            limit: None,
            fewshot_seed: 7,
            date: 1_700_000_000,
        };
        let metric = |name: &str, stderr, higher_is_better| Metric {
            name: name.into(),
            estimate: Estimate { value: 0.5, stderr, n: 4 },
            higher_is_better,
        };
        let task = TaskResult {
            name: "boxes".into(),
            version: 1,
            config: json!({ "output_type": "multiple_choice" }),
            shots: 2,
            original: 9,
            effective: 4,
            metrics: vec![metric("acc", 0.25, true), metric("perplexity", f64::NAN, false)],
            hash: Some("cd".into()),
        };
        let found = run.results(&[task]);
        let expect = json!({
            "results": { "boxes": {
                "alias": "boxes", "acc,none": 0.5, "acc_stderr,none": 0.25, "perplexity,none": 0.5, "perplexity_stderr,none": "N/A",
            } },
            "group_subtasks": { "boxes": [] },
            "configs": { "boxes": { "output_type": "multiple_choice" } },
            "versions": { "boxes": 1 },
            "n-shot": { "boxes": 2 },
            "higher_is_better": { "boxes": { "acc": true, "perplexity": false } },
            "n-samples": { "boxes": { "original": 9, "effective": 4 } },
            "config": { "model": "runs/gpt", "model_sha256": "ab", "batch_size": 8192, "limit": null, "fewshot_seed": 7 },
            "date": 1_700_000_000,
            "task_hashes": { "boxes": "cd" },
            "model_name": "runs/gpt",
        });
        assert_eq!(found, expect);
    }

    fn sample(acc: f64) -> Sample {
        let requests = [("1 + 1 =", " 2"), ("1 + 1 =", " 3")];
        let requests = requests.map(|(context, continuation)| Request { context, continuation });
        let scored = [2.0, 3.25].map(|nats| Scored { nats, tokens: 1, bytes: 2, greedy: nats < 3.0 });
        Sample::new(5, json!({ "sum": 2 }), " 2".into(), &requests, &scored, BTreeMap::from([("acc".into(), acc)]))
    }

    #[test]
    fn an_example_is_a_line_with_the_names_of_the_harness() {
        let text = lines(&[sample(1.0), sample(0.0)]).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        // `printf '1 + 1 =' | sha256sum` and its like.
        assert_eq!(lines[0]["prompt_hash"], "1576caf2566635c82d6ff2e24afda9c15b7bd802326b671517ba6c79a6759189");
        let doc = "be7c425d2e96535753081df2ce3f55aab5116e08c79dbcf20fa0df5f6682e59c";
        assert_eq!(lines[0]["doc_hash"], doc, "of the object over three lines, as Python indents it by two");
        assert_eq!(lines[0]["arguments"]["gen_args_1"], json!({ "arg_0": "1 + 1 =", "arg_1": " 3" }));
        assert_eq!(lines[0]["resps"], json!([[["-2.0", "True"]], [["-3.25", "False"]]]));
        assert_eq!(lines[0]["filtered_resps"], json!([["-2.0", "True"], ["-3.25", "False"]]));
        assert_eq!((&lines[0]["acc"], &lines[1]["acc"]), (&json!(1.0), &json!(0.0)));
        let read: Sample = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(read, sample(1.0));
        assert!(matches!(super::lines(&[sample(f64::NAN)]), Err(Error::Record { doc: 5, .. })));
        assert_ne!(task_hash(std::slice::from_ref(&read)), task_hash(&[read.clone(), read]));
    }

    #[test]
    fn a_file_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        save(&path, "{}\n").unwrap();
        save(&path, "{ }\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ }\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(matches!(save(&dir.path().join("no/where"), ""), Err(Error::File { .. })));
    }
}
