//! Labelled tasks from files to examples: every kind, the faults that data has, and real sets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssl_data::task::{Answer, Content, Drop, Role, Split, Task, TaskConfig};
use ssl_data::{Error, ErrorKind};
use tempfile::TempDir;

mod support;

use support::data;

fn config(value: Value) -> TaskConfig {
    let config: TaskConfig = serde_json::from_value(value).expect("a configuration");
    assert_eq!(config.validate(), [], "{config:?}");
    // What is printed as the resolved configuration is the same one.
    let again = serde_json::to_value(&config).and_then(serde_json::from_value::<TaskConfig>).expect("a configuration");
    assert_eq!(again, config);
    config
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("writes");
    }
    dir
}

/// A configuration over one file of training examples, none of which is kept for validation.
fn of(dir: &TempDir, name: &str, kind: &Value) -> Value {
    json!({ "train": [dir.path().join(name)], "validation-share": 0.0, "kind": kind })
}

#[expect(clippy::needless_pass_by_value, reason = "kinds are written where they are loaded")]
fn load(name: &str, text: &str, kind: Value) -> Result<Task, Error> {
    let dir = folder(&[(name, text)]);
    Task::load(&config(of(&dir, name, &kind)))
}

fn contents(split: &Split) -> Vec<&Content> {
    split.examples.iter().map(|example| &example.content).collect()
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}

#[test]
fn classes_come_from_tables_and_objects() {
    let kind = json!({ "classification": { "text": "{title}: {text}", "label-names": { "10": "ten" } } });
    let table = "label,title,text\n2,a,b\n10,c,\"d, e\"\n2,f,g\n1,h,i\n";
    let task = load("x.csv", table, kind.clone()).expect("loads");
    assert_eq!(task.labels, ["1", "2", "ten"]);
    let text = |first: &str, label| Content::Texts { first: first.into(), second: None, label };
    assert_eq!(contents(&task.train), [&text("a: b", 1), &text("c: d, e", 2), &text("f: g", 1), &text("h: i", 0)]);
    assert_eq!((task.train.examples[1].id.as_str(), task.train.examples[1].origin.line), ("1", 3));
    assert_eq!((task.train.sha256.len(), task.test.sha256.as_str(), task.train.describe()), (64, "", "4 examples".to_owned()));

    let pairs = json!({ "classification": { "text": "{a}", "second": "{b.0}", "label": "gold.is", "labels": ["yes", "no"] } });
    let lines = r#"{"id": 7, "a": "x", "b": ["y"], "gold": {"is": "no"}}
{"id": "q", "a": "x", "b": ["z"], "gold": {"is": "yes"}}
{"a": "x", "b": ["z"], "gold": {"is": "perhaps"}}"#;
    let task = load("x.jsonl", lines, pairs).expect("loads");
    assert_eq!(task.labels, ["yes", "no"]);
    assert_eq!(*contents(&task.train)[0], Content::Texts { first: "x".into(), second: Some("y".into()), label: 1 });
    assert_eq!(task.train.examples.iter().map(|example| example.id.as_str()).collect::<Vec<_>>(), ["7", "q"]);
    assert_eq!(task.train.dropped, BTreeMap::from([(Drop::UnknownLabel, 1)]));
    // Numbers sort as numbers, and before names.
    let table = "label,title,text\n10,a,b\nx,a,c\n9,a,d\n-1,a,e\n";
    assert_eq!(load("x.csv", table, kind).expect("loads").labels, ["-1", "9", "ten", "x"]);
}

