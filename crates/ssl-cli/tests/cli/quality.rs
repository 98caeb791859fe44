//! `ssl quality`: a classifier is trained, measured and asked by a run.

use crate::support::{FLIP, Place};

/// Sentences about the weather, or offers; the numbers make each its own.
fn lines(offers: bool, from: usize, to: usize) -> String {
    let (who, what) = if offers {
        (
            ["Our shop", "This page", "The seller", "Every member"],
            ["offers a discount now", "has a prize for you", "ships it today"],
        )
    } else {
        (
            ["The wind", "A low cloud", "The river", "Old snow"],
            ["lay over the valley", "turned east by evening", "kept us at home"],
        )
    };
    let line = |n: usize| format!("{} {} and {n} more {}.\n", who[n % 4], what[n % 3], what[(n / 3) % 3]);
    (from..to).map(line).collect::<Vec<_>>().concat()
}

fn place() -> Place {
    let place = Place::new();
    place.write("good.txt", lines(false, 0, 200));
    place.write("other.txt", lines(true, 0, 200));
    place
}

const TRAIN: [&str; 10] =
    ["quality", "train", "--good", "good.txt", "--other", "other.txt", "--document", "line", "--out", "quality.ssl"];

#[test]
fn what_was_learned_is_measured_saved_and_asked() {
    let place = place();
    let ran = place.ssl(&TRAIN);
    ran.says(0, &[]);
    assert!(ran.stdout.contains("on documents held out: accuracy 1.0000, AUC 1.0000"), "{}", ran.stdout);
    let again = place.ssl(&[&TRAIN[..], &["--json"]].concat()).json();
    assert_eq!((&again["good"]["documents"], &again["other"]["dropped"]), (&200.into(), &0.into()));
    place.write("unseen/good.txt", lines(false, 300, 340));
    place.write("unseen/other.txt", lines(true, 300, 360));
    let eval = ["--good", "unseen/good.txt", "--other", "unseen/other.txt", "--document", "line", "--json"];
    let measured = place.ssl(&[&["quality", "eval", "quality.ssl"], &eval[..]].concat()).json()["measured"].clone();
    assert_eq!((&measured["positive"], &measured["negative"], &measured["accuracy"]), (&40.into(), &60.into(), &1.0.into()));
    // The other way round everything is wrong, so the numbers are measured.
    let swapped = ["--good", "unseen/other.txt", "--other", "unseen/good.txt", "--document", "line", "--json"];
    let measured = place.ssl(&[&["quality", "eval", "quality.ssl"], &swapped[..]].concat()).json()["measured"].clone();
    assert_eq!(measured["accuracy"], 0.0);

    place.write("mixed.txt", lines(false, 400, 440) + &lines(true, 400, 430));
    place.write(
        "run.toml",
        crate::support::RUN
            .replace("paths = [\"text\"]\ndocument = \"block\"", "paths = [\"mixed.txt\"]\ndocument = \"line\"")
            .replace("[objective.causal]", "[data.filter.quality]\nmodel = \"quality.ssl\"\n[objective.causal]"),
    );
    let prepared = place.ssl(&["prepare", "run.toml", "--out", "out", "--json"]).json();
    let documents = |split: &str| prepared["manifest"][split]["documents"].as_u64().expect("a count");
    assert_eq!(documents("train") + documents("validation"), 40, "{}", prepared["manifest"]);
}

#[test]
fn mistakes_are_named() {
    let place = place();
    place.ssl(&TRAIN).says(0, &[]);
    place.damage("quality.ssl", FLIP);
    let eval = ["quality", "eval", "quality.ssl", "--good", "good.txt", "--other", "other.txt"];
    place.ssl(&eval).says(3, &["quality.ssl", "checksum"]);
    let mut nowhere = TRAIN;
    nowhere[3] = "nowhere.txt";
    place.ssl(&nowhere).says(2, &["nowhere.txt"]);
    // A file is one document, so nothing is left to be held out, and to learn from.
    place
        .ssl(&["quality", "train", "--good", "good.txt", "--other", "other.txt", "--out", "x.ssl"])
        .says(3, &["--document line"]);
    assert!(!place.path("x.ssl").exists());
    place.ssl(&["quality", "train", "--good", "good.txt", "--out", "x.ssl"]).says(2, &["--other"]);
}
