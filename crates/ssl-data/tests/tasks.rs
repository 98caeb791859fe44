//! A preparation shared out among processes gives the corpus of a single one, whoever is killed and whoever never comes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use ssl_data::Error;
use ssl_data::config::DataConfig;
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, Task, Watch, prepare, prepare_task, stage};
use tempfile::TempDir;

#[path = "tasks/left.rs"]
mod left;

/// Twelve files with copies, near copies, broken lines, mail addresses and an item of an evaluation set among them.
fn sources(dir: &Path) {
    let words = |seed: u64, count: u64| -> String {
        let word = |n| {
            let list = ["harbour", "boat", "morning", "quiet", "nobody", "came", "the", "and", "of", "with"];
            format!("{}{}", list[(ssl_data::rng::hash(seed, 1, n) % 10) as usize], ssl_data::rng::hash(seed, 2, n) % 40)
        };
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    for file in 0..12_u64 {
        let mut lines = Vec::new();
        for n in 0..40 {
            let seed = file * 100 + n;
            let text = match n {
                7 => words(7, 90),
                9 => words(seed - 1, 68) + " altered",
                11 => words(seed, 90) + ". Write to reader@example.org today.",
                13 => words(seed, 40) + " " + &words(9999, 20),
                _ => words(seed, 60 + n),
            };
            lines.push(if n == 20 { "{ no json".into() } else { json!({ "text": text }).to_string() });
        }
        fs::write(dir.join(format!("{file:02}.jsonl")), lines.join("\n")).expect("writes");
    }
    fs::write(dir.join("quiz.items"), words(9999, 20)).expect("writes");
}

fn config(dir: &Path) -> DataConfig {
    let config = json!({
        "paths": [dir.join("0*.jsonl"), dir.join("1*.jsonl")],
        "tokenizer": { "byte-bpe": { "vocab-tokens": 400 } },
        "validation-fraction": 0.1,
        "limits": { "bad-share": 0.05 },
        "filter": { "language": {} },
        "scrub": {},
        "dedup": { "near": {} },
        "decontaminate": { "sets": { "quiz": { "paths": [dir.join("quiz.items")] } } },
    });
    serde_json::from_value(config).expect("a configuration")
}

fn task(index: u32, count: u32) -> Task {
    Task { unit_bytes: 50_000, patience: Duration::from_millis(1500), ..Task::new(index, count).expect("a task") }
}

/// Must see nothing happen.
struct Idle;

impl Watch for Idle {
    fn stage(&self, stage: &'static str, _: u64, _: Option<u64>, _: u64) {
        panic!("{stage} though all is done");
    }

    fn stop(&self) -> bool {
        false
    }
}

/// Every file of the corpus, but for how long it took.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_file() {
            files.insert(path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("reads"));
        }
    }
    let manifest = files.get_mut("manifest.json").expect("a manifest");
    let mut parsed: Manifest = serde_json::from_slice(manifest).expect("a manifest");
    parsed.stages.iter_mut().for_each(|stage| stage.seconds = 0.0);
    *manifest = serde_json::to_vec(&parsed).expect("JSON");
    files
}

fn expected_of(config: &DataConfig) -> BTreeMap<String, Vec<u8>> {
    let alone = tempfile::tempdir().expect("a temporary folder");
    prepare(config, alone.path(), &Silent).expect("prepares");
    content(alone.path())
}

fn expected(config: &DataConfig) -> BTreeMap<String, Vec<u8>> {
    let alone = tempfile::tempdir().expect("a temporary folder");
    let manifest = prepare(config, alone.path(), &Silent).expect("prepares");
    for (what, count) in [("dropped", manifest.dropped.len()), ("examples", manifest.examples.len())] {
        assert!(count >= 4, "{what}: {:?}", manifest.dropped);
    }
    content(alone.path())
}

