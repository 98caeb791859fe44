//! Records of every format, and what is told of those that are broken.

use std::fs;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::*;

/// Line, and fields or what is told.
type Told = (u64, std::result::Result<Value, String>);

fn found(name: &str, bytes: &[u8], config: Value) -> Vec<Told> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writes");
    let mut config = config;
    config["kind"] = json!({ "tagging": { "token": "1", "tag": "2" } });
    let config: TaskConfig = serde_json::from_value(config).expect("a configuration");
    let mut all = Vec::new();
    let mut sink = |found: Found| {
        all.push(match found {
            Ok(record) => (record.origin.line, Ok(json!(record.fields))),
            Err(lost) => (lost.origin.line, Err(lost.told)),
        });
    };
    read(&path, None, &config, &mut sink).expect("reads");
    all
}

fn lost(line: u64, told: &str) -> Told {
    (line, Err(told.into()))
}

#[test]
fn objects_are_read_line_by_line_and_broken_lines_are_told() {
    let text = b"\xef\xbb\xbf{\"a\": 1, \"b\": [\"x\"]}\r\n\n[1]\n{\"a\": 1, \"a\": 2}\n{\"a\"\n\xff\n{\"a\": null}";
    let all = found("x.jsonl", text, json!({}));
    assert_eq!(all[0], (1, Ok(json!({ "a": 1, "b": ["x"] }))));
    let told: Vec<(u64, &str)> =
        all[1..5].iter().map(|(line, told)| (*line, told.as_ref().expect_err("is broken").as_str())).collect();
    assert!(told[0].0 == 3 && told[0].1.contains("expected a JSON object"), "{told:?}");
    assert!(told[1].0 == 4 && told[1].1.contains("a field stands twice at column"), "{told:?}");
    assert!(told[2].0 == 5 && told[2].1.contains("EOF"), "{told:?}");
    assert_eq!(told[3], (6, "not valid UTF-8 at byte 52"));
    assert_eq!(all[5], (7, Ok(json!({ "a": null }))));
}

#[test]
fn tables_give_their_columns_by_name() {
    let table = b"id, text\n1,\"a, \"\"b\"\"\nc\"\n\n2,5\" disk\n";
    let expect = [(2, Ok(json!({ "id": "1", "text": "a, \"b\"\nc" }))), (5, Ok(json!({ "id": "2", "text": "5\" disk" })))];
    assert_eq!(found("x.csv", table, json!({})), expect);
    // Raw lines: quotes are text, however many.
    let table = b"1\ta \"b\n0\t\"c\n";
    let expect = [(1, Ok(json!({ "l": "1", "t": "a \"b" }))), (2, Ok(json!({ "l": "0", "t": "\"c" })))];
    assert_eq!(found("x.tsv", table, json!({ "columns": ["l", "t"] })), expect);
    let quoted = json!({ "columns": ["l", "t"], "quotes": true });
    assert_eq!(found("x.tsv", b"1\t\"a\tb\"\n", quoted), [(1, Ok(json!({ "l": "1", "t": "a\tb" })))]);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let rows = (0..2500).map(|n| format!("{n},row\n")).collect::<Vec<_>>().concat();
    let table = format!("id,text\nx,\"open\n{rows}");
    let all = found("x.csv", table.as_bytes(), json!({}));
    assert_eq!((all.len(), &all[0]), (2501, &lost(2, "a quote opens and is not closed")));
    assert!(all[1..].iter().all(|(_, record)| record.is_ok()));
    // One that another line's quote seems to close.
    let all = found("x.csv", b"id,text\n1,\"open\n2,\"fine\"\n3,last \n4,\"open", json!({}));
    let expect = [
        lost(2, "a quote closes before its cell ends"),
        (3, Ok(json!({ "id": "2", "text": "fine" }))),
        (4, Ok(json!({ "id": "3", "text": "last " }))),
        lost(5, "a quote opens and is not closed"),
    ];
    assert_eq!(all, expect);
    // A line that cannot be read ends what is open, and no line is read twice.
    let all = found("x.csv", b"id,text\n1,\"open\n2,b\n\xff\n3,c\n", json!({}));
    let lines: Vec<(u64, bool)> = all.iter().map(|(line, record)| (*line, record.is_ok())).collect();
    assert_eq!(lines, [(2, false), (3, true), (4, false), (5, true)]);
}

