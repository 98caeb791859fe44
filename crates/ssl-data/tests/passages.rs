//! Repeated passages within a preparation: what is cut and told, whatever the threads and interruptions; and real texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use ssl_data::clean::Reason;
use ssl_data::config::DataConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Cuts;
use ssl_data::prepare::{Silent, prepare};
use ssl_data::vocab::Vocab;
use tempfile::TempDir;

mod support;

use support::{data, stops_change_nothing, threads_change_nothing, unpack};

/// Words drawn from a number.
fn words(seed: u64, count: u64) -> String {
    let word = |n: u64| {
        let letter = |k: u64| char::from(b'a' + (ssl_data::rng::hash(seed, n, k) % 26) as u8);
        (0..3 + ssl_data::rng::hash(seed, n, 99) % 5).map(letter).collect::<String>()
    };
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// Forty texts: a notice under every third, an advertisement within every fourth, one that is nothing but the notice, one near copy.
fn sources() -> (TempDir, DataConfig) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (notice, ad) = (words(1000, 30), words(1001, 20));
    let text = |n: u64| {
        let mut text = words(n, 60) + "\n\n" + &words(n + 100, 60);
        if n.is_multiple_of(4) {
            text.insert_str(150, &ad);
        }
        if n.is_multiple_of(3) {
            text = text + "\n\n" + &notice;
        }
        text
    };
    let mut texts: Vec<String> = (0..40).map(text).collect();
    texts[20] = notice;
    texts[25] = texts[10].replacen(' ', "  and ", 1);
    let lines: Vec<String> = texts.iter().map(|text| json!({ "text": text }).to_string()).collect();
    fs::write(dir.path().join("texts.jsonl"), lines.join("\n")).expect("writes");
    let config = json!({
        "paths": [dir.path().join("texts.jsonl")],
        "tokenizer": { "char": {} },
        "validation-fraction": 0.1,
        "dedup": { "near": {}, "paragraphs": { "min-chars": 40 }, "substrings": { "min-bytes": 60 } },
    });
    (dir, serde_json::from_value(config).expect("a configuration"))
}

#[test]
fn passages_are_cut_and_told() {
    let (dir, config) = sources();
    let manifest = prepare(&config, &dir.path().join("corpus"), &Silent).expect("prepares");
    let curation = manifest.curation.clone();
    let (paragraphs, substrings) = (curation.paragraphs.expect("paragraphs"), curation.substrings.expect("runs"));
    // The notice stands under 0, 3, ..., 39, and is all of 20.
    assert_eq!((paragraphs.passages, paragraphs.documents, paragraphs.dropped), (14, 14, 1));
    assert_eq!(paragraphs.bytes, 14 * words(1000, 30).len() as u64);
    assert!(paragraphs.examples[0].document.ends_with("texts.jsonl:4"), "{paragraphs:?}");
    assert_eq!(paragraphs.examples.len(), 5);
    // The advertisement stands in 0, 4, ..., 36 but 20, and stays in the first.
    assert_eq!((substrings.passages, substrings.documents, substrings.dropped), (8, 8, 0));
    let ad = words(1001, 20).len() as u64;
    assert!((8 * ad..8 * (ad + 6)).contains(&substrings.bytes), "{substrings:?}");
    assert_eq!(manifest.dropped[&Reason::Repeated], 1);
    assert_eq!(manifest.dropped[&Reason::NearDuplicate], 1);
    assert_eq!(manifest.documents_read(), 40);
}

#[test]
fn neither_threads_nor_stops_change_a_byte() {
    let (_dir, config) = sources();
    threads_change_nothing(&config);
    let stops = stops_change_nothing(&config, |_| 1);
    assert!(stops > 15, "it was asked only {stops} times");
}

#[test]
fn pairs_are_not_cut_and_lengths_have_bounds() {
    let (_dir, mut config) = sources();
    config.dedup =
        serde_json::from_value(json!({ "paragraphs": { "min-chars": 0 }, "substrings": { "min-bytes": 8 } })).expect("rules");
    config.pairs = Some(ssl_data::config::PairsConfig::Tab {});
    let paths: Vec<String> = config.validate().into_iter().map(|fault| fault.path).collect();
    assert!(paths.iter().any(|path| path == "data.dedup"));
    assert!(paths.ends_with(&["data.dedup.paragraphs.min-chars".into(), "data.dedup.substrings.min-bytes".into()]), "{paths:?}");
}

