//! Runs that are killed, stopped, or out of room.

use std::fs;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, RUN, listing};

/// Waits until a run has logged `step`.
fn wait_for(place: &Place, run: &str, step: u64, child: &mut Child) {
    let metrics = place.path(run).join("metrics.jsonl");
    let start = Instant::now();
    while !fs::read_to_string(&metrics).unwrap_or_default().contains(&format!("\"step\":{step},")) {
        assert!(start.elapsed() < Duration::from_mins(1), "step {step} never came");
        assert!(child.try_wait().expect("a child").is_none(), "the run ended before step {step}");
        sleep(Duration::from_millis(1));
    }
}

/// Validations after every step leave time for a signal to arrive in the middle.
fn slow(place: &Place) {
    place
        .write("run.toml", RUN.replace("every-steps = 10", "every-steps = 1").replace("sample-tokens = 8", "sample-tokens = 64"));
}

fn killed_and_resumed(precision: &str) {
    let place = Place::new();
    slow(&place);
    let set = format!("train.precision=\"{precision}\"");
    place.ssl(&["train", "run.toml", "--out", "whole", "--set", &set, "--quiet"]).says(0, &[]);

    let mut child = place.start(&["train", "run.toml", "--out", "broken", "--set", &set]);
    wait_for(&place, "broken", 16, &mut child);
    child.kill().expect("kill -9");
    assert_eq!(child.wait().expect("an end").code(), None, "it ended by the signal, not by itself");
    assert!(!place.path("broken/checkpoints/00000040").exists(), "the kill came too late to show anything");

    let resumed = place.ssl(&["train", "run.toml", "--out", "broken", "--set", &set, "--json"]);
    resumed.says(0, &["going on from step"]);
    assert!(resumed.json()["resumed_from"].as_u64().is_some_and(|step| (15..40).contains(&step)), "{}", resumed.stdout);
    for file in ["model.safetensors", "optim.safetensors"] {
        let bytes = |run: &str| fs::read(place.path(run).join("checkpoints/00000040").join(file)).expect("a file");
        assert!(bytes("broken") == bytes("whole"), "{file} differs");
    }
    assert_eq!(place.timeless("broken"), place.timeless("whole"));
}

#[test]
fn killed_and_resumed_it_is_the_same_run_in_fp32() {
    killed_and_resumed("fp32");
}

#[test]
fn killed_and_resumed_it_is_the_same_run_in_bf16() {
    killed_and_resumed("bf16");
}

/// A signal comes wherever it finds the run, so in the middle of validations too; what it cut short is made good.
#[test]
fn a_signal_saves_and_the_same_command_goes_on_to_the_same_end() {
    let place = Place::new();
    slow(&place);
    let whole = place.ssl(&["train", "run.toml", "--out", "whole", "--json"]);
    whole.says(0, &[]);
    let mut from = 0;
    for step in [7, 16, 25] {
        let mut child = place.start(&["train", "run.toml", "--out", "out"]);
        wait_for(&place, "out", step, &mut child);
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill").success());
        assert_eq!(child.wait().expect("an end").code(), Some(75));
        let last = listing(&place.path("out/checkpoints")).pop().expect("a checkpoint");
        from = last.file_name().expect("a name").to_string_lossy().parse().expect("a step");
        assert!((step..40).contains(&from) && last.join("DONE").is_file(), "{last:?}");
    }
    let resumed = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
    resumed.says(0, &[&format!("going on from step {from}")]);
    let (resumed, whole) = (resumed.json(), whole.json());
    assert_eq!((&resumed["resumed_from"], &resumed["steps"]), (&from.into(), &40.into()));
    for key in ["train_loss", "val_loss", "val_bpb", "val_step"] {
        assert_eq!(resumed[key], whole[key], "{key}");
    }
    assert_eq!(place.timeless("out"), place.timeless("whole"));
    let weights = |run: &str| fs::read(place.path(run).join("checkpoints/00000040/model.safetensors")).expect("weights");
    assert!(weights("out") == weights("whole"), "weights differ");
}

#[test]
fn one_folder_takes_one_run_at_a_time() {
    let place = Place::new();
    slow(&place);
    let mut child = place.start(&["train", "run.toml", "--out", "out"]);
    wait_for(&place, "out", 2, &mut child);
    place.ssl(&["train", "run.toml", "--out", "out"]).says(4, &["in use by another run", "hint:"]);
    child.kill().expect("kill");
    child.wait().expect("an end");
    // The lock of a killed run holds nobody up.
    place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
}

#[test]
fn divergence_ends_the_run_and_names_step_and_text() {
    let place = Place::new();
    let set = |key: &str| ["--set".to_owned(), key.to_owned()];
    let args: Vec<String> = ["train", "run.toml", "--out", "out"]
        .map(String::from)
        .into_iter()
        .chain(set("optim.adamw.lr=1e30"))
        .chain(set("train.clip-norm=1e30"))
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    place.ssl(&args).says(5, &["step ", "sample ", "begins \"", "lower the learning rate"]);
}

/// A run in a file system of one megabyte, most of which something else then takes.
#[test]
fn a_full_disk_ends_the_run_and_leaves_what_was_there() {
    let place = Place::new();
    let script = r#"
        mkdir -p out && mount -t tmpfs -o size=1m tmpfs out || exit 99
        "$0" train run.toml --out out --set train.steps=5 --quiet || exit 98
        head -c 2000000 /dev/zero > out/filler 2> /dev/null
        "$0" train run.toml --out out --allow-config-change --json > result.json 2> talk.txt
        echo $? > code.txt
        rm out/filler
        "$0" inspect out --json > inspect.json || exit 97
        "$0" train run.toml --out out --allow-config-change --json > again.json || exit 96
    "#;
    let output =
        Command::new("unshare").args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_ssl")]).current_dir(place.path("")).output();
    let code = output.as_ref().ok().and_then(|output| output.status.code());
    if code.is_none_or(|code| code == 99 || code == 1) {
        println!("skipped: this machine lets no test mount a small file system");
        return;
    }
    assert_eq!(code, Some(0), "{output:?}");
    assert_eq!(place.read("code.txt").trim(), "4", "{}", place.read("talk.txt"));
    let talk = place.read("talk.txt");
    assert!(talk.contains("No space left") && talk.contains("free space on that disk"), "{talk}");
    let again: Value = serde_json::from_str(&place.read("again.json")).expect("a document");
    assert_eq!((&again["steps"], &again["resumed_from"]), (&40.into(), &5.into()), "{again}");
}

/// The same without rights to mount: no file may grow beyond what the weights need, so moments find no room.
#[test]
fn files_that_may_not_grow_end_the_run_and_leave_what_was_there() {
    let place = Place::trained();
    let before = place.content("out/checkpoints");
    let more = "train run.toml --out out --set train.steps=20 --allow-config-change";
    // Without the trap the signal of that limit ends the program at once, as a kill would.
    let ran = place.sh(&format!("trap '' XFSZ; ulimit -f 48; exec \"$0\" {more}"));
    ran.says(4, &["warning: cannot write", "training goes on", "error: cannot write", "hint:"]);
    assert_eq!(place.content("out/checkpoints"), before, "old ones whole, nothing half");
    place.sh(&format!("ulimit -f 48; exec \"$0\" {more}"));
    let again = place.ssl(&more.split(' ').chain(["--json"]).collect::<Vec<_>>());
    again.says(0, &[]);
    assert_eq!((&again.json()["resumed_from"], &again.json()["steps"]), (&10.into(), &20.into()));
}
