//! Metrics against their reference implementations; the files come from `fixtures/golden/metrics.py`.

use serde::de::DeserializeOwned;
use serde_json::Value;
use ssl_data::rng::Rng;
use ssl_eval::bootstrap::{Bootstrap, Interval};
use ssl_eval::error::Error;
use ssl_eval::metric::calibration::Calibration;
use ssl_eval::metric::chrf::{self, Runs};
use ssl_eval::metric::classification::Classified;
use ssl_eval::metric::error_rate::{Unit, error_rate};
use ssl_eval::metric::regression::Fitted;
use ssl_eval::metric::rouge::{self, Rouge};
use ssl_eval::metric::spans::Spans;
use ssl_eval::metric::squad::{self, Version};
use ssl_eval::metric::{Average, Measure, cmrc};

const MEASURES: [Measure; 3] = [Measure::Precision, Measure::Recall, Measure::F1];
const AVERAGES: [(&str, Average); 3] = [("micro", Average::Micro), ("macro", Average::Macro), ("weighted", Average::Weighted)];

/// Few resamples: what is compared is the value.
const HOW: Bootstrap = Bootstrap { resamples: 20, level: 0.95, seed: 1 };

macro_rules! golden {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../fixtures/golden/metrics/", $name, ".json"))).unwrap()
    };
}

fn get<T: DeserializeOwned>(case: &Value, name: &str) -> T {
    serde_json::from_value(case[name].clone()).unwrap_or_else(|fault| panic!("{name}: {fault}: {case}"))
}

#[track_caller]
fn near(found: f64, expect: f64, case: &Value) {
    assert!((found - expect).abs() < 1e-6, "{found} for {expect}: {case}");
}

/// A score, which is inside of its bounds or near them.
#[track_caller]
fn value(interval: Interval) -> f64 {
    assert!(interval.low <= interval.high || interval.low.is_nan(), "{interval:?}");
    interval.estimate.value
}

#[test]
fn classes_are_scored_as_scikit_learn_scores_them() {
    for case in golden!("classification").as_array().unwrap() {
        let (truth, predicted): (Vec<usize>, Vec<usize>) = (get(case, "truth"), get(case, "predicted"));
        let found = Classified::new(get(case, "classes"), &truth, &predicted).unwrap();
        near(found.accuracy().value, get(case, "accuracy"), case);
        near(value(found.matthews(&HOW).unwrap()), get(case, "matthews"), case);
        assert_eq!(found.confusion(), get::<Vec<Vec<u64>>>(case, "confusion"));
        for (name, average) in AVERAGES {
            for (measure, expect) in MEASURES.into_iter().zip(get::<Vec<f64>>(case, name)) {
                near(value(found.score(measure, average, &HOW).unwrap()), expect, case);
            }
        }
        for (class, expect) in get::<Vec<Vec<f64>>>(case, "per_class").into_iter().enumerate() {
            assert_eq!(found.tallies()[class].actual as f64, expect[3]);
            for (measure, expect) in MEASURES.into_iter().zip(expect) {
                near(value(found.score(measure, Average::Class(class), &HOW).unwrap()), expect, case);
            }
        }
        let names: Vec<String> = (0..get(case, "classes")).map(|class: usize| format!("class {class}")).collect();
        let [truth, predicted] = [truth, predicted].map(|list| list.iter().map(|&at| names[at].clone()).collect::<Vec<_>>());
        assert_eq!(Classified::named(&names, &truth, &predicted).unwrap(), found);
    }
}

#[test]
fn numbers_are_scored_as_scipy_scores_them() {
    for case in golden!("regression").as_array().unwrap() {
        let found = Fitted::new(&get::<Vec<f64>>(case, "predicted"), &get::<Vec<f64>>(case, "truth")).unwrap();
        if let Some(expect) = get::<Option<f64>>(case, "mse") {
            assert!((found.mean_squared_error().value / expect - 1.0).abs() < 1e-6 || expect == 0.0, "{case}");
        }
        for (name, found) in [("pearson", found.pearson(&HOW)), ("spearman", found.spearman(&HOW))] {
            match get::<Option<f64>>(case, name) {
                Some(expect) => near(value(found.unwrap()), expect, case),
                None => assert!(value(found.unwrap()).is_nan(), "{name}: {case}"),
            }
        }
    }
}

#[test]
fn confidences_are_scored_as_guo_et_al_score_them() {
    for case in golden!("calibration").as_array().unwrap() {
        let found = Calibration::new(&get::<Vec<f64>>(case, "confidences"), &get::<Vec<bool>>(case, "right")).unwrap();
        near(value(found.error(&HOW).unwrap()), get(case, "ece"), case);
        assert_eq!(found.bins().iter().map(|bin| bin.n).sum::<u64>(), found.examples().len() as u64);
    }
}

