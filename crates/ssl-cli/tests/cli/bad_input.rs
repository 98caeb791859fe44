//! Text that is no text, and files that are not what they say.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, RUN, Ran};

/// What preparing the small run over one more file comes to.
fn prepare(place: &Place, change: impl Fn(&str) -> String) -> Ran {
    place.write("run.toml", change(RUN));
    place.ssl(&["prepare", "run.toml", "--out", "out", "--json"])
}

fn dropped(ran: &Ran, reason: &str) -> u64 {
    ran.json()["manifest"]["dropped"][reason].as_u64().unwrap_or(0)
}

fn same(run: &str) -> String {
    run.into()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").args(["-9c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("gzip");
    writer.join().expect("a thread").expect("written");
    output.stdout
}

#[test]
fn bytes_that_are_no_text_are_dropped_and_counted() {
    let place = Place::new();
    place.write("text/latin.txt", b"caf\xe9 and more\n\nfine words here\n");
    place.write("text/nul.txt", "a word\0another\n\nfine again\n");
    place.write("text/empty.txt", "");
    let ran = prepare(&place, same);
    ran.says(0, &[]);
    let manifest = &ran.json()["manifest"];
    let told = manifest.to_string();
    assert!(told.contains("latin.txt: not valid UTF-8 at byte 3") && told.contains("empty.txt"), "{manifest}");
    assert_eq!((dropped(&ran, "invalid-utf8"), dropped(&ran, "empty-file")), (1, 1), "{manifest}");
    // A NUL is taken out of its document, and counted.
    assert_eq!(manifest["repaired"]["control-characters"], 1);
    let texts = place.read("out/corpus/validation.txt") + &place.read("out/corpus/tokenizer.json");
    assert!(!texts.contains('\0') && !texts.contains("\\u0000"), "{texts}");
    let strict = prepare(&place, |run| run.replace("[data.tokenizer", "[data.clean]\nbad-utf8 = \"fail\"\n[data.tokenizer"));
    strict.says(3, &["latin.txt", "byte 3"]);
}

#[test]
fn nothing_to_read_is_said() {
    let place = Place::new();
    fs::create_dir(place.path("hollow")).expect("room");
    place.write("blank/empty.txt", "");
    for (path, code) in [("hollow", 2), ("absent", 2), ("blank", 3)] {
        prepare(&place, |run| run.replace("\"text\"", &format!("\"{path}\""))).says(code, &[path, "hint:"]);
    }
}

#[test]
fn a_line_of_200_megabytes_costs_neither_memory_nor_the_run() {
    let place = Place::new();
    let mut line = vec![b'x'; 200_000_000];
    line.extend(b"\nand a short one\n");
    place.write("text/long.txt", &line);
    let start = Instant::now();
    place.write("run.toml", RUN.replace("\"block\"", "\"line\""));
    let ran = place.sh("ulimit -v 4000000; exec \"$0\" prepare run.toml --out out --json");
    ran.says(0, &[]);
    assert_eq!(dropped(&ran, "too-large"), 1, "{}", ran.stdout);
    assert!(start.elapsed() < Duration::from_mins(1));
}

#[test]
fn compressed_files_that_lie_are_named() {
    let place = Place::new();
    prepare(&place, same).says(0, &[]);
    let corpus = place.content("out/corpus");
    let strict = "[data.limits]\nexpansion = 100\nbad-records = 0\nbad-share = 0.0\n[data.tokenizer";
    let whole = gzip(b"some text that is long enough to be cut in two, again and again and again\n");
    place.write("text/cut.txt.gz", &whole[..whole.len() / 2]);
    prepare(&place, |run| run.replace("[data.tokenizer", strict)).says(3, &["cut.txt.gz", "damaged after"]);
    place.write("text/cut.txt.gz", gzip("one line and again\n".repeat(5_000_000).as_bytes()));
    let start = Instant::now();
    place.write("run.toml", RUN.replace("\"block\"", "\"line\"").replace("[data.tokenizer", strict));
    let ran = place.sh("ulimit -v 4000000; exec \"$0\" prepare run.toml --out out");
    ran.says(
        3,
        &["cut.txt.gz", "more than 100 times its size", "hint: if the file is to be trusted, raise data.limits.expansion"],
    );
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(place.content("out/corpus"), corpus, "the corpus before it is untouched");
    // As long as it is one of few, it is counted.
    place.write("text/cut.txt.gz", "this is no gzip");
    let ran = prepare(&place, same);
    ran.says(0, &[]);
    assert_eq!(dropped(&ran, "damaged"), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("cut.txt.gz: damaged after 0 unpacked bytes"), "{}", ran.stdout);
}

#[test]
fn lines_that_are_no_records_are_counted_with_file_and_line() {
    let place = Place::new();
    place.write(
        "text/a.jsonl",
        "{\"text\": \"good words\"}\nnot json\n{\"other\": 1}\n{\"text\": 5}\n{\"text\": \"more good words\"}\n",
    );
    let ran = prepare(&place, same);
    ran.says(0, &[]);
    let told = ran.json()["manifest"].to_string();
    for place in ["a.jsonl:2", "a.jsonl:3", "a.jsonl:4"] {
        assert!(told.contains(place), "{place} in {told}");
    }
    let strict = prepare(&place, |run| run.replace("[data.tokenizer", "[data.limits]\nbad-records = 1\n[data.tokenizer"));
    strict.says(3, &["a.jsonl:2", "a.jsonl:3", "a.jsonl:4", "hint: see the first places"]);
}

#[test]
fn a_vocabulary_that_no_shard_can_hold_is_refused() {
    let place = Place::new();
    let ran = prepare(&place, |run| run.replace("[data.tokenizer.char]", "[data.tokenizer.byte-bpe]\nvocab-tokens = 5000000000"));
    ran.says(2, &["run.toml:7:", "vocab-tokens"]);
    let ran = prepare(&place, |run| run.replace("[data.tokenizer.char]", "[data.tokenizer.byte-bpe]\nvocab-tokens = 2000000"));
    ran.says(2, &["run.toml:7:", "2000000 is outside"]);
}
