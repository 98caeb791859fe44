//! Documents that are asked: what is found, what is kept when files change, and what a kill or damage leaves.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use ssl_data::Error;
use ssl_data::retrieve::{Bm25, Index, PassageConfig, Update, Vectors};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Golden {
    passages: Vec<String>,
    questions: Vec<String>,
    scores: Vec<Vec<f64>>,
}

#[test]
fn scores_are_those_of_bm25s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/bm25/scores.json");
    let golden: Golden = serde_json::from_slice(&fs::read(path).expect("the golden file")).expect("a document");
    let index = Bm25::new(golden.passages.iter().map(String::as_str));
    for (question, scores) in golden.questions.iter().zip(&golden.scores) {
        let found = index.search(question, usize::MAX);
        assert_eq!(found.len(), scores.iter().filter(|score| **score > 0.0).count(), "{question}");
        assert!(found.iter().all(|&(at, score)| (score - scores[at]).abs() < 1e-6), "{question}: {found:?} {scores:?}");
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{question}");
        assert_eq!(index.search(question, 2), found[..found.len().min(2)], "{question}");
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.write("docs/shop.txt", "The shop opens at nine.\r\n\r\nOn Sundays it is closed.");
        place.write("docs/post.md", "# Post\n\nLetters take two days. Parcels take a week.");
        place.write("docs/deep/qa.jsonl", "{\"text\": \"Lamps are sold.\"}\n{\"text\": \"灯要换的时候，请来店里。\"}\n");
        place.write(
            "docs/page.html",
            "<html><body><nav>Home</nav><p>Boats are &amp; were rented here by the hour.</p></body></html>",
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().expect("a folder")).expect("creates");
        fs::write(self.path(name), text).expect("writes");
    }

    fn update(&self) -> ssl_data::Result<(Index, Update)> {
        Index::update(&self.path("index"), &[self.path("docs")], PassageConfig::default(), &|| false)
    }

    fn counts(&self) -> (u64, u64, u64, u64) {
        let (_, update) = self.update().expect("indexes");
        (update.documents, update.cut, update.removed, update.dropped)
    }
}

/// What is found first, and where.
fn best(index: &Index, question: &str) -> (String, String) {
    let found = index.search(question, 1);
    let passage = index.passage(found.first().expect("something is found").0);
    (passage.document.rsplit('/').next().unwrap_or_default().to_owned(), passage.text.to_owned())
}

#[test]
fn every_format_is_found_with_its_place() {
    let place = Place::new();
    let (index, update) = place.update().expect("indexes");
    assert_eq!((update.files, update.documents, update.cut, update.passages), (4, 5, 5, 5));
    assert_eq!(best(&index, "what is closed on sunday").0, "shop.txt");
    assert_eq!(best(&index, "how long does a parcel take").0, "post.md");
    assert_eq!(best(&index, "什么时候换灯？"), ("qa.jsonl:2".into(), "灯要换的时候，请来店里。".into()));
    assert_eq!(best(&index, "rent a boat").0, "page.html");
    // Places in a plain text are places in the file, whatever its line ends.
    let found = index.passage(index.search("closed", 1)[0].0);
    let file = fs::read(place.path("docs/shop.txt")).expect("a file");
    assert_eq!(found.text.as_bytes(), &file[found.bytes]);
    let again = Index::open(&place.path("index")).expect("opens");
    assert_eq!(best(&again, "lamps"), best(&index, "lamps"));
    assert!(index.search("zebra", 5).is_empty() && index.search("", 5).is_empty());
}

#[test]
fn only_what_changed_is_cut_again() {
    let place = Place::new();
    assert_eq!(place.counts(), (5, 5, 0, 0));
    let stored = || fs::read(place.path("index/index.jsonl")).expect("the index");
    let first = stored();
    assert_eq!(place.counts(), (5, 0, 0, 0));
    assert!(first == stored());
    // One line of two changes, one file goes, one comes, one cannot be read.
    place.write("docs/deep/qa.jsonl", "{\"text\": \"Lamps are sold.\"}\n{\"text\": \"灯卖完了。\"}\n");
    fs::remove_file(place.path("docs/post.md")).expect("removes");
    place.write("docs/new.txt", "Anchors are new.");
    place.write("docs/broken.jsonl", "{\"text\": 5}\n");
    assert_eq!(place.counts(), (5, 2, 2, 1));
    // What cannot be read is told again.
    assert_eq!(place.counts(), (5, 0, 0, 1));
    let index = Index::open(&place.path("index")).expect("opens");
    assert_eq!(best(&index, "anchor").0, "new.txt");
    assert!(index.search("parcel", 5).is_empty() && index.search("换", 5).is_empty());
    // The same as one that is made anew.
    let kept = stored();
    fs::remove_dir_all(place.path("index")).expect("removes");
    place.update().expect("indexes");
    assert!(kept == stored());
    // Another way of cutting is another index.
    let config = PassageConfig { words: 4, overlap_words: 0 };
    let (index, update) = Index::update(&place.path("index"), &[place.path("docs")], config, &|| false).expect("indexes");
    assert!(update.cut == 5 && index.len() > 5 && index.config() == config);
}

