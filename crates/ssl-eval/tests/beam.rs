//! Beam search over a decoder whose every probability is known.

use ssl_data::batch::{Batch, Source};
use ssl_data::rng::Rng;
use ssl_eval::beam::Beam;
use ssl_model::{Cache, Decode, Loss, Model, Pass};
use tch::{Device, Kind, Tensor};

const VOCAB: usize = 4;
const END: u32 = 0;
const START: u32 = 3;
const LONGEST: usize = 5;

/// Probabilities that depend on the source, on all tokens so far and on nothing else.
struct Toy;

impl Toy {
    fn log_p(source: i64, text: &[u32]) -> Vec<f64> {
        let place = text.iter().fold(source as u64 + 1, |hash, &id| hash * 31 + u64::from(id) + 7);
        let mut rng = Rng::at(11, 0, place);
        let logits: Vec<f64> = (0..VOCAB).map(|_| 3.0 * rng.unit()).collect();
        let norm = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        logits.iter().map(|logit| logit - norm).collect()
    }
}

impl Model for Toy {
    fn loss(&self, _: &Batch<Tensor>, _: Pass) -> Loss {
        unreachable!("nothing is trained")
    }

    fn hidden(&self, _: &Batch<Tensor>, _: Pass) -> Tensor {
        unreachable!("nothing is embedded")
    }

    fn logits(&self, _: &Batch<Tensor>) -> Tensor {
        unreachable!("it writes token by token")
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn context(&self) -> usize {
        LONGEST
    }
}

impl Decode for Toy {
    /// The cache holds the source, and beside it all tokens read.
    fn cache(&self, source: Option<&Source<Tensor>>) -> Cache {
        let ids = source.expect("a source").ids.shallow_clone();
        let none = ids.narrow(1, 0, 0);
        Cache { layers: vec![Some((ids, none))], ..Cache::default() }
    }

    fn next(&self, tokens: &Tensor, cache: &mut Cache) -> Tensor {
        let (source, text) = cache.layers[0].take().expect("a cache");
        let text = Tensor::cat(&[text, tokens.shallow_clone()], 1);
        let rows: Vec<f32> = (0..text.size()[0])
            .flat_map(|row| {
                let ids: Vec<i64> = Vec::try_from(text.get(row)).expect("ids");
                let ids: Vec<u32> = ids[1..].iter().map(|&id| id as u32).collect();
                // Unnormalised: the search takes the softmax.
                Toy::log_p(source.int64_value(&[row, 0]), &ids).into_iter().map(|log_p| log_p as f32 + 5.0)
            })
            .collect();
        cache.layers[0] = Some((source, text));
        Tensor::from_slice(&rows).view([-1, VOCAB as i64])
    }

    fn vocab(&self) -> usize {
        VOCAB
    }
}

fn sources(n: i64) -> Source<Tensor> {
    let ids = Tensor::arange(n, (Kind::Int64, Device::Cpu)).unsqueeze(1);
    Source { present: ids.ones_like(), ids }
}

/// Every text of up to `LONGEST` tokens that ends, the best first.
fn every(source: i64, alpha: f64) -> Vec<(f64, Vec<u32>)> {
    let mut ended = Vec::new();
    let mut open = vec![(0.0, Vec::new())];
    for length in 1..=LONGEST {
        let mut longer = Vec::new();
        for (log_p, text) in open {
            for (id, step) in Toy::log_p(source, &text).into_iter().enumerate() {
                if id as u32 == END {
                    ended.push(((log_p + step) / ((5.0 + length as f64) / 6.0).powf(alpha), text.clone()));
                } else {
                    longer.push((log_p + step, [&text[..], &[id as u32]].concat()));
                }
            }
        }
        open = longer;
    }
    ended.sort_by(|a, b| b.0.total_cmp(&a.0));
    ended
}

#[test]
fn a_wide_beam_finds_what_looking_at_everything_finds() {
    for alpha in [0.0, 0.6, 2.0] {
        // As wide as there are texts, so that nothing is cut off and none stops the search early.
        let beam = Beam { width: 3_usize.pow(LONGEST as u32) * 2, alpha, max_tokens: LONGEST };
        let found = beam.search(&Toy, &sources(6), START, END).expect("texts");
        for (source, found) in found.iter().enumerate() {
            assert_eq!(found, &every(source as i64, alpha)[0].1, "source {source}, alpha {alpha}");
        }
    }
}

#[test]
fn a_beam_of_one_always_takes_the_likeliest() {
    let found = Beam { width: 1, alpha: 0.6, max_tokens: LONGEST }.search(&Toy, &sources(12), START, END).expect("texts");
    let mut lengths = Vec::new();
    for (source, found) in found.iter().enumerate() {
        let mut text = Vec::new();
        while text.len() < LONGEST {
            let log_p = Toy::log_p(source as i64, &text);
            let best = (0..VOCAB).reduce(|best, id| if log_p[id] > log_p[best] { id } else { best }).expect("ids") as u32;
            if best == END {
                break;
            }
            text.push(best);
        }
        assert_eq!(found, &text, "source {source}");
        lengths.push(text.len());
    }
    assert!(lengths.contains(&LONGEST) && lengths.iter().any(|&n| n < LONGEST), "ended and cut off: {lengths:?}");
}

#[test]
fn sources_do_not_meet() {
    let beam = Beam { width: 3, alpha: 0.6, max_tokens: LONGEST };
    let together = beam.search(&Toy, &sources(8), START, END).expect("texts");
    let all = sources(8);
    for row in 0..8 {
        let alone = Source { ids: all.ids.narrow(0, row, 1), present: all.present.narrow(0, row, 1) };
        assert_eq!(beam.search(&Toy, &alone, START, END).expect("texts")[0], together[row as usize]);
    }
}