#[test]
fn rows_without_all_their_cells_are_told() {
    let all = found("x.csv", b"a,b\n1\n1,2,3\n1,2\n", json!({}));
    assert_eq!(all[..2], [lost(2, "1 cells in a table of 2 columns"), lost(3, "3 cells in a table of 2 columns")]);
    assert_eq!(found("x.csv", b"1,2,3\n", json!({ "columns": ["a", "b"] })), [(1, Ok(json!({ "a": "1", "b": "2" })))]);
}

#[test]
fn sentences_are_lists_of_their_columns() {
    let text = b"# sent_id = s-1\n# text = #one two\n#one\tO\ntwo\tB-x\n\t\n\n#\tO\n";
    let all = found("x.conll", text, json!({}));
    // The words of a file whose lines have tabs may begin with #.
    let first = json!({ "id": "s-1", "1": ["#one", "two"], "2": ["O", "B-x"] });
    assert_eq!(all, [(3, Ok(first)), (7, Ok(json!({ "1": ["#"], "2": ["O"] })))]);
    let all = found(
        "x.bio",
        b"EU B-org\n# O\n# a comment of words\nx O\n\ny\nz O\n\n\xff O\nw O\n\nlast O",
        json!({ "columns": ["word"] }),
    );
    assert_eq!(all[0], (1, Ok(json!({ "word": ["EU", "#", "x"], "2": ["B-org", "O", "O"] }))));
    assert_eq!(all[1], lost(7, "2 cells in a sentence of 1 columns"));
    assert!(all[2].0 == 9 && all[2].1.is_err());
    assert_eq!(all[3], (12, Ok(json!({ "word": ["last"], "2": ["O"] }))));
}

#[test]
fn words_of_several_tokens_are_passed_over() {
    let line = |id: &str, form: &str| format!("{id}\t{form}\t_\tX\t_\t_\t_\t_\t_\t_\n");
    let text = [line("1-2", "vámonos"), line("1", "vamos"), line("2", "nos"), line("2.1", "left")].concat();
    let all = found("x.conllu", text.as_bytes(), json!({}));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1.as_ref().expect("a sentence")["2"], json!(["vamos", "nos"]));
}

#[test]
fn questions_carry_their_passages() {
    let set = json!({ "version": "1", "data": [{ "title": "t", "paragraphs": [
        { "context": "c", "qas": [{ "id": "q", "question": "?", "answers": [] }, 3] },
        { "qas": [] },
    ] }] });
    let all = found("x.json", set.to_string().as_bytes(), json!({}));
    assert_eq!(all[0], (1, Ok(json!({ "id": "q", "question": "?", "answers": [], "context": "c", "title": "t" }))));
    assert_eq!(all[1..], [lost(2, "a question that is no object"), lost(3, "a paragraph without a context or questions")]);
}

#[test]
fn compressed_files_are_what_they_hold() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut packed, "one\r\n\ntwo".as_bytes()).expect("packs");
    let all = found("x.txt.gz", &packed.finish().expect("packs"), json!({}));
    let expect = ["one", "", "two"].map(|text| json!({ "text": text }));
    assert_eq!(all.into_iter().map(|(_, record)| record.expect("a line")).collect::<Vec<_>>(), expect);
    assert_eq!(found("x.txt", b"", json!({})), []);
}

#[test]
fn a_path_leads_into_a_record() {
    let record = Record::test(r#"{"a": [{"b": "c"}], "a.0": 1}"#);
    assert_eq!(record.get("a.0.b"), Some(&json!("c")));
    // A field's whole name comes first.
    assert_eq!(record.get("a.0"), Some(&json!(1)));
    for path in ["", "b", "a.1", "a.x", "a.0.b.c", "a."] {
        assert_eq!(record.get(path), None, "{path}");
    }
}