#[test]
fn a_damaged_index_is_named_and_made_anew_and_drafts_of_the_dead_are_removed() {
    let place = Place::new();
    place.update().expect("indexes");
    let path = place.path("index/index.jsonl");
    let whole = fs::read(&path).expect("the index");
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("writes");
        assert!(matches!(Index::open(&place.path("index")), Err(Error::Index { .. })), "{cut}");
    }
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("writes");
        assert!(matches!(Index::open(&place.path("index")), Err(Error::Index { .. })), "{at}");
    }
    // Whoever was killed before the draft took the index's place left it beside the old index.
    place.write("index/.draft-abc", "{");
    assert_eq!(place.counts(), (5, 5, 0, 0));
    assert!(!place.path("index/.draft-abc").exists() && fs::read(&path).expect("the index") == whole);
    let held = fs::File::options().write(true).open(place.path("index/index.lock")).expect("the lock");
    held.lock().expect("locks");
    assert!(matches!(place.update(), Err(Error::Index { .. })));
    assert!(Index::open(&place.path("index")).is_ok(), "readers wait for nobody");
}

#[test]
fn without_documents_there_is_no_index() {
    let place = Place::new();
    let update = |paths: &[&str]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| place.path(path)).collect();
        Index::update(&place.path("none"), &paths, PassageConfig::default(), &|| false)
    };
    place.write("empty/a.txt", " \n");
    assert!(matches!(update(&["empty"]), Err(Error::Index { .. })));
    assert!(matches!(update(&["nowhere"]), Err(Error::NoFiles { .. })));
    assert!(matches!(Index::open(&place.path("none")), Err(Error::Io { .. })));
    let stopped = Index::update(&place.path("none"), &[place.path("docs")], PassageConfig::default(), &|| true);
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
}

#[test]
fn vectors_are_kept_by_text_and_model_and_fused() {
    let place = Place::new();
    let dir = place.path("index");
    let (index, _) = place.update().expect("indexes");
    let mut vectors = Vectors::open(&dir, [1; 32]);
    assert_eq!(vectors.missing(&index).len(), 5);
    for at in vectors.missing(&index) {
        let text = index.passage(at).text.to_owned();
        vectors.insert(&text, vec![at as f32 - 2.0, 1.0]);
    }
    vectors.save(&dir, &index).expect("saves");
    assert_eq!(Vectors::open(&dir, [1; 32]), vectors);
    assert_eq!(Vectors::open(&dir, [2; 32]).missing(&index).len(), 5, "another model's");
    for at in 0..5 {
        let near = vectors.nearest(&index, &[3.0 * (at as f32 - 2.0), 3.0], 1);
        assert!(near[0].0 == at && (near[0].1 - 1.0).abs() < 1e-5, "{near:?}");
    }
    // What both lists name stands before what one does.
    let word = index.search("parcel", 1)[0].0;
    let near = index.passage(word).text.to_owned();
    let fused = index.search_both("parcel", &vectors, &[word as f32 - 2.0, 1.0], 5);
    assert_eq!((fused[0].0, index.passage(fused[0].0).text), (word, near.as_str()));
    place.write("docs/post.md", "Stamps.");
    let (index, _) = place.update().expect("indexes");
    assert_eq!(Vectors::open(&dir, [1; 32]).missing(&index).len(), 1);
    // Damage costs the vectors, and nothing else.
    let mut bytes = fs::read(dir.join("vectors.bin")).expect("vectors");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(dir.join("vectors.bin"), bytes).expect("writes");
    assert_eq!(Vectors::open(&dir, [1; 32]).missing(&index).len(), 5);
}
