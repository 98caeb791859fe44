//! One run in several processes: the weights of a single one, checkpoints that anybody can go on from.

mod failures;
mod torchrun;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use ssl_model::weights::File;
use tch::Kind;

use crate::support::{Place, RUN, Ran, listing};

/// Without dropout, whose draws depend on which rows a process has.
fn plain() -> String {
    // A bias of keys moves no logit, so that its gradient is rounding alone, which Adam would blow up to steps of full length;
    // and so it does with the rounding of any gradient, by as much as the learning rate allows.
    RUN.replace("dropout = 0.1", "dropout = 0.0\nbias = false")
        .replace("steps = 40", "steps = 20")
        .replace("lr = 1e-2", "lr = 1e-3")
}

/// A port that nobody has.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port().to_string()
}

/// One rank of several, not started yet; its stderr is kept in `NAME-RANK.txt`.
fn rank(place: &Place, rank: u32, world: u32, port: &str, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssl"));
    let stderr = fs::File::create(place.path(&format!("{name}-{rank}.txt"))).expect("room");
    command
        .args(["train", "run.toml", "--out", name, "--threads", "1", "--json"])
        .args(more)
        .current_dir(place.path(""))
        .env_remove("RUST_BACKTRACE")
        .envs([("RANK", rank.to_string()), ("WORLD_SIZE", world.to_string())])
        .envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr);
    command
}

/// All ranks of a run, started.
fn ranks(place: &Place, world: u32, name: &str, more: &[&str]) -> Vec<Child> {
    let port = port();
    (0..world).map(|r| rank(place, r, world, &port, name, more).spawn().expect("it starts")).collect()
}

/// How ranks ended, in order.
fn ended(place: &Place, name: &str, ranks: Vec<Child>) -> Vec<Ran> {
    let end = |(rank, child): (usize, Child)| {
        let output = child.wait_with_output().expect("an end");
        let stdout = String::from_utf8(output.stdout).expect("text");
        Ran { code: output.status.code(), stdout, stderr: place.read(&format!("{name}-{rank}.txt")) }
    };
    ranks.into_iter().enumerate().map(end).collect()
}

/// Runs all ranks to a good end; returns the document of rank 0, which alone speaks.
fn trained(place: &Place, world: u32, name: &str, more: &[&str]) -> Value {
    let ran = ended(place, name, ranks(place, world, name, more));
    for ran in &ran {
        ran.says(0, &[]);
    }
    assert!(ran[1..].iter().all(|ran| ran.stdout.is_empty() && ran.stderr.is_empty()), "{ran:?}");
    ran[0].json()
}

/// Waits until a run has logged `step`.
fn wait_for(place: &Place, run: &str, step: u64) {
    let metrics = place.path(run).join("metrics.jsonl");
    let start = Instant::now();
    while !fs::read_to_string(&metrics).unwrap_or_default().contains(&format!("\"step\":{step},")) {
        assert!(start.elapsed() < Duration::from_mins(2), "step {step} never came");
        sleep(Duration::from_millis(1));
    }
}

fn last(place: &Place, run: &str) -> PathBuf {
    listing(&place.path(run).join("checkpoints")).pop().expect("a checkpoint")
}

/// The largest difference of two files of tensors, which have the same names and shapes; beside the largest number of each
/// tensor where that is above 1.
fn difference(a: &Path, b: &Path) -> f64 {
    let (a, b) = (File::open(a).expect("tensors"), File::open(b).expect("tensors"));
    assert!(a.entries().map(|entry| &entry.name).eq(b.entries().map(|entry| &entry.name)), "other tensors");
    let apart = |entry: &ssl_model::weights::Entry| {
        let theirs = b.tensor(b.find(&entry.name).expect("the same names")).expect("a tensor").to_kind(Kind::Double);
        let ours = a.tensor(entry).expect("a tensor").to_kind(Kind::Double);
        assert_eq!(ours.size(), theirs.size(), "{}", entry.name);
        let size = ours.abs().max().double_value(&[]).max(1.0);
        (ours - theirs).abs().max().double_value(&[]) / size
    };
    a.entries().map(apart).fold(0.0, f64::max)
}

