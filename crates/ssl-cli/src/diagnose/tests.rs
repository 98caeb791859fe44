//! What people get wrong in a run file, and what they are told.

use std::path::PathBuf;

use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Run {
    data: Data,
    model: Model,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Data {
    paths: Vec<PathBuf>,
    #[serde(default)]
    format: Format,
    max_bytes: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    Text,
    Jsonl,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Model {
    Gpt(Gpt),
    Tiny {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Gpt {
    width: u64,
    heads: u64,
    #[serde(default)]
    dropout: f64,
}

pub(super) fn validate(run: &Run) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Model::Gpt(gpt) = &run.model {
        if gpt.heads == 0 || gpt.width % gpt.heads != 0 {
            let message = format!("a width of {} does not divide into {} heads", gpt.width, gpt.heads);
            faults.push(Fault::new("model.gpt.heads", message, "use 8"));
        }
        if !(0.0..1.0).contains(&gpt.dropout) {
            faults.push(Fault::new("model.gpt.dropout", "not a share", ""));
        }
    }
    if run.data.paths.is_empty() {
        faults.push(Fault::new("data.paths", "there is nothing to read", ""));
    }
    faults
}

pub(super) const GOOD: &str = "[data]\npaths = [\"a\"]\nmax-bytes = 9\n\n[model.gpt]\nwidth = 64\nheads = 8\n";

pub(super) fn run(text: &str, overrides: &[&str]) -> Result<Loaded<Run>, Diagnosis> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    parse("run.toml", text.to_owned(), &overrides, validate)
}

/// Every `line:column message` of a faulty run.
fn faults(text: &str, overrides: &[&str]) -> Vec<String> {
    let json = run(text, overrides).expect_err("faulty").to_json();
    let one = |fault: &serde_json::Value| {
        format!("{}:{} {}", fault["line"], fault["column"], fault["message"].as_str().expect("a message"))
    };
    json.as_array().expect("a list").iter().map(one).collect()
}

#[test]
fn good_run_is_resolved() {
    let loaded = run(GOOD, &["model.gpt.dropout=0.1", "data.format=jsonl", "note = hello"]).expect("good");
    assert_eq!(loaded.verbatim, GOOD);
    assert_eq!((loaded.value.data.format.clone(), loaded.value.note.as_deref()), (Format::Jsonl, Some(" hello")));
    let again: Run = toml::from_str(&loaded.resolved).expect("resolved is a run");
    assert_eq!(again, loaded.value);
}

#[test]
fn all_faults_show_at_once() {
    let text =
        "[data]\npaths = []\nfromat = 1\nmax-bytes = -1\n[model.gpt]\nwidth = \"五\"\nwight = 3\ndropout = 2\n[modle]\nx = 1\n";
    let expect = [
        "2:1 there is nothing to read",
        "3:1 unknown key `fromat` in `data`",
        "4:13 `max-bytes`: expected a whole number up to 4294967295, found -1",
        "5:8 missing key `heads` in `model.gpt`",
        "6:9 `width`: expected a whole number, found the text \"五\"",
        "7:1 unknown key `wight` in `model.gpt`",
        "8:1 not a share",
        "9:2 unknown section or key `modle`",
    ];
    assert_eq!(faults(text, &[]), expect);
}

#[test]
fn every_missing_key_of_a_table_shows() {
    assert_eq!(
        faults("[data]\n[model.gpt]\n", &[]),
        [
            "1:2 missing key `paths` in `data`",
            "1:2 missing key `max-bytes` in `data`",
            "2:8 missing key `width` in `model.gpt`",
            "2:8 missing key `heads` in `model.gpt`"
        ]
    );
    assert_eq!(faults("", &[]), ["null:null missing section `[data]`", "null:null missing section `[model]`"]);
}

#[test]
fn choices_are_named() {
    let with = |model: &str| format!("[data]\npaths = [\"a\"]\nmax-bytes = 9\n{model}");
    assert_eq!(
        faults(&with("[model.gpt]\nwidth = 1\nheads = 3\n[model.tiny]\n"), &[]),
        ["6:1 a width of 1 does not divide into 3 heads", "7:8 more than one `model`: [model.gpt] and [model.tiny]"]
    );
    assert_eq!(faults(&with("[model]\n"), &[]), ["4:2 `model` is empty"]);
    assert_eq!(faults(&with("[model.gtp]\n"), &[]), ["4:8 unknown table `[model.gtp]`"]);
    assert_eq!(faults(&with("[model.tiny]\nwidth = 1\n"), &[]), ["5:1 unknown key `width` in `model.tiny`"]);
    assert_eq!(faults(&with("[model]\ngpt = 3\n"), &[]), ["5:7 `gpt`: expected a table, found 3"]);
    assert_eq!(faults(&format!("model = 3\n{}", with("")), &[]), ["1:9 `model` must name one of its kinds"]);
    assert_eq!(faults(&format!("model = \"tiny\"\n{}", with("")), &[]), ["1:9 `tiny` needs a table"]);
    assert_eq!(
        faults(&GOOD.replace("max-bytes", "format = \"json\"\nmax-bytes"), &[]),
        ["3:10 unknown value `json` for `format`"]
    );
    assert_eq!(faults(&GOOD.replace("[\"a\"]", "[\"a\", 3]"), &[]), ["2:15 item 2 of `paths`: expected text in quotes, found 3"]);
}

#[test]
fn overrides_are_pointed_at() {
    let shown = run(GOOD, &["model.gpt.heads=7", "data.max-bytes=many"]).expect_err("faulty").to_string();
    assert_eq!(
        shown,
        "\
error: a width of 64 does not divide into 7 heads
--> command line
| --set model.gpt.heads=7
|       ^^^^^^^^^^^^^^^^^
hint: use 8

error: `max-bytes`: expected a whole number, found the text \"many\"
--> command line
| --set data.max-bytes=many
|                      ^^^^

2 faults"
    );
    assert_eq!(faults(GOOD, &["nothing"]), ["1:1 an override needs a value"]);
    assert_eq!(faults(GOOD, &["a..b=1"]), ["1:1 an override names an empty key"]);
    assert_eq!(faults(GOOD, &["data.max-bytes.x=1"]), ["1:1 `data.max-bytes` is not a table"]);
    assert_eq!(faults(GOOD, &["data.max-bites=1"]), ["1:1 unknown key `max-bites` in `data`"]);
    assert_eq!(faults(GOOD, &["model.tiny={}"]), ["1:1 more than one `model`: [model.gpt] and [model.tiny]"]);
}

#[test]
fn faults_are_drawn_like_the_compiler_draws_them() {
    let text = GOOD.replace("heads = 8", "\theads = 7 # 七个头");
    assert_eq!(
        run(&text, &[]).expect_err("faulty").to_string(),
        "\
error: a width of 64 does not divide into 7 heads
 --> run.toml:7:2
7 |  heads = 7 # 七个头
  |  ^^^^^^^^^
hint: use 8"
    );
    let text = GOOD.replace("[\"a\"]", "[\"文件\", 3]");
    let shown = run(&text, &[]).expect_err("faulty").to_string();
    assert!(shown.contains("2 | paths = [\"文件\", 3]\n  |                  ^"), "{shown}");
}

#[test]
fn broken_toml_shows_each_break() {
    let shown = faults("[data\npaths = [\"a\"]\nmax-bytes = = 3\n", &[]);
    assert!(shown.len() >= 2, "{shown:?}");
    assert!(shown[0].starts_with("1:") && shown.last().is_some_and(|last| last.starts_with("3:")), "{shown:?}");
    let twice = faults(&format!("{GOOD}heads = 9\n"), &[]);
    assert!(twice.len() == 1 && twice[0].starts_with("8:1 "), "{twice:?}");
}

#[test]
fn unreadable_files_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("run.toml");
    let told = |path: &Path| load::<Run>(path, &[], validate).expect_err("faulty").to_string();
    assert!(told(&path).contains("cannot read the run file: No such file"), "{}", told(&path));
    assert!(told(dir.path()).contains("cannot read the run file: Is a directory"), "{}", told(dir.path()));
    std::fs::write(&path, b"[data]\nx = \"\xff\"").expect("written");
    assert!(told(&path).contains("line 2 is not UTF-8 (byte 12 of the file)"), "{}", told(&path));
    std::fs::write(&path, vec![b'#'; 5 << 20]).expect("written");
    assert!(told(&path).contains("longer than"), "{}", told(&path));
}

#[test]
fn terminals_are_not_steered() {
    let shown = run("x = \"\u{1b}]0;title\u{7}\"", &[]).expect_err("faulty").to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    let shown = run(GOOD, &["a=\u{202e}\u{1b}[2J"]).expect_err("faulty").to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn hostile_depth_and_size_are_survived() {
    for text in [
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}1{}", "{a = ".repeat(100_000), "}".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("{GOOD}{}", "dropout = []\n".repeat(1000)),
        GOOD.replace("[\"a\"]", &format!("[{}]", "1, ".repeat(5000))),
        (0..20_000).map(|n| format!("k{n} = 1")).collect::<Vec<_>>().join("\n"),
    ] {
        assert!(run(&text, &[]).is_err());
    }
    assert!(run(GOOD, &[&format!("{}a=1", "a.".repeat(100_000))]).is_err());
    assert!(run(GOOD, &[&format!("note={}", "[".repeat(100_000))]).is_ok(), "what is no TOML is text");
}
