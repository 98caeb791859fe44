//! From logits to a token: what the text has is penalised, unlikely tokens are cut off, and one of the rest is drawn.
//!
//! Source: temperature as in Ackley, Hinton and Sejnowski 1985; top-k: Fan, Lewis and Dauphin 2018; top-p: Holtzman et
//! al. 2020; min-p: Nguyen et al. 2025; the penalty of repetitions: Keskar et al. 2019, section 4.1; those of frequency and
//! presence, and the bias: the reference of OpenAI's API, which counts what was written and not the prompt.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ssl_data::rng::Rng;

use super::Sampling;

/// The text before a draw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Past<'a> {
    /// What was given.
    pub prompt: &'a [u32],
    /// What was drawn since.
    pub written: &'a [u32],
}

/// Draws token number `index` from logits, without regard to what the text has.
#[must_use]
pub fn pick(logits: &[f32], sampling: &Sampling, index: u64) -> u32 {
    draw(logits, sampling, Past::default(), index)
}

/// Draws token number `index` from the logits that follow `past`. Settings that mean nothing, such as not-a-number, change nothing.
#[must_use]
pub fn draw(logits: &[f32], sampling: &Sampling, past: Past<'_>, index: u64) -> u32 {
    let logits = &*penalised(logits, sampling, past);
    // Not-a-number is not above 0 either.
    if sampling.temperature > 0.0 { cut(logits, sampling, index) } else { likeliest(logits) }
}

/// The first of the likeliest tokens.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

/// Beyond this a penalty or a bias decides everything already, and sums stay finite.
const MOST: f64 = 1e6;

/// A setting within reason: `neutral` where it is not a number.
fn sane(value: f64, neutral: f64) -> f64 {
    if value.is_nan() { neutral } else { value.clamp(-MOST, MOST) }
}

/// Logits after penalties and bias.
fn penalised<'a>(logits: &'a [f32], sampling: &Sampling, past: Past<'_>) -> Cow<'a, [f32]> {
    let repetition = sane(sampling.repetition_penalty, 1.0);
    let repetition = if repetition > 0.0 { repetition } else { 1.0 };
    let [frequency, presence] = [sampling.frequency_penalty, sampling.presence_penalty].map(|penalty| sane(penalty, 0.0));
    let mut changed = Cow::Borrowed(logits);
    let mut change = |id: u32, f: &dyn Fn(f64) -> f64| {
        if (id as usize) < logits.len() {
            let logit = &mut changed.to_mut()[id as usize];
            *logit = f(f64::from(*logit)) as f32;
        }
    };
    if (repetition - 1.0).abs() > 0.0 {
        let seen: BTreeSet<u32> = past.prompt.iter().chain(past.written).copied().collect();
        for id in seen {
            change(id, &|logit| if logit > 0.0 { logit / repetition } else { logit * repetition });
        }
    }
    if frequency.abs() + presence.abs() > 0.0 {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for &id in past.written {
            *counts.entry(id).or_default() += 1;
        }
        for (id, count) in counts {
            change(id, &|logit| logit - frequency * f64::from(count) - presence);
        }
    }
    for &(id, bias) in &sampling.logit_bias {
        change(id, &|logit| logit + sane(f64::from(bias), 0.0));
    }
    changed
}

/// Ids from the likeliest down, sorted only as far as they are looked at: most draws need a few of many thousands.
struct Ranking<'a> {
    logits: &'a [f32],
    ids: Vec<u32>,
    sorted: usize,
}

/// How many ids are sorted at first.
const FIRST: usize = 64;

impl<'a> Ranking<'a> {
    fn new(logits: &'a [f32]) -> Self {
        Self { logits, ids: (0..logits.len() as u32).collect(), sorted: 0 }
    }

    /// The id of this rank, which is below the number of ids. Equal logits keep the order of ids, so that it depends on no sort.
    fn at(&mut self, rank: usize) -> u32 {
        if rank >= self.sorted {
            let until = (rank + 1).max(4 * self.sorted).max(FIRST).min(self.ids.len());
            let logits = self.logits;
            let descending = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
            let rest = &mut self.ids[self.sorted..];
            let count = until - self.sorted;
            if count < rest.len() {
                rest.select_nth_unstable_by(count, descending);
            }
            rest[..count].sort_unstable_by(descending);
            self.sorted = until;
        }
        self.ids[rank]
    }
}

