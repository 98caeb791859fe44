//! Adapting a model: it learns, resumes to the bit, is judged alike by every door, and refuses what it cannot do.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Ran};

/// A fine-tuning of the run in `out`, without its task.
const TUNE: &str = r#"
[optim.adamw]
lr = 1e-2
[schedule.constant]
warmup-steps = 0
[train]
from = "out"
batch-rows = 8
save-every-steps = 5
log-every-steps = 1
seed = 1
"#;

const CLASSES: &str = r#"
[task]
name = "lamps"
train = ["train.tsv"]
test = ["test.tsv"]
validation-share = 0.2
[task.kind.classification]
text = "{text}"
[adapt]
epochs = 6.0
"#;

/// A table of sentences whose class is a word in them; `from` draws others.
fn table(from: usize, rows: usize) -> String {
    let who = ["The doctor", "My sister", "A clerk", "Nobody"];
    let row = |i: usize| {
        let (label, what) =
            if (i * 7 + i / 3).is_multiple_of(2) { ("light", "carried the lamp") } else { ("post", "forgot the letter") };
        format!("{label}\t{} {what} {i}\n", who[i % 4])
    };
    "label\ttext\n".to_owned() + &(from..from + rows).map(row).collect::<String>()
}

fn place(task: &str) -> Place {
    let place = Place::trained();
    place.write("train.tsv", table(0, 160));
    place.write("test.tsv", table(1000, 60));
    place.write("tune.toml", format!("{task}{TUNE}"));
    place
}

fn value(document: &Value, split: &str, metric: &str) -> f64 {
    let rows = document["results"].as_array().unwrap_or_else(|| panic!("no results in {document}"));
    let row = rows.iter().find(|row| row["split"] == split && row["metric"] == metric);
    row.and_then(|row| row["value"].as_f64()).unwrap_or_else(|| panic!("no {metric} of {split} in {document}"))
}

fn tune(place: &Place, more: &[&str]) -> Ran {
    place.ssl(&[&["finetune", "tune.toml", "--out", "tuned", "--json"], more].concat())
}

#[test]
fn classes_are_learned_and_judged_alike_by_every_door() {
    let place = place(CLASSES);
    let ran = tune(&place, &[]);
    ran.says(0, &["133 examples", "2 labels: light, post", "accuracy"]);
    let found = ran.json();
    assert!(value(&found, "test", "accuracy") > 0.95, "{found}");
    let again = place.ssl(&["eval", "tuned", "task", "--json"]).json();
    for metric in ["accuracy", "f1_macro", "matthews"] {
        assert_eq!(value(&again, "test", metric), value(&found, "test", metric), "{metric}");
    }
    let other = place.ssl(&["eval", "tuned", "task", "--data", "train.tsv", "--json"]).json();
    assert!(value(&other, "test", "accuracy") > 0.95, "{other}");
    // What was adapted still writes, and goes out and comes back with its head.
    place.ssl(&["generate", "tuned", "--max-tokens", "3"]).says(0, &[]);
    place.ssl(&["export", "tuned", "--out", "hf"]).says(0, &[]);
    let back = place.ssl(&["eval", "hf", "task", "--json"]).json();
    assert_eq!(value(&back, "test", "accuracy"), value(&found, "test", "accuracy"));
    assert_eq!(place.read("tuned/said-test.jsonl").lines().count(), 60);
}