#[test]
fn answers_are_scored_as_the_official_scripts_score_them() {
    let squad = golden!("squad");
    for (name, version) in [("v1", Some(Version::V1)), ("v2", Some(Version::V2)), ("cmrc", None)] {
        let cases = if version.is_some() { squad[name].clone() } else { golden!("cmrc") };
        let cases = cases.as_array().unwrap();
        let answers: Vec<String> = cases.iter().map(|case| get(case, "answer")).collect();
        let references: Vec<Vec<String>> = cases.iter().map(|case| get(case, "references")).collect();
        let found = match version {
            Some(version) => squad::answers(version, &answers, &references).unwrap(),
            None => cmrc::answers(&answers, &references).unwrap(),
        };
        let (mut exact, mut f1) = (0.0, 0.0);
        for (found, case) in found.iter().zip(cases) {
            assert_eq!(found.exact, get::<f64>(case, "exact"), "{case}");
            near(found.f1, get(case, "f1"), case);
            assert_eq!(found.answerable, !case["references"].as_array().unwrap().is_empty());
            exact += found.exact / cases.len() as f64;
            f1 += found.f1 / cases.len() as f64;
        }
        let scores = squad::Scores::over(&found).unwrap();
        assert!((scores.exact.value - exact).abs() < 1e-12 && (scores.f1.value - f1).abs() < 1e-12);
        assert!(0.1 < exact && exact < f1 && f1 < 0.9, "easy and hard: {exact} {f1}");
    }
}

#[test]
fn chrf_is_sacrebleus() {
    for case in golden!("chrf").as_array().unwrap() {
        let (hypotheses, references): (Vec<String>, Vec<Vec<String>>) = (get(case, "hypotheses"), get(case, "references"));
        for (name, runs) in [("chrf", Runs::Characters), ("chrf++", Runs::CharactersAndWords)] {
            let found = chrf::chrf(runs, &hypotheses, &references, &HOW).unwrap();
            near(value(found), get(case, name), case);
        }
    }
}

#[test]
fn rouge_is_that_of_rouge_score() {
    let kinds = [("rouge1", Rouge::N(1)), ("rouge2", Rouge::N(2)), ("rougeL", Rouge::L), ("rougeLsum", Rouge::LSum)];
    for case in golden!("rouge").as_array().unwrap() {
        let (hypotheses, references): (Vec<String>, Vec<Vec<String>>) = (get(case, "hypotheses"), get(case, "references"));
        for (name, kind) in kinds {
            let found = rouge::rouge(kind, &hypotheses, &references).unwrap();
            let expect = get::<Vec<[f64; 3]>>(case, name);
            for (found, [precision, recall, f1]) in found.iter().zip(&expect) {
                near(found.precision, *precision, case);
                near(found.recall, *recall, case);
                near(found.f1, *f1, case);
            }
            let mean = expect.iter().map(|score| score[2]).sum::<f64>() / expect.len() as f64;
            near(rouge::Scores::over(&found).f1.value, mean, case);
        }
    }
}

#[test]
fn rates_of_errors_are_jiwers() {
    for case in golden!("error_rate").as_array().unwrap() {
        let (hypotheses, references): (Vec<String>, Vec<String>) = (get(case, "hypotheses"), get(case, "references"));
        for (name, unit) in [("wer", Unit::Words), ("cer", Unit::Characters)] {
            near(error_rate(unit, &hypotheses, &references).unwrap().value, get(case, name), case);
        }
    }
}

#[test]
fn spans_are_scored_as_seqeval_scores_them() {
    for case in golden!("spans").as_array().unwrap() {
        let (truth, predicted): (Vec<Vec<String>>, Vec<Vec<String>>) = (get(case, "truth"), get(case, "predicted"));
        let found = Spans::new(&truth, &predicted).unwrap();
        assert_eq!(found.types(), get::<Vec<String>>(case, "types"), "{case}");
        for (name, average) in AVERAGES {
            for (measure, expect) in MEASURES.into_iter().zip(get::<Vec<f64>>(case, name)) {
                near(value(found.score(measure, average, &HOW).unwrap()), expect, case);
            }
        }
        for (kind, expect) in get::<Vec<Vec<f64>>>(case, "per_type").into_iter().enumerate() {
            assert_eq!(found.tallies()[kind].actual as f64, expect[3]);
            for (measure, expect) in MEASURES.into_iter().zip(expect) {
                near(value(found.score(measure, Average::Class(kind), &HOW).unwrap()), expect, case);
            }
        }
    }
}

const TAGS: [&str; 6] = ["O", "B-A", "I-A", "B-B", "I-B", "O"];
const WORDS: [&str; 8] = ["fox", "the", "狐狸", "dog,", "a", "Über", "3.5", "x"];

