//! From text to a model at work: every verb on one small run.

use std::fs;

use serde_json::Value;

use crate::support::{Place, RUN, listing};

#[test]
fn every_verb_on_one_run() {
    let place = Place::new();

    let prepared = place.ssl(&["prepare", "run.toml", "--out", "out", "--json"]);
    prepared.says(0, &["read and clean", "encode and pack"]);
    assert_eq!(prepared.json()["manifest"]["train"]["documents"].as_u64().map(|n| n > 30), Some(true));
    let corpus = place.content("out/corpus");

    let trained = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
    trained.says(0, &["step 40/40", "validation"]);
    assert_eq!(place.content("out/corpus"), corpus, "finished stages are not done again");
    let result = trained.json();
    for key in [
        "run_dir",
        "checkpoint",
        "params",
        "steps",
        "tokens",
        "train_loss",
        "val_loss",
        "val_bpb",
        "tokens_per_second",
        "mfu",
        "peak_rss_mib",
        "wall_seconds",
    ] {
        assert!(!result[key].is_null(), "{key} in {result}");
    }
    assert_eq!(
        (&result["steps"], &result["resumed_from"], &result["stopped_because"]),
        (&40.into(), &Value::Null, &"all steps done".into())
    );
    assert_eq!(result["tokens"], 40 * 2 * 4 * 16);
    artefacts(&place);

    let bits = result["val_bpb"].as_f64().expect("a number");
    let scored = place.ssl(&["eval", "out", "bits-per-byte", "--json", "--quiet"]);
    scored.says(0, &[]);
    let row = &scored.json()["results"][0];
    assert!((row["value"].as_f64().expect("a number") - bits).abs() < 1e-6, "{row} and {bits}");
    assert!(
        row["stderr"].is_f64()
            && row["n"].is_u64()
            && row["data_sha256"].is_string()
            && row["task"].is_string()
            && row["metric"].is_string(),
        "{row}"
    );

    for form in ["bf16", "int8"] {
        let rounded = place.ssl(&["eval", "out", "bits-per-byte", "--weights", form, "--json", "--quiet"]).json();
        let off = (rounded["results"][0]["value"].as_f64().expect("a number") - bits).abs();
        // Eight bits round on every processor; bf16 needs one that has it.
        assert!(off < 0.02 && (off > 0.0 || form == "bf16"), "{form} is off by {off} of {bits}");
        let args = ["generate", "out", "--prompt", "The old", "--max-tokens", "3", "--weights", form, "--quiet"];
        assert!(place.ssl(&args).stdout.starts_with("The old"));
    }

    let write =
        |seed| place.ssl(&["generate", "out", "--prompt", "The old", "--max-tokens", "30", "--seed", seed, "--quiet"]).stdout;
    assert!(write("1").starts_with("The old") && write("1") == write("1") && write("1") != write("2"), "{:?}", write("1"));

    for (from, to) in [("out", "hf"), ("hf", "back")] {
        let verb = if from == "out" { "export" } else { "import" };
        place.ssl(&[verb, from, "--out", to, "--quiet"]).says(0, &[]);
        for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            assert!(place.path(to).join(file).is_file(), "{to}/{file}");
        }
        place.ssl(&[verb, from, "--out", to]).says(2, &["is not empty", "name a new folder"]);
    }
    let logits = |model: &str| {
        let file = format!("{model}.logits");
        place.ssl(&["forward", model, "--text", "A tired", "--out", &file, "--quiet"]).says(0, &[]);
        fs::read(place.path(&file)).expect("logits")
    };
    assert!(logits("out") == logits("hf") && logits("hf") == logits("back"), "the same numbers, bit for bit");
    place.ssl(&["forward", "out", "--ids", "1,2,9999", "--out", "x"]).says(2, &["9999"]);

    for path in [
        "out",
        "out/corpus",
        "out/corpus/tokenizer.json",
        "out/checkpoints/00000040",
        "out/corpus/train-00000.tok",
        "hf",
        "hf/model.safetensors",
    ] {
        let seen = place.ssl(&["inspect", path, "--json"]);
        assert_eq!(seen.code, Some(0), "{path}: {seen:?}");
        assert!(seen.json().is_object());
    }
    place.ssl(&["inspect", "text/tales.txt"]).says(3, &["text/tales.txt"]);

    // A run that is done is done.
    let again = place.ssl(&["train", "run.toml", "--out", "out", "--json"]);
    again.says(0, &[]);
    assert_eq!((&again.json()["resumed_from"], &again.json()["val_bpb"]), (&40.into(), &result["val_bpb"]));
    place.ssl(&["train", "run.toml", "--out", "out", "--resume", "never"]).says(2, &["holds a run already", "--out another"]);
    place.ssl(&["train", "run.toml", "--out", "new", "--resume", "must"]).says(3, &["no checkpoint"]);
    let changed = place.ssl(&["train", "run.toml", "--out", "out", "--set", "train.steps=50"]);
    changed.says(2, &["the run has changed", "- steps = 40", "+ steps = 50", "--allow-config-change"]);
    let longer = place.ssl(&["train", "run.toml", "--out", "out", "--set", "train.steps=50", "--allow-config-change", "--json"]);
    assert_eq!((longer.code, &longer.json()["steps"], &longer.json()["resumed_from"]), (Some(0), &50.into(), &40.into()));
}

