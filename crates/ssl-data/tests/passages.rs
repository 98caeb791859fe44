//! Repeated passages within a preparation: what is cut and told, whatever the threads and interruptions; and real texts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use serde_json::json;
use ssl_data::Error;
use ssl_data::clean::Reason;
use ssl_data::config::DataConfig;
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, Watch, prepare};
use tempfile::TempDir;

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

/// Everything in a corpus folder, but for how long it took.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        files.insert(path.file_name().expect("a name").into(), fs::read(&path).expect("reads"));
    }
    let manifest = files.get_mut(Path::new("manifest.json")).expect("a manifest");
    let mut parsed: Manifest = serde_json::from_slice(manifest).expect("a manifest");
    parsed.stages.iter_mut().for_each(|stage| stage.seconds = 0.0);
    *manifest = serde_json::to_vec(&parsed).expect("JSON");
    files
}

/// Says stop at the `after`th question, and from then on.
struct StopAfter(AtomicU64, u64);

impl Watch for StopAfter {
    fn stage(&self, _: &'static str, _: u64, _: Option<u64>, _: u64) {}

    fn stop(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) >= self.1
    }
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
    let (dir, config) = sources();
    let run = |threads: usize, name: &str| {
        let into = dir.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| prepare(&config, &into, &Silent)).expect("prepares");
        content(&into)
    };
    let expected = run(1, "one");
    assert_eq!(run(3, "three"), expected);
    let mut stops = 0;
    loop {
        let into = tempfile::tempdir().expect("a temporary folder");
        let result = prepare(&config, into.path(), &StopAfter(AtomicU64::new(0), stops));
        let done = result.is_ok();
        assert!(done || matches!(result, Err(Error::Interrupted { .. })), "{result:?}");
        prepare(&config, into.path(), &Silent).expect("prepares");
        assert_eq!(content(into.path()), expected, "stopped after {stops} questions");
        if done {
            break;
        }
        stops += 1;
    }
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

/// A folder of the sets of real data, if they lie beside or above the repository.
#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
fn data(name: &str) -> Option<PathBuf> {
    let found =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("shared/data").join(name)).find(|dir| dir.is_dir());
    if found.is_none() {
        println!("skipped: shared/data/{name} is not there");
    }
    found
}

fn unpack(path: &Path) -> String {
    let mut text = Vec::new();
    MultiGzDecoder::new(fs::File::open(path).expect("opens")).read_to_end(&mut text).expect("unpacks");
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

#[test]
fn another_edition_of_a_book_loses_what_the_first_had() {
    let Some(dir) = data("messy/editions") else { return };
    let into = tempfile::tempdir().expect("a temporary folder");
    for (number, name) in ["2701-0.utf8.txt.gz", "2701.ascii.txt.gz"].into_iter().enumerate() {
        fs::write(into.path().join(format!("{number}.txt")), unpack(&dir.join(name))).expect("writes");
    }
    let run = |dedup: serde_json::Value| {
        let config = json!({ "paths": [into.path()], "tokenizer": { "char": {} }, "dedup": dedup });
        let config: DataConfig = serde_json::from_value(config).expect("a configuration");
        prepare(&config, &into.path().join("corpus"), &Silent).expect("prepares")
    };
    let bytes = |manifest: &Manifest| manifest.train.bytes + manifest.validation.bytes;
    let whole = bytes(&run(json!({})));
    let paragraphs = bytes(&run(json!({ "paragraphs": {} })));
    let substrings = bytes(&run(json!({ "substrings": {} })));
    println!("{whole} bytes of two editions, {paragraphs} without paragraphs, {substrings} without runs that stood before");
    // The words are the same; quotation marks and dashes are not, and part most runs of 200 bytes.
    assert!(paragraphs < whole * 60 / 100 && substrings < whole * 90 / 100);
}

#[test]
fn advertisements_spliced_into_novels_are_found_by_their_repetition() {
    let Some(dir) = data("chinese-novels") else { return };
    let into = tempfile::tempdir().expect("a temporary folder");
    let mut before = 0;
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        let text = unpack(&path);
        before += text.matches("www.").count();
        let name = path.file_name().expect("a name").to_string_lossy().replace(".gz", "");
        fs::write(into.path().join(name), text).expect("writes");
    }
    let config = json!({
        "paths": [into.path()], "tokenizer": { "char": {} }, "validation-fraction": 0.0,
        "dedup": { "substrings": { "min-bytes": 64 } },
    });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let manifest = prepare(&config, &into.path().join("corpus"), &Silent).expect("prepares");
    let cuts = manifest.curation.substrings.expect("runs");
    println!("{before} addresses; {} passages of {} bytes cut, such as {:?}", cuts.passages, cuts.bytes, cuts.examples);
    assert!(cuts.passages > 0);
}
