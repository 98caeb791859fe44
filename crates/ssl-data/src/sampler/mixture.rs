//! Which source a sample is drawn from, and which of the source's own samples it is: a function of the sample's number.
//!
//! Sources take turns by their weights. Of two, the first has had floor(s p + shift) of the first s samples, with p its share and the
//! shift below 1; sample s is its own if that number grows there. Of more, the rest is divided in the same way. So every stretch of
//! samples has each source's share to within one sample a source, no source's samples are left out, and finding the place of a sample
//! costs a multiplication a source: nothing is drawn, and nothing is kept between samples.
//!
//! A curriculum changes the shares at given samples, and so does a source that was drawn as often as it may: such stretches are laid
//! out once, each with the counts of those before it.
//!
//! Source: Beatty 1926 (such sequences of floors part the whole numbers among two); the shift is Sturm's, as drawing machines use it.

use xxhash_rust::xxh3::xxh3_64;

use super::{SHIFT, Sampler};
use crate::batch::Window;
use crate::config::DataConfig;
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::rng::hash;

/// Keeps the seeds of sources apart from each other and from that of the whole.
const LANE: u64 = 5;

/// Sources that are drawn by weight.
#[derive(Debug)]
pub(super) struct Mixture {
    lanes: Vec<(String, Sampler)>,
    schedule: Schedule,
}

impl Mixture {
    /// The mixture of `config`, if its sources have weights.
    pub(super) fn of(corpus: &Corpus, config: &DataConfig, length: usize) -> Result<Option<Self>> {
        if config.sources.values().all(|source| source.weight.is_none()) {
            return Ok(None);
        }
        let parts = corpus.sources()?;
        let (mut lanes, mut stages) = (Vec::new(), vec![Stage::default(); config.curriculum.len() + 1]);
        let (mut limits, mut shifts) = (Vec::new(), Vec::new());
        for (name, source) in &config.sources {
            let mut weight = source.weight.unwrap_or(0.0);
            let weights: Vec<f64> = std::iter::once(weight)
                .chain(config.curriculum.iter().map(|phase| {
                    weight = phase.weights.get(name).copied().unwrap_or(weight);
                    weight
                }))
                .collect();
            if weights.iter().all(|&weight| weight == 0.0) {
                continue;
            }
            let part = parts.iter().find(|(other, part)| other == name && part.documents() > 0);
            let (_, part) = part.ok_or_else(|| Error::NoSource { source_name: name.clone() })?;
            // By its name, so that its windows keep their order when other sources come or go.
            let seed = hash(config.seed, LANE, xxh3_64(name.as_bytes()));
            let sampler = Sampler::new(part, &config.windows, length, seed)?;
            // The cast saturates; a source that may be drawn at all is drawn once.
            limits.push(source.max_epochs.map(|epochs| ((epochs * sampler.epoch_len() as f64) as u64).max(1)));
            shifts.push(hash(seed, SHIFT, 0));
            stages.iter_mut().zip(&weights).for_each(|(stage, &weight)| stage.weights.push(weight));
            lanes.push((name.clone(), sampler));
        }
        for (stage, phase) in stages.iter_mut().skip(1).zip(&config.curriculum) {
            stage.from = phase.from_sample;
        }
        Ok(Some(Self { lanes, schedule: Schedule::new(&stages, &limits, &shifts) }))
    }

    pub(super) fn window(&self, sample: u64) -> Result<Window> {
        match self.schedule.place(sample) {
            Some((lane, own)) => self.lanes[lane].1.window(own),
            None => Err(Error::Exhausted { sample, end: self.schedule.end.unwrap_or(0) }),
        }
    }

    pub(super) fn epochs(&self, sample: u64) -> Vec<(String, f64)> {
        let drawn = self.schedule.drawn(sample);
        let epochs =
            |((name, sampler), drawn): (&(String, Sampler), u64)| (name.clone(), drawn as f64 / sampler.epoch_len() as f64);
        self.lanes.iter().zip(drawn).map(epochs).collect()
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.schedule.end
    }
}

/// The weights from a sample on, as configured.
#[derive(Debug, Clone, Default)]
struct Stage {
    from: u64,
    weights: Vec<f64>,
}

/// Who has which turn, over the whole run.
#[derive(Debug)]
struct Schedule {
    lanes: usize,
    /// In order; the first begins at 0.
    stretches: Vec<Stretch>,
    /// Samples after which nobody has a turn.
    end: Option<u64>,
}