#[test]
fn a_killed_fine_tuning_is_the_one_that_was_not() {
    let task = CLASSES.replace("epochs = 6.0", "epochs = 4.0\ndropout = 0.2\nlayer-decay = 0.8");
    let whole = place(&task);
    tune(&whole, &[]).says(0, &[]);
    let killed = place(&task);
    let mut child = killed.start(&["finetune", "tune.toml", "--out", "tuned"]);
    let half = killed.path("tuned/checkpoints/00000010/DONE");
    for _ in 0..3000 {
        if half.exists() || child.try_wait().expect("waits").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ended");
    tune(&killed, &[]).says(0, &[]);
    let last = |place: &Place| {
        let mut steps = crate::support::listing(&place.path("tuned/checkpoints"));
        std::fs::read(steps.pop().expect("a checkpoint").join("model.safetensors")).expect("weights")
    };
    assert!(last(&whole) == last(&killed), "the weights differ");
    assert_eq!(whole.timeless("tuned"), killed.timeless("tuned"));
}

#[test]
fn adapters_are_small_go_out_merged_and_move_alone() {
    // A base of 40 steps knows so little that adapters alone need time.
    let lora = CLASSES.replace("epochs = 6.0", "epochs = 24.0\n[adapt.lora]\nrank = 4\n");
    let place = place(&lora);
    let ran = tune(&place, &[]);
    ran.says(0, &[]);
    let found = ran.json();
    assert!(value(&found, "test", "accuracy") > 0.9, "{found}");
    let run = &found["runs"][0];
    assert!(run["trained_params"].as_u64().expect("a number") * 2 < run["params"].as_u64().expect("a number"), "{run}");
    let config: Value = serde_json::from_str(&place.read("tuned/adapter/adapter_config.json")).expect("a document");
    assert_eq!((config["peft_type"].as_str(), config["r"].as_u64()), (Some("LORA"), Some(4)));
    place.ssl(&["export", "tuned", "--out", "hf"]).says(0, &[]);
    let merged = place.ssl(&["eval", "hf", "task", "--json"]).json();
    assert_eq!(value(&merged, "test", "accuracy"), value(&found, "test", "accuracy"));
}

#[test]
fn several_seeds_have_a_mean_and_a_spread() {
    let place = place(&CLASSES.replace("epochs = 6.0", "epochs = 1.0\nseeds = [1, 2]"));
    let ran = tune(&place, &[]);
    ran.says(0, &[]);
    let found = ran.json();
    let row = &found["results"][0];
    let values: Vec<f64> = row["values"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!(values.len(), 2);
    assert!((row["value"].as_f64().expect("a number") - f64::midpoint(values[0], values[1])).abs() < 1e-12);
    assert!(row["spread"].is_number() && place.path("tuned/seed-2/checkpoints").is_dir());
}

#[test]
fn tags_answers_texts_and_preferences_are_learned() {
    let tagging = "[task]\nname = \"tags\"\ntrain = [\"tags.conll\"]\nvalidation-share = 0.2\n\
                   [task.kind.tagging]\ntoken = \"1\"\ntag = \"2\"\n[adapt]\nepochs = 12.0\n";
    let place = place(tagging);
    let sentence = |i: usize| {
        let (thing, tag) = if i.is_multiple_of(3) { ("lamp", "LIGHT") } else { ("boat", "SHIP") };
        format!("the\tO\n{thing}\t{tag}\nsank\tO\n{i}\tO\n\n")
    };
    place.write("tags.conll", (0..80).map(sentence).collect::<String>());
    let ran = tune(&place, &[]);
    ran.says(0, &[]);
    assert!(value(&ran.json(), "validation", "accuracy") > 0.9, "{}", ran.stdout);

    let chat = "[task]\ntrain = [\"chat.jsonl\"]\nvalidation-share = 0.2\n[task.kind.chat]\n[adapt]\nepochs = 2.0\n";
    place.write("tune.toml", format!("{chat}{TUNE}"));
    let turn = |i: usize| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"boat {i}\"}}, {{\"role\": \"assistant\", \"content\": \"lamp {i}\"}}]}}\n"
        )
    };
    place.write("chat.jsonl", (0..40).map(turn).collect::<String>());
    let ran = place.ssl(&["finetune", "tune.toml", "--out", "chat", "--json"]);
    ran.says(0, &[]);
    assert!(value(&ran.json(), "validation", "nats").is_finite());

    let preference = "[task]\ntrain = [\"pairs.jsonl\"]\nvalidation-share = 0.2\n[task.kind.preference]\n\
                      prompt = \"{p}\"\nchosen = \"{c}\"\nrejected = \"{r}\"\n[adapt]\nepochs = 4.0\n";
    place.write("tune.toml", format!("{preference}{TUNE}"));
    let pair = |i: usize| format!("{{\"p\": \"boat {i}\", \"c\": \"the lamp\", \"r\": \"a clock\"}}\n");
    place.write("pairs.jsonl", (0..40).map(pair).collect::<String>());
    let ran = place.ssl(&["finetune", "tune.toml", "--out", "liked", "--json"]);
    ran.says(0, &[]);
    assert!(value(&ran.json(), "validation", "accuracy") > 0.9, "{}", ran.stdout);
}

