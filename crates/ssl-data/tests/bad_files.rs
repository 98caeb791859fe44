//! Files that cannot be read, or not to their end: what was read of them stays, each is one bad record that names it, and the rest goes on.

mod cases;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use cases::{Case, gzip};
use serde_json::json;
use ssl_data::clean::Reason;
use ssl_data::config::DataConfig;
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, Task, Watch, prepare, prepare_task};
use ssl_data::{Error, ErrorKind};

#[test]
fn a_file_is_given_up_where_its_compression_is_damaged() {
    let lines: Vec<String> = (0..40_000).map(|number| format!("line {number} of some text")).collect();
    let text = lines.join("\n") + "\n";
    let whole = gzip(text.as_bytes());
    let mut flipped = whole.clone();
    let end = flipped.len();
    flipped[end - 6] ^= 1;
    let frame = zstd::encode_all(text.as_bytes(), 1).expect("compresses");
    let cases: [(&str, Vec<u8>, bool, bool); 6] = [
        ("truncated.txt.gz", whole[..whole.len() / 2].to_vec(), true, false),
        ("checksum.txt.gz", flipped, true, true),
        ("garbage.txt.gz", [&whole[..], b"garbage"].concat(), true, true),
        ("plain.txt.gz", b"not compressed at all".to_vec(), false, false),
        ("truncated.txt.zst", frame[..frame.len() / 2].to_vec(), true, false),
        ("plain.txt.zst", b"not compressed at all".to_vec(), false, false),
    ];
    for (name, bytes, some, all) in cases {
        let case = Case::new(&[("a.txt", b"fine"), (name, &bytes), ("z.txt", b"fine too")]);
        let manifest = case.prepare(&json!({ "document": "line" })).expect(name);
        assert_eq!(manifest.dropped, [(Reason::Damaged, 1)].into(), "{name}");
        let told = &manifest.examples[&Reason::Damaged][0];
        assert!(told.contains(&format!("{name}: damaged after ")), "{told}");
        // What was read before the damage stays.
        let mut texts = case.texts();
        assert_eq!((texts.remove(0), texts.pop().as_deref()), ("fine".into(), Some("fine too")), "{name}");
        assert_eq!(texts, lines[..texts.len()], "{name}");
        assert_eq!((!texts.is_empty(), texts.len() == lines.len()), (some, all), "{name}: {} lines", texts.len());
        // As one document, nothing of it is whole.
        let manifest = case.prepare(&json!({})).expect(name);
        assert_eq!((case.texts(), manifest.dropped[&Reason::Damaged]), (vec!["fine".into(), "fine too".into()], 1), "{name}");
    }
}

#[test]
fn nothing_but_bad_files_is_an_error_that_names_them() {
    let case = Case::new(&[("a.txt.gz", b"not compressed"), ("b.txt.zst", b"nor this")]);
    let fault = case.prepare(&json!({})).expect_err("nothing");
    assert!(matches!(&fault, Error::NothingLeft { read: 2, dropped } if dropped.contains("2 damaged (first ")), "{fault}");
    assert!(fault.to_string().contains("a.txt.gz") && fault.kind() == ErrorKind::Input, "{fault}");
    let fault = case.prepare(&json!({ "limits": { "bad-records": 1 } })).expect_err("two are too many");
    let told = fault.to_string();
    assert!(matches!(fault, Error::BadRecords { bad: 2, read: 2, limit: 1, .. }), "{told}");
    assert!(told.contains("a.txt.gz") && told.contains("b.txt.zst"), "{told}");
    let fault = case.prepare(&json!({ "limits": { "bad-records": 0, "bad-share": 0.0 } })).expect_err("one is too many");
    assert!(matches!(&fault, Error::GivenUp { reason: Reason::Damaged, told } if told.contains("a.txt.gz")), "{fault}");
    assert!(fault.hint().is_some());
}

