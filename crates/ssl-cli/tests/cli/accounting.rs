//! What a run says that it costs, held to what it is measured to cost.

use serde_json::Value;

use crate::paradigms::{PARADIGMS, run};
use crate::support::{Place, RUN};

/// A name, and the objective and model of a run whose activations are most of its memory.
const FAMILIES: [(&str, &str); 6] = [
    ("gpt", "[objective.causal]\n[model.gpt]\nSTACK\ndropout = 0.0"),
    ("gpt with dropout", "[objective.causal]\n[model.gpt]\nSTACK\ndropout = 0.1"),
    ("llama", "[objective.causal]\n[model.llama]\nkv-heads = 2\nfeed-forward-width = 344\nSTACK"),
    ("bert", "[objective.masked]\n[model.bert]\nSTACK\ndropout = 0.1"),
    ("t5", "[objective.span]\n[model.t5]\nhead-width = 32\nfeed-forward-width = 512\nSTACK\ndropout = 0.1"),
    ("lstm", "[objective.causal]\n[model.lstm]\nlayers = 2\nwidth = 256\ncontext-tokens = 128\ndropout = 0.2"),
];
const STACK: &str = "layers = 4\nheads = 4\nwidth = 128\ncontext-tokens = 128";
/// What the estimate may be wrong by: this share, and this many MiB for what libtorch and the allocator keep for themselves.
const SHARE: f64 = 0.25;
const ROOM: f64 = 24.0;

fn wide(sections: &str, rows: u32) -> String {
    format!(
        "[data]\npaths = [\"text\"]\n[data.tokenizer.byte-bpe]\nvocab-tokens = 4096\n{}\n[optim.adamw]\nlr = 1e-3
        [schedule.constant]\n[train]\nsteps = 10\nbatch-rows = {rows}\n",
        sections.replace("STACK", STACK)
    )
}

const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn memory_is_foretold_within_its_tolerance_and_so_is_a_doubled_batch() {
    let place = Place::new();
    println!("{:18} {:>4} {:>9} {:>9} {:>6}", "run", "rows", "foretold", "measured", "ratio");
    let mut off = Vec::new();
    for (name, sections) in FAMILIES {
        for rows in [16, 32] {
            place.write("wide.toml", wide(sections, rows));
            let ran = place.ssl(&["bench", "wide.toml", "--steps", "1", "--json"]);
            ran.says(0, &[]);
            let json = ran.json();
            let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"));
            let measured = number("peak_rss_mib") - number("base_rss_mib");
            let foretold = json["costs"]["memory_bytes"]["needs"].as_f64().expect("bytes") / MIB;
            println!("{name:18} {rows:4} {foretold:9.0} {measured:9.0} {:6.2}", foretold / measured);
            if (foretold - measured).abs() > SHARE * measured + ROOM {
                off.push((name, rows));
            }
        }
    }
    assert!(off.is_empty(), "{off:?}");
}

#[test]
fn costs_are_told_before_a_run_and_one_that_cannot_fit_is_refused() {
    let place = Place::new();
    let checked = place.ssl(&["check", "run.toml"]);
    checked.says(0, &[]);
    for word in ["parameters", "FLOP a token", "needs about", "free"] {
        assert!(checked.stdout.contains(word), "{}", checked.stdout);
    }
    // What is printed is still a run file.
    place.write("again.toml", &checked.stdout);
    place.ssl(&["check", "again.toml"]).says(0, &[]);

    // Hundreds of terabytes of weights are counted without making one, and no machine has room for it.
    let large = ["--set", "model.gpt.width=262144", "--set", "model.gpt.layers=64"];
    let costs = place.ssl(&[&["check", "run.toml", "--json"], &large[..]].concat());
    costs.says(0, &[]);
    let costs = &costs.json()["costs"];
    assert!(costs["memory_bytes"]["needs"].as_f64().is_some_and(|bytes| bytes > 1e14), "{costs}");
    place
        .ssl(&[&["train", "run.toml", "--out", "out"], &large[..]].concat())
        .says(4, &["needs about", "free", "hint: give a smaller train.batch-rows"]);
    assert!(!place.path("out/metrics.jsonl").exists());
}

