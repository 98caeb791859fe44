//! Files of every format through the one door, as they come: what is a document, what is dropped and why, and that hostile
//! files cost no more than honest ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use ssl_data::clean::{Reason, Verdict, clean};
use ssl_data::config::DataConfig;
use ssl_data::source::{self, Cutting, Item, Progress, Records};
use ssl_data::{Error, extract};

/// What became of each record of the files, which are written to a folder first: text, or why there is none; with its place
/// below the folder.
fn documents(files: &[(&str, &[u8])], keys: &Value) -> Vec<(String, Result<String, Reason>)> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("writes");
    }
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
    let mut config = json!({ "paths": paths, "tokenizer": { "char": {} } });
    config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let (progress, stop) = (Progress::default(), || false);
    let mut found = Vec::new();
    for input in source::find(&config, Path::new("/nowhere")).expect("finds") {
        let stamp = source::stamp(&input, &progress, &stop).expect("stamps");
        let records = Records::open(&input, stamp, &Cutting::from(&config), &config.limits, &progress, &stop).expect("opens");
        for item in records {
            let (origin, text) = match item.expect("reads") {
                Item::Dropped(reason, origin, _) => (origin, Err(reason)),
                Item::Record(record) => {
                    let origin = record.origin.clone();
                    let text = match clean(record, &config) {
                        Verdict::Kept(document, _) => Ok(document.text),
                        Verdict::Dropped(reason) | Verdict::Unreadable(reason, _) => Err(reason),
                    };
                    (origin, text)
                }
            };
            let place = origin.to_string();
            let below = place.strip_prefix(&format!("{}/", dir.path().display())).expect("below the folder");
            found.push((below.to_owned(), text));
        }
    }
    found
}

fn ok(place: &str, text: &str) -> (String, Result<String, Reason>) {
    (place.into(), Ok(text.into()))
}

fn not(place: &str, reason: Reason) -> (String, Result<String, Reason>) {
    (place.into(), Err(reason))
}

fn page(text: &str) -> String {
    format!(
        "<html><head><title>T</title></head><body><nav><a href=/>Home</a> <a href=/b>About</a></nav><article><h1>H</h1><p>{text}</p>\
         </article><div class=\"comments\"><p>First! I have something to say that is long enough to be a paragraph of prose.</p></div></body></html>"
    )
}

const LONG: &str =
    "The ferry leaves the harbour at nine each morning, and it returns when the tide allows it to, which nobody knows before.";

#[test]
fn every_format_comes_through_the_one_door() {
    let html = page(LONG);
    let jsonl = "{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n";
    let wiki = "<mediawiki><page><title>A</title><ns>0</ns><text>'''A''' is a [[letter|sign]].{{stub}}</text></page></mediawiki>";
    let files: [(&str, &[u8]); 6] = [
        ("a.html", html.as_bytes()),
        ("b.json", b"[{\"text\": \"One.\", \"more\": [1]},\n {\"text\": 2}, {\"text\": \"Three.\"}]"),
        ("c.csv", b"id,text\n1,\"A \"\"row\"\",\nof two lines\"\n"),
        ("d.tsv", b"text\tid\nA row\t1\n"),
        ("e.jsonl", jsonl.as_bytes()),
        ("f.txt", b"Text.\n"),
    ];
    let expect = [
        ok("a.html:1", &format!("H\n\n{LONG}")),
        ok("b.json:1", "One."),
        not("b.json:2", Reason::NoText),
        ok("b.json:2", "Three."),
        ok("c.csv:2", "A \"row\",\nof two lines"),
        ok("d.tsv:2", "A row"),
        ok("e.jsonl:1", "One."),
        ok("e.jsonl:2", "Two."),
        ok("f.txt:1", "Text."),
    ];
    assert_eq!(documents(&files, &json!({})), expect);
    assert_eq!(documents(&[("w.xml", wiki.as_bytes())], &json!({ "format": "wiki" })), [ok("w.xml:1", "A\n\nA is a sign.")]);
}