#[test]
fn many_lost_files_are_no_corpus_however_many_records_the_others_hold() {
    let lines = "a line of some text\n".repeat(3000);
    let broken = gzip(b"text that is cut off")[..12].to_vec();
    let prepare = |bad: usize, all: usize| {
        let names: Vec<String> = (0..all).map(|n| format!("{n:03}.txt{}", if n < bad { ".gz" } else { "" })).collect();
        let files =
            names.iter().enumerate().map(|(n, name)| (name.as_str(), if n < bad { &broken[..] } else { lines.as_bytes() }));
        Case::new(&files.collect::<Vec<_>>()).prepare(&json!({ "document": "line", "limits": { "bad-share": 0.25 } }))
    };
    prepare(11, 44).expect("a fourth is allowed");
    let fault = prepare(12, 44).expect_err("more than a fourth of the files");
    assert!(
        matches!(&fault, Error::BadFiles { bad: 12, files: 44, limit: 10, first, .. } if first.contains("000.txt.gz")),
        "{fault}"
    );
    assert_eq!(fault.kind(), ErrorKind::Input);
}

/// Does something to a file once both inputs have been looked at.
struct Meddler<F: Fn() + Sync>(F, AtomicU32);

impl<F: Fn() + Sync> Watch for Meddler<F> {
    fn stage(&self, _: &'static str, _: u64, _: Option<u64>, _: u64) {
        if self.1.fetch_add(1, Ordering::SeqCst) == 1 {
            (self.0)();
        }
    }

    fn stop(&self) -> bool {
        false
    }
}

#[test]
fn an_input_that_changes_or_vanishes_meanwhile_is_counted_and_read_again_by_the_next_run() {
    for vanishes in [false, true] {
        let case = Case::new(&[("a.txt", b"text")]);
        let path = case.input().join("a.txt");
        // Beside it lies one that nobody touches.
        let other = case.0.path().join("other.txt");
        fs::write(&other, "fine").expect("writes");
        let keys = json!({ "paths": [&path, &other] });
        let before = case.prepare(&keys).expect("prepares");
        let at = |path: &Path| if vanishes { fs::remove_file(path) } else { fs::write(path, "changed") };
        let (reason, told) = if vanishes { (Reason::Unreadable, "cannot open ") } else { (Reason::Changed, "changed between") };
        fs::remove_dir_all(case.corpus()).expect("removes");
        let manifest = case.watched(&keys, &Meddler(|| at(&path).expect("meddles"), AtomicU32::new(0))).expect("prepares");
        assert_eq!(manifest.dropped, [(reason, 1)].into());
        assert!(manifest.examples[&reason][0].contains(told) && manifest.examples[&reason][0].contains("a.txt"));
        assert_eq!(case.texts().last().map(String::as_str), Some("fine"));
        // This is not the corpus of these inputs: with the file as it was, it is prepared again.
        assert_ne!(manifest.fingerprint, before.fingerprint);
        fs::write(&path, "text").expect("writes");
        let again = case.prepare(&keys).expect("prepares");
        assert_eq!((again.fingerprint, case.texts()), (before.fingerprint, vec!["text".into(), "fine".into()]));
    }
}

