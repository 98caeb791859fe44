//! Beam search: the likeliest texts that a decoder writes from each of several sources.
//!
//! `score(y) = log p(y | x) / ((5 + |y|) / 6)^alpha`. Source: Wu et al. 2016, "Google's neural machine translation system",
//! equation 14; Vaswani et al. 2017, section 6.1, whose beam of 4 and alpha of 0.6 are the defaults.

use ssl_data::batch::Source;
use ssl_model::Model;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// How wide and how long is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beam {
    /// Texts kept at each step; 1 always takes the likeliest token.
    pub width: usize,
    /// The strength of the length penalty; 0 has none.
    pub alpha: f64,
    /// The most tokens written, the end included.
    pub max_tokens: usize,
}

impl Default for Beam {
    fn default() -> Self {
        Self { width: 4, alpha: 0.6, max_tokens: 128 }
    }
}

/// A text on its way.
#[derive(Debug, Clone)]
struct Text {
    ids: Vec<u32>,
    log_p: f64,
}

impl Beam {
    fn score(&self, log_p: f64, length: usize) -> f64 {
        log_p / ((5.0 + length as f64) / 6.0).powf(self.alpha)
    }

    /// The best text for each row of `source`, without its end: decoding begins with `start`; `end` ends a text.
    ///
    /// The search of a source ends when as many texts have ended as the beam is wide.
    ///
    /// # Errors
    /// When the model does not write, its output is not finite, or an operation fails.
    pub fn search(&self, model: &dyn Model, source: &Source<Tensor>, start: u32, end: u32) -> Result<Vec<Vec<u32>>> {
        let decoder = model.decoder().ok_or(Error::NoDecoder)?;
        let (b, k) = (source.ids.size()[0] as usize, self.width.max(1));
        let device = source.ids.device();
        let mut cache = ssl_torch::guard(|| tch::no_grad(|| decoder.cache(Some(source))))?;
        // Row i of the source stands in rows i k to i k + k - 1; at first only one of them is alive.
        let spread: Vec<i64> = (0..b * k).map(|row| (row / k) as i64).collect();
        ssl_torch::guard(|| cache.select(&Tensor::from_slice(&spread).to_device(device)))?;
        let dead = Text { ids: Vec::new(), log_p: f64::NEG_INFINITY };
        let mut alive: Vec<Text> =
            (0..b * k).map(|row| Text { log_p: if row % k == 0 { 0.0 } else { dead.log_p }, ..dead.clone() }).collect();
        let mut ended: Vec<Vec<Text>> = vec![Vec::new(); b];
        let mut last = vec![i64::from(start); b * k];
        for length in 1..=self.max_tokens {
            let (values, indices, vocab) = ssl_torch::guard(|| {
                tch::no_grad(|| {
                    let tokens = Tensor::from_slice(&last).view([-1, 1]).to_device(device);
                    let log_p = decoder.next(&tokens, &mut cache).log_softmax(-1, Kind::Float);
                    let vocab = log_p.size()[1];
                    let before: Vec<f64> = alive.iter().map(|text| text.log_p).collect();
                    let total = log_p.to_kind(Kind::Double) + Tensor::from_slice(&before).to_device(device).unsqueeze(1);
                    let most = (2 * k as i64).min(k as i64 * vocab);
                    let (values, indices) = total.view([b as i64, -1]).topk(most, 1, true, true);
                    (Vec::<Vec<f64>>::try_from(values), Vec::<Vec<i64>>::try_from(indices), vocab)
                })
            })?;
            let (values, indices) = (values.unwrap_or_default(), indices.unwrap_or_default());
            if values.iter().flatten().any(|value| value.is_nan()) {
                return Err(Error::NonFinite { tokens: length as u64 });
            }
            let mut next = Vec::with_capacity(b * k);
            let mut from = Vec::with_capacity(b * k);
            for (row, (values, indices)) in values.iter().zip(&indices).enumerate() {
                let first = next.len();
                // A source whose search has ended goes along, and is not looked at.
                let values = if ended[row].len() < k { &values[..] } else { &[] };
                for (&log_p, &index) in values.iter().zip(indices) {
                    let (origin, id) = (row * k + (index / vocab) as usize, (index % vocab) as u32);
                    if log_p.is_infinite() || next.len() - first == k {
                        break;
                    }
                    if id == end {
                        ended[row].push(Text { ids: alive[origin].ids.clone(), log_p: self.score(log_p, length) });
                    } else {
                        let ids = alive[origin].ids.iter().copied().chain([id]).collect();
                        next.push(Text { ids, log_p });
                        from.push(origin as i64);
                    }
                }
                // The vocabulary may be too small to fill the beam.
                next.resize(first + k, dead.clone());
                from.resize(first + k, (row * k) as i64);
            }
            alive = next;
            last = alive.iter().map(|text| text.ids.last().map_or(i64::from(start), |&id| i64::from(id))).collect();
            if ended.iter().all(|ended| ended.len() >= k) {
                break;
            }
            ssl_torch::guard(|| cache.select(&Tensor::from_slice(&from).to_device(device)))?;
        }
        let best = |row: usize| {
            let open = alive[row * k..(row + 1) * k].iter().map(|text| (self.score(text.log_p, text.ids.len()), &text.ids));
            // A text that has ended goes before one that had to be cut off.
            let candidates: Vec<_> = if ended[row].is_empty() {
                open.collect()
            } else {
                ended[row].iter().map(|text| (text.log_p, &text.ids)).collect()
            };
            let best = candidates.into_iter().reduce(|best, one| if one.0 > best.0 { one } else { best });
            best.map_or_else(Vec::new, |(_, ids)| ids.clone())
        };
        Ok((0..b).map(best).collect())
    }
}