#[test]
fn what_cannot_be_adapted_is_refused() {
    let place = place(CLASSES);
    let refused = |task: &str, code: i32, words: &[&str]| {
        place.write("tune.toml", format!("{task}{TUNE}"));
        place.ssl(&["finetune", "tune.toml", "--out", "refused"]).says(code, words);
    };
    let one: String = table(0, 40).split_inclusive('\n').filter(|line| !line.starts_with("post")).collect();
    place.write("one.tsv", one);
    refused(&CLASSES.replace("train.tsv", "one.tsv"), 3, &["nothing to tell apart", "hint: "]);
    refused(&CLASSES.replace("train.tsv", "nowhere.tsv"), 3, &["nowhere.tsv"]);
    refused(&CLASSES.replace("{text}", "{txt}"), 3, &["left out", "hint: "]);
    refused(&CLASSES.replace("{text}", "{text"), 2, &["tune.toml:8"]);
    let spans = "[task]\ntrain = [\"train.tsv\"]\n[task.kind.minimal-pairs]\ngood = \"{text}\"\nbad = \"{label}\"\n[adapt]\nepochs = 1.0\n";
    refused(spans, 2, &["judged without being learned", "--suite"]);
    place.write("tune.toml", format!("{CLASSES}{}", TUNE.replace("from = \"out\"\n", "")));
    place.ssl(&["finetune", "tune.toml"]).says(2, &["no model is named"]);
    place.ssl(&["eval", "out", "task"]).says(2, &["was not adapted"]);
}

#[test]
fn a_suite_is_judged_by_likelihood_and_by_probes_and_goes_on() {
    let place = place(CLASSES);
    let choice = |i: usize| format!("{{\"q\": \"The old fisherman carried\", \"c\": [\"the lamp\", \"zzqx {i}\"], \"a\": 0}}\n");
    place.write("choice.jsonl", (0..30).map(choice).collect::<String>());
    let pair = |i: usize| format!("{{\"good\": \"the rain {i}\", \"bad\": \"q zx xq {i}\"}}\n");
    place.write("pairs.jsonl", (0..20).map(pair).collect::<String>());
    place.write("cloze.jsonl", "{\"text\": \"The old fisherman carried the\", \"answer\": \" lamp\"}\n".repeat(3));
    place.write(
        "suite.toml",
        r#"
[tasks.choice.task]
test = ["choice.jsonl"]
[tasks.choice.task.kind.choice]
prompt = "{q}"
choices = "c"
answer = "a"
[tasks.pairs.task]
test = ["pairs.jsonl"]
[tasks.pairs.task.kind.minimal-pairs]
good = "{good}"
bad = "{bad}"
[tasks.cloze.task]
test = ["cloze.jsonl"]
[tasks.cloze.task.kind.cloze]
text = "{text}"
answer = "{answer}"
[tasks.probe.task]
train = ["train.tsv"]
test = ["test.tsv"]
[tasks.probe.task.kind.classification]
text = "{text}"
[tasks.words]
shots = 2
[tasks.words.task]
train = ["train.tsv"]
test = ["test.tsv"]
[tasks.words.task.kind.classification]
text = "{text}"
prompt = "{text}: {word}"
words = { light = "lamp", post = "letter" }
"#,
    );
    let judge = ["eval", "out", "--suite", "suite.toml", "--out", "judged", "--json"];
    let ran = place.ssl(&judge);
    ran.says(0, &[]);
    let found = ran.json();
    let score = |found: &Value, task: &str, metric: &str| {
        let rows = found["results"].as_array().expect("a list").clone();
        let row = rows.into_iter().find(|row| row["task"] == task && row["metric"] == metric);
        row.unwrap_or_else(|| panic!("no {metric} of {task} in {found}"))["value"].as_f64().expect("a number")
    };
    assert!(score(&found, "choice", "acc_norm") > 0.9, "{found}");
    assert!(score(&found, "pairs", "acc") > 0.9, "{found}");
    assert!(score(&found, "probe", "probe_acc") > 0.8, "{found}");
    assert!(found["results"][0]["contamination"]["examples"].is_number(), "{found}");
    let harness: Value = serde_json::from_str(&place.read("judged/results.json")).expect("a document");
    assert!(harness["results"]["choice"]["acc,none"].is_number() && harness["n-shot"]["words"] == 2, "{harness}");
    // What is known is not judged again; what is torn off is.
    let ledger = place.read("judged/ledger.jsonl");
    place.damage("judged/ledger.jsonl", |bytes| bytes.truncate(bytes.len() * 2 / 3));
    let again = place.ssl(&judge);
    again.says(0, &["were judged before"]);
    assert_eq!(again.json()["results"], found["results"]);
    assert_eq!(place.read("judged/ledger.jsonl").lines().count(), ledger.lines().count());
}