/// Samples from `from` on, under the same shares.
#[derive(Debug)]
struct Stretch {
    from: u64,
    /// Samples of each lane before this stretch.
    before: Vec<u64>,
    turns: Vec<Turn>,
}

/// One lane's part of what those before it leave over.
#[derive(Debug, Clone, Copy)]
struct Turn {
    lane: usize,
    /// In units of 2^-64; the last takes everything.
    share: u64,
    shift: u64,
}

impl Turn {
    /// How many of the first `samples` it takes.
    fn of(self, samples: u64) -> u64 {
        ((u128::from(samples) * u128::from(self.share) + u128::from(self.shift)) >> 64) as u64
    }
}

impl Stretch {
    /// The lane that has sample number `s` of the stretch, and how many of its own it had in the stretch before.
    fn place(&self, mut s: u64) -> Option<(usize, u64)> {
        let (last, others) = self.turns.split_last()?;
        for turn in others {
            let taken = turn.of(s);
            if turn.of(s + 1) > taken {
                return Some((turn.lane, taken));
            }
            s -= taken;
        }
        Some((last.lane, s))
    }

    /// Samples of each lane below number `s` of the stretch, those before the stretch included.
    fn drawn(&self, mut s: u64) -> Vec<u64> {
        let mut drawn = self.before.clone();
        if let Some((last, others)) = self.turns.split_last() {
            for turn in others {
                drawn[turn.lane] += turn.of(s);
                s -= turn.of(s);
            }
            drawn[last.lane] += s;
        }
        drawn
    }
}

impl Schedule {
    /// Lays out the stretches: a stage ends where the next begins, or sooner where a lane reaches its limit.
    fn new(stages: &[Stage], limits: &[Option<u64>], shifts: &[u64]) -> Self {
        let lanes = limits.len();
        let mut schedule = Self { lanes, stretches: Vec::new(), end: None };
        let (mut from, mut before) = (0, vec![0; lanes]);
        for (at, stage) in stages.iter().enumerate() {
            let until = stages.get(at + 1).map(|next| next.from);
            loop {
                let full = |lane: &usize, had: &[u64]| limits[*lane].is_some_and(|limit| had[*lane] >= limit);
                let active: Vec<usize> =
                    (0..lanes).filter(|&lane| stage.weights[lane] > 0.0).filter(|lane| !full(lane, &before)).collect();
                let stretch = Stretch { from, before: before.clone(), turns: turns(&active, &stage.weights, shifts) };
                if active.is_empty() {
                    schedule.end = Some(from);
                    schedule.stretches.push(stretch);
                    return schedule;
                }
                let length = until.map_or(u64::MAX - from, |until| until - from);
                let any_full = |s: u64| {
                    let had = stretch.drawn(s);
                    active.iter().any(|lane| full(lane, &had))
                };
                let stop = first(length, any_full);
                before = stretch.drawn(stop);
                schedule.stretches.push(stretch);
                from += stop;
                if stop == length {
                    break;
                }
            }
        }
        schedule
    }

    fn stretch(&self, sample: u64) -> Option<&Stretch> {
        let at = self.stretches.partition_point(|stretch| stretch.from <= sample);
        self.stretches.get(at.checked_sub(1)?)
    }

    /// The lane of a sample, and which of the lane's own it is.
    fn place(&self, sample: u64) -> Option<(usize, u64)> {
        let stretch = self.stretch(sample)?;
        let (lane, own) = stretch.place(sample - stretch.from)?;
        Some((lane, stretch.before[lane] + own))
    }

    /// Samples of each lane among those below `sample`.
    fn drawn(&self, sample: u64) -> Vec<u64> {
        self.stretch(sample).map_or_else(|| vec![0; self.lanes], |stretch| stretch.drawn(sample - stretch.from))
    }
}

/// The turns of the lanes that are active.
fn turns(active: &[usize], weights: &[f64], shifts: &[u64]) -> Vec<Turn> {
    let turn = |(at, &lane): (usize, &usize)| {
        let rest: f64 = active[at..].iter().map(|&lane| weights[lane]).sum();
        // The cast saturates.
        Turn { lane, share: (weights[lane] / rest * 2.0_f64.powi(64)) as u64, shift: shifts[lane] }
    };
    active.iter().enumerate().map(turn).collect()
}