fn unpacked(path: &Path) -> String {
    String::from_utf8_lossy(&unpack(path)).replace("\r\n", "\n")
}

#[test]
fn another_edition_of_a_book_loses_what_the_first_had() {
    let Some(dir) = data("messy/editions") else { return };
    let into = tempfile::tempdir().expect("a temporary folder");
    for (number, name) in ["2701-0.utf8.txt.gz", "2701.ascii.txt.gz", "moby10b.txt.gz"].into_iter().enumerate() {
        fs::write(into.path().join(format!("{number}.txt")), unpacked(&dir.join(name))).expect("writes");
    }
    let run = |dedup: serde_json::Value| {
        let config = json!({ "paths": [into.path()], "tokenizer": { "char": {} }, "dedup": dedup });
        let config: DataConfig = serde_json::from_value(config).expect("a configuration");
        let manifest = prepare(&config, &into.path().join("corpus"), &Silent).expect("prepares");
        manifest.train.bytes + manifest.validation.bytes
    };
    let whole = run(json!({})) as f64;
    let paragraphs = run(json!({ "paragraphs": {} })) as f64 / whole;
    let substrings = run(json!({ "substrings": {} })) as f64 / whole;
    println!(
        "{whole} bytes of three editions; {paragraphs:.3} without paragraphs, {substrings:.3} without runs that stood before"
    );
    // A third would be one edition alone. They are typed, broken into lines and quoted each in its own way.
    assert!((paragraphs - 0.394).abs() < 0.01 && (substrings - 0.349).abs() < 0.01);
}

/// The novels by their names.
fn novels(dir: &Path) -> BTreeMap<String, String> {
    let paths = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    paths.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), unpacked(&path))).collect()
}

/// The text that is left of novels, without runs that stood before.
fn left(novels: &BTreeMap<String, String>) -> (String, Cuts) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in novels {
        fs::write(dir.path().join(name), text).expect("writes");
    }
    let config = json!({
        "paths": [dir.path()], "tokenizer": { "char": {} }, "validation-fraction": 0.0,
        "dedup": { "substrings": { "min-bytes": 32 } },
    });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let into = dir.path().join("corpus");
    let manifest = prepare(&config, &into, &Silent).expect("prepares");
    let corpus = Corpus::open(&into, SplitName::Train).expect("opens");
    let mut tokens = Vec::new();
    corpus.read(0, corpus.tokens() as usize, &mut tokens).expect("reads");
    tokens.retain(|&token| token != corpus.separator());
    let text = Vocab::load(&into.join("tokenizer.json")).expect("a tokenizer").decode(&tokens);
    (text, manifest.curation.substrings.expect("runs"))
}

/// A book shop's advertisement stands in one of these novels, within a sentence. Here it stands in all of them and many times, as it does
/// where a shop made the copies.
#[test]
fn advertisements_spliced_into_novels_are_found_by_their_repetition() {
    const AD: &str = "小^说^无广告的~顶点*小说~网www.shuyaya.com";
    let Some(dir) = data("chinese-novels") else { return };
    let plain = novels(&dir);
    assert_eq!(plain.values().map(|text| text.matches(AD).count()).sum::<usize>(), 1);
    let mut spliced = plain.clone();
    let mut ads = 1;
    for (number, text) in (0..).zip(spliced.values_mut()) {
        // From the end on, so that what was spliced is not parted.
        let mut places: Vec<usize> = (0..250).map(|n| (ssl_data::rng::hash(9, number, n) % text.len() as u64) as usize).collect();
        places.sort_unstable_by_key(|&place| std::cmp::Reverse(place));
        for place in places {
            text.insert_str(text.floor_char_boundary(place), AD);
            ads += 1;
        }
    }
    let ((before, _), (after, cuts)) = (left(&plain), left(&spliced));
    let stay = after.matches("www.").count();
    println!("{stay} of {ads} advertisements stay; {} and {} bytes of novels, {cuts:?}", before.len(), after.len());
    assert_eq!(stay, 1);
    // Around one, characters go with it where they are those around the first; the novels are else what they are without any.
    let more = before.len().abs_diff(after.len());
    assert!(more < 2 * ads, "{more} bytes for {ads} advertisements");
}
