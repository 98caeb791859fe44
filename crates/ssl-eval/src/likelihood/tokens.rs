//! How likely a model found each token of a text, and what it would rather have read there.

use std::collections::BTreeSet;

use ssl_data::batch::Attend;
use tch::{Device, Kind};

use super::plan::Plan;
use super::{Frame, Scorer};
use crate::bits_per_byte::upload;
use crate::error::{Error, Result};

/// What could stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its tokens: one, but for a model that writes runs of them.
    pub ids: Vec<u32>,
    /// Their text; a special token stands under its name.
    pub text: String,
    /// Its probability.
    pub probability: f64,
}

/// One token of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Which one it is.
    pub id: u32,
    /// Its text; a letter that is cut between tokens stands with the last of them.
    pub text: String,
    /// How likely the model found it.
    pub probability: f64,
    /// Its place among all tokens by probability; 1 is the likeliest.
    pub rank: u64,
    /// The likeliest tokens there, the best first.
    pub candidates: Vec<Candidate>,
}

/// What is said of one place.
#[derive(Debug)]
pub(super) struct Place {
    probability: f64,
    rank: u64,
    /// The likeliest ids, and their probabilities.
    pub(super) likeliest: Vec<(u32, f64)>,
}

impl Scorer<'_> {
    /// How likely each token of a text was, under the very questions of [`Self::text_nats`], to which their logarithms add up; and
    /// the `top_k` likeliest tokens in its place. `stop` is told the share that is done between batches, and asked.
    ///
    /// A model that looks to both sides reads the text once for each token.
    ///
    /// # Errors
    /// When the model's output is not finite, an operation fails, or `stop` says so.
    pub fn tokens(&self, text: &str, top_k: usize, stop: &dyn Fn(f64) -> bool) -> Result<Vec<Token>> {
        let ids = self.vocab.encode(text)?;
        let mut plan = Plan::default();
        self.add(0, &ids, &(0..ids.len()), false, &mut plan);
        let specials: BTreeSet<u32> = self.vocab.specials().collect();
        let places = self.places(&plan, top_k, stop)?.into_iter().flatten();
        let mut stream = self.vocab.stream();
        let mut texts: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
        if let Some(last) = texts.last_mut() {
            last.push_str(&stream.finish());
        }
        let token = |((id, text), place): ((u32, String), Place)| Token {
            id,
            text,
            probability: place.probability,
            rank: place.rank,
            candidates: place.likeliest.into_iter().map(|(id, p)| self.candidate(vec![id], p, &specials)).collect(),
        };
        Ok(ids.into_iter().zip(texts).zip(places).map(token).collect())
    }

    /// Of each question of a plan, in order: what is said of each place that it scores, with the `top_k` likeliest ids.
    pub(super) fn places(&self, plan: &Plan, top_k: usize, stop: &dyn Fn(f64) -> bool) -> Result<Vec<Vec<Place>>> {
        let mut found: Vec<Vec<Place>> = plan.owners().map(|_| Vec::new()).collect();
        let mut done = 0;
        for batch in plan.batches(self.logit_budget()) {
            if stop(done as f64 / found.len() as f64) {
                return Err(Error::Stopped);
            }
            for (&at, places) in batch.iter().zip(self.look(plan, &batch, top_k)?) {
                if places.iter().any(|place| !place.probability.is_finite()) {
                    return Err(Error::NonFinite { tokens: plan.row(at).ids.len() as u64 });
                }
                found[at] = places;
            }
            done += batch.len();
        }
        Ok(found)
    }

    /// The same of the questions of one batch.
    fn look(&self, plan: &Plan, batch: &[usize], top_k: usize) -> Result<Vec<Vec<Place>>> {
        let (attend, mask, never) = self.reading();
        let batch = plan.batch(batch, attend, mask, self.pad, never);
        let top_k = top_k.clamp(1, (self.vocab.size() as usize).max(1)) as i64;
        Ok(ssl_torch::guard(|| {
            let batch = upload(batch, self.device);
            let Some(rows) = batch.rows() else { return Vec::new() };
            let at = rows.weights.flatten(0, 1).nonzero().squeeze_dim(1);
            let logits = tch::no_grad(|| self.model.logits(&batch)).flatten(0, 1).index_select(0, &at);
            let logs = logits.log_softmax(-1, Kind::Float);
            let own = logs.gather(1, &rows.targets.flatten(0, 1).index_select(0, &at).unsqueeze(1), false);
            let ranks = logs.gt_tensor(&own).sum_dim_intlist(1, false, Kind::Int64) + 1;
            let (best, ids) = logs.topk(top_k, 1, true, true);
            let reals = |x: &tch::Tensor| {
                Vec::<f64>::try_from(x.to_kind(Kind::Double).exp().to_device(Device::Cpu).contiguous().view([-1]))
                    .unwrap_or_default()
            };
            let whole =
                |x: &tch::Tensor| Vec::<i64>::try_from(x.to_device(Device::Cpu).contiguous().view([-1])).unwrap_or_default();
            let (own, ranks, best, ids) = (reals(&own), whole(&ranks), reals(&best), whole(&ids));
            let id = |id: i64| u32::try_from(id).unwrap_or(u32::MAX);
            let mut places = own.into_iter().zip(ranks).enumerate().map(|(n, (probability, rank))| {
                let those = n * top_k as usize..(n + 1) * top_k as usize;
                let likeliest = ids[those.clone()].iter().zip(&best[those]).map(|(&of, &p)| (id(of), p)).collect();
                Place { probability, rank: rank.unsigned_abs(), likeliest }
            });
            let counts = Vec::<f64>::try_from(rows.counts.to_kind(Kind::Double).to_device(Device::Cpu)).unwrap_or_default();
            counts.into_iter().map(|count| places.by_ref().take(count as usize).collect()).collect()
        })?)
    }

    /// How rows look, what hides an id in them, and which id is never the answer.
    pub(super) fn reading<T>(&self) -> (Attend<T>, u32, Option<i64>) {
        match &self.frame {
            Frame::Both { mask, never, .. } => (Attend::Both, *mask, *never),
            Frame::Back { .. } | Frame::Pair { .. } => (Attend::Causal, self.pad, None),
        }
    }

    pub(super) fn candidate(&self, ids: Vec<u32>, probability: f64, specials: &BTreeSet<u32>) -> Candidate {
        let text = if let [id] = ids[..] { self.shown(id, specials) } else { self.vocab.decode(&ids) };
        Candidate { ids, text, probability }
    }

    /// A token as people read it.
    fn shown(&self, id: u32, specials: &BTreeSet<u32>) -> String {
        let text = if specials.contains(&id) { String::new() } else { self.vocab.decode(&[id]) };
        if text.is_empty() { self.vocab.token(id).unwrap_or_default() } else { text }
    }
}
