//! Each rule finds its control and lets its neighbour pass.

use super::*;
use crate::tidy::tree::Source;

/// Asserts the number of faults of `rule` in one file.
fn check(rule: fn(&Tree) -> Vec<Fault>, path: &str, text: &str, faults: usize) {
    let found = rule(&Tree::of(path, text));
    assert_eq!(found.len(), faults, "{path}: {text}: {found:?}");
}

#[test]
fn heads_are_asked_for() {
    check(heads, "a.rs", "//! Says.\nfn f() {}", 0);
    check(heads, "a.rs", "// Mumbles.\nfn f() {}", 1);
    check(heads, "a.py", "import x", 0);
}

#[test]
fn lengths_have_an_end() {
    check(lengths, "a.rs", &"x\n".repeat(LONGEST), 0);
    check(lengths, "a.rs", &"x\n".repeat(LONGEST + 1), 1);
}

#[test]
fn unsafe_code_has_its_place_and_reason() {
    check(unsafe_code, "crates/ssl-data/src/a.rs", "unsafe { f() }", 1);
    check(unsafe_code, "crates/ssl-data/src/a.rs", "// unsafe\nlet unsafe_name = \"unsafe\";", 0);
    check(unsafe_code, "crates/ssl-torch/src/a.rs", "unsafe { f() }", 1);
    check(unsafe_code, "crates/ssl-torch/src/a.rs", "// SAFETY: f has no conditions.\nunsafe { f() }", 0);
}

#[test]
fn unfinished_work_is_found_in_code_and_not_in_prose() {
    check(unfinished, "a.rs", "fn f() { todo!() }\n#[ignore = \"slow\"]\n#[should_panic]", 3);
    check(unfinished, "a.rs", "// todo!\nlet x = \"#[ignore]\";", 0);
    check(unfinished, "a.rs", "/// ```ignore\n/// x\n/// ```", 1);
    check(unfinished, "a.rs", "/// ```no_run\n/// x\n/// ```", 0);
}

#[test]
fn dependencies_run_one_way() {
    let manifest = |name: &str, used: &str| format!("[package]\nname = \"{name}\"\n[dependencies]\n{used}.workspace = true\n");
    check(dependencies, "crates/a/Cargo.toml", &manifest("ssl-data", "tch"), 1);
    check(dependencies, "crates/a/Cargo.toml", &manifest("ssl-eval", "ssl-train"), 1);
    check(dependencies, "xtask/Cargo.toml", &manifest("xtask", "ssl-data"), 1);
    check(dependencies, "crates/a/Cargo.toml", &manifest("ssl-new", "serde"), 1);
    check(dependencies, "crates/a/Cargo.toml", &manifest("ssl-train", "ssl-model"), 0);
}

#[test]
fn toml_fixtures_parse() {
    check(toml, "fixtures/runs/a.toml", "[data]\npaths = [\"x\"]", 0);
    check(toml, "fixtures/runs/a.toml", "[data\npaths", 1);
}

#[test]
fn fixtures_stay_small() {
    let file = |bytes| Tree { files: vec![Source { path: "fixtures/golden/a".into(), text: None, bytes }] };
    assert!(fixtures(&file(FIXTURES)).is_empty());
    assert_eq!(fixtures(&file(FIXTURES + 1)).len(), 1);
}

#[test]
fn places_of_one_machine_are_found() {
    for folder in ["work", "home", "root"] {
        check(places, "a.rs", &format!("let x = \"/{folder}/x\";"), 1);
        check(places, "a.rs", &format!("see docs/{folder}/x and $X/{folder}/x"), 0);
    }
    check(places, "README.md", &format!("`/{}/x`", "tmp"), 1);
    check(places, "a.rs", &format!("\"/{}/x\"", "tmp"), 0);
    check(places, "a.toml", &format!("https://{}.io/x", "crates"), 1);
    check(places, "Cargo.lock", &format!("{}.io", "crates"), 0);
}

#[test]
fn links_lead_somewhere() {
    check(links, "docs/a.md", "[x](a.md) [y](../docs/a.md#head) [z](https://x.y) [w](#here)", 0);
    check(links, "docs/a.md", "[x](b.md)", 1);
}

#[test]
fn ci_calls_the_documented_command() {
    check(ci, ".ci/run", "exec cargo xtask test", 0);
    check(ci, ".ci/run", "cargo test", 1);
}

#[test]
fn libraries_do_not_look_around() {
    check(surroundings, "crates/ssl-data/src/a.rs", "let home = std::env::var(\"HOME\");", 1);
    check(surroundings, "crates/ssl-data/src/a.rs", "let dir = env!(\"CARGO_MANIFEST_DIR\"); // env::var", 0);
    check(surroundings, "crates/ssl-cli/src/a.rs", "std::env::args()", 0);
    check(surroundings, "crates/ssl-data/examples/a.rs", "std::env::args()", 0);
}
