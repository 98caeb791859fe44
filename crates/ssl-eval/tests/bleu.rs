//! BLEU against sacrebleu; the file comes from `fixtures/golden/bleu.py`.

use serde_json::Value;
use ssl_eval::bleu::bleu;

#[test]
fn scores_are_those_of_sacrebleu() {
    let text = include_str!("../../../fixtures/golden/bleu/golden.json");
    let golden: Value = serde_json::from_str(text).expect("notes");
    let tolerance = golden["tolerance"]["absolute"].as_f64().expect("a tolerance");
    let mut scores = Vec::new();
    for case in golden["cases"].as_array().expect("cases") {
        let list = |name: &str| -> Vec<String> { serde_json::from_value(case[name].clone()).expect("texts") };
        let found = bleu(&list("hypotheses"), &list("references"));
        let expect = case["bleu"].as_f64().expect("a score");
        assert!((found.value - expect).abs() < tolerance, "{} for {expect}: {:?}", found.value, list("hypotheses"));
        scores.push(expect);
    }
    assert!(scores.iter().any(|score| *score > 99.0) && scores.iter().any(|score| *score < 1.0), "easy and hard: {scores:?}");
}

#[test]
fn the_error_falls_with_the_root_of_the_sentences() {
    let sentence =
        |n: u64| format!("the dog number {n} runs {} in the deep snow", if n.is_multiple_of(3) { "fast" } else { "slowly" });
    let corpus = |n: u64| (0..n).map(sentence).collect::<Vec<_>>();
    let other = |n: u64| {
        (0..n).map(|k| sentence(k).replace(if k.is_multiple_of(2) { "deep" } else { "zzz" }, "white")).collect::<Vec<_>>()
    };
    let [few, many] = [50, 800].map(|n| bleu(&other(n), &corpus(n)).stderr);
    assert!(few > 0.0 && (few / many - 4.0).abs() < 1.2, "{few} and {many}");
}