#[test]
fn a_run_tells_its_costs_and_its_report_shows_them() {
    let place = Place::new();
    let ran = place.ssl(&["train", "run.toml", "--out", "out", "--set", "train.steps=10", "--json"]);
    ran.says(0, &["needs about"]);
    let json = ran.json();
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {json}"));
    assert_eq!(json["costs"]["params"], json["params"]);
    let step = number(&json["costs"]["flops_per_step"]);
    // 4 rows of 16 in 2 passes; a layer of width 16: 12 d² a position and the head, 6 each, and attention's 12 t d.
    let (d, t) = (16.0, 16.0);
    let least = 4.0 * t * 2.0 * (6.0 * 12.0 * d * d + 12.0 * t * d);
    assert!(step > least && step < 1.5 * least, "{step} {least}");
    assert!(number(&json["costs"]["flops_per_token_needed"]) < number(&json["costs"]["flops_per_token"]));
    assert!((0.0..1.0).contains(&number(&json["mfu"])) && number(&json["peak_flops"]) > 1e8);
    // A machine that does not tell says null in both.
    assert_eq!(json["energy_joules"].is_null(), json["energy_wh"].is_null());
    let report = place.read("out/report.html");
    for word in ["FLOP a token", "Memory foretold", "First step", "Energy", "Matrix rate"] {
        assert!(report.contains(word), "{word}");
    }
}

/// Generous, because tests run beside each other on machines that are busy; the README has what it takes on a quiet one.
const FIRST_STEP_SECONDS: f64 = 10.0;

#[test]
fn the_first_step_of_a_prepared_run_comes_soon() {
    let place = Place::trained();
    let more = ["train", "run.toml", "--out", "out", "--set", "train.steps=20", "--allow-config-change", "--json"];
    let ran = place.ssl(&more);
    ran.says(0, &["going on from step 10"]);
    let first = ran.json()["first_step_seconds"].as_f64().expect("Linux says so");
    println!("the first step was done {first:.2} seconds after the start");
    assert!(first > 0.0 && first < FIRST_STEP_SECONDS, "{first}");
}

/// What a run may grow by between its first hundred steps and its last, in MiB.
const GROWTH: f64 = 4.0;

#[test]
fn resident_memory_is_flat_after_warm_up() {
    for (name, sections) in PARADIGMS.iter().filter(|(name, _)| ["bert", "t5", "infill", "lstm"].contains(name)) {
        let place = Place::new();
        let file = run(name, sections).replace("steps = 8\n", "steps = 300\n").replace("every-steps = 4", "every-steps = 50");
        place.write("run.toml", file);
        place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
        let memory: Vec<f64> = place
            .read("out/metrics.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("an object")["rss_mib"].as_f64().expect("MiB"))
            .collect();
        assert_eq!(memory.len(), 300, "{name}");
        let most = |steps: &[f64]| steps.iter().copied().fold(0.0, f64::max);
        let (early, late) = (most(&memory[50..100]), most(&memory[200..]));
        println!("{name}: {early:.1} MiB in steps 51 to 100, {late:.1} MiB in steps 201 to 300");
        assert!(late < early + GROWTH, "{name}: from {early} to {late} MiB");
    }
}

/// The run that other tests take is one that fits anywhere.
#[test]
fn a_small_run_is_not_warned_of() {
    let place = Place::new();
    place.write("run.toml", RUN.replace("steps = 40", "steps = 10"));
    let ran = place.ssl(&["train", "run.toml", "--out", "out"]);
    ran.says(0, &["needs about"]);
    assert!(!ran.stderr.contains("may not fit"), "{}", ran.stderr);
}
