//! Whatever a run file or an override holds, the answer is a run or a diagnosis.

use proptest::prelude::*;

use super::tests::{GOOD, Run, run, validate};
use super::*;

/// A text near the good run: pieces cut out, doubled, and replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        "=",
        "[",
        "]",
        "\"",
        "\n",
        "model",
        "gpt",
        "tiny",
        ".",
        "1",
        "-1",
        "1e400",
        "nan",
        "\\u0000",
        "'",
        "{",
        "}",
        "五",
        "\t",
        "99999999999999999999999999999999999999999",
        "1979-05-27T07:32:00Z",
        "true",
        "width",
        "paths",
        "\r\n",
        "#",
    ]);
    prop::collection::vec((0..GOOD.len(), 0..12_usize, piece), 0..6).prop_map(|edits| {
        let mut text = GOOD.to_owned();
        for (at, len, piece) in edits {
            let from = text.floor_char_boundary(at.min(text.len()));
            let to = text.ceil_char_boundary((from + len).min(text.len()));
            text.replace_range(from..to, piece);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_edit_of_a_run_is_answered(text in mutated(), set in "[a-z.]{0,8}=?[ -~]{0,6}") {
        let plain = run(&text, &[]);
        match &plain {
            // Serde agrees about what is good; where it is not, something is said.
            Ok(loaded) => prop_assert_eq!(toml::from_str::<Run>(&text).ok().as_ref().map(|run| format!("{run:?}")),
                Some(format!("{:?}", loaded.value))),
            Err(diagnosis) => {
                prop_assert!(!diagnosis.to_json().as_array().is_none_or(Vec::is_empty));
                prop_assert!(!diagnosis.render(Paint::Colour).is_empty());
                if let Ok(run) = toml::from_str::<Run>(&text) {
                    prop_assert!(!validate(&run).is_empty(), "{}", diagnosis);
                }
            }
        }
        let _ = run(&text, &[&set]).map_err(|diagnosis| diagnosis.to_string());
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), set in any::<String>()) {
        let _ = run(&text, &[]).map_err(|diagnosis| diagnosis.to_string());
        let _ = run(GOOD, &[&set]).map_err(|diagnosis| diagnosis.to_string());
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("run.toml");
        std::fs::write(&path, bytes).expect("written");
        let told = load::<Run>(&path, &[], validate).expect_err("no run").to_string();
        prop_assert!(told.starts_with("error: "));
    }
}
