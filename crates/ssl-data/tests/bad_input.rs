//! Input as it comes: damaged, hostile, mistaken or empty. Every case ends in a whole corpus with counts and the names of what is bad,
//! or in one clear error that names the place, and leaves no half of anything.

mod cases;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use cases::{Case, gzip};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use ssl_data::clean::Reason;
use ssl_data::prepare::{Silent, prepare};
use ssl_data::{Error, ErrorKind};

#[test]
fn compressed_files_of_many_members_are_read_whole() {
    let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
    let frames =
        [zstd::encode_all(&b"three "[..], 1), zstd::encode_all(&b"four"[..], 1)].map(|frame| frame.expect("compresses")).concat();
    let case = Case::new(&[("a.txt.gz", &members), ("b.txt.zst", &frames)]);
    case.prepare(&json!({})).expect("prepares");
    assert_eq!(case.texts(), ["one two", "three four"]);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let zeros = vec![0; 1 << 20];
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zst = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    for _ in 0..100 {
        gz.write_all(&zeros).expect("compresses");
        zst.write_all(&zeros).expect("compresses");
    }
    let bombs = [("bomb.txt.gz", gz.finish().expect("compresses")), ("bomb.txt.zst", zst.finish().expect("compresses"))];
    for (name, bytes) in bombs {
        let case = Case::new(&[("a.txt", b"fine"), (name, &bytes), ("z.txt", b"fine too")]);
        let manifest = case.prepare(&json!({ "document": "line", "limits": { "expansion": 10 } })).expect("prepares");
        assert_eq!((case.texts(), manifest.dropped), (vec!["fine".into(), "fine too".into()], [(Reason::Expansion, 1)].into()));
        let told = &manifest.examples[&Reason::Expansion][0];
        assert!(told.ends_with(&format!("{name}: unpacks to more than 10 times its size")), "{told}");
        assert!(manifest.stages[0].bytes < 80 << 20, "{} bytes were unpacked", manifest.stages[0].bytes);
        // As one document it is too large, and is not unpacked further than that shows.
        let manifest = case.prepare(&json!({ "limits": { "expansion": 10, "document-bytes": 1_000_000 } })).expect("prepares");
        assert_eq!(manifest.dropped[&Reason::TooLarge], 1);
        assert!(manifest.stages[0].bytes < 4_000_000, "{} bytes were unpacked", manifest.stages[0].bytes);
    }
}

#[test]
fn a_window_that_asks_for_gigabytes_is_refused() {
    // A frame of one stored byte whose header asks for a window of 2 to the power of `log` bytes.
    let frame = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 9, 0, 0, b'a'];
    let case = Case::new(&[("a.txt", b"fine"), ("b.txt.zst", &frame(31))]);
    let manifest = case.prepare(&json!({})).expect("prepares");
    assert_eq!((case.texts(), manifest.dropped), (vec!["fine".into()], [(Reason::Damaged, 1)].into()));
    let case = Case::new(&[("a.txt.zst", &frame(20))]);
    case.prepare(&json!({})).expect("prepares");
}

#[test]
fn an_endless_line_is_passed_over_and_counted() {
    let long = [&b"before\n"[..], &vec![b'x'; 20 << 20], b"\nafter\n"].concat();
    let case = Case::new(&[
        ("a.txt.gz", &gzip(&long)),
        ("b.jsonl", &[b"{\"text\": \"", &long[7..], b"\"}\n{\"text\": \"json\"}"].concat()),
    ]);
    let manifest = case.prepare(&json!({ "document": "line", "limits": { "document-bytes": 1 << 20 } })).expect("prepares");
    assert_eq!(case.texts(), ["before", "after", "json"]);
    assert_eq!(manifest.dropped[&Reason::TooLarge], 2);
    assert!(manifest.examples[&Reason::TooLarge][0].ends_with("a.txt.gz:2"));
}

#[test]
fn bytes_that_are_not_utf8_follow_the_rule() {
    let files: [(&str, &[u8]); 3] =
        [("a.txt", b"fine\nbro\xffken \xe4\xb8\nfine too"), ("b.txt", b"\xff\xfea\0b\0"), ("c.txt.gz", &gzip(&gzip(b"twice")))];
    let rule = |rule: &str| json!({ "document": "line", "clean": { "bad-utf8": rule } });
    let case = Case::new(&files);
    let manifest = case.prepare(&rule("drop")).expect("prepares");
    assert_eq!(case.texts(), ["fine", "fine too"]);
    assert!(manifest.examples[&Reason::InvalidUtf8][0].ends_with("a.txt: not valid UTF-8 at byte 8"), "{:?}", manifest.examples);
    let manifest = Case::new(&files[..1]).prepare(&rule("replace")).expect("prepares");
    assert_eq!((manifest.train.documents, manifest.repaired["invalid-sequences"]), (3, 2));
    let fault = Case::new(&files).prepare(&rule("fail")).expect_err("it is not UTF-8");
    assert!(matches!(&fault, Error::Utf8 { path, offset: 8 } if path.ends_with("a.txt")), "{fault}");
}

