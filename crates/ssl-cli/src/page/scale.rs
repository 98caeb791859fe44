//! From numbers to places on paper: ranges, ticks, and fewer points that still show every extreme.

/// A point of a curve; `y` may be non-finite, which is a gap.
pub(super) type Point = (f64, f64);

/// How values are laid along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The value at the axis' beginning.
    pub(super) low: f64,
    /// The value at its end, above `low`.
    pub(super) high: f64,
    /// Whether equal ratios take equal room.
    pub(super) log: bool,
}

impl Scale {
    /// Covers `values` exactly.
    pub(super) fn tight(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = extent(values)?;
        // One value alone sits in the middle.
        let half = if high > low { 0.0 } else { (low.abs() * 0.05).max(0.5) };
        Some(Self { low: low - half, high: high + half, log: false })
    }

    /// Covers `values` with a little room, from zero on if asked; ratios beyond `wide` are laid out by logarithm.
    pub(super) fn roomy(values: impl Iterator<Item = f64>, from_zero: bool, wide: f64) -> Option<Self> {
        let (low, high) = extent(values)?;
        if low > 0.0 && high / low > wide {
            return Some(Self { low: low / 1.15, high: high * 1.15, log: true });
        }
        let low = if from_zero { low.min(0.0) } else { low };
        let room = if high > low { (high - low) * 0.06 } else { (high.abs() * 0.1).max(0.5) };
        let below = if from_zero && low == 0.0 { 0.0 } else { room };
        Some(Self { low: low - below, high: high + room, log: false })
    }

    /// Where a value lies: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log { (value / self.low).ln() / (self.high / self.low).ln() } else { (value - self.low) / (self.high - self.low) }
    }

    /// About `count` round values inside.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        if self.log && self.high / self.low >= 10.0 {
            return self.log_ticks(count);
        }
        let rough = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|unit| unit * power).find(|step| *step >= rough).unwrap_or(power * 10.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        if !step.is_normal() || last.saturating_sub(first) > 1000 {
            return Vec::new();
        }
        (first..=last).map(|tick| tick as f64 * step).collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = (self.high / self.low).log10().ceil().max(1.0) as usize;
        let units: &[f64] = if decades * 3 <= count * 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / count.max(1)).max(1);
        let powers = (first..=last).step_by(every).map(|power| 10f64.powi(power));
        powers
            .flat_map(|power| units.iter().map(move |unit| unit * power))
            .filter(|t| (self.low..=self.high).contains(t))
            .collect()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// At most `limit` of the points (of at least 8): of each stretch the lowest, the highest and a gap where there is one, and both ends.
pub(super) fn thin(points: &[Point], limit: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= limit {
        return points.to_vec();
    }
    let stretches = (limit.max(8) - 2) / 3;
    let mut kept = vec![*first];
    let inner = &points[1..points.len() - 1];
    for stretch in inner.chunks(inner.len().div_ceil(stretches)) {
        let finite = || stretch.iter().enumerate().filter(|(_, point)| point.1.is_finite());
        let low = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let high = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let gap = stretch.iter().position(|point| !point.1.is_finite());
        let mut keep: Vec<usize> = low.map(|(at, _)| at).into_iter().chain(high.map(|(at, _)| at)).chain(gap).collect();
        keep.sort_unstable();
        keep.dedup();
        kept.extend(keep.into_iter().map(|at| stretch[at]));
    }
    kept.push(*last);
    kept
}

/// The running median over `span` points around each, fewer towards the ends; gaps stay gaps. It lags nowhere and shrugs off spikes.
pub(super) fn smooth(points: &[Point], span: usize) -> Vec<Point> {
    let mut window = Vec::with_capacity(span + 1);
    let mut one = |at: usize| {
        let (x, y) = points[at];
        if !y.is_finite() {
            return (x, f64::NAN);
        }
        // As far to one side as to the other, so that a slope is followed; at the ends a few points, so that a spike is not.
        let half = (span / 2).min(at.min(points.len() - 1 - at).max(2));
        let around = &points[at.saturating_sub(half)..points.len().min(at + half + 1)];
        window.clear();
        window.extend(around.iter().map(|point| point.1).filter(|y| y.is_finite()));
        let middle = window.len() / 2;
        let (_, median, _) = window.select_nth_unstable_by(middle, f64::total_cmp);
        (x, *median)
    };
    (0..points.len()).map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        let scale = |low, high, log| Scale { low, high, log };
        assert_eq!(scale(0.0, 10.0, false).ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale(0.9, 5.2, false).ticks(5), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(scale(0.5, 150.0, true).ticks(5), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(scale(1e-9, 1e3, true).ticks(4), [1e-9, 1e-6, 1e-3, 1.0, 1e3]);
    }

    #[test]
    fn nothing_and_one_value() {
        assert_eq!(Scale::tight([f64::NAN, f64::INFINITY].into_iter()), None);
        for value in [0.0, 3.0, -1e9] {
            let scale = Scale::tight([value].into_iter()).expect("a scale");
            assert!((scale.place(value) - 0.5).abs() < 1e-9);
        }
        assert!(thin(&[], 9).is_empty());
    }

    #[test]
    fn smoothing_follows_a_line_past_spikes_and_gaps() {
        let line = |x: u32| f64::from(x) * 2.0;
        let noisy = |x| match x {
            30 => f64::NAN,
            60 | 99 => 1e9,
            _ => line(x),
        };
        let points: Vec<Point> = (0..100).map(|x| (f64::from(x), noisy(x))).collect();
        for (x, (_, y)) in (0..).zip(smooth(&points, 11)) {
            assert!(if x == 30 { y.is_nan() } else { (y - line(x)).abs() <= 4.0 }, "{x} {y}");
        }
    }

    proptest! {
        #[test]
        fn thinning_keeps_extremes_ends_order_and_gaps(
            ys in prop::collection::vec(prop_oneof![9 => -1e6..1e6, 1 => Just(f64::NAN)], 1..3000),
            limit in 8..1500_usize,
        ) {
            let points: Vec<Point> = ys.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            let kept = thin(&points, limit);
            prop_assert!(kept.len() <= limit.max(8));
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let ends = |points: &[Point]| points.first().zip(points.last()).map(|(first, last)| (first.0.to_bits(), last.0.to_bits()));
            prop_assert_eq!(ends(&kept), ends(&points));
            let range = |points: &[Point]| extent(points.iter().map(|point| point.1));
            prop_assert_eq!(range(&kept), range(&points));
            prop_assert_eq!(kept.iter().any(|point| point.1.is_nan()), ys.iter().any(|y| y.is_nan()));
        }

        #[test]
        fn ticks_lie_inside(low in -1e9..1e9_f64, size in 1e-3..1e9_f64, count in 2..10_usize) {
            let scale = Scale { low, high: low + size, log: false };
            let ticks = scale.ticks(count);
            prop_assert!(!ticks.is_empty() && ticks.len() <= count + 1, "{:?}", ticks);
            let slack = 1e-9 * (low.abs() + size);
            prop_assert!(ticks.iter().all(|tick| (low - slack..=low + size + slack).contains(tick)));
        }
    }
}
