//! Against ftfy: texts of our own with what it makes of them, and its own cases.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))).expect("JSON")
}

fn repaired(text: &str) -> String {
    repair(text).map_or_else(|| text.into(), |(fixed, _)| fixed)
}

#[test]
fn texts_become_what_ftfy_makes_of_them() {
    let cases = json(&root().join("fixtures/sources/mojibake.json"));
    let cases = cases.as_array().expect("a list");
    let mut wrong = Vec::new();
    for case in cases {
        let before = case[0].as_str().expect("a text");
        let expect = case[1].as_str().unwrap_or(before);
        // What a line end is part of is another matter: ftfy's function takes any text for one line.
        let found = fix_encoding(before);
        if found != expect {
            wrong.push(format!("{before:?}\n  became {found:?}\n  not    {expect:?}"));
        }
    }
    assert!(cases.len() >= 500 && wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_cases_of_ftfy_itself_pass() {
    let Some(data) = root().ancestors().map(|dir| dir.join("shared/data/messy/mojibake")).find(|dir| dir.is_dir()) else {
        println!("skipped: there is no folder shared/data/messy/mojibake beside the repository");
        return;
    };
    let (mut passed, mut wrong) = (0, Vec::new());
    for name in ["in-the-wild", "language-names", "negative", "synthetic"] {
        for case in json(&data.join(name).with_extension("json")).as_array().expect("a list") {
            let of = |key: &str| case[key].as_str();
            if of("expect") != Some("pass") {
                continue;
            }
            let before = of("original").expect("a text");
            let expect = of("fixed-encoding").or(of("fixed")).expect("a text");
            let found = repaired(before);
            if found == expect {
                passed += 1;
            } else {
                wrong.push(format!("{name}: {before:?}\n  became {found:?}\n  not    {expect:?}"));
            }
        }
    }
    assert!(passed > 80 && wrong.is_empty(), "{passed} passed, not:\n{}", wrong.join("\n"));
}

#[test]
fn lines_are_repaired_one_by_one() {
    let (text, lines) = repair("voilÃ\u{a0}\nMÃ¼nchen\nça va\n人人\nx").expect("it is changed");
    assert_eq!((text.as_str(), lines), ("voilà\nMünchen\nça va\n人人\nx", 2));
    assert_eq!(repair("ASCII\n人人生而自由\nça va “bien” — 5 €\n"), None);
}

#[test]
fn long_and_deep_garbles_cost_little() {
    let mut deep = String::from("é");
    while deep.len() < 1 << 18 {
        deep = deep.bytes().map(char::from).collect();
    }
    assert_eq!(repaired(&deep), "é");
    let begin = std::time::Instant::now();
    for hostile in ["Ã".repeat(1 << 20), "Ã©Â".repeat(1 << 19), "\u{80}".repeat(1 << 20), "à²".repeat(1 << 19) + "中"] {
        let _ = repaired(&hostile);
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}
