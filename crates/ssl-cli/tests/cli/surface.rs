//! What scripts rely on: one document on stdout, silence where asked for, exit codes.

use std::path::Path;

use serde_json::Value;

use crate::support::Place;

/// Every verb with arguments that do its work on a trained run, and the fields of its document.
const WORK: [(&[&str], &[&str]); 10] = [
    (&["prepare", "run.toml", "--out", "out"], &["corpus", "manifest"]),
    (
        &["train", "run.toml", "--out", "out"],
        &["run_dir", "checkpoint", "params", "steps", "stopped_because", "costs", "first_step_seconds", "energy_joules"],
    ),
    (&["eval", "out", "perplexity", "bits-per-byte"], &["model", "results", "wall_seconds"]),
    (&["generate", "out", "--max-tokens", "4"], &["text", "tokens", "stopped_because"]),
    (&["forward", "out", "--ids", "1,2,3", "--out", "x.safetensors"], &["out", "tokens", "vocab", "loss"]),
    (&["export", "out", "--out", "hf"], &["out", "from", "params"]),
    (&["import", "hf", "--out", "back"], &["out", "from", "params"]),
    (&["inspect", "out"], &["kind", "checkpoint", "progress", "records", "damaged"]),
    (
        &["bench", "run.toml", "--steps", "1"],
        &[
            "program",
            "shape",
            "dtype",
            "tokens_per_second",
            "ms_per_step",
            "gflop_per_second",
            "peak_rss_mib",
            "peak_device_mib",
            "first_step_seconds",
            "mfu",
            "costs",
        ],
    ),
    (&["check", "run.toml"], &["run", "costs"]),
];

#[test]
fn every_verb_prints_one_document_and_is_quiet_when_told() {
    let place = Place::trained();
    for (args, fields) in WORK {
        let ran = place.ssl(&[args, &["--json", "--quiet"]].concat());
        ran.says(0, &[]);
        assert_eq!((ran.stderr.as_str(), ran.stdout.lines().count()), ("", 1), "{args:?}");
        let document = ran.json();
        for field in fields {
            assert!(document.get(field).is_some(), "{field} in {document}");
        }
    }
    let scored = place.ssl(&["eval", "out", "perplexity", "bits-per-byte", "--json", "--quiet"]).json();
    let rows: Vec<(&str, &str)> = scored["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["task"].as_str().expect("a task"), row["metric"].as_str().expect("a metric")))
        .collect();
    let bits = "bits-per-byte";
    assert_eq!(rows, [("perplexity", "perplexity"), (bits, "bits_per_byte"), (bits, "nats_per_token")]);
}

#[test]
fn a_fault_is_a_document_too() {
    let place = Place::new();
    place.write("blank/empty.txt", "");
    for (args, code) in [
        (&["train"][..], 2),
        (&["tarin", "run.toml"], 2),
        (&["check", "absent.toml"], 2),
        (&["eval", "absent", "nonsense"], 2),
        (&["generate", "absent"], 3),
        (&["inspect", "absent"], 3),
        (&["prepare", "run.toml", "--set", "data.paths=[\"blank\"]"], 3),
        (&["prepare", "run.toml", "--out", "run.toml"], 2),
    ] {
        let ran = place.ssl(&[args, &["--json"]].concat());
        ran.says(code, &["error: "]);
        let error = &ran.json()["error"];
        assert_eq!((error["code"].as_i64(), ran.stdout.lines().count()), (Some(code.into()), 1), "{args:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        // Faults of a run file have a hint each.
        let hinted = |fault: &Value| fault["hint"].as_str().is_some_and(|hint| !hint.is_empty());
        assert!(hinted(error) || error["faults"].as_array().is_some_and(|faults| faults.iter().all(hinted)), "{args:?}: {error}");
    }
    assert!(!place.path("runs/run/corpus/manifest.json").exists());
}

#[test]
fn a_device_that_is_not_there_is_a_missing_resource() {
    if Path::new("/proc/driver/nvidia/version").exists() || Path::new("/dev/nvidiactl").exists() {
        println!("skipped: this machine has a CUDA driver");
        return;
    }
    Place::new()
        .ssl(&["bench", "run.toml", "--device", "cuda"])
        .says(4, &["cuda:0", "no NVIDIA driver", "hint: give --device cpu"]);
}

#[test]
fn finished_stages_are_recognised_and_nothing_is_touched() {
    let place = Place::new();
    let prepare = || place.ssl(&["prepare", "run.toml", "--out", "out"]);
    let times = || {
        let file = |name: &str| place.path("out/corpus").join(name).metadata().and_then(|file| file.modified()).expect("a time");
        ["manifest.json", "tokenizer.json", "train-00000.tok", "validation-00000.tok"].map(file)
    };
    prepare().says(0, &["read and clean", "encode and pack"]);
    let before = times();
    let again = prepare();
    again.says(0, &[]);
    assert!(!again.stderr.contains("read and clean") && times() == before, "{}", again.stderr);
    // One more document is another corpus.
    place.write("text/more.txt", "something new\n");
    prepare().says(0, &["read and clean"]);
    assert!(times() != before);
}

#[test]
fn folders_may_have_any_name_and_readers_may_leave() {
    let place = Place::new();
    place
        .write("mes écrits 文/conte n°1.txt", "Il était une fois une souris.\n\nElle aimait le fromage.\n\nFin de l'histoire.\n");
    let args = ["train", "run.toml", "--set", "data.paths=[\"mes écrits 文\"]", "--set", "train.steps=5", "--out", "sortie 文"];
    place.ssl(&args).says(0, &[]);
    place.sh("\"$0\" generate 'sortie 文' --prompt 'été 文' --max-tokens 3000 --json | head -c 1 && echo well").says(0, &[]);
    let piped = place.sh("\"$0\" generate 'sortie 文' --max-tokens 3000 | head -c 1");
    piped.says(0, &[]);
    let read = place.sh("printf 'Elle' | \"$0\" generate 'sortie 文' --prompt - --max-tokens 3 --quiet");
    assert!(read.code == Some(0) && read.stdout.starts_with("Elle"), "{read:?}");
}