#[test]
fn web_archives_give_their_pages_in_their_encodings() {
    let record = |kind: &str, head: &str, body: &[u8]| {
        let block = [head.as_bytes(), body].concat();
        let fields = format!(
            "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.example/\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            block.len()
        );
        [fields.as_bytes(), &block, b"\r\n\r\n"].concat()
    };
    let http = |status: &str, media: &str| format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\n\r\n");
    let (german, russian) =
        ("Die Fähre läuft täglich um neun Uhr aus, bei Sturm aber später, und niemand weiß genau, wann.", "а");
    let latin: Vec<u8> = page(german).chars().map(|c| c as u8).collect();
    let mut archive = vec![record("warcinfo", "", b"x: y"), record("request", "GET / HTTP/1.1\r\n\r\n", b"")];
    archive.push(record("response", &http("200 OK", "text/html; charset=iso-8859-1"), &latin));
    archive.push(record("response", &http("404 Not Found", "text/html"), page(LONG).as_bytes()));
    archive.push(record("response", &http("200 OK", "image/png"), b"\x89PNG"));
    archive.push(record("response", &http("200 OK", "text/plain; charset=koi8-r"), b"\xc1"));
    archive.push(record("conversion", "", "Plain text of a page.\n".as_bytes()));
    archive.push(record("response", &http("200 OK", "text/html"), b"<html><body></body></html>"));
    archive.push(b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 99\r\n\r\ncut".to_vec());
    let expect = [
        ok("a.warc:3 (http://a.example/)", &format!("H\n\n{german}")),
        not("a.warc:4 (http://a.example/)", Reason::HttpStatus),
        not("a.warc:5 (http://a.example/)", Reason::NotText),
        ok("a.warc:6 (http://a.example/)", russian),
        ok("a.warc:7 (http://a.example/)", "Plain text of a page."),
        not("a.warc:8 (http://a.example/)", Reason::NoMainText),
        not("a.warc:9", Reason::Damaged),
    ];
    assert_eq!(documents(&[("a.warc", &archive.concat())], &json!({})), expect);
}

/// A frame of zstd that is damaged ended the run once, as if the file had changed.
#[test]
fn a_damaged_archive_in_zstd_is_counted() {
    let record = "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nWords\r\n\r\n";
    let mut file = zstd::encode_all(record.repeat(3).as_bytes(), 1).expect("compresses");
    let first = file.len();
    file.extend(zstd::encode_all(record.repeat(2000).as_bytes(), 1).expect("compresses"));
    file[first + 12..first + 20].fill(0xff);
    file.extend(zstd::encode_all(record.repeat(200_000).as_bytes(), 1).expect("compresses"));
    // Where the third one ends is not known any more.
    let expect = [ok("a.warc.zst:1", "Words"), ok("a.warc.zst:2", "Words"), not("a.warc.zst:3", Reason::Damaged)];
    assert_eq!(documents(&[("a.warc.zst", &file)], &json!({})), expect);
}

/// A tar file of one member with the given header.
fn member(name: &str, kind: u8, size: usize, content: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    head[148..156].fill(b' ');
    head[156] = kind;
    head[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    head.extend_from_slice(content);
    head.resize(head.len().next_multiple_of(512), 0);
    head
}

#[test]
fn a_tar_archive_gives_its_files_and_refuses_what_points_elsewhere() {
    let html = page(LONG);
    let long = "d/".repeat(60) + "e.txt";
    let pax = format!("{} path={long}\n", long.len() + 10);
    let archive = [
        member("news", b'5', 0, b""),
        member("news/1", b'0', 5, b"First"),
        member("./news/b.jsonl", b'0', 29, b"{\"text\":\"a\"}\n{\"text\": \"b\"}\n\n\n"),
        member("../outside", b'0', 4, b"evil"),
        member("/etc/passwd", b'0', 4, b"evil"),
        member("link", b'2', 0, b""),
        member("hard", b'1', 0, b""),
        member("pipe", b'6', 0, b""),
        member("pax", b'x', pax.len(), pax.as_bytes()),
        member("short", b'0', 4, b"Deep"),
        member("c.html", b'0', html.len(), html.as_bytes()),
        member("empty", b'0', 0, b""),
        member("packed.gz", b'0', 3, b"\x1f\x8b\x08"),
        vec![0; 1024],
        b"garbage behind the end".to_vec(),
    ];
    let expect = [
        ok("a.tar/news/1:1", "First"),
        ok("a.tar/news/b.jsonl:1", "a"),
        ok("a.tar/news/b.jsonl:2", "b"),
        not("a.tar:3", Reason::Refused),
        not("a.tar:4", Reason::Refused),
        not("a.tar:5", Reason::Refused),
        not("a.tar:6", Reason::Refused),
        not("a.tar:7", Reason::Refused),
        ok(&format!("a.tar/{long}:1"), "Deep"),
        ok("a.tar/c.html:1", &format!("H\n\n{LONG}")),
        not("a.tar/packed.gz:1", Reason::NotText),
    ];
    assert_eq!(documents(&[("a.tar", &archive.concat())], &json!({})), expect);
    let wanted = documents(&[("a.tar", &archive.concat())], &json!({ "members": ["jsonl", "html"] }));
    assert_eq!(wanted, [&expect[1..8], &expect[9..10]].concat());
    // Cut off within a member, within a header, and with a header that is none.
    let cut = [member("a", b'0', 5, b"First"), member("b", b'0', 9000, b"cut")].concat();
    assert_eq!(documents(&[("a.tar", &cut)], &json!({})), [ok("a.tar/a:1", "First"), not("a.tar/b:1", Reason::Damaged)]);
    let odd = [member("a", b'0', 5, b"First"), vec![7; 512], member("b", b'0', 1, b"x")].concat();
    assert_eq!(documents(&[("a.tar", &odd)], &json!({})), [ok("a.tar/a:1", "First"), not("a.tar:2", Reason::Damaged)]);
}

#[test]
fn encodings_are_found_out_when_asked() {
    let text = "Все люди рождаются свободными и равными в своем достоинстве и правах.";
    let (bytes, _, _) = encoding_rs::KOI8_R.encode(text);
    let files: [(&str, &[u8]); 1] = [("a.txt", &bytes)];
    assert_eq!(documents(&files, &json!({ "clean": { "bad-utf8": "detect" } })), [ok("a.txt:1", text)]);
    assert_eq!(documents(&files, &json!({})), [not("a.txt:1", Reason::InvalidUtf8)]);
}

#[test]
fn broken_rows_are_unreadable_records() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("a.csv"), "text\n\"a\" b\nfine\n").expect("writes");
    let config = json!({ "paths": [dir.path().join("a.csv")], "tokenizer": { "char": {} }, "limits": { "bad-records": 0, "bad-share": 0.0 } });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let fault =
        ssl_data::prepare::prepare(&config, &dir.path().join("corpus"), &ssl_data::prepare::Silent).expect_err("a bad row");
    assert!(matches!(&fault, Error::Broken { reason: Reason::BadQuotes, origin, records: 1 } if origin.line == 2), "{fault}");
    assert!(fault.hint().is_some());
}

