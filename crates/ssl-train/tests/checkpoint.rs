//! Checkpoints that are damaged, unfinished or of another model.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use ssl_model::config::ModelConfig;
use ssl_model::params::Precision;
use ssl_train::checkpoint::{Checkpoint, rotate};
use ssl_train::state::TrainState;
use support::{Setup, bits};

const VOCAB: u32 = 11;

fn state(seed: u64) -> TrainState {
    let mut setup = Setup::new(Precision::Fp32);
    setup.train.seed = seed;
    setup.begin(VOCAB).1
}

/// Checkpoints of steps 1 and 2.
fn two(root: &Path) -> (PathBuf, PathBuf) {
    let mut state = state(1);
    let mut save = |step| {
        state.progress.step = step;
        Checkpoint::save(root, &state, "hash", &[("run.toml", b"text".to_vec())]).expect("room").dir
    };
    (save(1), save(2))
}

#[test]
fn what_is_saved_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, newest) = two(dir.path());
    let (found, passed) = Checkpoint::latest(dir.path()).expect("a listing");
    let found = found.expect("a checkpoint");
    assert!(passed.is_empty());
    assert_eq!((found.step, &found.dir), (2, &newest));
    assert_eq!(fs::read(newest.join("run.toml")).expect("a companion"), b"text");
    let (saved, mut other) = (state(1), state(2));
    assert_ne!(bits(&saved), bits(&other));
    found.restore(&mut other).expect("it fits");
    assert_eq!(bits(&saved), bits(&other));
    assert_eq!(other.progress.step, 2);
}

#[test]
fn a_kill_while_a_step_is_saved_again_leaves_the_one_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let (older, newest) = two(dir.path());
    fs::remove_dir_all(older).expect("it is there");
    // What stands when the old one has moved aside and the new one is not in its place yet.
    let before = dir.path().join("00000002.before");
    fs::rename(&newest, &before).expect("a new name");
    let found = || Checkpoint::latest(dir.path()).expect("a listing").0.expect("a checkpoint");
    assert_eq!((found().step, found().dir), (2, before.clone()));
    // Saved again, and once more over that: the newer one counts, and nothing is left beside it.
    for _ in 0..2 {
        let (older, newest) = two(dir.path());
        assert_eq!(found().dir, newest);
        assert!(!before.exists() && older.exists());
    }
}

/// Damages the newest of two checkpoints: the one before must be found, and the fault must name `word`.
fn passed_over(damage: impl Fn(&Path), word: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (older, newest) = two(dir.path());
    damage(&newest);
    let (found, passed) = Checkpoint::latest(dir.path()).expect("a listing");
    assert_eq!(found.map(|found| found.dir), Some(older), "{word}");
    let told: Vec<String> = passed.iter().map(ToString::to_string).collect();
    assert!(matches!(&told[..], [one] if one.contains(word) && one.contains("00000002")), "{told:?} should name {word}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_the_reason() {
    passed_over(|dir| fs::remove_file(dir.join("DONE")).expect("a file"), "never finished");
    passed_over(|dir| fs::write(dir.join("DONE"), "{\"model.saf").expect("a write"), "DONE");
    passed_over(|dir| fs::write(dir.join("DONE"), "{}").expect("a write"), "DONE does not name");
    passed_over(|dir| fs::remove_file(dir.join("optim.safetensors")).expect("a file"), "optim.safetensors");
    for file in ["model.safetensors", "optim.safetensors", "state.json", "run.toml"] {
        passed_over(
            |dir| {
                let bytes = fs::read(dir.join(file)).expect("a file");
                fs::write(dir.join(file), &bytes[..bytes.len() - 1]).expect("a write");
            },
            file,
        );
        passed_over(
            |dir| {
                let mut bytes = fs::read(dir.join(file)).expect("a file");
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                fs::write(dir.join(file), bytes).expect("a write");
            },
            file,
        );
    }
}

#[test]
fn a_folder_in_the_making_is_no_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, newest) = two(dir.path());
    fs::rename(&newest, dir.path().join(".00000003.tmp")).expect("a rename");
    let (found, passed) = Checkpoint::latest(dir.path()).expect("a listing");
    assert_eq!((found.map(|found| found.step), passed.len()), (Some(1), 0));
    // The next save of that step clears what was left.
    let mut state = state(1);
    state.progress.step = 3;
    Checkpoint::save(dir.path(), &state, "hash", &[]).expect("room");
    assert!(!dir.path().join(".00000003.tmp").exists());
    assert_eq!(Checkpoint::latest(dir.path()).expect("a listing").0.map(|found| found.step), Some(3));
}

#[test]
fn another_shape_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    two(dir.path());
    let found = Checkpoint::latest(dir.path()).expect("a listing").0.expect("a checkpoint");
    let mut wider = Setup::new(Precision::Fp32);
    let ModelConfig::Gpt(gpt) = &mut wider.model else { panic!("a GPT was set up") };
    gpt.width = 32;
    let mut state = wider.begin(VOCAB).1;
    let before = bits(&state);
    let fault = found.restore(&mut state).expect_err("another width");
    let told = fault.to_string();
    assert!(told.contains("transformer.wte.weight") && told.contains("24") && told.contains("32"), "{told}");
    assert_eq!(bits(&state), before, "nothing was taken over");
}

#[test]
fn a_disk_without_room_leaves_the_old_ones() {
    let dir = tempfile::tempdir().expect("a folder");
    two(dir.path());
    // A file where the new folder must go refuses it, as a full disk would.
    fs::write(dir.path().join(".00000003.tmp"), "").expect("a write");
    let mut state = state(1);
    state.progress.step = 3;
    let fault = Checkpoint::save(dir.path(), &state, "hash", &[]).expect_err("no room");
    assert!(fault.to_string().contains("00000003"), "{fault}");
    assert_eq!(Checkpoint::latest(dir.path()).expect("a listing").0.map(|found| found.step), Some(2));
}

#[test]
fn rotation_keeps_the_newest_and_the_best() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut state = state(1);
    for step in 1..=6 {
        state.progress.step = step;
        Checkpoint::save(dir.path(), &state, "hash", &[]).expect("room");
    }
    rotate(dir.path(), 2, Some(3)).expect("a rotation");
    let mut left: Vec<String> = fs::read_dir(dir.path())
        .expect("a listing")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["00000003", "00000005", "00000006"]);
}
