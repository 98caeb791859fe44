//! The loop of `Word2Vec` against its own stated loss: gradients, repetition, vector units, threads.

use ssl_torch::word2vec::{Alias, Found, From, Plan, Step, Target, Units};
use tch::{Device, Kind, Tensor};

const V: usize = 7;
const ALL: u32 = u32::MAX;

/// Every word alike.
fn even(v: usize) -> Vec<Alias> {
    (0..v as u32).map(|other| Alias { threshold: ALL, other }).collect()
}

fn negatives(count: u32) -> Target {
    Target::Negatives { count, alias: even(V) }
}

/// Words 0..V hang on a chain: word w turns away at node w.
fn tree() -> Target {
    let (mut starts, mut nodes, mut labels) = (vec![0], vec![], vec![]);
    for word in 0..V as u32 {
        for node in 0..=word.min(V as u32 - 2) {
            nodes.push(node);
            labels.push(if node == word { 0.0 } else { 1.0 });
        }
        starts.push(nodes.len() as u32);
    }
    Target::Tree { starts, nodes, labels }
}

/// A table of numbers of the size that training reaches; not random, so that nothing shares libtorch's generator.
fn table(rows: usize, d: usize, phase: f32) -> Tensor {
    let numbers: Vec<f32> = (0..rows * d).map(|i| 0.5 * (i as f32 * 1.7 + phase).sin()).collect();
    Tensor::from_slice(&numbers).view([rows as i64, d as i64])
}

