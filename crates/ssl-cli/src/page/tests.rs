//! The page as a whole.

use super::*;

fn record(step: u64) -> Record {
    Record {
        step,
        tokens: step.saturating_mul(512),
        loss: 3.0,
        lr: 1e-3,
        grad_norm: 1.0,
        tokens_per_second: 1e5,
        ..Record::default()
    }
}

fn page<'a>(title: &'a str, records: &'a [Record], score: Score) -> Page<'a> {
    let facts = Facts {
        model: "gpt",
        params: 1_234_567,
        device: "cpu",
        steps: 3,
        tokens: 1536,
        epochs: 0.5,
        seconds: 4.0,
        stopped_because: "all steps done",
        more: &[],
    };
    Page { title, facts, score, records, data: None, config: "[data]\n", environment: &[] }
}

#[test]
fn whatever_is_shown_stays_text() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&";
    let records = [Record { sample: Some(evil.into()), ..record(1) }];
    let environment = [(evil, evil.to_owned())];
    let facts =
        Facts { model: evil, device: evil, stopped_because: evil, more: &environment, ..page("t", &[], Score::default()).facts };
    let text = Page { facts, config: evil, environment: &environment, ..page(evil, &records, Score::default()) }.render();
    assert!(!text.contains("<img") && !text.contains("alert(1)</script>"), "{text}");
    let scripts = text.matches("<script").count();
    assert_eq!(scripts, text.matches("</script>").count());
    assert_eq!(scripts, text.matches("<figure").count() + 1);
}

#[test]
fn nothing_is_fetched() {
    let text = page("t", &[record(1), record(2)], Score::default()).render();
    for word in ["http://", "https://", "src=", "@import", "url(", "fetch("] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn comparison_is_told_either_way() {
    let told = |bits| {
        let score = Score { bits_per_byte: Some(bits), gzip: Some(2.0), xz: Some(1.0), ..Score::default() };
        page("t", &[], score).render()
    };
    assert!(told(0.5).contains("This model beats gzip -9 by 75 % and xz -9 by 50 %."));
    assert!(told(1.5).contains("This model beats gzip -9 by 25 %, but trails xz -9 by 50 %."));
    assert!(told(3.0).contains("This model trails gzip -9 by 50 % and xz -9 by 200 %."));
    assert!(!told(f64::NAN).contains("This model"));
    let task = Score { loss: Some(3.0), unigram: Some(6.0), ..Score::default() };
    assert!(page("t", &[], task).render().contains("This model beats a guess by frequency by 50 %."));
    assert!(page("t", &[], Score::default()).render().contains("was not measured"));
}

#[test]
fn numbers_that_are_none_break_nothing() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, f64::MAX, f64::MIN_POSITIVE] {
        let odd = |step| Record {
            loss: bad,
            lr: bad,
            grad_norm: bad,
            tokens_per_second: bad,
            val_bpb: Some(bad),
            mfu: Some(bad),
            ..record(step)
        };
        for records in [vec![odd(1)], vec![record(1), odd(2)], vec![odd(1), odd(2), odd(u64::MAX)]] {
            let score = Score {
                loss: Some(bad),
                perplexity: Some(bad),
                unigram: Some(bad),
                bits_per_byte: Some(bad),
                stderr: Some(bad),
                gzip: Some(bad),
                xz: Some(bad),
            };
            let text = page("t", &records, score).render();
            assert!(!text.contains("NaN") && !text.contains("\"inf") && !text.contains(" inf"), "{bad}: {text}");
        }
    }
    assert!(page("t", &[], Score::default()).render().contains("No step was logged"));
}

#[test]
fn long_runs_stay_small() {
    let records: Vec<Record> = (1..=20_000)
        .map(|step| Record { loss: (step as f64).sin(), sample: Some("word ".repeat(9999)), ..record(step) })
        .collect();
    let text = page("t", &records, Score::default()).render();
    assert!(text.len() < 1_000_000, "{}", text.len());
    assert_eq!(text.matches("<article").count(), 12);
    assert!(text.contains("<h3>step 1<") && text.contains("<h3>step 20,000<"));
}

#[test]
fn page_is_written_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("report.html");
    fs::write(&path, "before").expect("written");
    page("t", &[], Score::default()).write(&path).expect("written");
    assert!(fs::read_to_string(&path).expect("read").starts_with("<!doctype html>"));
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    assert!(page("t", &[], Score::default()).write(&dir.path().join("no/report.html")).is_err());
}
