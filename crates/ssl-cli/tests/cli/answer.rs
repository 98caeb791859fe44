//! Asking one's own documents, and writing texts from others: what is found is cited where it stands, what is unsure is withheld, what is
//! long is written in parts.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, RUN, listing};

const TUNE: &str = r#"
[optim.adamw]
lr = 1e-2
[schedule.constant]
warmup-steps = 0
[train]
from = "out"
batch-rows = 8
seed = 1
"#;

const EXTRACTION: &str = "[task]\ntrain = [\"set.json\"]\nvalidation-share = 0.2\n[task.kind.extraction]\nstride-tokens = 32\n\
                          max-answer-tokens = 8\n[adapt]\nepochs = 3.0\n";

const WRITING: &str = "[task]\ntrain = [\"pairs.jsonl\"]\nvalidation-share = 0.2\n[task.kind.writing]\nsource = \"{s}\"\n\
                       target = \"{t}\"\nmetric = \"chrf\"\nmax-new-tokens = 8\n[adapt]\nepochs = 2.0\n";

/// A trained run that reads 96 characters at once.
fn trained() -> Place {
    let place = Place::new();
    let run = RUN.replace("steps = 40", "steps = 10").replace("context-tokens = 16", "context-tokens = 96");
    place.write("run.toml", run);
    place.ssl(&["train", "run.toml", "--out", "out", "--quiet"]).says(0, &[]);
    place
}

/// A question set in the JSON of `SQuAD`: who carried what.
fn set() -> String {
    let who = ["fisherman", "doctor", "sister", "clerk"];
    let paragraph = |at: usize| {
        let (name, thing) = (who[at % 4], format!("lamp {at}"));
        let context = format!("The {name} carried the {thing} again.");
        let start = context.find(name).expect("it stands there");
        serde_json::json!({ "context": context, "qas": [
            { "id": at.to_string(), "question": format!("Who carried {thing}?"), "answers": [{ "text": name, "answer_start": start }] },
        ] })
    };
    serde_json::json!({ "data": [{ "title": "lamps", "paragraphs": (0..40).map(paragraph).collect::<Vec<_>>() }] }).to_string()
}

fn adapted(task: &str) -> Place {
    let place = trained();
    place.write("set.json", set());
    let pair = |at: usize| format!("{{\"s\": \"the lamp {at}\", \"t\": \"a clock\"}}\n");
    place.write("pairs.jsonl", (0..40).map(pair).collect::<String>());
    place.write("tune.toml", format!("{task}{TUNE}"));
    place.ssl(&["finetune", "tune.toml", "--out", "tuned", "--quiet"]).says(0, &[]);
    place
}

/// Every citation's text stands in its document where it says.
fn check_places(place: &Place, answer: &Value) {
    let citations = answer["citations"].as_array().expect("a list");
    assert!(!citations.is_empty(), "{answer}");
    for citation in citations {
        let file = place.read(citation["document"].as_str().expect("a name"));
        let number = |value: &Value| usize::try_from(value.as_u64().expect("a number")).expect("it fits");
        assert_eq!(&file[number(&citation["start"])..number(&citation["end"])], citation["text"].as_str().expect("a text"));
        let around = &citation["passage"];
        assert_eq!(&file[number(&around["start"])..number(&around["end"])], around["text"].as_str().expect("a text"));
    }
}

#[test]
fn documents_are_indexed_asked_and_cited() {
    let place = adapted(EXTRACTION);
    place.write("docs/harbour.txt", "The harbour opens at nine.\n\nThe clerk carried the lamp 7.");
    place.write("docs/灯.txt", "黄昏时点灯。\n\n船不付费。");
    // Without a model, passages are found.
    let index = ["answer", "--documents", "docs", "--index", "idx", "--json"];
    let found = place.ssl(&[&index[..], &["--question", "什么时候点灯？"]].concat()).json();
    assert_eq!((&found["index"]["documents"], &found["index"]["update"]["cut"]), (&2.into(), &2.into()), "{found}");
    assert_eq!(found["answers"][0]["citations"][0]["document"], "docs/灯.txt", "{found}");
    check_places(&place, &found["answers"][0]);
    // With one, an answer is read in them, or withheld.
    let ask = |threshold: &str| {
        let ran = place.ssl(&[
            "answer",
            "tuned",
            "--index",
            "idx",
            "--question",
            "Who carried lamp 7?",
            "--threshold",
            threshold,
            "--json",
        ]);
        ran.says(0, &[]);
        ran.json()["answers"][0].clone()
    };
    let given = ask("0.000001");
    assert!(given["abstained"] == false && given["answer"] == given["citations"][0]["text"], "{given}");
    assert!(given["probability"].as_f64().is_some_and(|p| (0.0..=1.0).contains(&p)), "{given}");
    check_places(&place, &given);
    let withheld = ask("1");
    assert!(withheld["abstained"] == true && withheld["answer"] == "", "{withheld}");
    check_places(&place, &withheld);
    // Only what changed is read again; several questions come from stdin.
    place.write("docs/new.txt", "The doctor carried the lamp 9.");
    let ran =
        place.sh("printf 'Who carried lamp 9?\\n\\nzzz\\n' | \"$0\" answer tuned --documents docs --index idx --question -");
    ran.says(0, &["3 documents (1 new or changed, 0 gone)"]);
    assert!(ran.stdout.contains("docs/new.txt, bytes") && ran.stdout.contains("no passage speaks of it"), "{}", ran.stdout);
    // A model that writes answers too.
    let written =
        place.ssl(&["answer", "out", "--index", "idx", "--question", "Who carried lamp 7?", "--json", "--threshold", "0.000001"]);
    written.says(0, &[]);
    assert!(written.json()["answers"][0]["citations"].is_array(), "{}", written.stdout);
}

