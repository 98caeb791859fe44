//! Against warcio: archives of our own and real ones, and what it ends at.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::{Format, Limits};
use crate::source::{Input, Packing, Progress, stamp};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn golden() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("fixtures/sources/warc.json")).expect("reads")).expect("JSON")
}

/// All entries of an archive, read as a run reads them.
fn entries(path: &Path, limit: u64) -> Vec<Entry> {
    let (_, packing) = Packing::of(path.to_str().expect("a plain name"));
    let input = Input { path: path.into(), address: None, name: "x".into(), format: Format::Warc, packing, part: 0 };
    let progress = Progress::default();
    let stamp = stamp(&input, &progress, &|| false).expect("stamps");
    let mut feed = crate::source::feed::Feed::open(&input, stamp, &Limits::default(), &progress, &|| false).expect("opens");
    let mut archive = Archive::new(limit);
    std::iter::from_fn(|| archive.next(&mut feed).expect("reads")).collect()
}

fn of_bytes(name: &str, bytes: &[u8], limit: u64) -> Vec<Entry> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writes");
    entries(&path, limit)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])))
        .collect()
}

/// A record as the golden values describe it.
fn described(record: &Record) -> Value {
    let http = record.http();
    let status = http.as_ref().and_then(|http| http.status);
    let body = http.as_ref().map_or(record.block.clone(), |http| http.body(1 << 30).expect("small").into_owned());
    let digest = hex(&body);
    serde_json::json!([record.kind(), record.address(), status, body.len(), digest])
}

fn records(entries: &[Entry]) -> Vec<Value> {
    let record = |entry: &Entry| match entry {
        Entry::Record(record) => described(record),
        other => panic!("{other:?}"),
    };
    entries.iter().map(record).collect()
}

fn blocks(entries: &[Entry]) -> Vec<String> {
    let block = |entry: &Entry| match entry {
        Entry::Record(record) => String::from_utf8_lossy(&record.block).into_owned() + if record.cut_off { "<cut>" } else { "" },
        other => format!("{other:?}"),
    };
    entries.iter().map(block).collect()
}

#[test]
fn archives_in_all_spellings_give_the_records_of_warcio() {
    let golden = golden();
    let archives = golden["archives"].as_array().expect("a list");
    for archive in archives {
        let name = archive["name"].as_str().expect("a name");
        assert_eq!(archive["fault"], Value::Null, "{name}: warcio reads it");
        let bytes = decode(archive["bytes"].as_str().expect("text"));
        let found = records(&of_bytes(name, &bytes, 1 << 20));
        assert_eq!(found, *archive["records"].as_array().expect("a list"), "{name}");
    }
    assert!(archives.len() >= 8);
}

#[test]
fn real_archives_give_the_records_of_warcio() {
    let Some(data) = root().ancestors().map(|dir| dir.join("shared/data/messy/warc")).find(|dir| dir.is_dir()) else {
        println!("skipped: there is no folder shared/data/messy/warc beside the repository");
        return;
    };
    for (name, expect) in golden()["files"].as_object().expect("an object") {
        let entries = entries(&data.join(name), 64 << 20);
        let found = records(&entries);
        let count = expect["records"].as_u64().expect("a number") as usize;
        if expect["fault"] != Value::Null {
            // Its lengths count line ends that were lost: warcio ends after the first record, of the wrong length.
            assert_eq!((name.as_str(), found.len(), count), ("cc_net-sample.wet.txt", 4, 1));
            let texts = blocks(&entries);
            assert!(
                texts[1].starts_with("Famous Mark Twain Quotes") && texts[1].trim_end().ends_with("Truth isn't."),
                "{}",
                texts[1]
            );
            continue;
        }
        let lines: String = found.iter().map(|record| record.to_string() + "\n").collect();
        let digest = hex(lines.as_bytes());
        assert_eq!((found.len(), Value::from(digest)), (count, expect["sha256"].clone()), "{name}");
    }
}

fn record(length: &str, block: &str) -> String {
    format!("WARC/1.0\r\nWARC-Type: conversion\r\n{length}\r\n\r\n{block}\r\n\r\n")
}