/// Draws among the tokens that top-k, top-p and min-p leave, in this order.
fn cut(logits: &[f32], sampling: &Sampling, index: u64) -> u32 {
    if logits.is_empty() {
        return 0;
    }
    let mut ranking = Ranking::new(logits);
    let highest = f64::from(logits[ranking.at(0) as usize]);
    let weight = |id: u32| ((f64::from(logits[id as usize]) - highest) / sampling.temperature).exp();
    let most = sampling.top_k.map_or(logits.len(), |k| (k as usize).clamp(1, logits.len()));
    let total: f64 = if most < logits.len() {
        (0..most).map(|rank| weight(ranking.at(rank))).sum()
    } else {
        (0..logits.len() as u32).map(weight).sum()
    };
    let top_p = if sampling.top_p.is_nan() { 1.0 } else { sampling.top_p };
    let min_p = if sampling.min_p.is_nan() { 0.0 } else { sampling.min_p };
    let (mut kept, mut mass) = (most, total);
    if top_p < 1.0 || min_p > 0.0 {
        (kept, mass) = (0, 0.0);
        while kept < most {
            let next = weight(ranking.at(kept));
            if kept > 0 && (mass >= top_p * total || next < min_p) {
                break;
            }
            mass += next;
            kept += 1;
        }
    }
    let mut left = Rng::at(sampling.seed, STREAM, index).unit() * mass;
    for rank in 0..kept {
        let id = ranking.at(rank);
        left -= weight(id);
        if left < 0.0 {
            return id;
        }
    }
    ranking.at(kept - 1)
}

/// The log-probability of `id` under the model's own distribution, and those of the `top` likeliest, the best first.
#[must_use]
pub fn log_probs(logits: &[f32], id: u32, top: usize) -> (f32, Vec<(u32, f32)>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    let norm = f64::from(highest) + sum.ln();
    let of = |id: u32| logits.get(id as usize).map_or(f32::NEG_INFINITY, |&logit| (f64::from(logit) - norm) as f32);
    let mut ranking = Ranking::new(if top > 0 { logits } else { &[] });
    let best = (0..top.min(logits.len())).map(|rank| ranking.at(rank)).map(|id| (id, of(id))).collect();
    (of(id), best)
}