#[test]
fn probabilities_are_learned_and_answers_measured() {
    let place = adapted(EXTRACTION);
    let line = |at: usize| format!("The clerk carried the lamp {at}.\n\n");
    place.write("docs/lamps.txt", (0..40).map(line).collect::<String>());
    place.ssl(&["answer", "--documents", "docs", "--index", "idx"]).says(0, &["1 documents"]);
    let question = |at: usize| format!("{{\"question\": \"Who carried the lamp {at}?\", \"answers\": [\"clerk\"]}}\n");
    place.write("known.jsonl", (0..12).map(question).collect::<String>());
    let learn = ["answer", "tuned", "--index", "idx", "--calibrate", "known.jsonl", "--precision", "0.5", "--json"];
    let learned = place.ssl(&learn);
    learned.says(0, &[]);
    let learned = learned.json()["calibration"].clone();
    assert_eq!(learned["learned"]["questions"], 12, "{learned}");
    let ask = |more: &[&str]| {
        place.ssl(&[&["answer", "tuned", "--index", "idx", "--question", "Who?", "--json"], more].concat()).json()
    };
    assert_eq!(ask(&[])["index"]["threshold"], learned["threshold"]);
    // It was learned for so many passages, and speaks of no others.
    assert_eq!(ask(&["--passages", "2"])["index"]["threshold"], 0.5);
    let ran = place.ssl(&["answer", "tuned", "--evaluate", "set.json", "--out", "measured", "--embeddings", "out", "--json"]);
    ran.says(0, &[]);
    let found = ran.json();
    assert_eq!((&found["questions"], &found["collection"]), (&40.into(), &40.into()), "{found}");
    for way in ["bm25", "vectors", "fused"] {
        let at = |depth: &str| found["recall"][way][depth]["value"].as_f64().unwrap_or_else(|| panic!("{way} in {found}"));
        assert!(at("1") <= at("5") && at("5") <= at("20"), "{found}");
    }
    assert!(found["recall"]["bm25"]["1"]["value"].as_f64().is_some_and(|hits| hits > 0.9), "{found}");
    let curve = found["answers"]["curve"].as_array().expect("a list");
    assert_eq!(curve.last().map(|point| point["coverage"].clone()), Some(1.0.into()), "{found}");
    let risk = 1.0 - found["answers"]["all"]["exact_match"]["value"].as_f64().expect("a number");
    assert!((curve.last().expect("a point")["risk"].as_f64().expect("a number") - risk).abs() < 1e-9, "{found}");
    assert!(place.read("measured/answers.html").contains("Risk over coverage"));
    assert_eq!(serde_json::from_str::<Value>(&place.read("measured/answers.json")).expect("a document"), found);
    assert_eq!(listing(&place.path("measured")).len(), 2);
    // Whoever wants to be sure is told nothing, in words.
    let sure = place.ssl(&["answer", "tuned", "--evaluate", "set.json", "--out", "sure", "--threshold", "1"]);
    sure.says(0, &[]);
    assert!(sure.stdout.contains("there are none") && !sure.stdout.contains("NaN"), "{sure:?}");
    assert!(!place.read("sure/answers.html").contains("NaN"));
    // Retrieval alone needs no model.
    let alone = place.ssl(&["answer", "--evaluate", "set.json", "--json"]).json();
    assert!(alone["answers"].is_null() && alone["recall"]["bm25"] == found["recall"]["bm25"], "{alone}");
}

