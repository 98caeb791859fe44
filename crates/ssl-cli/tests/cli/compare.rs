//! A comparison in miniature: every paradigm of the ready file, on a text of the test, at equal operations.

use serde_json::Value;

use crate::paradigms::{PARADIGMS, run};
use crate::support::Place;

const TASK: &str = r#"
[task]
name = "lamps"
train = ["train.tsv"]
test = ["test.tsv"]
validation-share = 0.2
[task.kind.classification]
text = "{text}"
[adapt]
epochs = 1.0
[optim.adamw]
lr = 3e-3
[schedule.constant]
warmup-steps = 0
[train]
from = "-"
batch-rows = 8
"#;

/// The paradigms that a comparison is asked for.
const ARMS: [&str; 6] = ["bert", "electra", "t5", "lstm", "diffusion", "multi-token"];

fn place() -> Place {
    let place = Place::new();
    let mut file = "seeds = [1]\n[data]\npaths = [\"text\"]\ndocument = \"block\"\nvalidation-fraction = 0.2\n\
                    [data.tokenizer.byte-bpe]\nvocab-tokens = 500\n[budget]\nflops = 4e8\nmax-epochs = 400.0\n"
        .to_owned();
    for (name, sections) in PARADIGMS.iter().filter(|(name, _)| ARMS.contains(name)) {
        // What next sentences ask for needs windows of two; the comparison reads one.
        let sections = sections.replace("next-sentence = true\n", "");
        place.write(&format!("{name}.toml"), run(name, &sections));
        file = format!("{file}[arms.{name}]\nfile = \"{name}.toml\"\n");
    }
    let words = run("cbow", PARADIGMS.iter().find(|(name, _)| *name == "cbow").expect("there").1);
    place.write("words.toml", words);
    file.push_str("[arms.word2vec]\nfile = \"words.toml\"\n");
    for (size, width) in [("s", 8), ("m", 16), ("l", 32)] {
        let set = format!("set = [\"model.gpt.width={width}\"]");
        file = format!("{file}[arms.gpt-{size}]\nfile = \"run.toml\"\nfamily = \"gpt\"\n{set}\n");
    }
    file.push_str("[tasks.lamps]\nfile = \"task.toml\"\n");
    place.write("compare.toml", file);
    place.write("task.toml", TASK);
    let row = |i: usize| {
        if i.is_multiple_of(2) { format!("light\tcarried the lamp {i}\n") } else { format!("post\tforgot the letter {i}\n") }
    };
    let table = |from: usize, n: usize| "label\ttext\n".to_owned() + &(from..from + n).map(row).collect::<String>();
    place.write("train.tsv", table(0, 80));
    place.write("test.tsv", table(500, 40));
    place
}

#[test]
fn paradigms_meet_at_equal_cost_and_what_is_done_stays_done() {
    let place = place();
    let compare = ["compare", "compare.toml", "--out", "met", "--json"];
    let planned = place.ssl(&[&compare[..], &["--plan"]].concat());
    planned.says(0, &[]);
    let plan = planned.json()["plan"].as_array().expect("a list").clone();
    assert_eq!(plan.len(), ARMS.len() + 4);
    for arm in plan.iter().filter(|arm| arm["capped"] == false) {
        let flops = arm["flops"].as_f64().expect("a number");
        // As near below the budget as whole steps come.
        assert!(flops <= 4e8 && flops > 2e8, "{arm}");
    }
    let ran = place.ssl(&compare);
    ran.says(0, &[]);
    let found = ran.json();
    let arms = found["arms"].as_array().expect("a list");
    for arm in arms {
        assert!(arm["trained"]["steps"].as_u64() == arm["steps"].as_u64() && arm["steps"].as_u64() > Some(0), "{arm}");
        let results = arm["tasks"]["lamps"]["results"].as_array().unwrap_or_else(|| panic!("no results in {arm}"));
        assert!(results.iter().any(|row| row["split"] == "test" && row["low"].is_number()), "{arm}");
    }
    let verdicts = found["verdicts"].as_array().expect("a list");
    let tasks: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["task"].as_str()).collect();
    assert_eq!(tasks, ["text", "lamps"]);
    assert_eq!(verdicts[1]["ranking"].as_array().map(Vec::len), Some(ARMS.len() + 4));
    assert!(verdicts[1]["test"]["p_permutation"].is_number(), "{}", verdicts[1]);
    assert!(found["sizes"][0]["points"].as_array().map(Vec::len) == Some(3), "{}", found["sizes"]);
    let page = place.read("met/comparison.html");
    for word in ["gpt-m seed 1", "bits a byte", "lamps", "GFLOP", "What this rests on"] {
        assert!(page.contains(word), "no {word}");
    }
    // A second time nothing is trained again, and an arm that is gone alone is.
    std::fs::remove_dir_all(place.path("met/lstm")).expect("it was there");
    let before = std::fs::metadata(place.path("met/gpt-m/seed-1/metrics.jsonl")).expect("records").modified().expect("a time");
    let again = place.ssl(&compare);
    again.says(0, &[]);
    assert_eq!(
        std::fs::metadata(place.path("met/gpt-m/seed-1/metrics.jsonl")).expect("records").modified().expect("a time"),
        before
    );
    let score = |document: &Value| document["verdicts"][1]["ranking"].clone();
    assert_eq!(score(&again.json()), score(&found));
}