#[test]
fn bad_lines_of_json_are_counted_with_their_places() {
    let deep = format!("{{\"text\": {}", "[".repeat(200_000));
    let text = format!(
        "\u{feff}{{\"text\": \"one\"}}\r\n\n{{\"text\": 1}}\n{{\"other\": \"x\"}}\n{deep}\n{{\"text\": \"\\ud800\"}}\n{{\"text\": \"a\", \"text\": \"b\"}}\nnonsense\n{{\"text\": \"\"}}\n{{\"text\": \"two\"}}"
    );
    let case = Case::new(&[("a.jsonl", text.as_bytes())]);
    let manifest = case.prepare(&json!({ "limits": { "bad-records": 6 } })).expect("prepares");
    assert_eq!(case.texts(), ["one", "two"]);
    assert_eq!(
        (manifest.dropped[&Reason::NotJson], manifest.dropped[&Reason::NoText], manifest.dropped[&Reason::Empty]),
        (4, 2, 1)
    );
    assert!(manifest.examples[&Reason::NoText][0].ends_with("a.jsonl:3: no text in field \"text\""), "{:?}", manifest.examples);
    assert_eq!(manifest.documents_read(), 9);

    let limited = |limits: Value| Case::new(&[("a.jsonl", text.as_bytes())]).prepare(&json!({ "limits": limits }));
    let fault = limited(json!({ "bad-records": 5 })).expect_err("too many");
    let Error::BadRecords { bad: 6, read: 9, limit: 5, first, .. } = &fault else { panic!("{fault}") };
    for line in 3..=7 {
        assert!(first.contains(&format!("a.jsonl:{line}: ")), "{line} is not in: {first}");
    }
    assert_eq!(fault.kind(), ErrorKind::Input);
    limited(json!({ "bad-records": 0, "bad-share": 0.67 })).expect("six of nine are less");
    let fault = limited(json!({ "bad-records": 0, "bad-share": 0.66 })).expect_err("six of nine are more");
    assert!(matches!(&fault, Error::BadRecords { bad: 6, read: 9, limit: 0, .. }), "{fault}");
    let fault = limited(json!({ "bad-records": 0, "bad-share": 0.0 })).expect_err("one is too many");
    assert!(matches!(&fault, Error::Field { origin, .. } if origin.line == 3), "{fault}");
}

#[test]
fn the_bad_are_judged_by_their_share() {
    let corpus = |bad: usize| "nonsense\n".repeat(bad) + &"{\"text\": \"a\"}\n".repeat(2000 - bad);
    let prepare = |bad: usize| Case::new(&[("a.jsonl", corpus(bad).as_bytes())]).prepare(&json!({}));
    assert_eq!(prepare(20).expect("a hundredth").dropped[&Reason::NotJson], 20);
    assert!(matches!(prepare(21), Err(Error::BadRecords { bad: 21, read: 2000, .. })));
    // Far too many are not read to their end, but a bad beginning is not judged for all.
    let fault = Case::new(&[("a.jsonl", &b"nonsense\n".repeat(5000))]).prepare(&json!({})).expect_err("nothing else");
    assert!(matches!(fault, Error::BadRecords { bad: 1001, read: 1001, .. }), "{fault}");
    // Encodings count as formats do.
    let latin = b"caf\xe9\n".repeat(11);
    let fault = Case::new(&[("a.txt", &latin), ("b.txt", b"fine")]).prepare(&json!({ "document": "line" })).expect_err("bad");
    assert!(matches!(&fault, Error::BadRecords { bad: 11, read: 12, first, .. } if first.contains("at byte 3")), "{fault}");
}

