//! The preparation as a whole: the same corpus whatever the threads, interruptions and rivals, and always a whole one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use ssl_data::Result;
use ssl_data::config::DataConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, Watch, prepare, stage};
use tempfile::TempDir;

mod support;

use support::{content, expected, stops_change_nothing, threads_change_nothing};

/// A few hundred documents with duplicates, in several files and formats.
fn sources() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let document = |n: u64| format!("Document {} speaks of the {} and the {}.\r\nIt ends here.\n\n", n % 211, n % 13, n % 7);
    let text: String = (0..300).map(document).collect();
    let json: Vec<String> = (150..400).map(|n| json!({ "id": n, "text": document(n) }).to_string()).collect();
    fs::write(dir.path().join("a.txt"), &text).expect("writes");
    fs::write(dir.path().join("b.jsonl"), json.join("\n")).expect("writes");
    fs::write(dir.path().join("c.txt.zst"), zstd::encode_all(&text.as_bytes()[9000..], 1).expect("compresses")).expect("writes");
    dir
}

fn config(paths: &Path, keys: &Value) -> DataConfig {
    let mut config = json!({ "paths": [paths], "document": "block", "validation-fraction": 0.1, "tokenizer": { "char": {} } });
    config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    serde_json::from_value(config).expect("a configuration")
}

/// Remembers which stages ran.
#[derive(Default)]
struct Stages(Mutex<Vec<&'static str>>);

impl Stages {
    fn ran(&self, stage: &str) -> bool {
        self.0.lock().expect("no panic").contains(&stage)
    }
}

impl Watch for Stages {
    fn stage(&self, stage: &'static str, _: u64, _: Option<u64>, _: u64) {
        self.0.lock().expect("no panic").push(stage);
    }

    fn stop(&self) -> bool {
        false
    }
}

/// Stops as soon as the last stage begins.
#[derive(Default)]
struct StopAtEncoding(AtomicBool);

impl Watch for StopAtEncoding {
    fn stage(&self, name: &'static str, _: u64, _: Option<u64>, _: u64) {
        self.0.fetch_or(name == stage::ENCODE, Ordering::Relaxed);
    }

    fn stop(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let sources = sources();
    threads_change_nothing(&config(sources.path(), &json!({})));
}

#[test]
fn stopped_anywhere_and_run_again_it_is_the_same_corpus() {
    let sources = sources();
    // The first questions one by one, then ever wider apart: each stage is stopped several times.
    let stops = stops_change_nothing(&config(sources.path(), &json!({})), |stops| 1 + stops / 12);
    assert!(stops > 20, "it was asked only {stops} times");
}

#[test]
fn finished_stages_are_not_done_again() {
    let sources = sources();
    let config = config(sources.path(), &json!({}));
    let dir = tempfile::tempdir().expect("a temporary folder");
    prepare(&config, dir.path(), &StopAtEncoding::default()).expect_err("stopped");
    let watch = Stages::default();
    prepare(&config, dir.path(), &watch).expect("prepares");
    assert!(watch.ran(stage::ENCODE) && !watch.ran(stage::READ) && !watch.ran(stage::TOKENIZER));
    // What is finished as a whole is only compared; windows are cut from it later and play no part.
    let watch = Stages::default();
    let other = DataConfig { windows: ssl_data::config::WindowConfig::Random {}, ..config };
    prepare(&other, dir.path(), &watch).expect("prepares");
    assert!(watch.ran(stage::CHECK) && !watch.ran(stage::ENCODE));
}

#[test]
fn a_new_corpus_takes_the_place_of_the_old_one_at_the_end() {
    let sources = sources();
    let old = config(sources.path(), &json!({}));
    let new = config(sources.path(), &json!({ "seed": 1, "validation-fraction": 0.0 }));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = prepare(&old, dir.path(), &Silent).expect("prepares");
    prepare(&new, dir.path(), &StopAtEncoding::default()).expect_err("stopped");
    assert_eq!(Corpus::open(dir.path(), SplitName::Train).expect("still whole").fingerprint(), first.fingerprint);
    assert_eq!(Manifest::load(dir.path()).expect("still whole"), first);
    prepare(&new, dir.path(), &Silent).expect("prepares");
    assert!(content(dir.path()) == expected(&new));
    assert!(!dir.path().join("validation-00000.tok").exists());
}

#[test]
fn a_corpus_that_lost_a_file_is_prepared_again() {
    let sources = sources();
    let config = config(sources.path(), &json!({}));
    let dir = tempfile::tempdir().expect("a temporary folder");
    prepare(&config, dir.path(), &Silent).expect("prepares");
    for name in ["train-00000.tok", "validation.txt", "tokenizer.json", "manifest.json"] {
        fs::remove_file(dir.path().join(name)).expect("removes");
        prepare(&config, dir.path(), &Silent).expect("prepares");
        assert!(content(dir.path()) == expected(&config), "{name}");
    }
}

#[test]
fn rivals_for_one_folder_wait_and_share_the_result() {
    let sources = sources();
    let config = config(sources.path(), &json!({}));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let watches: [Stages; 4] = Default::default();
    let manifests: Vec<Manifest> = thread::scope(|scope| {
        let rivals: Vec<_> = watches.iter().map(|watch| scope.spawn(|| prepare(&config, dir.path(), watch))).collect();
        rivals.into_iter().map(|rival| rival.join().expect("no panic").expect("prepares")).collect()
    });
    assert!(manifests.iter().all(|manifest| *manifest == manifests[0]));
    assert_eq!(watches.iter().filter(|watch| watch.ran(stage::ENCODE)).count(), 1);
    assert!(content(dir.path()) == expected(&config));
}

#[test]
fn a_corpus_among_its_sources_is_not_read() {
    let sources = sources();
    let config = config(sources.path(), &json!({}));
    let into = sources.path().join("corpus");
    let first = prepare(&config, &into, &Silent).expect("prepares");
    assert_eq!(prepare(&config, &into, &Silent).expect("prepares"), first);
}

#[test]
fn a_single_document_gives_its_end_to_validation() -> Result<()> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..500).map(|n| format!("line {n}\n")).collect();
    let text = lines.concat();
    let path = dir.path().join("one.txt");
    fs::write(&path, &text).expect("writes");
    let manifest = prepare(&config(&path, &json!({ "document": "file" })), &dir.path().join("corpus"), &Silent)?;
    let end = fs::read_to_string(dir.path().join("corpus/validation.txt")).expect("reads");
    assert_eq!((manifest.train.documents, manifest.validation.documents), (1, 1));
    assert_eq!(manifest.train.bytes + manifest.validation.bytes, text.trim_end().len() as u64);
    assert!(text.trim_end().ends_with(&end) && end.starts_with("line "), "{end:?}");
    assert_eq!(end.len() as u64, manifest.validation.bytes);
    let share = end.len() as f64 / text.len() as f64;
    assert!((0.1..0.105).contains(&share), "{share}");
    // It is one document all the same.
    let composition = &manifest.composition;
    let source = &composition.sources[0];
    assert_eq!((manifest.documents_read(), manifest.documents_kept(), source.read), (1, 1, 1));
    assert_eq!(composition.lengths.iter().sum::<u64>(), 1);
    assert_eq!(composition.lengths.len() as u32 - 1, (manifest.train.tokens + manifest.validation.tokens).ilog2());
    assert_eq!((source.sample.documents, source.sample.bytes), (1, text.trim_end().len() as u64));
    assert_eq!(composition.languages.values().map(|measure| measure.documents).sum::<u64>(), 1);
    let card = fs::read_to_string(dir.path().join("corpus/card.html")).expect("a card");
    assert!(card.contains("1 file, 1 record read, 1 document kept"), "{card}");
    Ok(())
}