#[test]
fn tags_come_from_columns_and_lists() {
    let conll = "EU\tB-org\nrejects\tO\n\nLondon\tB-loc\n";
    let task = load("x.conll", conll, json!({ "tagging": { "token": "1", "tag": "2", "spans": true } })).expect("loads");
    assert_eq!(task.labels, ["B-loc", "B-org", "O"]);
    let words = |words: Vec<String>, tags: &[usize]| Content::Words { words, tags: tags.to_vec() };
    let expect = [words(strings(["EU", "rejects"]), &[1, 2]), words(strings(["London"]), &[0])];
    assert_eq!(contents(&task.train), expect.iter().collect::<Vec<_>>());
    let lists = r#"{"tokens": ["a", "b"], "ner": [0, 3]}"#;
    let task = load("x.jsonl", lists, json!({ "tagging": { "token": "tokens", "tag": "ner" } })).expect("loads");
    assert_eq!((task.labels, contents(&task.train)), (strings(["0", "3"]), vec![&words(strings(["a", "b"]), &[0, 1])]));
    let bad = "{\"tokens\": [\"a\"], \"ner\": [0, 3]}\n{\"tokens\": [\" \"], \"ner\": [0]}\n{\"tokens\": [], \"ner\": []}\n{\"tokens\": \"a\", \"ner\": []}\n";
    let task = load("x.jsonl", &format!("{bad}{lists}"), json!({ "tagging": { "token": "tokens", "tag": "ner" } }));
    let dropped = task.expect("loads").train.dropped;
    assert_eq!(dropped, BTreeMap::from([(Drop::Broken, 1), (Drop::Empty, 2), (Drop::NoField, 1)]));
}

fn question(context: &str, answers: &Value) -> String {
    json!({ "question": "?", "context": context, "answers": answers }).to_string()
}

#[test]
fn answers_are_put_where_they_stand() {
    let kind = || json!({ "extraction": {} });
    // In characters: 天地 are six bytes.
    let lines = [
        question("天地 sing", &json!([{ "text": "sing", "answer_start": 3 }])),
        question("ab ab ab", &json!({ "text": ["ab", "ab"], "answer_start": [6, 4] })),
        question("aaa", &json!([{ "text": "aa", "answer_start": -1 }, { "text": "x", "answer_start": 0 }, { "text": "a" }])),
    ]
    .join("\n");
    let task = load("x.jsonl", &lines, kind()).expect("loads");
    let starts = |content: &Content| {
        let Content::Question { answers, references, context, .. } = content else { unreachable!("a question") };
        assert!(answers.iter().all(|Answer { text, start }| context[*start..].starts_with(text.as_str())));
        (answers.iter().map(|answer| answer.start).collect::<Vec<_>>(), references.len())
    };
    let found: Vec<_> = contents(&task.train).into_iter().map(starts).collect();
    assert_eq!(found, [(vec![7], 1), (vec![6, 3], 2), (vec![1, 0], 3)]);
    assert_eq!((task.train.moved, task.train.lost), (2, 1));

    let gone = question("ab", &json!([{ "text": "x", "answer_start": 0 }]));
    let none = question("ab", &json!([]));
    let dir = folder(&[("x.jsonl", &format!("{gone}\n{none}\n{lines}")), ("v.jsonl", &gone)]);
    let mut value = of(&dir, "x.jsonl", &kind());
    value["validation"] = json!([dir.path().join("v.jsonl")]);
    let task = Task::load(&config(value.clone())).expect("loads");
    assert_eq!(task.train.dropped, BTreeMap::from([(Drop::Misplaced, 1), (Drop::NoAnswer, 1)]));
    // What is not learned from is judged by the text alone.
    let Content::Question { answers, references, .. } = contents(&task.validation)[0] else { unreachable!("a question") };
    assert_eq!((answers.len(), references), (0, &strings(["x"])));
    value["kind"]["extraction"]["unanswerable"] = true.into();
    assert_eq!(Task::load(&config(value)).expect("loads").train.examples.len(), 4);
}

#[test]
fn texts_are_written_from_fields_and_from_files_side_by_side() {
    let kind = json!({ "writing": { "source": "{source}", "target": "{target}", "metric": "bleu" } });
    let lines = "{\"source\": [\"a\", \"b.\"], \"target\": [\"x\", \"\", \"y\"]}\n{\"source\": \"a\", \"target\": []}\n";
    let task = load("x.jsonl", lines, kind.clone()).expect("loads");
    let expect = Content::Writing { source: "a b.".into(), targets: strings(["x", "y"]) };
    assert_eq!((contents(&task.train), &task.train.dropped), (vec![&expect], &BTreeMap::from([(Drop::Empty, 1)])));

    let dir = folder(&[("x.en", "one\ntwo\n"), ("x.de", "eins\r\nzwei"), ("y.de", "eins\n")]);
    let mut value = of(&dir, "x.en", &kind);
    value["kind"]["writing"]["targets-train"] = json!([dir.path().join("x.de")]);
    let task = Task::load(&config(value.clone())).expect("loads");
    let pair = |source: &str, target: &str| Content::Writing { source: source.into(), targets: strings([target]) };
    assert_eq!(contents(&task.train), [&pair("one", "eins"), &pair("two", "zwei")]);
    value["kind"]["writing"]["targets-train"] = json!([dir.path().join("y.de")]);
    assert!(matches!(Task::load(&config(value)), Err(Error::Sides { sources: 2, targets: 1, .. })));
}