/// The counts of a checkpoint that do not belong to the clock.
fn counts(checkpoint: &Path) -> (Value, Value, Value) {
    let text = fs::read(checkpoint.join("state.json")).expect("counts");
    let progress = serde_json::from_slice::<Value>(&text).expect("an object")["progress"].clone();
    (progress["step"].clone(), progress["sample"].clone(), progress["tokens"].clone())
}

fn same_files(place: &Place, a: &str, b: &str) {
    let (a, b) = (last(place, a), last(place, b));
    assert_eq!(a.file_name(), b.file_name());
    for file in ["model.safetensors", "optim.safetensors"] {
        assert!(fs::read(a.join(file)).expect("a file") == fs::read(b.join(file)).expect("a file"), "{file} differs");
    }
    assert_eq!(counts(&a), counts(&b));
}

#[test]
fn two_and_four_ranks_train_the_weights_of_one() {
    let place = Place::new();
    place.write("run.toml", plain());
    let alone = place.ssl(&["train", "run.toml", "--out", "one", "--threads", "1", "--json"]);
    alone.says(0, &[]);
    let (alone, one) = (alone.json(), last(&place, "one"));
    for world in [2, 4] {
        for shard in ["none", "optimizer", "gradients"] {
            let name = format!("{world}-{shard}");
            let set = format!("train.parallel.shard=\"{shard}\"");
            let told = trained(&place, world, &name, &["--set", &set, "--set", "train.parallel.bucket-mib=1"]);
            let many = last(&place, &name);
            assert_eq!(counts(&many), counts(&one));
            let apart = difference(&many.join("model.safetensors"), &one.join("model.safetensors"));
            let moments = difference(&many.join("optim.safetensors"), &one.join("optim.safetensors"));
            println!("{world} ranks, shard {shard}: weights differ by {apart:.1e}, moments by {moments:.1e}");
            assert!(apart < 1e-6 && moments < 1e-6, "{name}: {apart:.1e} {moments:.1e}");
            for key in ["train_loss", "val_loss"] {
                let (a, b) = (told[key].as_f64().expect("a loss"), alone[key].as_f64().expect("a loss"));
                assert!((a - b).abs() < 1e-5, "{key}: {a} and {b}");
            }
        }
    }
}

#[test]
fn two_ranks_repeat_themselves_to_the_bit_under_dropout_and_in_bf16() {
    let place = Place::new();
    place.write("run.toml", RUN.replace("steps = 40", "steps = 10"));
    for precision in ["fp32", "bf16"] {
        let set = format!("train.precision=\"{precision}\"");
        for shard in ["none", "gradients"] {
            let runs = ["first", "again"].map(|name| format!("{precision}-{shard}-{name}"));
            for name in &runs {
                trained(&place, 2, name, &["--set", &set, "--set", &format!("train.parallel.shard=\"{shard}\"")]);
            }
            same_files(&place, &runs[0], &runs[1]);
        }
    }
}