#[test]
fn any_number_of_tasks_gives_the_same_bytes() {
    let (dir, config, _) = place();
    let expected = expected(&config);
    for count in [1, 2, 5, 40] {
        let into = dir.path().join(format!("corpus-{count}"));
        let results: Vec<Manifest> = thread::scope(|scope| {
            let start = |index| {
                let (config, into) = (&config, &into);
                scope.spawn(move || prepare_task(config, into, task(index, count), &Silent).expect("prepares"))
            };
            let tasks: Vec<_> = (0..count).map(start).collect();
            tasks.into_iter().map(|task| task.join().expect("no panic")).collect()
        });
        assert!(content(&into) == expected, "{count} tasks");
        assert!(results.iter().all(|manifest| manifest == &results[0]));
        // One that comes late finds that all is done, and reads no input for it.
        prepare_task(&config, &into, task(count - 1, count), &Idle).expect("is done");
    }
}

#[test]
fn pairs_in_two_files_stay_side_by_side() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (side, word) in [("en", "harbour"), ("de", "Hafen")] {
        for file in 0..5 {
            let lines: Vec<String> = (0..30).map(|n| format!("{word} {file} {n}")).collect();
            fs::write(dir.path().join(format!("{file}.{side}")), lines.join("\n")).expect("writes");
        }
    }
    let config: DataConfig = serde_json::from_value(json!({
        "paths": [dir.path().join("*.en")],
        "pairs": { "files": { "targets": [dir.path().join("*.de")] } },
        "tokenizer": { "char": {} },
    }))
    .expect("a configuration");
    let (alone, shared) = (dir.path().join("alone"), dir.path().join("shared"));
    prepare(&config, &alone, &Silent).expect("prepares");
    prepare_task(&config, &shared, Task { unit_bytes: 100, ..task(0, 1) }, &Silent).expect("prepares");
    assert!(content(&alone) == content(&shared));
}

/// The process of one task: this very test, which then finds in its environment what to do.
fn child(name: &str, dir: &Path, index: u32) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", name]).env("TASK_DIR", dir).env("TASK_INDEX", index.to_string());
    child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// Does the part of a child, where this is one.
fn is_child() -> bool {
    let Some(dir) = std::env::var_os("TASK_DIR").map(PathBuf::from) else { return false };
    let index = std::env::var("TASK_INDEX").expect("a number").parse().expect("a number");
    prepare_task(&config(&dir), &dir.join("corpus"), task(index, 2), &Silent).expect("prepares");
    true
}

fn place() -> (TempDir, DataConfig, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    sources(dir.path());
    let config = config(dir.path());
    let into = dir.path().join("corpus");
    (dir, config, into)
}

#[test]
fn hosts_that_are_killed_and_started_again_give_the_same_bytes() {
    const NAME: &str = "hosts_that_are_killed_and_started_again_give_the_same_bytes";
    if is_child() {
        return;
    }
    let (dir, config, into) = place();
    let expected = expected(&config);
    let mut killed = 0;
    for (round, millis) in [20, 60, 120, 250, 400].into_iter().enumerate() {
        let victim = (round % 2) as u32;
        let mut other = child(NAME, dir.path(), 1 - victim);
        let mut dying = child(NAME, dir.path(), victim);
        thread::sleep(Duration::from_millis(millis));
        dying.kill().expect("is killed or has ended");
        killed += u32::from(!dying.wait().expect("ends").success());
        let mut again = child(NAME, dir.path(), victim);
        assert!(again.wait().expect("ends").success() && other.wait().expect("ends").success(), "round {round}");
        assert!(content(&into) == expected, "round {round}");
        fs::remove_dir_all(&into).expect("removes");
    }
    assert!(killed > 0, "every child was done before it was killed");
}

#[test]
fn a_host_alone_does_what_belongs_to_one_that_never_comes() {
    const NAME: &str = "a_host_alone_does_what_belongs_to_one_that_never_comes";
    if is_child() {
        return;
    }
    let (dir, config, into) = place();
    // Task 0, the leader, never comes.
    assert!(child(NAME, dir.path(), 1).wait().expect("ends").success());
    assert!(content(&into) == expected(&config));
}

/// Sees each stage, and ends what has not ended by itself after a minute.
struct Look<F> {
    seen: F,
    since: Instant,
}

fn look<F: Fn(&'static str) + Sync>(seen: F) -> Look<F> {
    Look { seen, since: Instant::now() }
}

