//! A run killed again and again, at moments drawn by chance and in the middle of checkpoints, is the run that was not.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Place, RUN, listing};

/// Decides every moment.
const SEED: u64 = 4;
/// How many steps a life that came to training is given at most.
const STEPS: f64 = 10.0;

/// What the kills of a test met.
#[derive(Debug, Default)]
struct Met {
    /// Before the first checkpoint of that life: in the preparation, the load, the first step.
    starting: u64,
    /// With a checkpoint half written.
    writing: u64,
}

/// A number from 0 to 1 that belongs to (seed, kill). Source: Steele, Lea and Flood 2014, `SplitMix64`.
fn share(kill: u64) -> f64 {
    let mut z = SEED.wrapping_add(kill.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Waits until `come` says so; a run that ends by itself meanwhile has failed, or was too short to be killed so often.
fn until(child: &mut Child, come: impl Fn() -> bool) {
    let start = Instant::now();
    while !come() {
        assert!(start.elapsed() < Duration::from_mins(2), "it never came");
        assert_eq!(child.try_wait().expect("a child"), None, "the run ended before its kill");
        sleep(Duration::from_micros(200));
    }
}

/// Whether a checkpoint has been begun since `since` and is not finished.
fn half_written(checkpoints: &Path, since: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(checkpoints) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().starts_with('.')
            && entry.metadata().and_then(|folder| folder.modified()).is_ok_and(|changed| changed > since)
    })
}

/// The step of the newest whole checkpoint, 0 where there is none.
fn newest(checkpoints: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(checkpoints) else { return 0 };
    let step = |name: String| name.parse().ok();
    entries.flatten().filter_map(|entry| step(entry.file_name().into_string().ok()?)).max().unwrap_or(0)
}

/// The steps that `metrics.jsonl` has whole records of.
fn logged(metrics: &Path) -> Vec<u64> {
    let text = fs::read_to_string(metrics).unwrap_or_default();
    let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("an object")["step"].as_u64().expect("a step");
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(step).collect()
}

/// Kills a run so often, lets it end, and holds it to one that was left alone.
#[expect(clippy::print_stdout, reason = "what was met is told beside what must hold")]
fn killed(kills: u64) -> Met {
    let place = Place::new();
    // Many more steps than the kills let pass, and a checkpoint after each, so that most of the run is writing.
    let steps = 8 * kills;
    let run = RUN.replace("steps = 40", &format!("steps = {steps}")).replace("save-every-steps = 5", "save-every-steps = 1");
    place.write("run.toml", run.replace("width = 16", "width = 64"));
    let began = Instant::now();
    let mut whole = place.start(&["train", "run.toml", "--out", "whole"]);
    until(&mut whole, || !logged(&place.path("whole/metrics.jsonl")).is_empty());
    let first = began.elapsed();
    assert!(whole.wait().expect("an end").success());
    let some_steps = began.elapsed().saturating_sub(first).mul_f64(STEPS / steps as f64);

    let (metrics, checkpoints) = (place.path("broken/metrics.jsonl"), place.path("broken/checkpoints"));
    let mut met = Met::default();
    for kill in 0..kills {
        let before = newest(&checkpoints);
        let since = SystemTime::now();
        let mut child = place.start(&["train", "run.toml", "--out", "broken"]);
        match kill % 4 {
            // Anywhere in a life, from the program's start on.
            0 | 2 => sleep((first + some_steps).mul_f64(share(kill))),
            // Anywhere in training, and then ...
            way => {
                until(&mut child, || newest(&checkpoints) > before);
                sleep(some_steps.mul_f64(share(kill)));
                // ... in the middle of the next checkpoint.
                if way == 1 {
                    until(&mut child, || half_written(&checkpoints, since));
                }
            }
        }
        child.kill().expect("kill -9");
        assert_eq!(child.wait().expect("an end").code(), None, "kill {kill}: it ended by itself");
        let after = newest(&checkpoints);
        assert!(after >= before, "kill {kill}: back from step {before} to {after}");
        // Records run ahead of the newest checkpoint by a step at most, and none is missing or there twice.
        let steps = logged(&metrics);
        assert!(steps.iter().copied().eq(1..=steps.len() as u64), "kill {kill}: {steps:?}");
        assert!(steps.len() as u64 <= after + 1, "kill {kill}: {} records at step {after}", steps.len());
        met.starting += u64::from(after == before);
        met.writing += u64::from(half_written(&checkpoints, since));
    }
    let last = newest(&checkpoints);
    let end = place.ssl(&["train", "run.toml", "--out", "broken", "--json"]);
    end.says(0, &[&format!("going on from step {last}")]);
    assert_eq!(end.json()["resumed_from"], last);
    for file in ["model.safetensors", "optim.safetensors"] {
        let bytes = |run: &str| fs::read(place.path(&format!("{run}/checkpoints/{steps:08}/{file}"))).expect("a file");
        assert!(bytes("broken") == bytes("whole"), "{file} differs");
    }
    assert_eq!(place.timeless("broken"), place.timeless("whole"));
    let names = |run: &str| -> Vec<_> {
        let paths = listing(&place.path(&format!("{run}/checkpoints")));
        paths.iter().map(|path| path.file_name().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("broken"), names("whole"), "a half checkpoint was left");
    println!("{kills} kills, the last at step {last} of {steps}: {met:?}");
    met
}

#[test]
fn killed_at_five_moments_it_is_the_same_run() {
    assert!(killed(5).writing > 0, "no kill met a checkpoint half written");
}

#[test]
fn killed_at_fifty_moments_it_is_the_same_run() {
    if std::env::var_os("SSL_SLOW").is_none() {
        println!("skipped: fifty kills take minutes; cargo xtask test --slow runs them");
        return;
    }
    let met = killed(50);
    assert!(met.writing >= 10 && met.starting >= 3, "{met:?}");
}
