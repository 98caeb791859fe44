//! A run that dies and goes on is the run that never died, bit for bit.

mod support;

use ssl_model::config::ModelConfig;
use ssl_model::params::Precision;
use ssl_train::checkpoint::Checkpoint;
use ssl_train::config::{MuonConfig, OptimConfig};
use ssl_train::trainer::{StepReport, Stopped};
use support::{Listener, Setup, bits, corpus};

/// A report without the one number that belongs to the clock.
fn timeless(reports: &[StepReport]) -> Vec<StepReport> {
    reports.iter().map(|report| StepReport { seconds: 0.0, ..*report }).collect()
}

fn dies_and_goes_on(setup: &Setup) {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));

    let (model, mut whole) = setup.begin(corpus.vocab_size());
    let mut listener = Listener::default();
    let stopped = setup.fit(model.as_ref(), &mut whole, &corpus, &dir.path().join("whole"), &mut listener).expect("a run");
    assert_eq!((stopped, listener.reports.len()), (Stopped::Finished, 40));
    assert!(listener.reports[39].loss < listener.reports[0].loss, "it learned nothing, so equality would say little");

    let root = dir.path().join("broken");
    let (model, mut broken) = setup.begin(corpus.vocab_size());
    let mut before = Listener { die_at: Some(18), ..Listener::default() };
    setup.fit(model.as_ref(), &mut broken, &corpus, &root, &mut before).expect_err("it was to die");
    assert_ne!(bits(&broken), bits(&whole));

    let (model, mut resumed) = setup.begin(corpus.vocab_size());
    let (latest, passed) = Checkpoint::latest(&root).expect("a listing");
    assert!(passed.is_empty());
    let latest = latest.expect("a checkpoint");
    assert_eq!(latest.step, 15);
    latest.restore(&mut resumed).expect("it fits");
    let mut after = Listener::default();
    setup.fit(model.as_ref(), &mut resumed, &corpus, &root, &mut after).expect("a run");

    assert_eq!(timeless(&before.reports[..15]), timeless(&listener.reports[..15]));
    assert_eq!(timeless(&after.reports), timeless(&listener.reports[15..]));
    assert!(bits(&resumed) == bits(&whole), "weights or moments differ");
    assert_eq!((resumed.progress.sample, resumed.progress.tokens), (whole.progress.sample, whole.progress.tokens));
}

#[test]
fn in_fp32_with_accumulation_and_dropout() {
    dies_and_goes_on(&Setup::new(Precision::Fp32));
}

#[test]
fn in_bf16_with_accumulation_and_dropout() {
    dies_and_goes_on(&Setup::new(Precision::Bf16));
}

#[test]
fn with_muon_and_recomputed_blocks() {
    let mut setup = Setup::new(Precision::Fp32);
    let OptimConfig::Adamw(adamw) = setup.optim else { panic!("AdamW was set up") };
    setup.optim = OptimConfig::Muon(MuonConfig {
        lr: 0.02,
        momentum: 0.95,
        nesterov: true,
        newton_schulz_steps: 5,
        weight_decay: 0.1,
        adamw,
    });
    setup.train.recompute = true;
    dies_and_goes_on(&setup);
}

#[test]
fn recomputation_changes_no_bit_of_a_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));
    let [kept, again] = [false, true].map(|recompute| {
        let mut setup = Setup::new(Precision::Fp32);
        (setup.train.recompute, setup.train.steps) = (recompute, Some(8));
        let (model, mut state) = setup.begin(corpus.vocab_size());
        setup.fit(model.as_ref(), &mut state, &corpus, &dir.path().join("runs"), &mut Listener::default()).expect("a run");
        bits(&state)
    });
    assert!(kept == again, "weights or moments differ");
}

#[test]
fn with_a_state_that_is_carried_from_batch_to_batch() {
    dies_and_goes_on(&Setup::recurrent());
}

