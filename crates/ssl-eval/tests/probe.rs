//! Probes against scikit-learn; the file comes from `fixtures/golden/probe.py`.

use serde::Deserialize;
use ssl_eval::probe::logistic::{Logistic, STRENGTHS};
use ssl_eval::probe::neighbours::Vote;

#[derive(Deserialize)]
struct Case {
    classes: usize,
    strength: f64,
    features: Vec<Vec<f32>>,
    labels: Vec<usize>,
    unseen: Vec<Vec<f32>>,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    predictions: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../fixtures/golden/probe/logistic.json")).expect("cases")
}

#[test]
fn logistic_regression_is_that_of_scikit_learn() {
    for case in cases() {
        let probe = Logistic::fit(&case.features, &case.labels, case.classes, case.strength).unwrap();
        let name = format!("{} classes, strength {}", case.classes, case.strength);
        assert!(probe.converged, "{name}");
        let near = |found: f64, expect: f64, what: &str| {
            assert!((found - expect).abs() < 1e-3, "{name}: {what} {found} for {expect}");
        };
        for (class, (coefficients, &intercept)) in case.coefficients.iter().zip(&case.intercepts).enumerate() {
            // Of two classes there it has one row, that of the second against the first.
            let (ours, ours_intercept) = match case.classes {
                2 => {
                    let ((one, one_intercept), (other, other_intercept)) = (probe.class(1), probe.class(0));
                    (one.iter().zip(other).map(|(one, other)| one - other).collect(), one_intercept - other_intercept)
                }
                _ => (probe.class(class).0.to_vec(), probe.class(class).1),
            };
            assert_eq!(ours.len(), coefficients.len());
            ours.iter().zip(coefficients).for_each(|(&found, &expect)| near(found, expect, "coefficient"));
            near(ours_intercept, intercept, "intercept");
        }
        assert_eq!(probe.predict(&case.unseen).unwrap(), case.predictions, "{name}");
        for (found, expect) in probe.probabilities(&case.unseen).unwrap().iter().zip(&case.probabilities) {
            found.iter().zip(expect).for_each(|(&found, &expect)| near(found, expect, "probability"));
        }
    }
}

#[test]
fn a_chosen_strength_is_fitted_to_all_examples() {
    let case = &cases()[0];
    let chosen = Logistic::fit_chosen(&case.features, &case.labels, case.classes, 1).unwrap();
    assert!(STRENGTHS.contains(&chosen.strength));
    assert_eq!(chosen, Logistic::fit(&case.features, &case.labels, case.classes, chosen.strength).unwrap());
    // Too few to hold any out.
    let few = Logistic::fit_chosen(&case.features[..9], &case.labels[..9], case.classes, 1).unwrap();
    assert_eq!(few.strength, 1.0);
}

#[test]
fn one_neighbour_finds_an_example_itself() {
    let case = &cases()[0];
    let vote = Vote { neighbours: 1, temperature: None };
    let found = vote.predict(&case.features, &case.labels, case.classes, &case.features).unwrap();
    assert_eq!(found, case.labels);
    let all = Vote { neighbours: usize::MAX, temperature: None };
    let counts: Vec<usize> = (0..case.classes).map(|class| case.labels.iter().filter(|&&label| label == class).count()).collect();
    let most = (0..case.classes).rev().max_by_key(|&class| counts[class]).unwrap();
    assert!(all.predict(&case.features, &case.labels, case.classes, &case.unseen).unwrap().iter().all(|&class| class == most));
}