#[test]
fn hostile_pages_cost_no_more_than_honest_ones() {
    let begin = Instant::now();
    let deep = |tag: &str, close: bool| {
        let end = if close { format!("</{tag}>").repeat(100_000) } else { String::new() };
        format!("{}<p>{LONG}</p>{end}", format!("<{tag}>").repeat(100_000))
    };
    for tag in ["div", "p", "b", "table", "li", "ul", "a", "blockquote", "font", "pre", "td"] {
        for close in [false, true] {
            assert!(extract::main_text(&deep(tag, close)).len() < 2 * LONG.len(), "{tag}");
        }
    }
    for part in [
        "<div><a href=x>a b</a>",
        "<table><tr><td>",
        "</div>",
        "<!--",
        "<a b='",
        "&amp",
        "<script>",
        "<p class=\"a b c\">x",
        "<",
        "<ul><li><h2><a>x y z</a></h2>",
    ] {
        let _ = extract::main_text(&part.repeat(2_000_000 / part.len()));
    }
    let attribute = format!("<div class=\"{}\"><p>{LONG}</p></div>", "menu-x ".repeat(8 << 17));
    let _ = extract::main_text(&attribute);
    assert!(begin.elapsed().as_secs() < 120, "{:?}", begin.elapsed());
}

#[test]
fn a_warc_of_one_endless_record_is_bounded() {
    let mut archive = b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 999999999999\r\n\r\n".to_vec();
    archive.write_all(&b"x".repeat(30 << 20)).expect("writes");
    let found = documents(&[("a.warc", &archive)], &json!({ "limits": { "document-bytes": 1 << 20 } }));
    assert_eq!(found, [not("a.warc:1", Reason::TooLarge)]);
}