/// Every metric of examples drawn at one place, in this order; errors are told as what is right.
fn all(seed: u64, order: &[usize], perfect: bool) -> Vec<(&'static str, f64)> {
    let mut rng = Rng::at(seed, 0, 0);
    let n = order.len();
    let mut pick = |bound: u64| (0..n).map(|_| rng.below(bound) as usize).collect::<Vec<_>>();
    let (truth, lengths, words) = (pick(4), pick(6), pick(8));
    let (predicted, others) = if perfect { (truth.clone(), words.clone()) } else { (pick(4), pick(8)) };
    let text = |at: usize, words: &[usize]| (0..=lengths[at]).map(|k| WORDS[words[(at + k) % n]]).collect::<Vec<_>>().join(" ");
    let tags = |at: usize, words: &[usize]| (0..=lengths[at]).map(|k| TAGS[words[(at + k) % n] % 6]).collect::<Vec<_>>();

    let classes = Classified::new(4, &by(order, |at| truth[at]), &by(order, |at| predicted[at])).expect("a score");
    let real = |from: &[usize]| by(order, |at| from[at] as f64 + lengths[at] as f64 / 7.0);
    let numbers = Fitted::new(&real(&predicted), &real(&truth)).expect("a score");
    let (hypotheses, single) = (by(order, |at| text(at, &others)), by(order, |at| text(at, &words)));
    let references: Vec<Vec<String>> = single.iter().map(|text| vec![text.clone()]).collect();
    let spans = Spans::new(&by(order, |at| tags(at, &words)), &by(order, |at| tags(at, &others))).expect("a score");
    let right = by(order, |at| truth[at] == predicted[at]);
    let confident = by(order, |at| if perfect { 1.0 } else { lengths[at] as f64 / 6.0 });
    let calibration = Calibration::new(&confident, &right).expect("a score").error(&HOW).expect("a score");

    let mut scores = vec![("accuracy", classes.accuracy().value), ("matthews", value(classes.matthews(&HOW).expect("a score")))];
    for (_, average) in AVERAGES {
        scores.push(("class f1", value(classes.score(Measure::F1, average, &HOW).expect("a score"))));
        scores.push(("span f1", value(spans.score(Measure::F1, average, &HOW).expect("a score"))));
    }
    scores.push(("pearson", value(numbers.pearson(&HOW).expect("a score"))));
    scores.push(("spearman", value(numbers.spearman(&HOW).expect("a score"))));
    let answers = [
        ("v1 exact", "v1 f1", squad::answers(Version::V1, &hypotheses, &references)),
        ("v2 exact", "v2 f1", squad::answers(Version::V2, &hypotheses, &references)),
        ("cmrc exact", "cmrc f1", cmrc::answers(&hypotheses, &references)),
    ];
    for (exact, f1, found) in answers {
        let found = squad::Scores::over(&found.expect("a score")).expect("a score");
        scores.extend([(exact, found.exact.value), (f1, found.f1.value)]);
    }
    for runs in [Runs::Characters, Runs::CharactersAndWords] {
        scores.push(("chrf", value(chrf::chrf(runs, &hypotheses, &references, &HOW).expect("a score").times(0.01))));
    }
    for kind in [Rouge::N(1), Rouge::L, Rouge::LSum] {
        scores.push(("rouge", rouge::Scores::over(&rouge::rouge(kind, &hypotheses, &references).expect("a score")).f1.value));
    }
    for unit in [Unit::Words, Unit::Characters] {
        scores.push(("error rate", 1.0 - error_rate(unit, &hypotheses, &single).expect("a score").value));
    }
    scores.extend([("squared error", 1.0 - numbers.mean_squared_error().value), ("calibration", 1.0 - value(calibration))]);
    scores
}

fn by<T>(order: &[usize], make: impl Fn(usize) -> T) -> Vec<T> {
    order.iter().map(|&at| make(at)).collect()
}

#[test]
fn the_order_of_examples_does_not_matter() {
    for seed in 0..20 {
        let mut order: Vec<usize> = (0..12 + seed as usize).collect();
        let before = all(seed, &order, false);
        let mut rng = Rng::at(seed, 1, 0);
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at as u64 + 1) as usize);
        }
        for ((name, one), (_, other)) in before.into_iter().zip(all(seed, &order, false)) {
            assert!((one - other).abs() < 1e-12, "{name}: {one} and {other}");
        }
    }
}