/// A run that 2 ranks began goes on with 1, 2 and 4: the same windows in the same order, to the same end.
#[test]
fn checkpoints_do_not_depend_on_the_number_of_ranks() {
    let place = Place::new();
    // Validations after every step leave time for a signal to arrive.
    let slow = plain().replace("every-steps = 10", "every-steps = 1");
    place.write("run.toml", slow + "[train.parallel]\nshard = \"gradients\"\n");
    place.ssl(&["train", "run.toml", "--out", "whole", "--threads", "1", "--quiet"]).says(0, &[]);
    let children = ranks(&place, 2, "broken", &[]);
    wait_for(&place, "broken", 8);
    let sent = Command::new("kill").args(["-TERM", &children[1].id().to_string()]).status().expect("kill");
    assert!(sent.success());
    for ran in &ended(&place, "broken", children) {
        ran.says(75, &[]);
    }
    let (step, ..) = counts(&last(&place, "broken"));
    assert!(step.as_u64().is_some_and(|step| (8..20).contains(&step)), "{step}");
    for world in [1, 2, 4] {
        let name = format!("on-{world}");
        let copied = Command::new("cp").args(["-r", "broken", &name]).current_dir(place.path("")).status().expect("cp");
        assert!(copied.success());
        if world == 1 {
            place.ssl(&["train", "run.toml", "--out", &name, "--threads", "1", "--quiet"]).says(0, &[]);
        } else {
            assert_eq!(trained(&place, world, &name, &[])["resumed_from"], step);
        }
        let (on, whole) = (last(&place, &name), last(&place, "whole"));
        assert_eq!(counts(&on), counts(&whole), "another order");
        for file in ["model.safetensors", "optim.safetensors"] {
            let apart = difference(&on.join(file), &whole.join(file));
            println!("2 ranks, then {world}: {file} differs by {apart:.1e}");
            assert!(apart < 1e-6, "{file} differs by {apart}");
        }
    }
}

/// Each rank carries the state of its rows, and the checkpoint that of all.
#[test]
fn streams_are_divided_by_rows() {
    let place = Place::new();
    let model = "[model.lstm]\nlayers = 2\nwidth = 16\ncontext-tokens = 16\ndropout = 0.0";
    let gpt = "[model.gpt]\nlayers = 1\nheads = 2\nwidth = 16\ncontext-tokens = 16\ndropout = 0.0\nbias = false";
    let run = plain().replace(gpt, model).replace("[objective.causal]", "[data.windows.streams]\nrows = 4\n[objective.causal]");
    assert!(run.contains("lstm"), "{run}");
    place.write("run.toml", run);
    place.ssl(&["train", "run.toml", "--out", "one", "--threads", "1", "--quiet"]).says(0, &[]);
    trained(&place, 2, "two", &[]);
    let copied = Command::new("cp").args(["-r", "one", "on"]).current_dir(place.path("")).status().expect("cp");
    assert!(copied.success());
    fs::remove_dir_all(place.path("on/checkpoints/00000020")).expect("gone");
    trained(&place, 2, "on", &[]);
    for name in ["two", "on"] {
        for file in ["model.safetensors", "optim.safetensors"] {
            let apart = difference(&last(&place, name).join(file), &last(&place, "one").join(file));
            println!("{name}: {file} differs by {apart:.1e}");
            assert!(apart < 1e-6, "{name}: {file} differs by {apart}");
        }
    }
}

#[test]
fn what_ranks_cannot_share_is_refused_with_every_fault() {
    let place = Place::new();
    let words = "[model.word2vec]\nwidth = 16";
    let (before, after) = RUN.split_once("[model.gpt]").expect("a model");
    let (_, after) = after.split_once("\n\n").expect("sections");
    place.write("run.toml", format!("{before}{words}\n\n{after}").replace("[objective.causal]", "[objective.neighbours]"));
    let port = port();
    let child = rank(&place, 0, 3, &port, "out", &["--set", "train.parallel.bucket-mib=0"]).spawn().expect("it starts");
    let ran = ended(&place, "out", vec![child]);
    ran[0].says(2, &["4 rows cannot be divided among 3 ranks", "give 6", "moves its own weights", "0 MiB", "run.toml:"]);

    let half = Command::new(env!("CARGO_BIN_EXE_ssl"))
        .args(["train", "run.toml"])
        .current_dir(place.path(""))
        .env("RANK", "1")
        .output()
        .expect("it starts");
    assert_eq!(half.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&half.stderr).contains("WORLD_SIZE is not set"), "{half:?}");
}
