//! Which curves of a run are drawn.

use ssl_train::report::Record;

use super::chart::{Chart, Series};
use super::scale::{Point, smooth};

/// Full width of the page, and half of it.
const FULL: f64 = 1040.0;
const HALF: f64 = 510.0;

/// Raw curves longer than this are shown faint, behind their moving average.
const NOISY: usize = 100;

/// The charts of a run's records, with the compressors' levels beside the model's bits per byte.
pub(super) fn curves(records: &[Record], levels: &[(&'static str, f64)]) -> String {
    let of = |value: fn(&Record) -> Option<f64>| -> Vec<Point> {
        records.iter().filter_map(|record| value(record).map(|value| (record.step as f64, drawable(value)))).collect()
    };
    let steps =
        records.first().zip(records.last()).map(|(first, last)| (first.step as f64, last.step as f64)).unwrap_or_default();
    let one = |title, unit, points: Vec<Point>| Chart {
        title,
        unit,
        across: "step",
        width: HALF,
        steps,
        series: noisy(points),
        levels: Vec::new(),
        from_zero: false,
        wide: f64::INFINITY,
    };
    let mut loss = one("Loss", "nats per token", of(|record| Some(record.loss)));
    loss.width = FULL;
    let validation = of(|record| record.val_loss);
    if !validation.is_empty() {
        loss.series.push(Series { name: "validation".into(), class: "validation", points: validation });
    }
    let bits = Chart {
        series: vec![Series { name: "validation".into(), class: "validation", points: of(|record| record.val_bpb) }],
        levels: levels.to_vec(),
        ..one("Bits per byte", "of validation text, lower is better", Vec::new())
    };
    let rate = Chart {
        series: vec![Series { name: "learning rate".into(), class: "train", points: of(|record| Some(record.lr)) }],
        from_zero: true,
        ..one("Learning rate", "per step", Vec::new())
    };
    let norm = Chart { wide: 30.0, ..one("Gradient norm", "before clipping", of(|record| Some(record.grad_norm))) };
    let speed = Chart { from_zero: true, ..one("Throughput", "tokens per second", of(|record| Some(record.tokens_per_second))) };
    let small: String = [bits, rate, norm, speed].iter().map(Chart::render).collect();
    format!("{}<div class=\"charts\">\n{small}</div>\n", loss.render())
}

/// No loss or norm beyond this says more than that it is broken, and its square must still be a number.
fn drawable(value: f64) -> f64 {
    if value.abs() < 1e30 { value } else { f64::NAN }
}

/// A curve, or a faint one with its running median where it is long.
fn noisy(points: Vec<Point>) -> Vec<Series> {
    if points.len() <= NOISY {
        return vec![Series { name: "train".into(), class: "train", points }];
    }
    let smoothed = smooth(&points, (points.len() / 100).clamp(5, 101));
    vec![
        Series { name: "train".into(), class: "faint", points },
        Series { name: "running median".into(), class: "train", points: smoothed },
    ]
}
