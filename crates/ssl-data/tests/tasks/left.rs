//! What tasks leave lying about: damaged, of another vocabulary, of leaders that are gone, or of no use any more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::json;
use ssl_data::Error;
use ssl_data::config::{DataConfig, Limits};
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, prepare, prepare_task, stage};

use super::{content, expected, look, place, task, units, wait_for};

/// Those with `name` in theirs.
fn named(into: &Path, name: &str) -> Vec<PathBuf> {
    let mut units = units(into);
    units.retain(|path| path.file_name().expect("a name").to_string_lossy().contains(name));
    units
}

/// Leaves all units and the work folder in `into`, nearly done.
fn nearly(config: &DataConfig, into: &Path) {
    // A folder in the place of the manifest keeps the leader from ending.
    fs::create_dir_all(into.join("manifest.json")).expect("creates");
    prepare_task(config, into, task(0, 1), &Silent).expect_err("a manifest that is a folder");
    fs::remove_dir(into.join("manifest.json")).expect("removes");
}

/// Which byte of a file is altered.
#[derive(Clone, Copy)]
enum At {
    /// Of the first frame.
    Begin,
    Middle,
    /// The last.
    End,
}

fn flip(path: &Path, at: At) {
    let mut bytes = fs::read(path).expect("reads");
    let at = match at {
        At::Begin => 20,
        At::Middle => bytes.len() / 2,
        At::End => bytes.len() - 1,
    };
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_damaged_hand_over_is_named_and_done_anew() {
    let (dir, config, into) = place();
    let only = task(0, 1);
    nearly(&config, &into);
    let last = named(&into, "records").len() - 1;
    assert!(last >= 3, "{last}");
    let (tokens, records) = (&named(&into, "tokens")[1], named(&into, "records"));
    // The stamps are looked at by all, the records behind them by a leader without a spool.
    for (path, at, spool) in [
        (tokens, At::Middle, true),
        (&records[2], At::Begin, true),
        (&records[1], At::Middle, false),
        (&records[last], At::Middle, false),
        (&records[0], At::End, false),
    ] {
        if !spool && into.join("prepare.tmp").exists() {
            fs::remove_dir_all(into.join("prepare.tmp")).expect("removes");
        }
        flip(path, at);
        let fault = prepare_task(&config, &into, only, &Silent).expect_err("a flipped bit");
        assert!(matches!(&fault, Error::Damaged { path: at, .. } if at == path), "{fault}");
        assert!(!into.join("manifest.json").exists());
    }
    prepare_task(&config, &into, only, &Silent).expect("prepares");
    assert!(content(&into) == expected(&config));
    assert_eq!(units(&into).len(), 1, "nothing is left but what it came to");
    drop(dir);
}

#[test]
fn a_hand_over_that_vanished_is_done_anew() {
    let (_dir, config, into) = place();
    nearly(&config, &into);
    fs::remove_dir_all(into.join("prepare.tmp")).expect("removes");
    fs::remove_file(named(&into, "records").last().expect("a unit")).expect("removes");
    prepare_task(&config, &into, task(0, 1), &Silent).expect("prepares");
    assert!(content(&into) == expected(&config));
}

#[test]
fn a_hand_over_that_is_damaged_while_its_owner_waits_is_done_anew_by_who_is_started_again() {
    let (_dir, config, into) = place();
    nearly(&config, &into);
    fs::remove_dir_all(into.join("prepare.tmp")).expect("removes");
    let records = named(&into, "records");
    let waits = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let watch = look(|stage| waits.store(waits.load(Ordering::Relaxed) || stage == stage::WAIT, Ordering::Relaxed));
            prepare_task(&config, &into, task(1, 2), &watch)
        });
        wait_for(&waits);
        flip(&records[1], At::Middle);
        let fault = prepare_task(&config, &into, task(0, 2), &look(|_| {})).expect_err("a flipped bit");
        assert!(matches!(&fault, Error::Damaged { path, .. } if *path == records[1]), "{fault}");
        prepare_task(&config, &into, task(0, 2), &look(|_| {})).expect("prepares");
        other.join().expect("no panic").expect("prepares");
    });
    assert!(content(&into) == expected(&config));
}

#[test]
fn tokens_of_another_vocabulary_are_not_packed() {
    let (dir, config, into) = place();
    nearly(&config, &into);
    // A training that came out otherwise, as of some kinds each does.
    let mut other = config.clone();
    other.tokenizer = serde_json::from_value(json!({ "byte-bpe": { "vocab-tokens": 300 } })).expect("a tokenizer");
    let theirs = dir.path().join("theirs");
    prepare(&other, &theirs, &Silent).expect("prepares");
    let tokenizer = fs::read(theirs.join("tokenizer.json")).expect("reads");
    fs::write(into.join("prepare.tmp/tokenizer.json"), &tokenizer).expect("writes");
    let progress = into.join("prepare.tmp/progress.json");
    let mut told: serde_json::Value = serde_json::from_slice(&fs::read(&progress).expect("reads")).expect("JSON");
    told["tokenizer"]["digest"] = blake3::hash(&tokenizer).to_hex().to_string().into();
    fs::write(&progress, serde_json::to_vec(&told).expect("JSON")).expect("writes");
    let manifest = prepare_task(&config, &into, task(0, 1), &Silent).expect("prepares");
    assert_eq!(manifest.vocab_size, Manifest::load(&theirs).expect("a manifest").vocab_size);
    let (ours, theirs) = (content(&into), content(&theirs));
    for (name, bytes) in theirs.iter().filter(|(name, _)| name.starts_with("train-") || name.starts_with("validation-")) {
        assert!(ours.get(name) == Some(bytes), "{name}");
    }
}