#[test]
fn conversations_preferences_choices_gaps_and_pairs_are_read() {
    let chat = json!({ "chat": {} });
    let lines = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
{"messages": [{"role": "user", "content": "a"}]}
{"messages": [{"role": "robot", "content": "a"}]}"#;
    let task = load("x.jsonl", lines, chat).expect("loads");
    let Content::Turns(turns) = contents(&task.train)[0] else { unreachable!("turns") };
    assert_eq!(
        turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect::<Vec<_>>(),
        [(Role::User, "a"), (Role::Assistant, "b")]
    );
    assert_eq!(task.train.dropped, BTreeMap::from([(Drop::NoField, 1), (Drop::NoAnswer, 1)]));

    let preference = json!({ "preference": { "prompt": "Q: {p}", "chosen": "{c}", "rejected": "{r}" } });
    let task = load("x.jsonl", r#"{"p": "a", "c": "b", "r": "c"}"#, preference).expect("loads");
    let expect = Content::Preference { prompt: "Q: a".into(), chosen: "b".into(), rejected: "c".into() };
    assert_eq!(contents(&task.train), [&expect]);

    let right = |kind: Value, lines: &str| {
        let task = load("x.jsonl", lines, kind).expect("loads");
        let right = |content: &Content| match content {
            Content::Choice { right, choices, .. } => (*right, choices.len()),
            _ => unreachable!("a choice"),
        };
        (contents(&task.train).into_iter().map(right).collect::<Vec<_>>(), task.train.dropped)
    };
    let lists = json!({ "choice": { "prompt": "{q}", "choices": "c.text", "answer": "a" } });
    let line = |answer: &str| format!("{{\"q\": \"?\", \"c\": {{\"text\": [\"x\", \"1\", \"B\"]}}, \"a\": {answer}}}\n");
    let lines: String = ["0", "1", "\"0\"", "\"1\"", "\"B\"", "\"A\"", "\"C\"", "3", "\"none\""].map(line).concat();
    let (found, dropped) = right(lists, &lines);
    // The text of a choice comes before its letter and its number.
    assert_eq!(found.iter().map(|(right, _)| *right).collect::<Vec<_>>(), [0, 1, 0, 1, 2, 0, 2]);
    assert_eq!(dropped, BTreeMap::from([(Drop::NoAnswer, 2)]));
    let expect = (vec![(1, 2)], BTreeMap::new());
    let templates = json!({ "choice": { "prompt": "{q}", "choices": ["{q} {a}", "{q} {b}"], "answer": "n", "first-number": 1, "normalise": "none" } });
    assert_eq!(right(templates, r#"{"q": "?", "a": "x", "b": "y", "n": "2"}"#), expect);

    let cloze = json!({ "cloze": { "text": "{t}", "answer": "{a}" } });
    let task = load("x.jsonl", "{\"t\": \"a ____ c\", \"a\": \"b\"}\n{\"t\": \"a\", \"a\": \"b\"}\n", cloze).expect("loads");
    let gap = |before: &str, after: &str| Content::Cloze { before: before.into(), answer: "b".into(), after: after.into() };
    assert_eq!(contents(&task.train), [&gap("a ", " c"), &gap("a", "")]);

    let pairs = json!({ "minimal-pairs": { "good": "{g}", "bad": "{b}" } });
    let task = load("x.tsv", "g\tb\nshe sings\tshe sing\n", pairs).expect("loads");
    assert_eq!(contents(&task.train), [&Content::Pair { good: "she sings".into(), bad: "she sing".into() }]);
}

fn rows(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{},text {n}\n", n % 2)).collect::<Vec<_>>().concat()
}

fn plain() -> Value {
    json!({ "classification": { "text": "{text}" } })
}

#[test]
fn splits_are_cut_by_what_texts_say_and_repeats_are_counted() {
    // Each text stands twice: on one side, whichever that is.
    let table = format!("label,text\n{}{}", rows(0..400), rows(0..400));
    let dir = folder(&[("x.csv", &table), ("t.csv", "label,text\n1,text 1\n0,text 0\n0,new\n")]);
    let mut value = json!({ "train": [dir.path().join("x.csv")], "test-share": 0.2, "kind": plain() });
    let task = Task::load(&config(value.clone())).expect("loads");
    let sizes = [&task.train, &task.validation, &task.test].map(|split| split.examples.len());
    assert_eq!((sizes.iter().sum::<usize>(), task.repeated), (800, [0, 0]));
    assert!((40..130).contains(&sizes[1]) && (110..220).contains(&sizes[2]), "{sizes:?}");
    value["seed"] = 1.into();
    assert_ne!(Task::load(&config(value.clone())).expect("loads").test.examples.len(), sizes[2]);

    // Of too many so many, in their order; another seed takes others.
    value["max-train"] = 10.into();
    value["validation-share"] = 0.0.into();
    value["test"] = json!([dir.path().join("t.csv")]);
    let places = |value: &Value| {
        let task = Task::load(&config(value.clone())).expect("loads");
        task.train.examples.iter().map(|example| example.origin.line).collect::<Vec<_>>()
    };
    let first = places(&value);
    assert!(first.len() == 10 && first.is_sorted());
    value["seed"] = 2.into();
    assert_ne!(places(&value), first);
    value["max-train"] = Value::Null;
    assert_eq!(Task::load(&config(value)).expect("loads").repeated, [0, 2]);
}

#[test]
fn the_questions_of_a_passage_stay_together() {
    let lines: Vec<String> =
        (0..200).map(|n| question(&format!("ab {}", n / 10), &json!([{ "text": "ab", "answer_start": 0 }]))).collect();
    let dir = folder(&[("x.jsonl", &lines.join("\n"))]);
    let value = json!({ "train": [dir.path().join("x.jsonl")], "validation-share": 0.4, "kind": { "extraction": {} } });
    let task = Task::load(&config(value)).expect("loads");
    assert!(!task.validation.examples.is_empty() && task.validation.examples.len().is_multiple_of(10));
}

#[test]
fn what_data_gets_wrong_is_told_or_counted() {
    let many = rows(0..1000);
    let table = |bad: &str| format!("label,text\n{many}{bad}");
    let drops = |bad: &str| load("x.csv", &table(bad), plain()).expect("loads").train;
    let split = drops("1,\n0,\"  \"\n,x\n1,\"open\n0,fine\n1\n");
    assert_eq!(split.dropped, BTreeMap::from([(Drop::Broken, 2), (Drop::NoField, 1), (Drop::Empty, 2)]));
    assert_eq!(split.examples.len(), 1001);
    assert!(
        split.describe().starts_with("1001 examples; 5 left out: 2 broken, 1 no-field, 2 empty (the first: "),
        "{}",
        split.describe()
    );
    assert!(split.first_dropped.expect("a place").contains("x.csv:1002: empty"));

    // Too many are an error with the place of the first.
    let fault = load("x.csv", &table(&"1,\n".repeat(11)), plain()).expect_err("too many");
    assert!(matches!(&fault, Error::BadExamples { split: "training", bad: 11, read: 1011, .. }), "{fault}");
    assert!(fault.to_string().contains("x.csv:1002: empty") && fault.hint().is_some());
    assert_eq!(fault.kind(), ErrorKind::Input);

    // A field that no record has.
    let missing = json!({ "classification": { "text": "{sentence}" } });
    let fault = load("x.csv", &table(""), missing.clone()).expect_err("no field");
    assert!(fault.to_string().contains("1000 no-field") && fault.hint().is_some(), "{fault}");
    let fault = load("x.csv", "label,text\n1,a\n", missing).expect_err("no field");
    assert!(matches!(&fault, Error::NoExamples { split: "training", read: 1, .. }) && fault.hint().is_some(), "{fault}");
    assert!(matches!(load("x.csv", "", plain()), Err(Error::NoExamples { read: 0, .. })));
    // A file that is none of its format, and none at all.
    let fault = load("x.json", "label", json!({ "extraction": {} })).expect_err("no set");
    assert!(matches!(&fault, Error::TaskFile { .. }) && fault.hint().is_some(), "{fault}");
    let absent = json!({ "test": ["/no/such/file.csv"], "kind": plain() });
    let fault = Task::load(&config(absent)).expect_err("no file");
    assert!(matches!(&fault, Error::Io { path, .. } if path == Path::new("/no/such/file.csv")), "{fault}");
    assert_eq!(fault.kind(), ErrorKind::Input);

    // One class.
    let fault = load("x.csv", "label,text\n1,a\n1,b\n", plain()).expect_err("one class");
    assert!(matches!(&fault, Error::OneClass { label, examples: 2 } if label == "1") && fault.hint().is_some(), "{fault}");
}

#[test]
fn labels_are_those_of_training_or_of_a_trained_model() {
    let dir = folder(&[("x.csv", "label,text\n1,a\n0,b\n"), ("t.csv", "label,text\n0,a\n2,c\n")]);
    let mut value = of(&dir, "x.csv", &plain());
    value["test"] = json!([dir.path().join("t.csv")]);
    let task = Task::load(&config(value.clone())).expect("loads");
    assert_eq!((task.test.dropped, task.repeated), (BTreeMap::from([(Drop::UnknownLabel, 1)]), [0, 1]));
    // A trained model brings its own, and needs no training files.
    value["train"] = json!([dir.path().join("gone.csv")]);
    assert!(matches!(Task::load(&config(value.clone())), Err(Error::Io { .. })));
    let task = Task::load_with(&config(value.clone()), &strings(["2", "0"])).expect("loads");
    let labels = |split: &Split| -> Vec<usize> {
        let label = |content: &Content| if let Content::Texts { label, .. } = content { *label } else { unreachable!("a class") };
        contents(split).into_iter().map(label).collect()
    };
    assert_eq!((labels(&task.test), task.train.examples.len()), (vec![1, 0], 0));
    // Unless a split is a part of them.
    value["validation-share"] = 0.1.into();
    assert!(matches!(Task::load_with(&config(value.clone()), &strings(["2", "0"])), Err(Error::Io { .. })));
    value["train"] = json!([]);
    let task = Task::load(&config(value)).expect("loads");
    assert_eq!((task.labels.clone(), labels(&task.test)), (strings(["0", "2"]), vec![0, 1]));
}

#[test]
fn a_configuration_that_cannot_be_run_names_all_its_faults() {
    let paths = |value: Value| -> Vec<String> {
        let config: TaskConfig = serde_json::from_value(value).expect("a configuration");
        let faults = config.validate();
        assert!(faults.iter().all(|fault| !fault.message.is_empty() && !fault.hint.is_empty()), "{faults:?}");
        faults.into_iter().map(|fault| fault.path).collect()
    };
    let kind = |kind: Value| paths(json!({ "train": ["x"], "kind": kind }));
    let all = paths(json!({
        "name": " ", "validation-share": 0.7, "test-share": 0.4, "bad-share": 2.0, "max-test": 0, "columns": ["a", "a"], "kind": plain(),
    }));
    assert_eq!(all, ["train", "name", "test-share", "bad-share", "max-test", "columns"].map(|key| format!("task.{key}")));
    let text = |text: &str| kind(json!({ "classification": { "text": text } }));
    for wrong in ["{a", "a}", "{}", "{ a}", ""] {
        assert_eq!(text(wrong), ["task.kind.classification.text"], "{wrong:?}");
    }
    let words = |extra: Value| {
        let mut value = json!({ "text": "{a}" });
        extra.as_object().expect("an object").iter().for_each(|(key, extra)| value[key] = extra.clone());
        kind(json!({ "classification": value }))
    };
    assert_eq!(words(json!({ "label": "{label}" })), ["task.kind.classification.label"]);
    assert_eq!(words(json!({ "words": { "0": "bad" } })), ["task.kind.classification.prompt"]);
    let wrong = json!({ "words": { "0": "bad" }, "prompt": "{text} {a} {word}", "labels": ["0", "1"] });
    assert_eq!(words(wrong), ["task.kind.classification.words", "task.kind.classification.prompt"]);
    assert_eq!(words(json!({ "labels": ["0"] })), ["task.kind.classification.labels"]);
    assert_eq!(kind(json!({ "tagging": { "token": "1", "tag": "1" } })), ["task.kind.tagging.tag"]);
    assert_eq!(kind(json!({ "extraction": { "stride-tokens": 0 } })), ["task.kind.extraction.stride-tokens"]);
    assert_eq!(kind(json!({ "chat": { "user": "{text}" } })), ["task.kind.chat.user"]);
    assert_eq!(kind(json!({ "chat": { "system": "no text" } })), ["task.kind.chat.system"]);
    assert_eq!(kind(json!({ "choice": { "prompt": "{a}", "choices": [], "answer": "n" } })), ["task.kind.choice.choices"]);
    let writing = json!({ "source": "{a}", "target": "{b}", "metric": "chrf", "targets-test": ["y"] });
    assert_eq!(kind(json!({ "writing": writing })), ["task.kind.writing.targets-train", "task.kind.writing.targets-test"]);
    for unknown in [json!({ "kind": plain(), "what": 1 }), json!({ "kind": { "classification": { "text": "", "what": 1 } } })] {
        assert!(serde_json::from_value::<TaskConfig>(unknown).is_err());
    }
}

/// Loads files of a real set; none where it is not there.
#[expect(clippy::needless_pass_by_value, reason = "kinds are written where they are loaded")]
fn real(set: &str, splits: [&[&str]; 3], extra: Value, kind: Value) -> Option<Task> {
    let dir = data(set)?;
    let paths = |names: &[&str]| names.iter().map(|name| dir.join(name)).collect::<Vec<_>>();
    let [train, validation, test] = splits.map(paths);
    let mut value = json!({ "train": train, "validation": validation, "test": test, "validation-share": 0.0, "kind": kind });
    extra.as_object().expect("an object").iter().for_each(|(key, extra)| value[key] = extra.clone());
    Some(Task::load(&config(value)).expect("loads"))
}

fn sizes(task: &Task) -> [usize; 3] {
    [&task.train, &task.validation, &task.test].map(|split| split.examples.len())
}

#[test]
fn real_classes_are_all_read() {
    let sentence = json!({ "classification": { "text": "{sentence}" } });
    let columns = json!({ "columns": ["label", "sentence"] });
    if let Some(task) = real("sst2", [&["train.tsv"], &["dev.tsv"], &["test.tsv"]], columns, sentence) {
        assert_eq!((sizes(&task), task.labels.clone(), task.repeated), ([6920, 872, 1821], strings(["0", "1"]), [0, 2]));
        assert_eq!(task.train.sha256, "5b56af66a194e685c0fbde5f58c4355ab00f5485a29bfcae1085b4b9f8b1a6c3");
    }
    let names = json!({ "1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech" });
    let news = json!({ "classification": { "text": "{title} {text}", "label": "class", "label-names": names } });
    if let Some(task) = real("ag-news", [&["test.csv"], &[], &[]], json!({ "columns": ["class", "title", "text"] }), news) {
        assert_eq!((sizes(&task), task.labels), ([7600, 0, 0], strings(["Business", "Sci/Tech", "Sports", "World"])));
    }
    let review = json!({ "classification": { "text": "{review}" } });
    let file: &[&str] = &["ChnSentiCorp_htl_all.csv.gz"];
    if let Some(task) = real("chnsenticorp-hotel", [file, &[], &[]], json!({}), review) {
        assert_eq!((task.train.examples.len(), task.train.dropped), (7765, BTreeMap::from([(Drop::Empty, 1)])));
    }
}

#[test]
fn real_tags_are_all_read() {
    let names: [&[&str]; 3] = [&["wnut17train.conll"], &["emerging.dev.conll"], &["emerging.test.annotated"]];
    let tagging = json!({ "tagging": { "token": "1", "tag": "2", "spans": true } });
    if let Some(task) = real("wnut17-ner", names, json!({}), tagging) {
        assert_eq!((sizes(&task), task.labels.len()), ([3394, 1009, 1287], 13));
        assert!(task.train.dropped.is_empty());
    }
    let names: [&[&str]; 3] = [&["en_ewt-ud-train.conllu.gz"], &["en_ewt-ud-dev.conllu.gz"], &["en_ewt-ud-test.conllu.gz"]];
    let tagging = json!({ "tagging": { "token": "2", "tag": "4" } });
    if let Some(task) = real("ud-english-ewt", names, json!({}), tagging) {
        let words = |content: &Content| if let Content::Words { words, .. } = content { words.len() } else { 0 };
        let words: usize = contents(&task.train).into_iter().map(words).sum();
        assert_eq!((sizes(&task), task.labels.len(), words), ([12544, 2001, 2077], 17, 204_577));
        assert!(task.validation.examples[0].id.starts_with("weblog-"));
    }
}

#[test]
fn real_answers_are_all_read() {
    let extraction = |language: &str| json!({ "extraction": { "language": language } });
    let names: [&[&str]; 3] = [&["train-v1.1-subset.json.gz"], &["dev-v1.1-subset.json.gz"], &[]];
    if let Some(task) = real("squad", names, json!({}), extraction("en")) {
        assert_eq!((sizes(&task), task.train.moved, task.train.lost), ([7471, 1359, 0], 0, 0));
    }
    let unanswerable = json!({ "extraction": { "unanswerable": true } });
    if let Some(task) = real("squad", [&[], &["v2.0-half-dev.json.gz"], &[]], json!({}), unanswerable) {
        assert_eq!(task.validation.examples.len(), 6078);
    }
    for split in 0..2 {
        let file: &[&str] = &["cmrc2018_dev.json.gz"];
        let names: [&[&str]; 3] = if split == 0 { [file, &[], &[]] } else { [&[], file, &[]] };
        let Some(task) = real("cmrc2018", names, json!({}), extraction("zh")) else { return };
        let set = [&task.train, &task.validation][split];
        let references = |content: &Content| match content {
            Content::Question { references, answers, .. } => [references.len(), answers.len()],
            _ => [0; 2],
        };
        let counts = contents(set).into_iter().map(references).fold([0; 2], |sum, n| [sum[0] + n[0], sum[1] + n[1]]);
        assert_eq!((set.examples.len(), set.moved, set.lost, counts), (3219, 7, 193, [9657, 9464]));
    }
}

#[test]
fn real_texts_to_write_are_all_read() {
    let summary = json!({ "writing": { "source": "{source}", "target": "{target}", "metric": "rouge" } });
    let names: [&[&str]; 3] = [&["train.jsonl.gz"], &["dev.jsonl.gz"], &["test.jsonl.gz"]];
    if let Some(task) = real("scitldr", names, json!({}), summary.clone()) {
        assert_eq!(sizes(&task), [1992, 619, 618]);
        let several = |content: &&Content| matches!(content, Content::Writing { targets, .. } if targets.len() > 1);
        assert!(contents(&task.test).iter().filter(|content| several(content)).count() > 100);
    }
    let Some(dir) = data("multi30k-en-de") else { return };
    let mut kind = summary;
    kind["writing"]["metric"] = "bleu".into();
    kind["writing"]["targets-train"] = json!([dir.join("train.de.gz")]);
    let value = json!({ "train": [dir.join("train.en.gz")], "validation-share": 0.0, "kind": kind });
    let task = Task::load(&config(value)).expect("loads");
    assert_eq!(sizes(&task), [29000, 0, 0]);
    let Content::Writing { source, targets } = contents(&task.train)[0] else { unreachable!("it is written") };
    assert!(source.starts_with("Two young, White males") && targets[0].starts_with("Zwei junge weiße Männer"));
}
