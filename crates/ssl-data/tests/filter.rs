//! Filters decide as datatrove's do, on documents that `fixtures/curation/filters.py` made and judged.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssl_data::filter::{FilterConfig, Rule};

/// What datatrove calls the rule.
fn theirs(rule: Rule) -> &'static str {
    match rule {
        Rule::LowQuality => "quality",
        Rule::OtherLanguage | Rule::UnsureLanguage => "language",
        Rule::RepeatedParagraphs => "dup_para_frac",
        Rule::RepeatedParagraphChars => "dup_para_char_frac",
        Rule::RepeatedLineShare => "dup_line_frac",
        Rule::RepeatedLineChars => "dup_line_char_frac",
        Rule::TopRun2 => "top_2_gram",
        Rule::TopRun3 => "top_3_gram",
        Rule::TopRun4 => "top_4_gram",
        Rule::RepeatedRuns5 => "duplicated_5_n_grams",
        Rule::RepeatedRuns6 => "duplicated_6_n_grams",
        Rule::RepeatedRuns7 => "duplicated_7_n_grams",
        Rule::RepeatedRuns8 => "duplicated_8_n_grams",
        Rule::RepeatedRuns9 => "duplicated_9_n_grams",
        Rule::RepeatedRuns10 => "duplicated_10_n_grams",
        Rule::GopherFewWords => "gopher_short_doc",
        Rule::GopherManyWords => "gopher_long_doc",
        Rule::GopherShortWords => "gopher_below_avg_threshold",
        Rule::GopherLongWords => "gopher_above_avg_threshold",
        Rule::GopherHashes => "gopher_too_many_hashes",
        Rule::GopherEllipses => "gopher_too_many_ellipsis",
        Rule::GopherBulletLines => "gopher_too_many_bullets",
        Rule::GopherEllipsisLines => "gopher_too_many_end_ellipsis",
        Rule::GopherNoLetters => "gopher_below_alpha_threshold",
        Rule::GopherStopWords => "gopher_enough_stop_words",
        Rule::C4FewSentences => "too_few_sentences",
        Rule::C4LoremIpsum => "lorem_ipsum",
        Rule::C4CurlyBracket => "curly_bracket",
        Rule::FinewebTerminalLines => "line_punct_ratio",
        Rule::FinewebShortLines => "short_line_ratio",
        Rule::FinewebRepeatedLines => "char_dup_ratio",
        Rule::FinewebLineEnds => "list_ratio",
    }
}

#[test]
fn decisions_and_reasons_are_those_of_datatrove() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/curation/filters.jsonl");
    let golden = fs::read_to_string(path).expect("the golden file");
    let (mut compared, mut dropped, mut differ) = (0, 0, Vec::new());
    for (number, line) in golden.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = line["text"].as_str().expect("a text");
        for name in ["gopher-quality", "gopher-repetition", "c4", "fineweb"] {
            let rules: FilterConfig = serde_json::from_value(json!({ name: {} })).expect("a configuration");
            let judged = rules.judge(text);
            let ours = judged.as_ref().err().map(|&rule| theirs(rule));
            let expect = line["reasons"][name].as_str();
            compared += 1;
            dropped += usize::from(expect.is_some());
            if ours != expect {
                differ.push(format!("document {number}, {name}: {ours:?}, expected {expect:?}"));
            } else if name == "c4"
                && let Ok(passed) = judged
            {
                assert_eq!(passed.text, line["c4"].as_str().expect("a text"), "document {number}");
            }
        }
    }
    assert!(compared > 400 && dropped > 150, "{compared} compared, {dropped} dropped");
    assert!(differ.is_empty(), "{} of {compared} differ:\n{}", differ.len(), differ.join("\n"));
}