#[test]
fn perfect_predictions_score_one() {
    for seed in 0..20 {
        let order: Vec<usize> = (0..30).collect();
        for (name, score) in all(seed, &order, true) {
            // To v1.1 a text of articles, to ROUGE one of Chinese, has no words to share with itself.
            let lowest = if matches!(name, "v1 f1" | "rouge") { 0.7 } else { 1.0 - 1e-9 };
            assert!((lowest..=1.0 + 1e-9).contains(&score), "{name}: {score}");
        }
        assert!(all(seed, &order, false).iter().all(|(_, score)| *score < 0.95));
    }
}

#[test]
fn scores_that_are_means_have_the_error_bar_of_their_resamples() {
    let mut rng = Rng::at(3, 0, 0);
    let (truth, predicted): (Vec<usize>, Vec<usize>) = (0..500).map(|_| (rng.below(3) as usize, rng.below(3) as usize)).unzip();
    let found = Classified::new(3, &truth, &predicted).unwrap();
    // Micro-averaged F1 of single labels is accuracy, drawn anew here and analytic there.
    let drawn = found.score(Measure::F1, Average::Micro, &Bootstrap::default()).unwrap().estimate;
    let expect = found.accuracy();
    assert!((drawn.value - expect.value).abs() < 1e-12 && (drawn.stderr / expect.stderr - 1.0).abs() < 0.1, "{drawn:?}");

    let text = |count: u64, rng: &mut Rng| (0..=count).map(|_| WORDS[rng.below(8) as usize]).collect::<Vec<_>>().join(" ");
    let pairs = (0..400).map(|_| {
        let length = rng.below(9);
        (text(length, &mut rng), text(length, &mut rng))
    });
    let (ours, theirs): (Vec<String>, Vec<String>) = pairs.unzip();
    let examples = ssl_eval::metric::error_rate::count(Unit::Words, &ours, &theirs).unwrap();
    let drawn = Bootstrap::default().interval(&examples, ssl_eval::metric::error_rate::rate).unwrap().estimate;
    let expect = error_rate(Unit::Words, &ours, &theirs).unwrap();
    assert!((drawn.value - expect.value).abs() < 1e-12 && (drawn.stderr / expect.stderr - 1.0).abs() < 0.1, "{drawn:?}");
}

#[test]
fn what_cannot_be_scored_is_refused_by_name() {
    let none: [Vec<&str>; 0] = [];
    assert!(matches!(Classified::new(2, &[0], &[0, 1]), Err(Error::Unequal { .. })));
    assert!(matches!(Classified::new(2, &[], &[]), Err(Error::Empty)));
    let fault = Classified::new(2, &[0, 1], &[0, 2]).unwrap_err().to_string();
    assert_eq!(fault, "predicted class 1 is \"2\", which is none of the 2 classes");
    let fault = Classified::named(&["yes", "no"], &["yes", "maybe"], &["no", "no"]).unwrap_err().to_string();
    assert_eq!(fault, "true class 1 is \"maybe\", which is none of the 2 classes");
    let classes = Classified::new(2, &[0, 1], &[0, 1]).unwrap();
    assert!(matches!(classes.score(Measure::F1, Average::Class(2), &HOW), Err(Error::Class { class: 2, classes: 2 })));
    let fault = Fitted::new(&[0.0, f64::INFINITY], &[0.0, 1.0]).unwrap_err().to_string();
    assert_eq!(fault, "predicted value 1 is inf, which is not a finite number");
    assert!(matches!(Calibration::new(&[f64::NAN], &[true]), Err(Error::Confidence { at: 0, .. })));
    assert!(matches!(Calibration::new(&[1.5], &[true]), Err(Error::Confidence { at: 0, .. })));
    assert!(matches!(squad::answers(Version::V1, &["x"], &[vec![]]), Err(Error::NoReference { at: 0 })));
    assert!(matches!(squad::answers(Version::V2, &[], &none), Err(Error::Empty)));
    assert!(matches!(cmrc::answers(&["x"], &[vec![]]), Err(Error::NoReference { at: 0 })));
    assert!(matches!(chrf::chrf(Runs::Characters, &[], &none, &HOW), Err(Error::Empty)));
    assert!(matches!(chrf::chrf(Runs::Characters, &["x"], &[vec![]], &HOW), Err(Error::NoReference { at: 0 })));
    assert!(matches!(rouge::rouge(Rouge::L, &["x"], &none), Err(Error::Unequal { .. })));
    assert!(matches!(error_rate(Unit::Words, &["x"], &[" "]), Err(Error::EmptyReferences)));
    for tag in ["", "o", "X-PER", "BPER", "O-PER", "ÄB"] {
        let fault = Spans::new(&[vec!["O", tag]], &[vec!["O", "O"]]);
        assert!(matches!(fault, Err(Error::Tag { sentence: 0, at: 1, .. })), "{tag}");
    }
    assert!(matches!(Spans::new(&[vec!["O"]], &[vec!["O", "O"]]), Err(Error::Unequal { .. })));
}