fn step(lr: Option<f32>) -> Step {
    Step { lr, key: 11, threads: 1, units: Units::Best }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn at(table: &Tensor, i: i64) -> f64 {
    table.view([-1]).double_value(&[i])
}

fn run(plan: &Plan, input: &Tensor, output: &Tensor, tokens: &[u32], step: &Step) -> Found {
    plan.run(input, output, tokens, std::slice::from_ref(&(0..tokens.len())), step).expect("a run")
}

/// One prediction's update is `factor` lr times minus the central difference of the stated loss, in every number of both tables.
fn check_gradient(target: Target, from: From, tokens: &[u32], d: usize, context_factor: f64) {
    let plan = Plan::new(vec![ALL; V], target, from, 5).expect("a plan");
    let (input, output) = (table(V, d, 0.3), table(V, d, 1.1));
    let (after_in, after_out) = (input.copy(), output.copy());
    // Draws depend on the key alone, so the measured loss is the one whose gradient the step takes.
    let lr = 1e-3;
    let found = run(&plan, &after_in, &after_out, tokens, &step(Some(lr)));
    let loss = run(&plan, &input, &output, tokens, &step(None));
    assert!((found.nats / loss.nats - 1.0).abs() < 1e-3 && found.predictions == loss.predictions, "{found:?} {loss:?}");
    let mut largest = 0.0_f64;
    for (table, after, factor) in [(&input, &after_in, context_factor), (&output, &after_out, 1.0)] {
        let flat = table.view([-1]);
        for i in 0..(V * d) as i64 {
            let h = 5e-3;
            let nats = |by: f64| {
                let place = flat.narrow(0, i, 1);
                let _ = place.shallow_clone().f_add_scalar_(by).expect("a move");
                let nats = run(&plan, &input, &output, tokens, &step(None)).nats;
                let _ = place.shallow_clone().f_sub_scalar_(by).expect("a move back");
                nats
            };
            let slope = (nats(h) - nats(-h)) / (2.0 * h);
            let moved = (at(after, i) - at(table, i)) / f64::from(lr);
            largest = largest.max((moved + factor * slope).abs());
        }
    }
    // Slopes are up to 1; the two sides differ by the rounding of fp32 in loss and weights, and by the second order of the step.
    assert!(largest < 6e-3, "{from:?} d {d}: {largest}");
}

#[test]
fn an_update_is_minus_the_gradient_of_the_stated_loss() {
    // Widths with every kind of tail; 13 negatives are more than one block of eight.
    for (d, count) in [(6, 5), (16, 13), (23, 2)] {
        check_gradient(negatives(count), From::Each, &[2, 5], d, 1.0);
        check_gradient(tree(), From::Each, &[2, 6], d, 1.0);
        let mean = From::Mean { exact: true };
        check_gradient(negatives(count), mean, &[2, 5], d, 1.0);
        check_gradient(tree(), mean, &[4, 5], d, 1.0);
    }
}

#[test]
fn the_original_gives_each_word_of_a_mean_the_whole_gradient() {
    let plan = |exact| Plan::new(vec![ALL; V], tree(), From::Mean { exact }, 1).expect("a plan");
    let moved = |exact| {
        let (input, output) = (table(V, 8, 0.3), table(V, 8, 1.1));
        let before = input.copy();
        // With window 1, the first place of three has one neighbour and the second two.
        run(&plan(exact), &input, &output, &[0, 1, 0], &step(Some(1e-4)));
        (input - before, output)
    };
    let ((whole, _), (share, _)) = (moved(false), moved(true));
    // Word 1 is only ever a neighbour by itself: the same either way. Word 0 is both neighbours of the middle.
    let ratio = |row: i64| (whole.get(row).norm() / share.get(row).norm()).double_value(&[]);
    assert!((ratio(1) - 1.0).abs() < 1e-3, "{}", ratio(1));
    assert!((ratio(0) - 2.0).abs() < 1e-2, "{}", ratio(0));
}

/// Words come in pairs 2k, 2k+1 that stand together: something to learn.
fn pairs(v: u32, n: u32) -> Vec<u32> {
    (0..n)
        .flat_map(|i| {
            let pair = i.wrapping_mul(2_654_435_761) % (v / 2);
            [2 * pair, 2 * pair + 1]
        })
        .collect()
}

fn learn(threads: usize, units: Units, target: Target) -> (Tensor, Tensor, f64) {
    let v = 64;
    let plan = Plan::new(vec![ALL; v], target, From::Each, 1).expect("a plan");
    let (input, output) = (table(v, 20, 0.3) * 0.05, Tensor::zeros([v as i64, 20], (Kind::Float, Device::Cpu)));
    let tokens = pairs(v as u32, 20_000);
    let sentences: Vec<_> = (0..tokens.len()).step_by(50).map(|from| from..from + 50).collect();
    for pass in 0..4 {
        let step = Step { lr: Some(0.05), key: pass, threads, units };
        plan.run(&input, &output, &tokens, &sentences, &step).expect("a run");
    }
    let measure = Step { lr: None, key: 99, threads: 1, units };
    let found = plan.run(&input, &output, &tokens, &sentences, &measure).expect("a run");
    (input, output, found.nats / found.predictions as f64)
}

#[test]
fn one_thread_repeats_to_the_bit_and_several_learn_as_well() {
    let target = || Target::Negatives { count: 5, alias: even(64) };
    let (input, output, one) = learn(1, Units::Best, target());
    let (again, outputs, _) = learn(1, Units::Best, target());
    assert!(input.equal(&again) && output.equal(&outputs));
    let (_, _, four) = learn(4, Units::Best, target());
    // Knowing nothing costs 6 ln 2 a prediction; what is learned is what comes off that. The order of the updates is chance, and what
    // is left of so easy a task differs by a tenth from one order to the next.
    let nothing = 6.0 * std::f64::consts::LN_2;
    let (one, four) = (nothing - one, nothing - four);
    assert!(one > 0.9 * nothing && four > 0.97 * one, "{one} {four} of {nothing}");
}

#[test]
fn every_kind_of_vector_unit_computes_the_same() {
    let tokens = pairs(64, 200);
    for d in [3, 20, 45] {
        let after = |units, count, from| {
            let plan = Plan::new(vec![ALL; 64], Target::Negatives { count, alias: even(64) }, from, 3).expect("a plan");
            let (input, output) = (table(64, d, 0.3), table(64, d, 1.1));
            let found = run(&plan, &input, &output, &tokens, &Step { units, ..step(Some(0.02)) });
            (input, output, found.nats / found.predictions as f64)
        };
        for (count, from) in [(5, From::Each), (9, From::Each), (5, From::Mean { exact: false })] {
            let (input, output, best) = after(Units::Best, count, from);
            for units in [Units::Portable, Units::Avx2] {
                let (inputs, outputs, nats) = after(units, count, from);
                // Sums are taken in another order; thousands of updates carry the last bits on.
                let apart = distance(&input, &inputs).max(distance(&output, &outputs));
                assert!((nats / best - 1.0).abs() < 1e-5 && apart < 1e-4, "{units:?} {d} {nats} {best} {apart}");
            }
        }
    }
}

#[test]
fn dropped_words_take_no_room_in_windows_and_learn_nothing() {
    let mut keep = vec![ALL; V];
    keep[3] = 0;
    let plan = Plan::new(keep, tree(), From::Each, 1).expect("a plan");
    let (a, b) = ((table(V, 8, 0.3), table(V, 8, 1.1)), (table(V, 8, 0.3), table(V, 8, 1.1)));
    let with = run(&plan, &a.0, &a.1, &[3, 1, 3, 3, 2, 3], &step(Some(0.1)));
    assert_eq!(with.predictions, 2);
    assert!(a.0.get(3).equal(&b.0.get(3)));
    // Sentences do not see each other.
    let apart = plan.run(&b.0, &b.1, &[1, 2], &[0..1, 1..2], &step(Some(0.1))).expect("a run");
    assert_eq!(apart.predictions, 0);
    assert!(b.0.equal(&table(V, 8, 0.3)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let plan = Plan::new(vec![ALL; V], negatives(5), From::Each, 5).expect("a plan");
    let (input, output) = (table(V, 8, 0.0), table(V, 8, 0.0));
    let refused = |input: &Tensor, output: &Tensor, tokens: &[u32], range: std::ops::Range<usize>| {
        plan.run(input, output, tokens, &[range], &step(Some(0.1))).is_err()
    };
    assert!(!refused(&input, &output, &[1, 2], 0..2));
    assert!(refused(&input, &output, &[1, V as u32], 0..2), "a token outside");
    assert!(refused(&input, &output, &[1, 2], 0..3), "a sentence outside");
    assert!(refused(&input, &input, &[1, 2], 0..2), "one table twice");
    assert!(refused(&table(V + 1, 8, 0.0), &output, &[1, 2], 0..2), "too many words");
    assert!(refused(&input, &table(V - 1, 8, 0.0), &[1, 2], 0..2), "too few output rows");
    assert!(refused(&input, &table(V, 9, 0.0), &[1, 2], 0..2), "two widths");
    assert!(refused(&input.to_kind(Kind::Double), &output, &[1, 2], 0..2), "doubles");
    assert!(refused(&table(8, V, 0.0).tr(), &table(V, 8, 0.0), &[1, 2], 0..2), "not contiguous");
    assert!(plan.run(&input, &output, &[1, 2], &[0..1, 1..2], &step(Some(f32::NAN))).is_err(), "no number");
    assert!(Plan::new(vec![ALL; V], negatives(5), From::Each, 0).is_err(), "no window");
    assert!(Plan::new(vec![ALL; V - 1], negatives(5), From::Each, 5).is_err(), "another vocabulary");
    let bad = Target::Tree { starts: vec![0, 2, 1], nodes: vec![0], labels: vec![1.0] };
    assert!(Plan::new(vec![ALL; 2], bad, From::Each, 5).is_err(), "paths out of order");
}