/// What has no text in its field is bad in every format.
#[test]
fn a_record_without_text_is_bad_in_every_format() {
    for (name, text) in
        [("a.csv", "id,text\n1\n2,b\n"), ("a.tsv", "id\ttext\n1\n2\tb\n"), ("a.jsonl", "\n{\"text\": null}\n{\"text\": \"b\"}\n")]
    {
        let case = Case::new(&[(name, text.as_bytes())]);
        let keys = |limits: Value| json!({ "paths": [case.input().join(name)], "limits": limits });
        let manifest = case.prepare(&keys(json!({}))).expect("prepares");
        assert_eq!((case.texts(), manifest.dropped), (vec!["b".into()], [(Reason::NoText, 1)].into()), "{name}");
        fs::remove_dir_all(case.corpus()).expect("removes");
        let fault = case.prepare(&keys(json!({ "bad-records": 0, "bad-share": 0.0 }))).expect_err(name);
        assert!(matches!(&fault, Error::Field { origin, field } if origin.line == 2 && field == "text"), "{name}: {fault}");
    }
}

#[test]
fn when_nothing_is_left_the_error_says_what_went_where() {
    let case =
        Case::new(&[("a.jsonl", b"nonsense\n{\"content\": \"a\"}\n{\"content\": \"b\"}"), ("b.txt", b" \n\r\n"), ("c.txt", b"")]);
    let fault = case.prepare(&json!({})).expect_err("nothing");
    let Error::NothingLeft { read: 5, dropped } = &fault else { panic!("{fault}") };
    for part in [
        "1 not-json (first ",
        "2 no-text (first ",
        "a.jsonl:2: no text in field \"text\"",
        "1 empty (first ",
        "1 empty-file (first ",
    ] {
        assert!(dropped.contains(part), "{part} is not in: {dropped}");
    }
    assert!(fault.hint().is_some());
}

#[test]
fn empty_files_are_counted_under_any_compression() {
    let case =
        Case::new(&[("a.txt", b""), ("b.txt.gz", b""), ("c.txt.zst", b""), ("d.jsonl.gz", &gzip(b"")), ("e.txt", b"text")]);
    let manifest = case.prepare(&json!({})).expect("prepares");
    assert_eq!((manifest.dropped[&Reason::EmptyFile], manifest.train.documents, manifest.files), (4, 1, 5));
}

#[test]
fn what_gives_no_file_is_named() {
    let case = Case::new(&[("a.png", b"no text")]);
    let missing = case.input().join("missing.txt");
    for path in [case.input(), missing.clone(), case.input().join("*.txt")] {
        let fault = case.prepare(&json!({ "paths": [&path] })).expect_err("no file");
        assert!(matches!(&fault, Error::NoFiles { pattern } if *pattern == path), "{fault}");
        assert_eq!(fault.kind(), ErrorKind::Config);
    }
    let fault = case.prepare(&json!({ "paths": ["/dev/null"] })).expect_err("no file to read twice");
    assert!(matches!(&fault, Error::Io { action: "open", .. }), "{fault}");
}

#[test]
fn text_that_looks_like_a_special_token_is_text() {
    let text = "a <|endoftext|> b [UNK] [PAD] <s></s>";
    let case = Case::new(&[("a.txt", text.as_bytes())]);
    let manifest = case.prepare(&json!({})).expect("prepares");
    assert_eq!(case.texts(), [text]);
    // One separator before the document and one behind it.
    assert_eq!(manifest.train.tokens, text.chars().count() as u64 + 2);
}

#[test]
fn equal_documents_are_kept_once_where_they_first_stand() {
    let case = Case::new(&[("a.txt", b"one\ntwo\none \r\nthree\n"), ("b.txt", b"two\nfour\n")]);
    let manifest = case.prepare(&json!({ "document": "line" })).expect("prepares");
    assert_eq!(case.texts(), ["one", "two", "three", "four"]);
    assert_eq!(manifest.dropped[&Reason::Duplicate], 2);
    assert!(manifest.examples[&Reason::Duplicate][0].ends_with("a.txt:3"));
    case.prepare(&json!({ "document": "line", "clean": { "dedup": false } })).expect("prepares");
    assert_eq!(case.texts().len(), 6);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let case = Case::new(&[("a.txt", b"text")]);
    File::create(case.corpus()).expect("creates");
    let config = json!({ "paths": [case.input()], "tokenizer": { "char": {} } });
    let fault = prepare(&serde_json::from_value(config).expect("a configuration"), &case.corpus(), &Silent)
        .expect_err("a file is in the way");
    assert!(matches!(&fault, Error::Io { path, .. } if path == &case.corpus()), "{fault}");
    assert!(Path::new(&case.corpus()).is_file());
}
