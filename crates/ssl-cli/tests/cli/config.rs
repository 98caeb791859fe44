//! Run files with mistakes in them.

use serde_json::Value;

use crate::support::{Place, RUN, listing};

/// `check` on the small run after a replacement.
fn told(from: &str, to: &str, words: &[&str]) {
    let place = Place::new();
    assert!(RUN.contains(from));
    place.write("run.toml", RUN.replace(from, to));
    place.ssl(&["check", "run.toml"]).says(2, words);
    place.ssl(&["train", "run.toml"]).says(2, words);
    assert!(!place.path("runs").exists(), "nothing is begun");
}

#[test]
fn a_mistake_is_shown_where_it_stands() {
    told("heads = 2", "heads = 3", &["run.toml:12:1", "heads = 3", "16 / 3 leaves 1", "hint: use 2 heads of 8"]);
    told("warmup-steps = 5", "warmup = 5", &["run.toml:", "unknown key `warmup`", "warmup-steps"]);
    told("steps = 40", "steps = \"many\"", &["run.toml:23:", "steps = \"many\""]);
    told("[model.gpt]", "[model.gtp]", &["run.toml:10:", "gtp", "gpt"]);
    let second = ["run.toml:12:8", "more than one `model`: [model.llama] and [model.gpt]", "hint: keep one of them"];
    told("[model.gpt]", "[model.llama]\nlayers = 1\n[model.gpt]", &second);
    told("[objective.causal]", "", &["run.toml\n", "missing section `[objective]`", "hint: add it to the file: [objective]"]);
    told("lr = 1e-2", "", &["run.toml:17:8", "missing key `lr` in `optim.adamw`", "hint: add `lr = ...`"]);
    told("lr = 1e-2", "lr = 1e-2\nlr = 1e-3", &["run.toml:19:", "lr"]);
    told("paths = [\"text\"]", "paths = []", &["run.toml:3:1", "there is nothing to read"]);
    told("[data]", "[data", &["run.toml:2:"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let place = Place::new();
    let run = RUN
        .replace("heads = 2", "heads = 3")
        .replace("lr = 1e-2", "lr = 0.0")
        .replace("batch-rows = 4", "batch-rows = 0")
        .replace("width = 16", "width = 16\nwide = true");
    place.write("run.toml", run);
    let ran = place.ssl(&["check", "run.toml", "--json"]);
    ran.says(2, &["16 / 3 leaves 1", "lr = 0.0", "batch-rows = 0", "`wide`", "4 faults"]);
    let places = ["run.toml:12:1", "run.toml:14:1", "run.toml:19:1", "run.toml:25:1"];
    ran.says(2, &places);
    let faults = ran.json()["error"]["faults"].clone();
    let lines: Vec<u64> = faults.as_array().expect("faults").iter().filter_map(|fault| fault["line"].as_u64()).collect();
    assert_eq!(lines.len(), 4, "{faults}");
}

#[test]
fn all_missing_sections_are_told_at_once() {
    let place = Place::new();
    place.write("run.toml", "# nothing yet\n");
    let sections = ["data", "objective", "model", "optim", "schedule", "train"].map(|name| format!("missing section `[{name}]`"));
    let ran = place.ssl(&["train", "run.toml"]);
    ran.says(2, &sections.each_ref().map(String::as_str));
    ran.says(2, &["6 faults"]);
    for (content, words) in
        [(b"\xff\xfe[\0d\0".to_vec(), "line 1 is not UTF-8 (byte 0"), (vec![b' '; 5_000_000], "longer than 4194304 bytes")]
    {
        place.write("run.toml", content);
        place.ssl(&["train", "run.toml"]).says(2, &["run.toml", words, "hint:"]);
    }
    place.ssl(&["train", "text"]).says(2, &["directory", "hint: give the run file inside it"]);
}

#[test]
fn keys_can_be_set_on_the_command_line() {
    let place = Place::new();
    let ran = place.ssl(&["check", "run.toml", "--set", "train.steps=7", "--set", "model.gpt.width=32", "--json"]);
    ran.says(0, &[]);
    let document = ran.json().to_string();
    assert!(document.contains("steps") && serde_json::from_str::<Value>(&document).is_ok());
    let resolved = place.ssl(&["check", "run.toml", "--set", "train.steps=7"]).stdout;
    assert!(resolved.contains("steps = 7") && resolved.contains("norm-eps"), "{resolved}");
    place.ssl(&["check", "run.toml", "--set", "train.stepz=7"]).says(2, &["stepz"]);
    place.ssl(&["check", "run.toml", "--set", "train.steps"]).says(2, &["train.steps"]);
    place.ssl(&["check", "run.toml", "--set", "model.gpt.heads=3"]).says(2, &["16 / 3 leaves 1"]);
}

#[test]
fn every_ready_run_can_be_run() {
    let place = Place::new();
    let runs = listing(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/runs").as_ref());
    assert!(runs.len() >= 6, "{runs:?}");
    for run in runs {
        let run = run.to_str().expect("a path");
        let mut args = vec!["check", run, "--set", "data.paths=[\"text/tales.txt\"]"];
        // Pairs need their other side.
        if place.read(run).contains("[data.pairs.files]") {
            args.extend(["--set", "data.pairs.files.targets=[\"text/tales.txt\"]"]);
        }
        place.ssl(&args).says(0, &[]);
    }
    for (folder, least, set) in [("finetune", 9, "train.from=\"out\""), ("compare", 1, "data.paths=[\"text/tales.txt\"]")] {
        let files = listing(format!("{}/../../fixtures/{folder}", env!("CARGO_MANIFEST_DIR")).as_ref());
        assert!(files.len() >= least, "{files:?}");
        for file in files {
            place.ssl(&["check", file.to_str().expect("a path"), "--set", set]).says(0, &[]);
        }
    }
}