#[test]
fn tasks_prepare_what_one_process_does() {
    let place = Place::new();
    place.ssl(&["prepare", "run.toml", "--out", "alone", "--quiet"]).says(0, &[]);
    let task = |task| ["prepare", "run.toml", "--out", "shared", "--quiet", "--task", task];
    let mut other = place.start(&task("1/2"));
    place.ssl(&task("0/2")).says(0, &[]);
    assert!(other.wait().expect("it ends").success());
    for file in ["tokenizer.json", "train-00000.tok", "validation-00000.tok", "validation.txt"] {
        let of = |run: &str| fs::read(place.path(run).join("corpus").join(file)).expect("a file");
        assert!(of("alone") == of("shared"), "{file}");
    }
    // It is all done, whichever task asks.
    let auto = "env -u SLURM_ARRAY_TASK_ID -u SLURM_STEP_NUM_TASKS -u SLURM_NTASKS";
    let run = "\"$0\" prepare run.toml --out shared --quiet --task";
    place.sh(&format!("{auto} SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=3 {run} auto")).says(0, &[]);
    place.sh(&format!("SLURM_ARRAY_TASK_ID=7 {run} auto/16")).says(0, &[]);
    place.ssl(&task("2/2")).says(2, &["there is no task 2 of 2", "give I/N"]);
    place.write("run.toml", RUN.replace("\"text\"", "\"https://example.org/tales.txt\""));
    place.ssl(&task("0/2")).says(2, &["https://example.org/tales.txt", "hint:", "--task"]);
}

fn artefacts(place: &Place) {
    assert_eq!(place.read("out/run.toml"), RUN, "verbatim");
    let lines: Vec<Value> =
        place.read("out/metrics.jsonl").lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 40);
    for (line, step) in lines.iter().zip(1..) {
        assert_eq!(line["step"], step);
        for key in ["tokens", "loss", "lr", "grad_norm", "tokens_per_second", "mfu", "rss_mib"] {
            assert!(line[key].is_number(), "{key} in {line}");
        }
        assert_eq!(line["val_loss"].is_number() && line["val_bpb"].is_number(), step % 10 == 0, "{line}");
    }
    let first = lines[0]["loss"].as_f64().expect("a loss");
    assert!(lines[39]["loss"].as_f64().expect("a loss") < 0.9 * first, "it learned");
    let kept: Vec<String> = listing(&place.path("out/checkpoints"))
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(kept, ["00000030", "00000035", "00000040"]);
    let page = place.read("out/report.html");
    assert!(
        page.contains("gzip")
            && page.contains("<svg")
            && !page.contains("src=")
            && !page.contains("@import")
            && !page.contains("<link")
            && !page.contains("http://")
            && !page.contains("https://"),
        "one page that needs no other"
    );
    assert!(listing(&place.path("out")).iter().any(|path| path.to_string_lossy().contains("events.out.tfevents")));
}

#[test]
fn every_verb_explains_itself() {
    let place = Place::new();
    let help = place.ssl(&["--help"]);
    assert_eq!(help.code, Some(0));
    for verb in
        ["prepare", "train", "eval", "generate", "fill", "embed", "forward", "export", "import", "inspect", "bench", "check"]
    {
        assert!(help.stdout.contains(&format!("\n  {verb} ")), "{verb} in {}", help.stdout);
        let own = place.ssl(&[verb, "--help"]);
        assert!(own.code == Some(0) && own.stdout.contains("Usage: ssl") && own.stdout.contains("--json"), "{own:?}");
    }
    place.ssl(&["tarin"]).says(2, &["train"]);
    place.ssl(&["train"]).says(2, &["RUN.toml"]);
    place.ssl(&["train", "absent.toml"]).says(2, &["absent.toml"]);
    place.ssl(&["generate", "absent"]).says(3, &["absent", "hint:"]);
    place.ssl(&["train", "run.toml", "--device", "tpu"]).says(2, &["tpu"]);
}

#[test]
fn speed_is_measured_without_a_corpus() {
    let place = Place::new();
    // A ready run names no data.
    let ran = place.ssl(&["bench", "run.toml", "--set", "data.paths=[]", "--steps", "3", "--json", "--quiet"]);
    ran.says(0, &[]);
    let row = ran.json();
    for key in ["tokens_per_second", "ms_per_step", "gflop_per_second", "peak_rss_mib"] {
        assert!(row[key].as_f64().is_some_and(|number| number > 0.0), "{key} in {row}");
    }
    assert_eq!((&row["shape"], &row["dtype"], &row["peak_device_mib"]), (&"run".into(), &"fp32".into(), &Value::Null));
    assert!(!place.path("runs").exists(), "nothing is written");
}

#[test]
fn a_bench_leaves_a_trace_of_two_steps_where_asked() {
    let place = Place::new();
    place.ssl(&["bench", "run.toml", "--steps", "1", "--trace", "trace.json"]).says(0, &[]);
    let trace: Value = serde_json::from_slice(&fs::read(place.path("trace.json")).expect("a trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let count = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    // Two steps of two passes each.
    assert_eq!(["step", "forward", "backward", "optimizer"].map(count), [2, 4, 4, 2]);
    assert!(count("aten::addmm") >= 4 * 4, "four matrix products a pass forward alone");
    place.ssl(&["bench", "run.toml", "--steps", "1", "--trace", "absent/trace.json"]).says(4, &["absent/trace.json", "hint:"]);
}