/// The first number up to `end` that `holds`, which goes on holding once it does; `end` where none below it does.
fn first(end: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stage(from: u64, weights: &[f64]) -> Stage {
        Stage { from, weights: weights.to_vec() }
    }

    /// Walks over all samples below `count` and counts by hand.
    fn walk(schedule: &Schedule, count: u64) -> Vec<u64> {
        let mut had = vec![0; schedule.lanes];
        for sample in 0..count {
            assert_eq!(schedule.drawn(sample), had, "before sample {sample}");
            let Some((lane, own)) = schedule.place(sample) else {
                assert!(schedule.end.is_some_and(|end| end <= sample), "sample {sample}");
                continue;
            };
            // A lane's own samples come one after another, whatever came between.
            assert_eq!(own, had[lane], "sample {sample} of lane {lane}");
            had[lane] += 1;
        }
        had
    }

    proptest! {
        /// Whatever the weights, the phases and the limits: every sample is one of one lane, and none of a lane's is left out.
        #[test]
        fn lanes_take_turns_without_gaps(
            weights in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0.0), 0.001..10.0], 4), 1..4),
            limits in proptest::collection::vec(proptest::option::of(1_u64..150), 4),
            shifts in proptest::collection::vec(any::<u64>(), 4),
            lengths in proptest::collection::vec(1_u64..200, 3),
        ) {
            let mut from = 0;
            let stages: Vec<Stage> = weights.iter().zip([0].iter().chain(&lengths)).map(|(weights, length)| {
                from += length;
                stage(from, weights)
            }).collect();
            let schedule = Schedule::new(&stages, &limits, &shifts);
            let had = walk(&schedule, 800);
            for (lane, had) in had.iter().enumerate() {
                prop_assert!(limits[lane].is_none_or(|limit| *had <= limit), "lane {} had {}", lane, had);
            }
        }

        /// At every sample each lane is within the number of lanes of its share.
        #[test]
        fn shares_hold_at_every_moment(weights in proptest::collection::vec(0.01_f64..10.0, 2..6), shift: u64, sample in 0_u64..1 << 40) {
            let shifts: Vec<u64> = (0..weights.len() as u64).map(|lane| hash(shift, 0, lane)).collect();
            let schedule = Schedule::new(&[stage(0, &weights)], &vec![None; weights.len()], &shifts);
            let whole: f64 = weights.iter().sum();
            let drawn = schedule.drawn(sample);
            prop_assert_eq!(drawn.iter().sum::<u64>(), sample);
            for (drawn, weight) in drawn.iter().zip(&weights) {
                let expect = sample as f64 * weight / whole;
                prop_assert!((*drawn as f64 - expect).abs() <= weights.len() as f64 + expect * 1e-9, "{} of {}", drawn, expect);
            }
        }
    }

    #[test]
    fn a_full_lane_gives_its_place_to_the_others() {
        let schedule = Schedule::new(&[stage(0, &[1.0, 1.0, 2.0])], &[Some(10), None, None], &[0, 0, 0]);
        let drawn = schedule.drawn(10_000);
        assert_eq!(drawn[0], 10);
        assert!(drawn[1].abs_diff(3327) < 5 && drawn[2].abs_diff(6663) < 5, "{drawn:?}");
        assert_eq!(schedule.end, None);
    }

    #[test]
    fn the_end_is_told_where_every_lane_is_limited() {
        let schedule = Schedule::new(&[stage(0, &[1.0, 3.0])], &[Some(7), Some(30)], &[1, 2]);
        assert_eq!(schedule.end, Some(37));
        assert_eq!((schedule.place(36).is_some(), schedule.place(37)), (true, None));
        assert_eq!(walk(&schedule, 50), [7, 30]);
    }

    #[test]
    fn a_later_phase_does_not_move_what_came_before() {
        let one = Schedule::new(&[stage(0, &[1.0, 1.0])], &[None, None], &[5, 6]);
        let two = Schedule::new(&[stage(0, &[1.0, 1.0]), stage(1000, &[0.0, 1.0])], &[None, None], &[5, 6]);
        assert!((0..1000).all(|sample| one.place(sample) == two.place(sample)));
        assert!((1000..2000).all(|sample| two.place(sample).is_some_and(|(lane, _)| lane == 1)));
    }
}
