//! Adapted models at work: each answers what it was adapted to, and says so when it is asked for something else.

use serde_json::json;

use super::client::{MODEL, Server, place};
use crate::support::Place;

/// A short fine-tuning of the model of `place`.
fn adapt(place: &Place, task: &str) {
    let tune = "\n[adapt]\nepochs = 1.0\n[optim.adamw]\nlr = 1e-2\n[schedule.constant]\nwarmup-steps = 0\n\
                [train]\nfrom = \"out\"\nbatch-rows = 8\nsave-every-steps = 5\n";
    place.write("tune.toml", format!("[task]\nvalidation-share = 0.2\n{task}{tune}"));
    place.ssl(&["finetune", "tune.toml", "--out", "tuned", "--quiet"]).says(0, &[]);
    std::fs::rename(place.path(MODEL), place.path("base")).expect("room");
    std::fs::rename(place.path("tuned"), place.path(MODEL)).expect("room");
}

#[test]
fn classes_are_told_with_their_probabilities() {
    let place = place();
    let row = |i: usize| if i.is_multiple_of(2) { format!("light\tthe lamp {i}\n") } else { format!("post\ta letter {i}\n") };
    place.write("train.tsv", "label\ttext\n".to_owned() + &(0..40).map(row).collect::<String>());
    adapt(&place, "train = [\"train.tsv\"]\n[task.kind.classification]\ntext = \"{text}\"\n");
    let server = Server::start(&place, &[]);
    let told = server.get("/v1/models").json()["data"][0]["ssl"].clone();
    assert_eq!(
        (&told["task"], &told["labels"], &told["writes"]),
        (&"classification".into(), &json!(["light", "post"]), &false.into())
    );
    let found = server.done("/x/classify", &json!({ "text": "the lamp 3" }));
    let all = found["probabilities"].as_array().expect("a list");
    let share = |at: usize| all[at]["probability"].as_f64().expect("a number");
    assert!((share(0) + share(1) - 1.0).abs() < 1e-5 && share(0) >= share(1) && found["label"] == all[0]["label"], "{found}");
    server.refuses("/x/classify", &json!({ "text": "a", "second": "b" }), 400, Some("second"));
    server.refuses("/x/classify", &json!({ "text": " " }), 400, Some("text"));
    server.refuses("/x/summarize", &json!({ "text": "a" }), 400, None);
    server.refuses("/v1/completions", &json!({ "prompt": "a" }), 400, None);
}

#[test]
fn passages_answer_questions() {
    let place = place();
    let entry = |i: usize| {
        let answer = json!({ "text": format!("lamp {i}"), "answer_start": 10 });
        json!({ "id": i.to_string(), "question": "what?", "context": format!("It is the lamp {i} of old."), "answers": [answer] })
    };
    place.write("train.jsonl", (0..40).map(|i| entry(i).to_string() + "\n").collect::<String>());
    adapt(&place, "train = [\"train.jsonl\"]\n[task.kind.extraction]\nstride-tokens = 64\n");
    let server = Server::start(&place, &[]);
    assert_eq!(server.get("/v1/models").json()["data"][0]["ssl"]["answers"], true);
    let passage = "Ça, it is the lamp 7 of old.";
    let found = server.done("/x/answer", &json!({ "question": "what?", "passage": passage }));
    let cited = &found["citations"][0];
    let at = |name: &str| cited[name].as_u64().expect("a place") as usize;
    assert_eq!(passage.get(at("start")..at("end")), found["answer"].as_str(), "{found}");
    assert_eq!((&found["abstained"], found["probability"].as_f64().map(|p| p > 0.0 && p < 1.0)), (&false.into(), Some(true)));
    server.refuses("/x/answer", &json!({ "question": "what?" }), 400, Some("passage"));
    server.refuses("/x/classify", &json!({ "text": "a" }), 400, None);
    drop(server);

    place.write("docs/lamps.txt", "It is the lamp 7 of old.\n\nA boat lies there.");
    place.ssl(&["answer", "--documents", "docs", "--index", "idx", "--quiet"]).says(0, &[]);
    let server = Server::start(&place, &["--documents", "idx"]);
    assert_eq!(server.get("/v1/models").json()["data"][0]["ssl"]["documents"], 1);
    let found = server.done("/x/answer", &json!({ "question": "what is the lamp?" }));
    let (cited, text) = (&found["citations"][0], place.read("docs/lamps.txt"));
    let at = |name: &str| cited[name].as_u64().expect("a place") as usize;
    assert_eq!(text.get(at("start")..at("end")), cited["text"].as_str(), "{found}");
    assert!(cited["document"].as_str().is_some_and(|name| name.ends_with("lamps.txt")), "{found}");
    assert_eq!(found["abstained"] == true, found["answer"] == "", "{found}");
    // Another one says what its answers lack before it finds the address taken.
    let addr = server.addr.to_string();
    place.ssl(&["serve", MODEL, "--documents", "idx", "--addr", &addr]).says(4, &["the index is not calibrated", &addr]);
}

#[test]
fn texts_are_written_from_others_and_conversations_go_on() {
    let of_place = place();
    let pair = |i: usize| format!("{{\"long\": \"the lamp is number {i}\", \"short\": \"lamp {i}\"}}\n");
    of_place.write("pairs.jsonl", (0..40).map(pair).collect::<String>());
    let task = "train = [\"pairs.jsonl\"]\n[task.kind.writing]\nsource = \"{long}\"\ntarget = \"{short}\"\nmetric = \"rouge\"\n\
                max-new-tokens = 8\n";
    adapt(&of_place, task);
    let server = Server::start(&of_place, &[]);
    let summary = server.done("/x/summarize", &json!({ "text": "the lamp is number 3" }));
    assert!(summary["text"].as_str().is_some_and(|text| text.chars().count() <= 8), "{summary}");
    server.refuses("/x/translate", &json!({ "text": "a" }), 400, None);
    drop(server);

    let of_place = place();
    let turns = |i: usize| {
        let turn = |role: &str, text: &str| json!({ "role": role, "content": format!("{text} {i}") });
        json!({ "messages": [turn("user", "boat"), turn("assistant", "lamp")] }).to_string() + "\n"
    };
    of_place.write("chat.jsonl", (0..40).map(turns).collect::<String>());
    adapt(&of_place, "train = [\"chat.jsonl\"]\n[task.kind.chat]\n");
    let server = Server::start(&of_place, &[]);
    let ask = json!({ "messages": [{ "role": "user", "content": "boat 3" }], "max_tokens": 5, "temperature": 0 });
    let said = server.done("/v1/chat/completions", &ask);
    // A separator, then "\n\nUser: boat 3\n\nAssistant: ", a letter a token; the space after the colon is the template's.
    let read = 1 + "\n\nUser: boat 3\n\nAssistant: ".len();
    assert_eq!(said["usage"]["prompt_tokens"], read, "{said}");
}