/// Keeps sampling apart from the other uses of a seed.
const STREAM: u64 = 0x7361_6d70_6c65_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, -1.0];

    fn shares(sampling: &Sampling) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for index in 0..20_000 {
            counts[pick(&LOGITS, sampling, index) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        for temperature in [0.5, 1.0, 2.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let total: f64 = weights.iter().sum();
            let found = shares(&Sampling { temperature, ..Sampling::default() });
            for (share, weight) in found.iter().zip(weights) {
                // Four standard deviations of a share of 20 000 draws.
                assert!((share - weight / total).abs() < 4.0 * 0.0036, "{temperature}: {found:?}");
            }
        }
    }

    #[test]
    fn cuts_keep_the_likeliest() {
        let top_k = shares(&Sampling { top_k: Some(2), ..Sampling::default() });
        assert!(top_k[0] == 0.0 && top_k[3] == 0.0 && top_k[1] > top_k[2] && top_k[2] > 0.0);
        // The likeliest alone holds 0.64: a share of 0.6 needs only it, 0.7 needs the second.
        assert!((shares(&Sampling { top_p: 0.6, ..Sampling::default() })[1] - 1.0).abs() < 1e-9);
        let two = shares(&Sampling { top_p: 0.7, ..Sampling::default() });
        assert!(two[2] > 0.0 && two[0] == 0.0);
        assert_eq!(pick(&LOGITS, &Sampling { temperature: 0.0, ..Sampling::default() }, 3), 1);
    }

    #[test]
    fn a_draw_is_a_function_of_seed_and_index() {
        let sampling = Sampling { seed: 5, ..Sampling::default() };
        let drawn = |seed| (0..50).map(|i| pick(&LOGITS, &Sampling { seed, ..sampling.clone() }, i)).collect::<Vec<_>>();
        assert_eq!(drawn(5), drawn(5));
        assert_ne!(drawn(5), drawn(6));
    }

    #[test]
    fn a_draw_without_cuts_is_that_of_a_full_sort() {
        // Many ids of nearly equal weight, so that draws reach far beyond what is sorted first.
        let logits: Vec<f32> = (0..3000_u32).map(|id| ((id * 7919) % 3000) as f32 / 3000.0).collect();
        let mut order: Vec<u32> = (0..3000).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        for index in 0..200 {
            let mut left = Rng::at(0, STREAM, index).unit() * total;
            let slow = order.iter().find(|id| {
                left -= f64::from(logits[**id as usize]).exp();
                left < 0.0
            });
            assert_eq!(Some(&pick(&logits, &Sampling::default(), index)), slow);
        }
    }

    #[test]
    fn min_p_is_a_share_of_the_likeliest() {
        // The weights are 1, e^-1, e^-2 and e^-3 of the likeliest's.
        let kept = |min_p| shares(&Sampling { min_p, ..Sampling::default() }).map(|share| share > 0.0);
        assert_eq!(kept(0.4), [false, true, false, false]);
        assert_eq!(kept(0.3), [false, true, true, false]);
        assert_eq!(kept(0.1), [true, true, true, false]);
    }

    #[test]
    fn penalties_and_bias_are_those_of_their_definitions() {
        let logits = [3.0, -1.0, 0.5, 2.0];
        let past = Past { prompt: &[0], written: &[1, 3, 3] };
        let after = |sampling: Sampling| penalised(&logits, &sampling, past).to_vec();
        let plain = Sampling::default();
        assert_eq!(after(Sampling { repetition_penalty: 2.0, ..plain.clone() }), [1.5, -2.0, 0.5, 1.0]);
        assert_eq!(after(Sampling { frequency_penalty: 0.5, ..plain.clone() }), [3.0, -1.5, 0.5, 1.0]);
        assert_eq!(after(Sampling { presence_penalty: 0.5, ..plain.clone() }), [3.0, -1.5, 0.5, 1.5]);
        assert_eq!(after(Sampling { logit_bias: vec![(2, 4.0), (99, 1.0)], ..plain.clone() }), [3.0, -1.0, 4.5, 2.0]);
        assert!(matches!(penalised(&logits, &plain, past), Cow::Borrowed(_)));
    }

    #[test]
    fn absurd_settings_draw_a_token_all_the_same() {
        let absurd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e308, -1e308, 5e-324];
        let past = Past { prompt: &[0, 7], written: &[1, 1, 4_000_000] };
        for value in absurd {
            let settings = [
                Sampling { temperature: value, ..Sampling::default() },
                Sampling { top_p: value, ..Sampling::default() },
                Sampling { min_p: value, ..Sampling::default() },
                Sampling { repetition_penalty: value, ..Sampling::default() },
                Sampling { frequency_penalty: value, ..Sampling::default() },
                Sampling { presence_penalty: value, ..Sampling::default() },
                Sampling { logit_bias: (0..9).map(|id| (id, value as f32)).collect(), ..Sampling::default() },
                Sampling { top_k: Some(0), temperature: value, ..Sampling::default() },
                Sampling { top_k: Some(u32::MAX), top_p: value, ..Sampling::default() },
            ];
            for sampling in settings {
                assert!(draw(&LOGITS, &sampling, past, 0) < 4, "{sampling:?}");
            }
        }
        assert_eq!(pick(&[], &Sampling::default(), 0), 0);
    }

    #[test]
    fn log_probabilities_are_the_models_own() {
        let (own, best) = log_probs(&LOGITS, 2, 2);
        let norm = LOGITS.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
        assert!((f64::from(own) - (1.0 - norm)).abs() < 1e-6);
        assert_eq!(best.iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2]);
        assert!((f64::from(best[0].1) - (2.0 - norm)).abs() < 1e-6);
        assert_eq!(log_probs(&LOGITS, 9, 0), (f32::NEG_INFINITY, vec![]));
    }
}
