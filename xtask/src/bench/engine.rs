//! `cargo xtask bench data`: the data engine beside the programs that others use, on the same documents, in turn, on two cores.
//!
//! Documents are resampled from the texts of `--data`, so that a small folder makes a corpus of any size. Each program runs twice and
//! its better turn counts. A peer that the Python has not is said to be skipped, and ours is measured alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::output::say;
use crate::{cargo, child, corpus, python, workspace};

/// Both sides run on as many threads.
const THREADS: &str = "2";
/// Turns of each program.
const TURNS: u32 = 2;
/// Ids of the vocabulary that is trained and encoded with.
const IDS: &str = "8192";
/// Bytes of documents: few for peers that do some hundred kilobytes a second.
const SMALL: u64 = 2_000_000;
const MIDDLE: u64 = 40_000_000;
const LARGE: u64 = 2_000_000_000;
/// What a corpus of `LARGE` may take, in MiB.
const MOST_MIB: f64 = 512.0;

/// A line of the table: what is done, to how much, by whom else, which key both must agree in, and how many times faster ours must be.
struct Task {
    name: &'static str,
    bytes: u64,
    unit: &'static str,
    modules: &'static [&'static str],
    peer: &'static str,
    same: Option<&'static str>,
    want: f64,
}

const DATATROVE: &[&str] = &["datatrove", "spacy", "xxhash"];
const TOKENIZERS: &[&str] = &["tokenizers"];

const TASKS: &[Task] = &[
    Task {
        name: "data/filter",
        bytes: SMALL,
        unit: "documents/s",
        modules: DATATROVE,
        peer: "datatrove",
        same: Some("kept"),
        want: 100.0,
    },
    Task {
        name: "data/near",
        bytes: SMALL,
        unit: "documents/s",
        modules: DATATROVE,
        peer: "datatrove",
        same: Some("copies"),
        want: 20.0,
    },
    Task {
        name: "data/train",
        bytes: MIDDLE,
        unit: "MB/s",
        modules: TOKENIZERS,
        peer: "tokenizers",
        same: Some("vocabulary"),
        want: 1.0,
    },
    Task {
        name: "data/encode",
        bytes: MIDDLE,
        unit: "MB/s",
        modules: TOKENIZERS,
        peer: "encode_batch",
        same: Some("ids"),
        want: 10.0,
    },
    Task {
        name: "data/encode-fast",
        bytes: MIDDLE,
        unit: "MB/s",
        modules: TOKENIZERS,
        peer: "encode_batch_fast",
        same: Some("ids"),
        want: 1.0,
    },
];

/// The name of the row about memory.
const MEMORY: &str = "data/memory";

/// Whether any of `names` asks for these.
pub(crate) fn asked(names: &[String]) -> bool {
    names.iter().any(|name| name.starts_with("data"))
}

/// Runs what `names` ask for on texts below `data`, by default those of the default corpus; gives one row each.
pub(crate) fn run(names: &[String], data: Option<&Path>) -> Result<Vec<Value>> {
    let wanted = |name: &str| names.iter().any(|part| name.contains(part.as_str()));
    say("building the examples of ssl-data (release)");
    let built =
        cargo::cargo().args(["build", "--quiet", "--release", "--locked", "--package", "ssl-data", "--examples"]).status();
    if !built.context("cannot start cargo")?.success() {
        bail!("the examples did not build");
    }
    let bench = Bench { folder: workspace::target().join("bench-data"), sources: sources(data)? };
    fs::create_dir_all(&bench.folder)?;
    let mut rows = Vec::new();
    for task in TASKS.iter().filter(|task| wanted(task.name)) {
        rows.push(bench.compare(task)?);
    }
    if wanted(MEMORY) {
        rows.push(bench.memory()?);
    }
    Ok(rows)
}

/// The files and folders that documents are drawn from.
fn sources(data: Option<&Path>) -> Result<Vec<PathBuf>> {
    match data {
        Some(path) if path.exists() => Ok(vec![path.into()]),
        Some(path) => bail!("{} is not there", path.display()),
        // Documents read like language; sources do not.
        None => Ok(corpus::paths()?.into_iter().filter(|path| path.is_file()).collect()),
    }
}

struct Bench {
    folder: PathBuf,
    sources: Vec<PathBuf>,
}

impl Bench {
    /// A call of one of our examples.
    fn example(name: &str) -> Command {
        let mut command = Command::new(workspace::target().join("release/examples").join(name));
        command.env("RAYON_NUM_THREADS", THREADS).stdin(Stdio::null());
        command
    }