#[test]
fn lengths_that_lie_cost_no_other_record() {
    let fine = record("Content-Length: 4", "Fine");
    let cases = [
        (record("Content-Length: 30", "One\r\nis long."), "One\r\nis long."),
        (record("Content-Length: 5", "One\r\nis short."), "One\r\nis short."),
        (record("X: y", "One\r\n\r\nhas none."), "One\r\n\r\nhas none."),
        (record("Content-Length: -1", "One"), "One"),
        (record("Content-Length: 99999999999", "One"), "TooLarge"),
        (record("Content-Length: 2000", "One"), "TooLarge"),
        ("not a record\r\nat all\r\n".into(), "Damaged"),
    ];
    for (odd, expect) in cases {
        assert_eq!(blocks(&of_bytes("x.warc", (odd.clone() + &fine).as_bytes(), 1000)), [expect, "Fine"], "{odd}");
    }
    // Anywhere into the next record; one that is counted in whole cannot be told from a part of the block.
    for length in (18..75).chain(80..136).chain([200, 999]) {
        let archive = record(&format!("Content-Length: {length}"), "One\r\nis long.") + &fine + &fine;
        assert_eq!(blocks(&of_bytes("x.warc", archive.as_bytes(), 1000)), ["One\r\nis long.", "Fine", "Fine"], "{length}");
    }
}

#[test]
fn what_is_cut_off_or_damaged_is_said_and_the_rest_is_read() {
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("compresses");
        encoder.finish().expect("compresses")
    };
    let long = (0..400).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    let (one, two) =
        (gzip(&record("Content-Length: 3", "One")), gzip(&record(&format!("Content-Length: {}", long.len()), &long)));
    let mut broken = two.clone();
    let checksum = broken.len() - 8;
    broken[checksum] ^= 1;
    let mut astray = two.clone();
    let middle = astray.len() / 2;
    astray[middle..middle + 40].fill(0xff);
    let read = |parts: &[&[u8]]| blocks(&of_bytes("x.warc.gz", &parts.concat(), 10_000));
    assert_eq!(read(&[&one, &broken, &one]), ["One", "Damaged", "One"]);
    assert_eq!(read(&[&one, &astray, &one, &two]), ["One", "Damaged", "One", &long]);
    assert_eq!(read(&[&one, &two[..two.len() / 2], &one]), ["One", "Damaged", "One"]);
    assert_eq!(read(&[&one, &two[..two.len() / 2]]), ["One", "Damaged"]);
    assert_eq!(read(&[&one, b"garbage", &one]), ["One", "Damaged", "One"]);
    assert_eq!(read(&[&one, b"garbage"]), ["One", "Damaged"]);
    let plain = record("Content-Length: 3", "One") + &record("Content-Length: 100", "cut");
    assert_eq!(blocks(&of_bytes("x.warc", plain.as_bytes(), 10_000)), ["One", "cut\r\n\r\n<cut>"]);
}

#[test]
fn endless_heads_and_lines_are_passed_over() {
    let fine = record("Content-Length: 4", "Fine");
    for odd in [
        "x".repeat(1 << 22),
        format!("WARC/1.0\r\nA: {}", "x".repeat(1 << 22)),
        format!("WARC/1.0\r\n{}", "A: b\r\n".repeat(1 << 20)),
    ] {
        assert_eq!(blocks(&of_bytes("x.warc", (odd + "\r\n" + &fine).as_bytes(), 1000)), ["Damaged", "Fine"]);
    }
}

#[test]
fn bodies_that_unpack_without_end_are_not_unpacked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![b'x'; 10 << 20]).expect("compresses");
    let bomb = encoder.finish().expect("compresses");
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let block = [&head[..], &bomb].concat();
    let http = Http::parse(&block).expect("a message");
    assert!(http.body(1 << 20).is_none());
    assert_eq!(http.body(10 << 20).expect("within the limit").len(), 10 << 20);
}

/// Base64 (RFC 4648).
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |bits, &byte| bits << 6 | u32::from(value(byte))) << (6 * (4 - four.len()));
        out.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}