#[test]
fn a_plan_of_a_leader_that_is_gone_ends_no_helper() {
    let (_dir, config, into) = place();
    nearly(&config, &into);
    // The plan is there; the spool and the tokenizer of which it speaks are not.
    assert_eq!(named(&into, "plan").len(), 1);
    fs::remove_dir_all(into.join("prepare.tmp")).expect("removes");
    for path in named(&into, "tokens") {
        fs::remove_file(path).expect("removes");
    }
    let waits = AtomicBool::new(false);
    thread::scope(|scope| {
        let helper = scope.spawn(|| {
            let watch = look(|stage| waits.store(waits.load(Ordering::Relaxed) || stage == stage::WAIT, Ordering::Relaxed));
            let result = prepare_task(&config, &into, task(1, 2), &watch);
            waits.store(true, Ordering::Relaxed);
            result
        });
        wait_for(&waits);
        prepare_task(&config, &into, task(0, 2), &look(|_| {})).expect("prepares");
        helper.join().expect("no panic").expect("prepares");
    });
    assert!(content(&into) == expected(&config));
}

#[test]
fn nothing_is_left_by_a_leader_that_is_killed_before_it_clears_up() {
    let (_dir, config, into) = place();
    prepare_task(&config, &into, task(0, 1), &Silent).expect("prepares");
    let [done] = &units(&into)[..] else { panic!("{:?}", units(&into)) };
    let left = [done.with_file_name("records-000000"), done.with_file_name(".tmpAbc123")];
    for path in &left {
        fs::write(path, "left").expect("writes");
    }
    prepare_task(&config, &into, task(0, 1), &Silent).expect("is done");
    assert_eq!(&units(&into)[..], std::slice::from_ref(done));
    // It did not even say that all is done.
    fs::remove_file(done).expect("removes");
    fs::write(&left[1], "left").expect("writes");
    prepare_task(&config, &into, task(0, 1), &Silent).expect("is done");
    assert_eq!(&units(&into)[..], std::slice::from_ref(done));
}

#[test]
fn what_other_preparations_left_is_removed_unless_they_are_at_work() {
    let (_dir, config, into) = place();
    let tasks = into.join("prepare.tasks");
    for name in ["left", "alive"] {
        fs::create_dir_all(tasks.join(name)).expect("creates");
        fs::write(tasks.join(name).join("records-000000"), "theirs").expect("writes");
        fs::write(tasks.join(name).join("alive-000000"), "0").expect("writes");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for beat in 0.. {
                fs::write(tasks.join("alive").join("alive-000000"), format!("{beat}")).expect("writes");
                if done.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let result = prepare_task(&config, &into, task(0, 1), &look(|_| {}));
        done.store(true, Ordering::Relaxed);
        result.expect("prepares");
    });
    assert!(!tasks.join("left").exists() && tasks.join("alive").join("records-000000").exists());
}

#[test]
fn a_raised_limit_of_bad_records_reads_nothing_again() {
    let (_dir, mut config, into) = place();
    let usual = config.limits.clone();
    let strict = |limits: &mut Limits| (limits.bad_records, limits.bad_share) = (3, 0.0);
    strict(&mut config.limits);
    let fault = prepare_task(&config, &into, task(0, 1), &Silent).expect_err("twelve bad records");
    assert!(matches!(fault, Error::BadRecords { limit: 3, .. }), "{fault}");
    let written = || -> BTreeMap<PathBuf, SystemTime> {
        let about = |path: PathBuf| {
            let time = fs::metadata(&path).and_then(|about| about.modified()).expect("a time");
            (path, time)
        };
        named(&into, "records").into_iter().map(about).collect()
    };
    let before = written();
    assert!(before.len() > 2);
    config.limits = usual;
    let same = AtomicBool::new(false);
    let watch = look(|stage| {
        same.store(same.load(Ordering::Relaxed) || stage == stage::TOKENIZER && written() == before, Ordering::Relaxed);
    });
    prepare_task(&config, &into, task(0, 1), &watch).expect("prepares");
    assert!(same.load(Ordering::Relaxed));
    assert!(content(&into) == expected(&config));
    // A corpus is no excuse for what a lower limit refuses.
    strict(&mut config.limits);
    prepare_task(&config, &into, task(0, 1), &Silent).expect_err("twelve bad records");
}
