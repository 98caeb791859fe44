//! What is said, and how often.

use std::sync::Arc;

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a page").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines(style: Style, every: Duration, work: impl Fn(&Progress)) -> Vec<String> {
    let page = Page::default();
    work(&Progress::to(style, every, Box::new(page.clone())));
    let bytes = page.0.lock().expect("a page").clone();
    String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn training_line_is_the_documented_one() {
    let line = StepLine {
        step: 1200,
        steps: 20000,
        loss: 3.41272,
        bpb: Some(1.2134),
        norm: 0.84,
        lr: 2.7e-4,
        tokens_per_second: 412_345.0,
        mfu: Some(0.381),
        eta_seconds: 4320.0,
    };
    assert_eq!(
        line.to_string(),
        "step 1200/20000  loss 3.4127 nats  bpb 1.213  norm 0.84  lr 2.7e-4  412 k tok/s  mfu 38.1%  eta 1h12m"
    );
    let broken = StepLine { loss: f64::NAN, bpb: None, mfu: None, eta_seconds: f64::INFINITY, ..line };
    assert_eq!(broken.to_string(), "step 1200/20000  loss NaN nats  norm 0.84  lr 2.7e-4  412 k tok/s  eta ?");
}

#[test]
fn steps_are_sparse_and_the_last_is_shown() {
    let work =
        |progress: &Progress| (1..=50).for_each(|step| progress.step(&StepLine { step, steps: 50, ..StepLine::default() }));
    let told = lines(Style::Lines, EVERY, work);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("step 1/50 ") && told[1].starts_with("step 50/50 "), "{told:?}");
    assert_eq!(lines(Style::Lines, Duration::ZERO, work).len(), 50);
    assert_eq!(lines(Style::Quiet, Duration::ZERO, work).len(), 0);
}

#[test]
fn stages_end_with_a_line_each() {
    let work = |progress: &Progress| {
        for done in 0..=10 {
            progress.stage("clean", done * 1_000_000, Some(10_000_000), done * 2);
        }
        progress.stage("count", 0, None, 0);
        progress.stage("count", 5, Some(0), 1);
        progress.say("a word between");
        progress.finish();
    };
    let told = lines(Style::Lines, EVERY, work);
    let starts = ["clean done  10 MB  20 documents in ", "a word between", "count done  5 B  1 documents in "];
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{told:?}");
    let dense = lines(Style::Lines, Duration::ZERO, work);
    assert!(dense.iter().any(|line| line.starts_with("clean  50%  5 MB of 10 MB  10 documents  ")), "{dense:?}");
    assert!(lines(Style::Quiet, Duration::ZERO, work).is_empty());
}