#[test]
fn a_killed_index_is_the_old_one_or_the_new_one() {
    let place = Place::new();
    let write = |rounds: usize| {
        let text = |at: usize| format!("The clerk of round {rounds} carried the lamp {at}.\n\n");
        (0..20).for_each(|file| place.write(&format!("docs/{file}.txt"), (0..500).map(text).collect::<String>()));
    };
    write(0);
    let index = ["answer", "--documents", "docs", "--index", "idx", "--quiet"];
    place.ssl(&index).says(0, &[]);
    let drafts = || -> Vec<_> {
        listing(&place.path("idx")).into_iter().filter(|path| path.to_string_lossy().contains(".draft-")).collect()
    };
    let mut caught = 0;
    for round in 1..=6 {
        write(round);
        for draft in drafts() {
            std::fs::remove_file(draft).expect("removes");
        }
        let mut child = place.start(&index);
        // Three are killed while they write, three at some moment before.
        let moment = Instant::now() + Duration::from_millis(if round > 3 { 30 * (round as u64 - 4) } else { 10_000 });
        while Instant::now() < moment && drafts().is_empty() && child.try_wait().expect("waits").is_none() {}
        child.kill().expect("it can be killed");
        child.wait().expect("it ended");
        caught += usize::from(!drafts().is_empty());
        let ran = place.ssl(&["answer", "--index", "idx", "--question", "clerk", "--json"]);
        ran.says(0, &[]);
        let answer = ran.json();
        assert_eq!(answer["index"]["documents"], 20, "{round}");
        let stored = place.read("idx/index.jsonl");
        let rounds = (0..=round).filter(|round| stored.contains(&format!("of round {round} "))).count();
        assert_eq!(rounds, 1, "a mixture");
    }
    assert!(caught > 0, "none was killed while it wrote");
    place.ssl(&index).says(0, &[]);
    assert!(drafts().is_empty());
}

#[test]
fn vectors_of_passages_are_kept_beside_the_index() {
    let place = trained();
    place.write("docs/a.txt", "The old fisherman carried the lamp.");
    let ask = ["answer", "--documents", "docs", "--index", "idx", "--embeddings", "out", "--question", "lamp?", "--json"];
    let first = place.ssl(&ask);
    first.says(0, &[]);
    let kept = std::fs::read(place.path("idx/vectors.bin")).expect("vectors");
    assert_eq!(place.ssl(&ask).json()["answers"], first.json()["answers"]);
    assert!(std::fs::read(place.path("idx/vectors.bin")).expect("vectors") == kept);
    place.write("docs/b.txt", "Nobody in town watched the rain.");
    place.ssl(&ask).says(0, &[]);
    assert!(std::fs::read(place.path("idx/vectors.bin")).expect("vectors").len() > kept.len());
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let place = adapted(WRITING);
    place.write("docs/a.txt", "The lamp.");
    place.write("blank/a.txt", " ");
    place.write("bad.jsonl", "{\"question\": 1}\n");
    for (args, code, word) in [
        (&["answer"][..], 2, "required"),
        (&["answer", "--index", "idx", "--question", "x"], 3, "index.jsonl"),
        (&["answer", "--documents", "nowhere", "--index", "idx"], 2, "matches no file"),
        (&["answer", "--documents", "blank", "--index", "idx"], 3, "no document was left"),
        (&["answer", "--documents", "docs", "--index", "idx", "--question", " "], 2, "nothing is asked"),
        (&["answer", "absent", "--documents", "docs", "--index", "idx"], 3, "holds no model"),
        (&["answer", "tuned", "--index", "idx", "--calibrate", "bad.jsonl"], 3, "bad.jsonl:1"),
        (&["answer", "--index", "idx", "--calibrate", "bad.jsonl"], 2, "CHECKPOINT"),
        (&["answer", "--evaluate", "bad.jsonl"], 3, "bad.jsonl"),
        (&["summarize", "out", "--input", "docs/a.txt"], 2, "does not write one text from another"),
        (&["translate", "tuned", "--input", "absent.txt"], 3, "absent.txt"),
        (&["summarize", "tuned", "--input", "blank/a.txt"], 3, "empty"),
    ] {
        let ran = place.ssl(args);
        ran.says(code, &[word]);
    }
    place.damage("idx/index.jsonl", |bytes| bytes.truncate(bytes.len() / 2));
    place.ssl(&["answer", "--index", "idx", "--question", "lamp"]).says(3, &["damaged", "hint: "]);
}

#[test]
fn long_texts_are_written_in_parts() {
    let place = adapted(WRITING);
    place.write("short.txt", "The lamp burns. It rains.\n\nA boat sank.\n");
    let translated = place.ssl(&["translate", "tuned", "--input", "short.txt", "--json"]);
    translated.says(0, &[]);
    let found = translated.json();
    assert_eq!(found["windows"], 3, "{found}");
    assert_eq!(found["text"].as_str().map(|text| text.matches("\n\n").count()), Some(1), "{found}");
    // The same as it comes, from stdin.
    let piped = place.sh("\"$0\" translate tuned < short.txt");
    piped.says(0, &[]);
    assert_eq!(piped.stdout.trim_end_matches('\n'), found["text"].as_str().expect("a text").trim_end_matches('\n'));
    let long = "The old fisherman carried the lamp again and again before dawn. ".repeat(12) + &"x".repeat(300);
    place.write("long.txt", long);
    let summary = place.ssl(&["summarize", "tuned", "--input", "long.txt", "--json"]);
    summary.says(0, &[]);
    let found = summary.json();
    assert!(found["windows"].as_u64().is_some_and(|windows| windows > 10), "{found}");
    assert!(found["text"].as_str().is_some_and(|text| text.len() < 200), "{found}");
    let one = place.ssl(&["summarize", "tuned", "--input", "short.txt", "--json"]).json();
    assert_eq!(one["windows"], 1, "{one}");
}
