//! Ranks that are killed, stopped, asked to end, or never come.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{counts, ended, last, port, rank, ranks, same_files, trained, wait_for};
use crate::support::{Place, RUN};

/// Validations after every step leave time for a signal to arrive in the middle.
fn slow(place: &Place, seconds: u32) {
    let run = RUN.replace("every-steps = 10", "every-steps = 1").replace("steps = 40", "steps = 24");
    place.write("run.toml", format!("{run}[train.parallel]\ntimeout-seconds = {seconds}\nshard = \"optimizer\"\n"));
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill").success());
}

#[test]
fn a_killed_rank_ends_the_others_and_a_restart_is_the_run_that_never_died() {
    let place = Place::new();
    slow(&place, 60);
    trained(&place, 2, "whole", &[]);
    for victim in [1, 0] {
        let name = format!("without-{victim}");
        let mut children = ranks(&place, 2, &name, &[]);
        wait_for(&place, &name, 12);
        children[victim].kill().expect("kill -9");
        let start = Instant::now();
        let ran = ended(&place, &name, children);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(ran[victim].code, None);
        let survivor = format!("rank {} of 2: another rank ended", 1 - victim);
        ran[1 - victim].says(4, &[&survivor, "the last checkpoint is whole"]);
        assert_eq!(ran[1 - victim].stderr.matches("of 2").count(), 1, "said once: {}", ran[1 - victim].stderr);
        let (step, ..) = counts(&last(&place, &name));
        let told = trained(&place, 2, &name, &[]);
        assert_eq!(told["resumed_from"], step);
        same_files(&place, &name, "whole");
    }
}

#[test]
fn a_stopped_rank_is_given_up_after_the_timeout() {
    let place = Place::new();
    slow(&place, 4);
    let mut children = ranks(&place, 2, "out", &[]);
    wait_for(&place, "out", 8);
    signal(&children[1], "-STOP");
    let stopped = children.pop().expect("rank 1");
    let start = Instant::now();
    let ran = ended(&place, "out", children);
    let took = start.elapsed();
    signal(&stopped, "-KILL");
    let _ = ended(&place, "out", vec![stopped]);
    assert!(took < Duration::from_secs(12), "{took:?}");
    ran[0].says(4, &["rank 0 of 2", "did not end within 4 s", "train.parallel.timeout-seconds"]);
    assert!(last(&place, "out").join("DONE").is_file());
}

#[test]
fn a_rank_that_never_arrives_is_named() {
    let place = Place::new();
    slow(&place, 2);
    let port = port();
    let children = [0, 2].map(|r| rank(&place, r, 3, &port, "out", &["--set", "train.batch-rows=3"]).spawn().expect("it starts"));
    let start = Instant::now();
    let outputs = children.map(|child| child.wait_with_output().expect("an end").status.code());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(outputs, [Some(4), Some(4)]);
    let first = place.read("out-0.txt");
    assert!(first.contains("rank 0 of 3: rank 1 did not arrive within 2 s") && first.contains("hint: "), "{first}");
    // Rank 2 hears the same, or that rank 0 has left.
    assert!(place.read("out-2.txt").contains("rank 2 of 3: "), "{}", place.read("out-2.txt"));
}

#[test]
fn nobody_waits_for_a_first_rank_that_is_not_there() {
    let place = Place::new();
    slow(&place, 2);
    let child = rank(&place, 1, 2, &port(), "out", &[]).spawn().expect("it starts");
    let code = child.wait_with_output().expect("an end").status.code();
    let told = place.read("out-1.txt");
    assert!(code == Some(4) && told.contains("rank 1 of 2: cannot meet the other ranks at 127.0.0.1:"), "{code:?} {told}");
    assert_eq!(told.lines().count(), 2, "one error and its hint: {told}");
}

#[test]
fn a_signal_to_one_rank_stops_all_at_the_same_step() {
    let place = Place::new();
    slow(&place, 60);
    trained(&place, 2, "whole", &[]);
    for (asked, at) in [(1, 6), (0, 14)] {
        let children = ranks(&place, 2, "out", &[]);
        wait_for(&place, "out", at);
        signal(&children[asked], "-TERM");
        for ran in &ended(&place, "out", children) {
            ran.says(75, &[]);
        }
        let (step, ..) = counts(&last(&place, "out"));
        assert!(step.as_u64().is_some_and(|step| (at..24).contains(&step)), "{step}");
    }
    trained(&place, 2, "out", &[]);
    same_files(&place, "out", "whole");
}

#[test]
fn ranks_of_other_runs_do_not_mix() {
    let place = Place::new();
    slow(&place, 10);
    let port = port();
    let first = rank(&place, 0, 2, &port, "out", &[]).spawn().expect("it starts");
    let second = rank(&place, 1, 2, &port, "out", &["--set", "train.seed=9"]).spawn().expect("it starts");
    let ran = ended(&place, "out", vec![first, second]);
    ran[1].says(2, &["rank 1 of 2", "another run file", "the same command"]);
    assert_eq!(ran[0].code, Some(4), "{:?}", ran[0]);
}

#[test]
fn divergence_ends_every_rank() {
    let place = Place::new();
    slow(&place, 20);
    let more = ["--set", "optim.adamw.lr=1e30", "--set", "train.clip-norm=1e30", "--set", "eval.every-steps=1000"];
    let ran = ended(&place, "out", ranks(&place, 2, "out", &more));
    for ran in &ran {
        ran.says(5, &["step ", "of 2"]);
    }
}
