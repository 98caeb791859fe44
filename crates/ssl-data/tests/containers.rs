//! Parquet files and zip archives: those of other programs are read as these read them, and those that lie are named and counted.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use serde_json::{Value, json};
use ssl_data::Error;
use ssl_data::clean::Reason;
use ssl_data::config::DataConfig;
use ssl_data::prepare::{Silent, prepare};
use ssl_data::source::{self, Cutting, Item, Progress, Records};

/// A record's place below its folder, and its bytes or why there are none; so often as there are such records.
type Found = (String, Result<String, Reason>);

/// What stands in a file of these bytes, up to a fault that ends the run.
fn read(name: &str, bytes: &[u8], keys: &Value) -> Result<Vec<Found>, Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writes");
    let mut config = json!({ "paths": [path], "tokenizer": { "char": {} } });
    config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let (progress, stop) = (Progress::default(), || false);
    let inputs = source::find(&config, Path::new("/nowhere"))?;
    let stamp = source::stamp(&inputs[0], &progress, &stop)?;
    let records = Records::open(&inputs[0], stamp, &Cutting::from(&config), &config.limits, &progress, &stop)?;
    let place = |path: &Path| path.strip_prefix(dir.path()).expect("below the folder").display().to_string();
    let mut found = Vec::new();
    for item in records {
        let (origin, text, count) = match item? {
            Item::Record(record) => (record.origin, Ok(String::from_utf8(record.bytes).expect("UTF-8")), 1),
            Item::Dropped(reason, origin, count) => (origin, Err(reason), count),
        };
        let place = format!("{}:{}", place(&origin.path), origin.line);
        found.extend((0..count).map(|_| (place.clone(), text.clone())));
    }
    Ok(found)
}

fn ok(place: &str, text: &str) -> Found {
    (place.into(), Ok(text.into()))
}