impl<F: Fn(&'static str) + Sync> Watch for Look<F> {
    fn stage(&self, stage: &'static str, _: u64, _: Option<u64>, _: u64) {
        (self.seen)(stage);
    }

    fn stop(&self) -> bool {
        self.since.elapsed() > Duration::from_mins(1)
    }
}

/// Waits until `flag` is set, for a minute at most.
fn wait_for(flag: &AtomicBool) {
    for _ in 0..6000 {
        if flag.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn several_hosts_do_what_belongs_to_a_leader_that_never_comes() {
    let (_dir, config, into) = place();
    thread::scope(|scope| {
        let start = |index| {
            let (config, into) = (&config, &into);
            scope.spawn(move || prepare_task(config, into, task(index, 3), &look(|_| {})))
        };
        let tasks = [start(1), start(2)];
        for task in tasks {
            task.join().expect("no panic").expect("prepares");
        }
    });
    assert!(content(&into) == expected(&config));
}

#[test]
fn a_leader_that_is_started_again_helps_the_one_that_leads() {
    let (_dir, config, into) = place();
    let (leads, waits) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            // What it leads goes on when task 0 is there again.
            let watch = look(|stage| {
                if stage == stage::TOKENIZER && !leads.swap(true, Ordering::Relaxed) {
                    wait_for(&waits);
                }
            });
            prepare_task(&config, &into, task(1, 2), &watch)
        });
        wait_for(&leads);
        let first = look(|stage| waits.store(waits.load(Ordering::Relaxed) || stage == stage::WAIT, Ordering::Relaxed));
        prepare_task(&config, &into, task(0, 2), &first).expect("prepares");
        other.join().expect("no panic").expect("prepares");
    });
    assert!(content(&into) == expected(&config));
}

#[test]
fn a_host_that_hangs_does_not_hold_up_the_others() {
    let (_dir, config, into) = place();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let hangs = scope.spawn(|| {
            let watch = look(|stage| {
                if stage == stage::READ {
                    wait_for(&done);
                }
            });
            prepare_task(&config, &into, task(0, 2), &watch)
        });
        let other = prepare_task(&config, &into, task(1, 2), &look(|_| {}));
        done.store(true, Ordering::Relaxed);
        other.expect("prepares");
        hangs.join().expect("no panic").expect("finds that all is done");
    });
    assert!(content(&into) == expected(&config));
    // What it was at was done before; it may have handed it over once more.
    prepare_task(&config, &into, task(0, 2), &Idle).expect("is done");
    assert_eq!(units(&into).len(), 1, "{:?}", units(&into));
}

/// What lies in the folders that tasks share.
fn units(into: &Path) -> Vec<PathBuf> {
    let keys = fs::read_dir(into.join("prepare.tasks")).expect("lists");
    let files = keys.flat_map(|key| fs::read_dir(key.expect("lists").path()).expect("lists"));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("lists").path()).collect();
    files.sort();
    files
}

#[test]
fn inputs_on_servers_are_refused_with_a_word() {
    let (dir, config, into) = place();
    let remote = DataConfig { paths: vec![dir.path().join("00.jsonl"), "https://example.org/a.txt?key=secret".into()], ..config };
    let fault = prepare_task(&remote, &into, task(0, 2), &Silent).expect_err("a server");
    assert!(matches!(&fault, Error::NotShared { address } if address == "https://example.org/a.txt"), "{fault}");
    assert!(fault.hint().is_some_and(|hint| hint.contains("--task")));
}

#[test]
fn there_is_no_task_behind_the_last() {
    assert!(Task::new(0, 0).is_none() && Task::new(3, 3).is_none() && Task::new(2, 3).is_some());
}

#[test]
fn units_of_another_evaluation_set_are_not_taken() {
    let (dir, config, into) = place();
    prepare_task(&config, &into, task(0, 1), &Silent).expect("prepares");
    fs::write(dir.path().join("quiz.items"), "an item that nobody met in any of the documents that were read here at all")
        .expect("writes");
    let manifest = prepare_task(&config, &into, task(0, 1), &Silent).expect("prepares");
    assert_eq!(manifest.curation.contamination["quiz"].met, 0);
    assert!(content(&into) == expected_of(&config));
}
