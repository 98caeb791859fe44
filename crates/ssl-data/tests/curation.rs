//! Curation within a preparation: what is dropped, counted and reported, and that it does not depend on threads or interruptions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssl_data::clean::Reason;
use ssl_data::config::DataConfig;
use ssl_data::filter::Rule;
use ssl_data::manifest::{CONTAMINATION, Manifest, NEAR_DUPLICATES};
use ssl_data::prepare::{Silent, prepare};
use ssl_data::scrub::Kind;
use tempfile::TempDir;

mod support;

use support::{content, stops_change_nothing, threads_change_nothing};

/// Words that look like language, drawn from a number.
fn words(seed: u64, count: u64) -> Vec<String> {
    let word = |n: u64| {
        ["the", "harbour", "and", "of", "boat", "with", "morning", "to", "quiet", "that", "nobody", "came"]
            [(ssl_data::rng::hash(seed, 1, n) % 12) as usize]
    };
    (0..count)
        .map(|n| {
            format!(
                "{}{}",
                word(n),
                if n % 3 == 0 {
                    char::from(b'a' + (ssl_data::rng::hash(seed, 2, n) % 26) as u8).to_string()
                } else {
                    String::new()
                }
            )
        })
        .collect()
}

/// Forty texts, some of them nearly the same, one with an item of an evaluation set, some with mail addresses.
fn sources() -> (TempDir, DataConfig) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut documents: Vec<String> = (0..40).map(|n| words(n, 120).join(" ") + ". Write to reader@example.org today.").collect();
    for (copy, of) in [(7_usize, 3), (20, 3), (21, 12)] {
        let mut text = words(of, 120);
        text[copy] = "altered".into();
        documents[copy] = text.join(" ") + ". Write to reader@example.org today.";
    }
    documents[30] = "far too short".into();
    documents[31] = format!("{} and then {}", words(31, 60).join(" "), words(1000, 20)[2..16].join(" "));
    let lines: Vec<String> = documents.iter().map(|text| json!({ "text": text }).to_string()).collect();
    fs::write(dir.path().join("documents.jsonl"), lines.join("\n")).expect("writes");
    fs::write(dir.path().join("quiz.items"), words(1000, 20).join(" ") + "\n" + &words(1001, 20).join(" ")).expect("writes");
    let config = json!({
        "paths": [dir.path().join("documents.jsonl")],
        "tokenizer": { "char": {} },
        "validation-fraction": 0.1,
        "filter": { "gopher-quality": { "min-words": 10 }, "language": {} },
        "scrub": {},
        "dedup": { "near": {} },
        "decontaminate": { "sets": { "quiz": { "paths": [dir.path().join("quiz.items")] } } },
    });
    (dir, serde_json::from_value(config).expect("a configuration"))
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).expect("reads").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn what_is_dropped_is_counted_and_reported() {
    let (dir, config) = sources();
    assert_eq!(config.validate(), []);
    let into = dir.path().join("corpus");
    let manifest = prepare(&config, &into, &Silent).expect("prepares");
    let expect = BTreeMap::from([(Reason::Rule(Rule::GopherFewWords), 1), (Reason::Contaminated, 1), (Reason::NearDuplicate, 3)]);
    assert_eq!(manifest.dropped, expect);
    assert_eq!(manifest.documents_read(), 40);
    let near = manifest.curation.near.as_ref().expect("was looked for");
    assert_eq!((near.clusters, near.copies, near.largest, &near.rules), (2, 3, 3, &config.dedup.near));
    // Of the forty, those five that are not kept count nowhere.
    assert_eq!(manifest.curation.scrubbed, BTreeMap::from([(Kind::Email, 35)]));
    assert_eq!(manifest.curation.languages.values().sum::<u64>(), 35);
    let quiz = &manifest.curation.contamination["quiz"];
    assert_eq!((quiz.items, quiz.short, quiz.met, quiz.documents), (2, 0, 1, 1));
    // A manifest with reasons by rule is read as it was written.
    assert_eq!(Manifest::load(&into).expect("reads"), manifest);
    assert!(fs::read_to_string(into.join("manifest.json")).expect("reads").contains("\"gopher-few-words\": 1"));
    assert!(!content(&into).values().any(|file| file.windows(18).any(|bytes| bytes == b"reader@example.org")));
    let report = lines(&into.join(NEAR_DUPLICATES));
    let clusters: Vec<(u64, bool)> =
        report.iter().map(|line| (line["cluster"].as_u64().expect("a number"), line["kept"] == true)).collect();
    assert_eq!(clusters, [(3, true), (3, false), (12, true), (3, false), (12, false)]);
    assert!(report[1]["document"].as_str().expect("a place").ends_with("documents.jsonl:8"));
    let report = lines(&into.join(CONTAMINATION));
    assert_eq!(report.len(), 1);
    assert!(report[0]["item"].as_str().expect("a place").ends_with("quiz.items:1"));
    assert!(report[0]["document"].as_str().expect("a place").ends_with("documents.jsonl:32"));
}

#[test]
fn contaminated_documents_can_be_kept() {
    let (dir, mut config) = sources();
    let rules = config.decontaminate.as_mut().expect("sets");
    rules.overlapping = ssl_data::decontaminate::Overlapping::Keep;
    let manifest = prepare(&config, &dir.path().join("corpus"), &Silent).expect("prepares");
    assert_eq!(manifest.dropped.get(&Reason::Contaminated), None);
    assert_eq!(manifest.curation.contamination["quiz"].met, 1);
}

#[test]
fn neither_threads_nor_stops_change_a_byte() {
    let (_dir, config) = sources();
    threads_change_nothing(&config);
    let stops = stops_change_nothing(&config, |_| 1);
    assert!(stops > 15, "it was asked only {stops} times");
}

#[test]
fn a_corpus_without_these_sections_is_what_it_was() {
    let bare: DataConfig =
        serde_json::from_value(json!({ "paths": ["a"], "tokenizer": { "char": {} } })).expect("a configuration");
    let text = serde_json::to_string(&bare).expect("JSON");
    assert!(["filter", "scrub", "near", "decontaminate"].iter().all(|name| !text.contains(name)), "{text}");
}

#[test]
fn other_files_beside_the_inputs_make_another_corpus() {
    let (dir, config) = sources();
    let into = dir.path().join("corpus");
    let first = prepare(&config, &into, &Silent).expect("prepares");
    fs::write(dir.path().join("quiz.items"), words(2000, 20).join(" ")).expect("writes");
    let second = prepare(&config, &into, &Silent).expect("prepares");
    assert_ne!(first.fingerprint, second.fingerprint);
    assert_eq!(second.dropped.get(&Reason::Contaminated), None);
}

#[test]
fn faults_of_meaning_are_named() {
    let (_dir, mut config) = sources();
    config.filter = serde_json::from_value(
        json!({ "gopher-repetition": { "max-repeated-lines": 1.5 }, "language": { "keep": ["english"] } }),
    )
    .expect("a configuration");
    config.dedup = serde_json::from_value(json!({ "near": { "buckets": 0 } })).expect("a configuration");
    config.decontaminate = Some(serde_json::from_value(json!({ "sets": {}, "min-share": 2.0 })).expect("a configuration"));
    let paths: Vec<String> = config.validate().into_iter().map(|fault| fault.path).collect();
    let expect = [
        "data.filter.gopher-repetition.max-repeated-lines",
        "data.filter.language.keep",
        "data.dedup.near.buckets",
        "data.decontaminate.sets",
        "data.decontaminate.min-share",
    ];
    assert_eq!(paths, expect);
}