#[test]
fn killed_at_any_time_it_goes_on_to_the_same_corpus() {
    // The process that is killed is this very test, which then finds the folder to work in here.
    if let Some(dir) = std::env::var_os("PREPARE_CHILD").map(PathBuf::from) {
        prepare(&config(&dir.join("sources"), &json!({})), &dir.join("corpus"), &Silent).expect("prepares");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sources = sources();
    fs::rename(sources.path(), dir.path().join("sources")).expect("moves");
    let config = config(&dir.path().join("sources"), &json!({}));
    let expected = expected(&config);
    let into = dir.path().join("corpus");
    let program = std::env::current_exe().expect("this program");
    let mut killed = 0;
    for micros in (0..25).map(|n| n * 2000) {
        let mut child = Command::new(&program);
        child.args(["--exact", "killed_at_any_time_it_goes_on_to_the_same_corpus"]).env("PREPARE_CHILD", dir.path());
        let mut child = child.stdout(Stdio::null()).spawn().expect("starts");
        thread::sleep(Duration::from_micros(micros));
        child.kill().expect("is killed or has ended");
        killed += u64::from(!child.wait().expect("ends").success());
        if into.join("manifest.json").exists() {
            prepare(&config, &into, &Silent).expect("it is whole");
            assert!(content(&into) == expected, "after {micros} µs");
            fs::remove_dir_all(&into).expect("removes");
        }
    }
    assert!(killed > 0, "every child was done before it was killed");
    prepare(&config, &into, &Silent).expect("prepares");
    assert!(content(&into) == expected);
}