    /// Resampled documents of about `bytes`.
    fn documents(&self, bytes: u64) -> Result<PathBuf> {
        let path = self.folder.join(format!("{bytes}.jsonl"));
        let mut command = Self::example("resample");
        command.arg(&path).args([&bytes.to_string(), "1"]).args(&self.sources);
        if !child::status(&mut command)?.success() {
            bail!("cannot make {}", path.display());
        }
        Ok(path)
    }

    fn compare(&self, task: &Task) -> Result<Value> {
        let documents = self.documents(task.bytes)?;
        let verb = task.name.trim_start_matches("data/");
        let tokenizer = |whose: &str| self.folder.join(format!("{whose}.json"));
        // Not one of an earlier call: its texts may have been others.
        if verb.starts_with("encode") {
            measure(Self::example("train").arg(&documents).arg(tokenizer("ours")).arg(IDS))?;
        }
        let ours = || -> Command {
            let mut command = Self::example(match verb {
                "train" => "train",
                "filter" | "near" => "curate",
                _ => "encode",
            });
            match verb {
                "train" => command.arg(&documents).arg(tokenizer("ours")).arg(IDS),
                "filter" => command.arg(verb).arg(&documents).arg(r#"{"gopher-repetition": {}, "gopher-quality": {}, "c4": {}}"#),
                "near" => command.arg(verb).arg(&documents),
                _ => command.arg(tokenizer("ours")).arg("--documents").arg(&documents),
            };
            command
        };
        let peer = || -> Result<Command> {
            let mut command = python::with(task.modules)?;
            command.arg(workspace::root().join("fixtures/bench/data_peer.py")).arg(verb).arg(&documents);
            match verb {
                "train" => command.arg(tokenizer("peer")).arg(IDS),
                "filter" | "near" => &mut command,
                _ => command.arg(tokenizer("ours")),
            };
            // What they say of their progress is read when they fail.
            command.stderr(File::create(self.folder.join("peer.log"))?);
            command.env("RAYON_NUM_THREADS", THREADS).env("TOKENIZERS_PARALLELISM", "true");
            Ok(command)
        };
        let (mut mine, mut theirs) = (Value::Null, Value::Null);
        let mut skipped = None;
        for turn in 1..=TURNS {
            say(format_args!("{}, turn {turn} of {TURNS}", task.name));
            mine = faster(mine, measure(&mut ours())?);
            match peer() {
                Ok(mut command) => theirs = faster(theirs, measure(&mut command)?),
                Err(fault) => skipped = Some(fault.to_string()),
            }
        }
        Ok(row(task, &mine, &theirs, skipped.as_deref()))
    }

    /// Prepares a corpus of `LARGE` bytes and looks at the most memory that this took.
    fn memory(&self) -> Result<Value> {
        say(format_args!("{MEMORY}: making {} MB of documents and preparing them", LARGE / 1_000_000));
        let documents = self.documents(LARGE)?;
        let section = self.folder.join("section.json");
        let config = json!({
            "paths": [documents],
            "tokenizer": { "byte-bpe": { "vocab-tokens": 8192 } },
            "filter": { "gopher-repetition": {}, "gopher-quality": {}, "c4": {} },
            "dedup": { "near": {} },
        });
        fs::write(&section, config.to_string())?;
        let corpus = self.folder.join("corpus");
        let result = measure_any(Self::example("prepare").arg("--data").arg(&section).arg(&corpus))?;
        fs::remove_dir_all(&corpus)?;
        fs::remove_file(&documents)?;
        let seconds: f64 = result["stages"].as_array().into_iter().flatten().filter_map(|stage| stage["seconds"].as_f64()).sum();
        let mib = result["peak-resident-mib"].as_f64().context("this system does not say how much memory a process took")?;
        Ok(json!({"name": MEMORY, "unit": "MiB", "ours": mib, "want": MOST_MIB, "seconds": seconds, "met": mib < MOST_MIB}))
    }
}

/// One task of one program, which prints one JSON document with its seconds.
fn measure(command: &mut Command) -> Result<Value> {
    let value = measure_any(command)?;
    if value["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) {
        Ok(value)
    } else {
        bail!("{} prints no seconds", command.get_program().display())
    }
}

fn measure_any(command: &mut Command) -> Result<Value> {
    let name = command.get_program().display().to_string();
    let output = child::output(command)?;
    if !output.status.success() {
        bail!("{name} ended with {}", child::code(output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).with_context(|| format!("cannot read what {name} prints"))
}

fn faster(a: Value, b: Value) -> Value {
    match (a["seconds"].as_f64(), b["seconds"].as_f64()) {
        (Some(one), Some(other)) if one <= other => a,
        _ => b,
    }
}

fn row(task: &Task, ours: &Value, theirs: &Value, skipped: Option<&str>) -> Value {
    let speed = |result: &Value| {
        let done =
            if task.unit == "MB/s" { result["bytes"].as_f64().map(|bytes| bytes / 1e6) } else { result["documents"].as_f64() };
        done.zip(result["seconds"].as_f64()).map(|(done, seconds)| done / seconds)
    };
    let (mine, peer) = (speed(ours), speed(theirs));
    let times = mine.zip(peer).map(|(mine, peer)| mine / peer);
    // Counts may differ by a few, as hashes and tokenizers of words do; what is hashed must be the same.
    let differ = task.same.is_some_and(|key| ours[key].is_string() && ours[key] != theirs[key]);
    let same = task.same.map(|key| json!({"key": key, "ours": ours[key], "peer": theirs[key]}));
    json!({
        "name": task.name, "unit": task.unit, "program": task.peer, "ours": mine, "peer": peer, "times": times, "want": task.want,
        "met": times.map(|times| times >= task.want && !differ), "agree": same, "skipped": skipped,
    })
}

/// The rows for people.
pub(crate) fn table(rows: &[Value]) -> String {
    let mut lines =
        vec![format!("{:17} {:>12} {:>12} {:11} {:>7} {:>7}  {}", "task", "ours", "peer", "unit", "times", "wanted", "beside")];
    for row in rows {
        let number = |key: &str| row[key].as_f64().map_or_else(|| "-".into(), |number| format!("{number:.1}"));
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let beside = match (&row["agree"], text("skipped")) {
            (_, reason) if !reason.is_empty() => format!("{} skipped: {reason}", text("program")),
            (Value::Object(agree), _) => {
                let key = agree["key"].as_str().unwrap_or_default();
                let same =
                    if agree["ours"] == agree["peer"] { "equal".into() } else { differing(&agree["ours"], &agree["peer"]) };
                format!("{}, {key} {same}", text("program"))
            }
            _ => format!("{} s in all", number("seconds")),
        };
        lines.push(format!(
            "{:17} {:>12} {:>12} {:11} {:>7} {:>7}  {beside}",
            text("name"),
            number("ours"),
            number("peer"),
            text("unit"),
            number("times"),
            number("want")
        ));
    }
    lines.join("\n")
}

/// Counts are shown, hashes say nothing.
fn differing(ours: &Value, peer: &Value) -> String {
    if ours.is_number() { format!("{ours} and {peer}") } else { "DIFFER".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_turn_counts_and_rates_are_of_one_unit() {
        let turn = |seconds: f64| json!({"seconds": seconds, "documents": 100, "bytes": 4_000_000, "kept": 7});
        assert_eq!(faster(Value::Null, turn(2.0)), turn(2.0));
        assert_eq!(faster(turn(1.0), turn(2.0)), turn(1.0));
        let filter = row(&TASKS[0], &turn(0.5), &turn(100.0), None);
        assert_eq!(
            (filter["ours"].as_f64(), filter["peer"].as_f64(), filter["times"].as_f64()),
            (Some(200.0), Some(1.0), Some(200.0))
        );
        assert_eq!(filter["met"], json!(true));
        let train = row(&TASKS[2], &turn(2.0), &turn(1.0), None);
        assert_eq!((train["ours"].as_f64(), train["met"].as_bool()), (Some(2.0), Some(false)));
        let other = row(
            &TASKS[2],
            &json!({"seconds": 1, "bytes": 9, "vocabulary": "a"}),
            &json!({"seconds": 2, "bytes": 9, "vocabulary": "b"}),
            None,
        );
        assert_eq!(other["met"], json!(false), "twice as fast at something else");
        let text = table(&[filter, train]);
        assert!(text.contains("datatrove, kept equal"), "{text}");
    }

    #[test]
    fn a_peer_that_is_absent_is_said_to_be_skipped() {
        let turn = json!({"seconds": 0.5, "documents": 100, "bytes": 1});
        let row = row(&TASKS[0], &turn, &Value::Null, Some("no datatrove here"));
        assert_eq!((row["met"].is_null(), row["times"].is_null()), (true, true));
        assert!(table(&[row]).ends_with("datatrove skipped: no datatrove here"));
    }

    #[test]
    fn only_names_of_the_data_engine_ask_for_it() {
        assert!(asked(&["data".into()]) && asked(&["data/near".into()]));
        assert!(!asked(&["attention".into()]) && !asked(&[]));
    }
}
