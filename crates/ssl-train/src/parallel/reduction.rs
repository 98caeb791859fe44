//! The gradients of one step, added up over passes and ranks.

use std::collections::VecDeque;

use ssl_torch::group::Work;
use ssl_torch::optimizer;
use tch::Tensor;

use super::{AHEAD, Ranks, Shard};
use crate::error::Result;

/// Gradients on their way. Sums are fp32 whatever the gradients are.
pub(crate) struct Reduction<'a> {
    ranks: &'a Ranks,
    /// What was summed up so far, a vector each bucket; under [`Shard::Gradients`] only of buckets that this rank owns.
    sums: Vec<Option<Tensor>>,
    /// Sums over ranks that are not complete, with the buckets they belong to.
    under_way: VecDeque<(Work, usize, Tensor)>,
}

impl<'a> Reduction<'a> {
    pub(crate) fn new(ranks: &'a Ranks) -> Self {
        let sums = ranks.plan.buckets.iter().map(|_| None).collect();
        Self { ranks, sums, under_way: VecDeque::new() }
    }

    /// Takes the gradients of a pass, one a weight. Sums over ranks begin with the `last` pass, or with each where nobody
    /// but the owner has room to keep them; while one is on its way, the next bucket is filled.
    pub(crate) fn add(&mut self, grads: &[Tensor], last: bool) -> Result<()> {
        let Ranks { group, shard, plan } = self.ranks;
        for (at, bucket) in plan.buckets.iter().enumerate() {
            let grads: Vec<Tensor> = bucket.members.iter().map(|member| grads[member.at].shallow_clone()).collect();
            let flat = if let Some(sum) = self.sums[at].as_ref().filter(|_| *shard != Shard::Gradients) {
                optimizer::accumulate(&bucket.views(sum), &grads)?;
                sum.shallow_clone()
            } else {
                let flat = bucket.room();
                bucket.views(&flat).into_iter().zip(&grads).for_each(|(mut place, grad)| place.copy_(grad));
                flat
            };
            if *shard == Shard::Gradients {
                if self.under_way.len() >= AHEAD {
                    self.arrive()?;
                }
                self.under_way.push_back((group.reduce(&flat, bucket.owner)?, at, flat));
            } else {
                if last {
                    self.under_way.push_back((group.all_reduce(&flat)?, at, flat.shallow_clone()));
                }
                self.sums[at] = Some(flat);
            }
        }
        Ok(())
    }

    /// Waits for the oldest sum under way.
    fn arrive(&mut self) -> Result<()> {
        let Some((work, at, flat)) = self.under_way.pop_front() else { return Ok(()) };
        work.wait()?;
        let owned = self.ranks.plan.buckets[at].owner == self.ranks.seat().rank;
        if self.ranks.shard == Shard::Gradients && owned {
            match &self.sums[at] {
                Some(sum) => optimizer::accumulate(&[sum.shallow_clone()], &[flat])?,
                None => self.sums[at] = Some(flat),
            }
        }
        Ok(())
    }

    /// The sums over all passes and ranks, one a weight; empty tensors for what this rank does not keep.
    pub(crate) fn finish(mut self) -> Result<Vec<Tensor>> {
        while !self.under_way.is_empty() {
            self.arrive()?;
        }
        let plan = &self.ranks.plan;
        let mut grads: Vec<Tensor> = plan.owned.iter().map(|_| Tensor::new()).collect();
        for (bucket, sum) in plan.buckets.iter().zip(&self.sums) {
            let Some(sum) = sum else { continue };
            for (member, view) in bucket.members.iter().zip(bucket.views(sum)) {
                grads[member.at] = view;
            }
        }
        Ok(grads)
    }
}