fn not(place: &str, reason: Reason) -> Found {
    (place.into(), Err(reason))
}

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sources/containers.json");
    serde_json::from_str(&fs::read_to_string(path).expect("reads")).expect("JSON")
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == byte);
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(|digit| digit as u32).collect();
    let group = |group: &[u32]| {
        let bits = group.iter().enumerate().fold(0, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

fn bytes(case: &Value) -> Vec<u8> {
    base64(case["bytes"].as_str().expect("a string"))
}

#[test]
fn parquet_is_read_as_its_writer_wrote_it() {
    let cases = golden();
    for case in cases["parquet"].as_array().expect("cases") {
        let rows = case["rows"].as_array().expect("rows").iter().zip(1..);
        let expect: Vec<Found> = rows
            .map(|(text, row)| {
                let place = format!("a.parquet:{row}");
                text.as_str().map_or_else(|| not(&place, Reason::NoText), |text| ok(&place, text))
            })
            .collect();
        let field = case["field"].as_str().unwrap_or("text");
        assert_eq!(read("a.parquet", &bytes(case), &json!({ "field": field })).expect("reads"), expect, "{}", case["options"]);
    }
}

#[test]
fn a_column_that_holds_no_texts_is_named() {
    let file = bytes(&golden()["parquet"][0]);
    for field in ["id", "more", "more.list.element", "other", "text.text"] {
        let found = read("a.parquet", &file, &json!({ "field": field })).expect("reads");
        assert_eq!(found, [not("a.parquet:1", Reason::NoColumn)], "{field}");
    }
}

#[test]
fn damaged_parquet_is_counted_and_the_other_rows_are_read() {
    let file = bytes(&golden()["parquet"][0]);
    let damaged = [not("a.parquet:1", Reason::Damaged)];
    for bad in [&file[..file.len() - 9], b"PAR1", b"none", &file[file.len() - 8..], &[0xff; 4000]] {
        assert_eq!(read("a.parquet", bad, &json!({})).expect("reads"), damaged);
    }
    assert_eq!(read("a.parquet", b"", &json!({})).expect("reads"), [not("a.parquet:1", Reason::EmptyFile)]);
    // The first group's pages are noise; the second is whole.
    let text = b"Row 0 tells of the sea, and of row 0.";
    let at = file.windows(text.len()).position(|bytes| bytes == text).expect("the first row's text");
    let mut noise = file.clone();
    noise[at - 60..at + 200].fill(0xff);
    let found = read("a.parquet", &noise, &json!({})).expect("reads");
    // Every row of it counts, so that no row is missing.
    let lost = found.iter().filter(|(_, text)| *text == Err(Reason::Damaged)).count();
    assert!(lost > 5 && found.len() == 24, "{lost} {found:?}");
    assert!(found[..lost].iter().all(|row| *row == not("a.parquet:1", Reason::Damaged)), "{found:?}");
    assert!(found.contains(&ok("a.parquet:16", "Row 15 tells of the sea, and of row 225.")), "{found:?}");
    assert_eq!(found.last().expect("rows").0, "a.parquet:24");
}

#[test]
fn a_text_that_is_too_large_is_passed_over() {
    let file = bytes(&golden()["parquet"][0]);
    let limit = json!({ "limits": { "document-bytes": 20 } });
    let found = read("a.parquet", &file, &limit).expect("reads");
    assert!(found.contains(&not("a.parquet:2", Reason::TooLarge)) && found.len() == 24, "{found:?}");
}

/// A number in Thrift's compact protocol.
fn number(value: i64) -> Vec<u8> {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A page of a table: its kind, the bytes that it states, those that it has, and the head of its kind.
fn table_page(kind: u8, stated: i64, bytes: &[u8], head: &[u8]) -> Vec<u8> {
    [&[0x15, kind << 1, 0x15][..], &number(stated), &[0x15], &number(stated), head, &[0, 0], bytes].concat()
}

/// The head of a page of so many values in that encoding.
fn values(count: i64, encoding: u8) -> Vec<u8> {
    [&[0x2c, 0x15][..], &number(count), &[0x15, encoding << 1, 0x15, 6, 0x15, 6]].concat()
}

/// A table of one column of texts and so many rows, whose pages are these.
fn table(pages: &[u8], rows: i64) -> Vec<u8> {
    let (rows, size) = (number(rows), number(pages.len() as i64));
    let schema = b"\x15\x02\x19\x2c\x48\x04root\x15\x02\x00\x15\x0c\x25\x00\x18\x04text\x00";
    let column = [
        &b"\x26\x08\x1c\x15\x0c\x19\x15\x00\x19\x18\x04text\x15\x00\x16"[..],
        &rows,
        b"\x16",
        &size,
        b"\x16",
        &size,
        b"\x26\x08",
    ];
    let group = [&b"\x16"[..], &rows, b"\x19\x1c\x19\x1c", &column.concat(), b"\x00\x00\x16", &size, b"\x16", &rows, b"\x00\x00"];
    let metadata = [&schema[..], &group.concat()].concat();
    [&b"PAR1"[..], pages, &metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn pages_that_state_gigabytes_are_refused_before_room_is_made_for_them() {
    let texts = b"\x01\0\0\0a\x01\0\0\0b";
    let whole = [ok("a.parquet:1", "a"), ok("a.parquet:2", "b")];
    let lost = [not("a.parquet:1", Reason::Damaged), not("a.parquet:1", Reason::Damaged)];
    let reads = |pages: &[u8]| read("a.parquet", &table(pages, 2), &json!({})).expect("reads");
    let size = texts.len() as i64;
    assert_eq!(reads(&table_page(0, size, texts, &values(2, 0))), whole);
    // A page of two gigabytes, stored and unpacked.
    assert_eq!(reads(&table_page(0, i32::MAX.into(), texts, &values(2, 0))), lost);
    // A dictionary of two texts, and one of two thousand million. The rows name its first and second.
    let dictionary = |count: i64| table_page(2, size, texts, &[&[0x4c, 0x15][..], &number(count), &[0x15, 0]].concat());
    let rows = table_page(0, 4, &[1, 3, 0b10, 0], &values(2, 8));
    assert_eq!(reads(&[dictionary(2), rows.clone()].concat()), whole);
    assert_eq!(reads(&[dictionary(i32::MAX.into()), rows].concat()), lost);
    // Lengths by their differences: blocks of 128 in 4 parts, so many of them, the first 1 and then no difference.
    let lengths = |count: &[u8]| [&[0x80, 1, 4][..], count, &[2, 0, 0, 0, 0, 0]].concat();
    let delta = |encoding, bytes: &[u8]| reads(&table_page(0, bytes.len() as i64, bytes, &values(2, encoding)));
    let many: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x40];
    assert_eq!(delta(6, &[&lengths(&[2])[..], b"ab"].concat()), whole);
    assert_eq!(delta(6, &[&lengths(many)[..], b"ab"].concat()), lost);
    let shared = [0x80, 1, 4, 2, 0, 0, 0, 0, 0, 0];
    assert_eq!(delta(7, &[&shared[..], &lengths(&[2]), b"ab"].concat()), whole);
    assert_eq!(delta(7, &[&shared[..], &lengths(many), b"ab"].concat()), lost);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    assert!(peak.is_none_or(|peak| peak < 1 << 20), "{peak:?} KiB");
}

/// Rows that a file only says it has are believed up to one for each of its bytes.
#[test]
fn rows_that_are_only_stated_do_not_outweigh_all_others() {
    let file = table(&[0xff; 20], i64::MAX >> 1);
    let found = read("a.parquet", &file, &json!({})).expect("reads");
    assert_eq!(found, vec![not("a.parquet:1", Reason::Damaged); file.len()]);
}

#[test]
fn a_row_without_text_is_bad() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.parquet");
    fs::write(&path, bytes(&golden()["parquet"][0])).expect("writes");
    let config = json!({ "paths": [path], "tokenizer": { "char": {} }, "limits": { "bad-records": 0, "bad-share": 0.0 } });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let fault = prepare(&config, &dir.path().join("corpus"), &Silent).expect_err("a row has none");
    assert!(matches!(&fault, Error::Field { field, .. } if field == "text"), "{fault}");
}

/// A member of a zip archive.
struct Member<'a> {
    name: &'a str,
    bytes: &'a [u8],
    flags: u16,
    method: u16,
    /// Its kind and permissions under Unix.
    mode: u32,
    /// What the directory states, where it lies.
    size: Option<u32>,
    sum: Option<u32>,
    /// The member whose bytes these are too.
    same: Option<usize>,
    local: Option<&'a str>,
}

const PLAIN: Member<'static> =
    Member { name: "a.txt", bytes: b"", flags: 0, method: 8, mode: 0, size: None, sum: None, same: None, local: None };

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

fn zip(members: &[Member<'_>]) -> Vec<u8> {
    let (mut file, mut directory, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for member in members {
        let mut sum = Crc::new();
        sum.update(member.bytes);
        let stored = match member.method {
            8 => deflate(member.bytes),
            93 => zstd::encode_all(member.bytes, 1).expect("compresses"),
            _ => member.bytes.to_vec(),
        };
        let mut common = Vec::new();
        common.extend([20, 0]);
        common.extend(member.flags.to_le_bytes());
        common.extend(member.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(member.sum.unwrap_or(sum.sum()).to_le_bytes());
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend(member.size.unwrap_or(member.bytes.len() as u32).to_le_bytes());
        let name = member.local.unwrap_or(member.name);
        places.push(member.same.map_or(file.len(), |other| places[other]));
        if member.same.is_none() {
            file.extend(b"PK\x03\x04");
            file.extend(&common);
            file.extend((name.len() as u16).to_le_bytes());
            file.extend([0; 2]);
            file.extend(name.as_bytes());
            file.extend(stored);
        }
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend((member.name.len() as u16).to_le_bytes());
        directory.extend([0; 8]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend((*places.last().expect("a place") as u32).to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let (at, count) = (file.len() as u32, (members.len() as u16).to_le_bytes());
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0; 2]);
    file
}

#[test]
fn archives_of_other_programs_give_their_members() {
    for case in golden()["zip"].as_array().expect("cases") {
        let members = case["members"].as_array().expect("members").iter().filter(|member| member[1] != "");
        let expect: Vec<Found> = members
            .map(|member| ok(&format!("a.zip/{}:1", member[0].as_str().expect("a name")), member[1].as_str().expect("a text")))
            .collect();
        assert_eq!(read("a.zip", &bytes(case), &json!({})).expect("reads"), expect, "{}", case["options"]);
    }
}

#[test]
fn members_by_their_formats_and_what_is_refused() {
    let archive = zip(&[
        Member { name: "a/b.jsonl", bytes: b"{\"text\":1}\n{\"text\":2}\n", ..PLAIN },
        Member { name: "../evil.txt", bytes: b"evil", ..PLAIN },
        Member { name: "/etc/passwd", bytes: b"evil", ..PLAIN },
        Member { name: "a\\..\\evil.txt", bytes: b"evil", ..PLAIN },
        Member { name: "link.txt", bytes: b"/etc/passwd", mode: 0o120_777, ..PLAIN },
        Member { name: "secret.txt", bytes: b"xxxxxxxxxxxx", flags: 1, ..PLAIN },
        Member { name: "old.txt", bytes: b"x", method: 1, ..PLAIN },
        Member { name: "inner.zip", bytes: b"PK", ..PLAIN },
        Member { name: "inner.tar", bytes: b"x", ..PLAIN },
        Member { name: "rows.parquet", bytes: b"PAR1", ..PLAIN },
        Member { name: "packed.gz", bytes: b"x", ..PLAIN },
        Member { name: "picture.PNG", bytes: b"x", ..PLAIN },
        Member { name: "two.txt", local: Some("one.txt"), bytes: b"smuggled", ..PLAIN },
        Member { name: "./z.txt", bytes: b"zstd", method: 93, mode: 0o100_644, ..PLAIN },
        Member { name: "folder/", ..PLAIN },
    ]);
    let expect = [
        ok("a.zip/a/b.jsonl:1", "{\"text\":1}\n"),
        ok("a.zip/a/b.jsonl:2", "{\"text\":2}\n"),
        not("a.zip:2", Reason::Refused),
        not("a.zip:3", Reason::Refused),
        not("a.zip:4", Reason::Refused),
        not("a.zip:5", Reason::Refused),
        not("a.zip:6", Reason::Refused),
        not("a.zip:7", Reason::Refused),
        not("a.zip/inner.zip:1", Reason::NotText),
        not("a.zip/inner.tar:1", Reason::NotText),
        not("a.zip/rows.parquet:1", Reason::NotText),
        not("a.zip/packed.gz:1", Reason::NotText),
        not("a.zip/picture.PNG:1", Reason::NotText),
        not("a.zip/two.txt:1", Reason::Damaged),
        ok("a.zip/z.txt:1", "zstd"),
    ];
    assert_eq!(read("a.zip", &archive, &json!({})).expect("reads"), expect);
    let only = read("a.zip", &archive, &json!({ "members": [".jsonl", "md"] })).expect("reads");
    assert_eq!(only, expect[..8]);
}

#[test]
fn members_that_lie_are_damage_and_the_next_is_read() {
    let last = Member { name: "last.txt", bytes: b"Last.", ..PLAIN };
    let lying = [
        Member { name: "x.txt", bytes: b"Longer.", size: Some(3), ..PLAIN },
        Member { name: "x.txt", bytes: b"Shorter.", size: Some(9), ..PLAIN },
        Member { name: "x.txt", bytes: b"Another.", sum: Some(7), ..PLAIN },
        Member { name: "x.txt", bytes: b"Not deflated", method: 0, ..PLAIN },
    ];
    for (at, member) in lying.into_iter().enumerate() {
        let mut archive = zip(&[member, Member { ..last }]);
        if at == 3 {
            // Both heads say that it is deflated, and it is not.
            archive[8] = 8;
            let head = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a head");
            archive[head + 10] = 8;
        }
        let found = read("a.zip", &archive, &json!({})).expect("reads");
        assert!(found.contains(&not("a.zip/x.txt:1", Reason::Damaged)), "{at} {found:?}");
        assert_eq!(found.last(), Some(&ok("a.zip/last.txt:1", "Last.")), "{at}");
    }
    let whole = zip(&[last]);
    for end in [10, whole.len() - 1] {
        assert_eq!(read("a.zip", &whole[..end], &json!({})).expect("reads"), [not("a.zip:1", Reason::Damaged)]);
    }
    let mut head = whole.clone();
    let at = head.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a head");
    head[at] = 0;
    assert_eq!(read("a.zip", &head, &json!({})).expect("reads"), [not("a.zip:1", Reason::Damaged)]);
}

#[test]
fn bombs_are_bounded() {
    // Members that share their bytes: of many, one is read.
    let zeros = vec![b'0'; 1 << 20];
    let mut members = vec![Member { bytes: &zeros, ..PLAIN }];
    members.extend((0..200).map(|_| Member { bytes: &zeros, same: Some(0), ..PLAIN }));
    let found = read("a.zip", &zip(&members), &json!({})).expect("reads");
    let whole = found.iter().filter(|(_, text)| text.is_ok()).count();
    assert!(found.len() == 201 && whole < 20, "{whole}");
    // And one that unpacks to a thousand times as much.
    let zeros = vec![b'0'; 80 << 20];
    let bomb = zip(&[Member { bytes: &zeros, ..PLAIN }]);
    assert!(matches!(read("a.zip", &bomb, &json!({ "limits": { "expansion": 100 } })), Err(Error::Expansion { .. })));
}
