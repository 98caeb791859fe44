//! BLEU against sacrebleu; the file comes from `fixtures/golden/bleu.py`.

use serde_json::Value;
use ssl_eval::bleu::{self, bleu};
use ssl_eval::bootstrap::Bootstrap;

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

#[test]
fn two_translators_are_compared_on_the_same_sentences() {
    let reference: Vec<String> =
        (0..60).map(|n| format!("the dog number {n} runs in the deep white snow of {n} winters")).collect();
    let change = |every: usize, from: &str| -> Vec<String> {
        let line = |(at, line): (usize, &String)| if at % every == 0 { line.replace(from, "zzz") } else { line.clone() };
        reference.iter().enumerate().map(line).collect()
    };
    let [better, other, worse] =
        [change(5, "deep"), change(5, "white"), change(2, "deep")].map(|ours| bleu::counts(&ours, &reference));
    let found = Bootstrap::default().compare(&better, &worse, bleu::score).unwrap();
    assert!((found.ours - bleu(&change(5, "deep"), &reference).value).abs() < 1e-12);
    assert!(found.difference.low > 0.0 && found.p_permutation < 0.01 && found.p_bootstrap < 0.01, "{found:?}");
    let alike = Bootstrap::default().compare(&better, &other, bleu::score).unwrap();
    assert!(alike.p_permutation > 0.2 && alike.p_bootstrap > 0.2, "{alike:?}");
}