#[test]
fn what_is_no_file_is_counted_in_a_folder_and_refused_by_name() {
    let case = Case::new(&[("a.txt", b"fine")]);
    let (pipe, link) = (case.input().join("pipe.txt"), case.input().join("link.txt"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    symlink("nowhere", &link).expect("links");
    symlink("loop.md", case.input().join("loop.md")).expect("links");
    for paths in [json!([case.input()]), json!([case.input().join("*")])] {
        let manifest = case.prepare(&json!({ "paths": paths })).expect("prepares");
        assert_eq!((case.texts(), manifest.dropped), (vec!["fine".into()], [(Reason::Unreadable, 3)].into()));
        let told = manifest.examples[&Reason::Unreadable].join("; ");
        for name in ["link.txt: No such file", "loop.md: ", "pipe.txt: it is not a regular file"] {
            assert!(told.contains(name), "{name} is not in: {told}");
        }
    }
    fs::remove_dir_all(case.corpus()).expect("removes");
    let fault = case.prepare(&json!({ "paths": [pipe] })).expect_err("a pipe");
    assert!(matches!(&fault, Error::Io { action: "open", .. }), "{fault}");
    let fault = case.prepare(&json!({ "paths": [link] })).expect_err("a link to nowhere");
    assert!(matches!(&fault, Error::NoFiles { .. }), "{fault}");
}

/// Nothing is forbidden to root, so the test runs itself again as a user who owns nothing.
#[test]
fn what_may_not_be_read_is_counted() {
    const NAME: &str = "what_may_not_be_read_is_counted";
    if let Some(dir) = std::env::var_os("FORBIDDEN_DIR").map(PathBuf::from) {
        let config = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| dir.join(path)).collect();
            serde_json::from_value(json!({ "paths": paths, "tokenizer": { "char": {} } })).expect("a configuration")
        };
        let manifest = prepare(&config(&["in", "in/secret.txt"]), &dir.join("corpus"), &Silent).expect("prepares");
        assert_eq!(manifest.dropped, [(Reason::Unreadable, 2)].into());
        let told = manifest.examples[&Reason::Unreadable].join("; ");
        assert!(told.contains("closed: ") && told.contains("secret.txt: Permission denied"), "{told}");
        // Who names a folder wants what is in it.
        let fault = prepare(&config(&["in/closed"]), &dir.join("other"), &Silent).expect_err("it is closed");
        assert!(matches!(&fault, Error::Io { action: "list", .. }), "{fault}");
        assert_eq!(fault.kind(), ErrorKind::Resource);
        println!("it was forbidden");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mode = |path: &str, mode| fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).expect("sets");
    fs::create_dir_all(dir.path().join("in/closed")).expect("creates");
    for name in ["in/a.txt", "in/secret.txt", "in/closed/b.txt"] {
        fs::write(dir.path().join(name), format!("{name} tells a tale")).expect("writes");
    }
    mode("in/secret.txt", 0);
    mode("in/closed", 0);
    mode("in", 0o755);
    mode("", 0o777);
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", NAME, "--nocapture"]).env("FORBIDDEN_DIR", dir.path());
    if fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0) {
        child.uid(65534).gid(65534);
    }
    match child.output() {
        Err(fault) if fault.kind() == std::io::ErrorKind::PermissionDenied => println!("skipped: nobody may run this program"),
        output => {
            let output = output.expect("starts");
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && told.contains("it was forbidden"), "{told}");
        }
    }
    mode("in/closed", 0o755);
}

/// Bad files are where the corpus could come to depend on who read what.
#[test]
fn bad_files_are_the_same_to_any_number_of_tasks() {
    let whole = gzip(&(0..5_000).flat_map(|n| format!("line {n} of some text\n").into_bytes()).collect::<Vec<_>>());
    let case = Case::new(&[
        ("a.txt", b"fine"),
        ("b.txt.gz", &whole[..whole.len() / 2]),
        ("c.jsonl", b"nonsense\n{\"text\": \"json\"}\n"),
        ("e.txt.zst", b"not compressed"),
        ("z.txt", b"fine too"),
    ]);
    symlink("nowhere", case.input().join("d.txt")).expect("links");
    let config = json!({ "paths": [case.input()], "tokenizer": { "char": {} }, "document": "line" });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let alone = prepare(&config, &case.corpus(), &Silent).expect("prepares");
    assert_eq!(alone.dropped, [(Reason::Damaged, 2), (Reason::Unreadable, 1), (Reason::NotJson, 1)].into());
    for count in [1, 3] {
        let into = case.0.path().join(format!("corpus-{count}"));
        thread::scope(|scope| {
            for index in 0..count {
                let task = Task { unit_bytes: 100, ..Task::new(index, count).expect("a task") };
                let (config, into) = (&config, &into);
                scope.spawn(move || prepare_task(config, into, task, &Silent).expect("prepares"));
            }
        });
        let mut shared = Manifest::load(&into).expect("a manifest");
        shared.stages.clone_from(&alone.stages);
        assert_eq!(shared, alone, "{count} tasks");
        for name in ["train-00000.tok", "validation.txt", "tokenizer.json"] {
            assert!(fs::read(into.join(name)).expect(name) == fs::read(case.corpus().join(name)).expect(name), "{name}");
        }
    }
}