#[test]
fn a_validation_cut_short_is_made_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));
    let mut setup = Setup::new(Precision::Fp32);
    (setup.train.steps, setup.train.patience_evals) = (Some(40), Some(2));
    let losses = vec![3.0, 2.0, 1.0, 2.5, 2.6];
    let run = |name: &str, losses: &[f64]| {
        let (model, mut state) = setup.begin(corpus.vocab_size());
        let root = dir.path().join(name);
        if let (Some(latest), _) = Checkpoint::latest(&root).expect("a listing") {
            latest.restore(&mut state).expect("it fits");
        }
        let mut listener = Listener { losses: losses.into(), ..Listener::default() };
        let stopped = setup.fit(model.as_ref(), &mut state, &corpus, &root, &mut listener).expect("a run");
        (stopped, state.progress.step, state.progress.best, state.progress.unmeasured)
    };
    let whole = run("whole", &losses);
    assert_eq!((whole.0, whole.1, whole.2.at, whole.3), (Stopped::Patience, 10, Some((6, 1.0)), false));
    // The listener asks to stop where it has no loss left: in the validations of steps 6 and 10.
    let broken = run("broken", &losses[..2]);
    assert_eq!((broken.0, broken.1, broken.3), (Stopped::Asked, 6, true));
    let broken = run("broken", &losses[..4]);
    assert_eq!((broken.0, broken.1, broken.2.at), (Stopped::Asked, 10, Some((6, 1.0))));
    assert_eq!(run("broken", &losses), whole);
    assert_eq!(run("broken", &losses), whole, "a run that is done stays so");
}

#[test]
fn another_seed_is_another_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));
    let run = |seed| {
        let mut setup = Setup::new(Precision::Fp32);
        (setup.train.seed, setup.train.steps) = (seed, Some(3));
        let (model, mut state) = setup.begin(corpus.vocab_size());
        setup.fit(model.as_ref(), &mut state, &corpus, &dir.path().join("runs"), &mut Listener::default()).expect("a run");
        bits(&state)
    };
    assert!(run(1) == run(1), "the same seed draws the same");
    assert!(run(1) != run(2), "another seed draws otherwise");
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));
    let losses = |rows, passes| {
        let mut setup = Setup::new(Precision::Fp32);
        (setup.train.batch_rows, setup.train.accumulate, setup.train.steps) = (rows, passes, Some(10));
        let ModelConfig::Gpt(gpt) = &mut setup.model else { panic!("a GPT was set up") };
        gpt.dropout = 0.0;
        let (model, mut state) = setup.begin(corpus.vocab_size());
        let mut listener = Listener::default();
        setup.fit(model.as_ref(), &mut state, &corpus, &dir.path().join("runs"), &mut listener).expect("a run");
        listener.reports.iter().map(|report| report.loss).collect::<Vec<_>>()
    };
    let whole = losses(8, 1);
    for (rows, passes) in [(4, 2), (1, 8)] {
        for (a, b) in whole.iter().zip(losses(rows, passes)) {
            assert!((a - b).abs() < 2e-5 * a, "{rows} x {passes}: {a} and {b}");
        }
    }
}

#[test]
fn patience_ends_a_run_and_the_best_checkpoint_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let corpus = corpus(&dir.path().join("corpus"));
    let mut setup = Setup::new(Precision::Fp32);
    (setup.train.patience_evals, setup.train.keep_checkpoints) = (Some(3), 1);
    let (model, mut state) = setup.begin(corpus.vocab_size());
    let mut listener = Listener { losses: vec![3.0, 2.0, 2.5, 2.4, 2.3, 1.0], ..Listener::default() };
    let stopped = setup.fit(model.as_ref(), &mut state, &corpus, dir.path(), &mut listener).expect("a run");
    assert_eq!((stopped, state.progress.step, state.progress.best.at), (Stopped::Patience, 10, Some((4, 2.0))));
    assert!(dir.path().join("00000004/DONE").exists(), "the best");
    assert!(dir.path().join("00000010/DONE").exists(), "the last");
    assert!(!dir.path().join("00000002").exists(), "an older one");
}
