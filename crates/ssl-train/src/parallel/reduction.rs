//! The gradients of one step, added up over passes and ranks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ssl_torch::group::{Group, Work};
use ssl_torch::hook::Hook;
use ssl_torch::optimizer;
use tch::Tensor;

use super::{AHEAD, Member, Plan, Ranks, Shard};
use crate::error::Result;

/// Gradients on their way. Sums are fp32 whatever the gradients are.
pub(crate) struct Reduction(Arc<Mutex<Flight>>);

struct Flight {
    group: Group,
    shard: Shard,
    plan: Arc<Plan>,
    /// What was summed up so far, a vector each bucket; under [`Shard::Gradients`] only of buckets that this rank owns.
    sums: Vec<Option<Tensor>>,
    /// Sums over ranks that are not complete, with the buckets they belong to.
    under_way: VecDeque<(Work, usize, Tensor)>,
    /// Buckets of this pass that were taken. They are taken in order, which is the same on all ranks.
    taken: usize,
    /// Gradients of this pass that each bucket waits for.
    missing: Vec<usize>,
    /// What went wrong during the pass, for whoever comes after it.
    failed: Option<ssl_torch::Error>,
}

impl Reduction {
    pub(crate) fn new(ranks: &Ranks) -> Self {
        let Ranks { near, shard, plan, .. } = ranks;
        let sums = plan.buckets.iter().map(|_| None).collect();
        let flight = Flight {
            group: near.clone(),
            shard: *shard,
            plan: Arc::clone(plan),
            sums,
            under_way: VecDeque::new(),
            taken: 0,
            missing: Vec::new(),
            failed: None,
        };
        Self(Arc::new(Mutex::new(flight)))
    }

    /// Takes each bucket as soon as a backward pass has finished its gradients, while the pass goes on, as long as the hooks live;
    /// [`Self::add`] takes what is left. One leaf a weight.
    pub(crate) fn listen(&self, leaves: &[Tensor], last: bool) -> Result<Vec<Hook>> {
        let mut flight = lock(&self.0);
        flight.missing = flight.plan.buckets.iter().map(|bucket| bucket.members.len()).collect();
        let mut bucket_of = vec![0; leaves.len()];
        for (at, bucket) in flight.plan.buckets.iter().enumerate() {
            bucket.members.iter().for_each(|member| bucket_of[member.at] = at);
        }
        drop(flight);
        let all: Arc<Mutex<Vec<Tensor>>> = Arc::new(Mutex::new(leaves.iter().map(Tensor::shallow_clone).collect()));
        let hook = |(leaf, at): (&Tensor, usize)| {
            let (flight, all) = (Arc::clone(&self.0), Arc::clone(&all));
            let finished = move |_: &Tensor| {
                lock(&flight).finished(at, &lock(&all), last);
                Ok(())
            };
            Ok(Hook::new(leaf, finished)?)
        };
        leaves.iter().zip(bucket_of).map(hook).collect()
    }

    /// Takes the gradients of a pass, one a weight. Sums over ranks begin with the `last` pass, or with each where nobody
    /// but the owner has room to keep them; while one is on its way, the next bucket is filled.
    pub(crate) fn add(&mut self, grads: &[Tensor], last: bool) -> Result<()> {
        let mut flight = lock(&self.0);
        if let Some(fault) = flight.failed.take() {
            return Err(fault.into());
        }
        for at in flight.taken..flight.plan.buckets.len() {
            let grads = flight.plan.buckets[at].members.iter().map(|member| grads[member.at].shallow_clone()).collect::<Vec<_>>();
            flight.take(at, &grads, last)?;
        }
        flight.taken = 0;
        flight.missing.clear();
        Ok(())
    }

    /// The sums over all passes and ranks, one a weight; empty tensors for what this rank does not keep.
    pub(crate) fn finish(self) -> Result<Vec<Tensor>> {
        let mut flight = lock(&self.0);
        while !flight.under_way.is_empty() {
            flight.arrive()?;
        }
        let plan = &flight.plan;
        let mut grads: Vec<Tensor> = plan.owned.iter().map(|_| Tensor::new()).collect();
        for (bucket, sum) in plan.buckets.iter().zip(&flight.sums) {
            let Some(sum) = sum else { continue };
            for (member, view) in bucket.members.iter().zip(bucket.views(sum)) {
                grads[member.at] = view;
            }
        }
        Ok(grads)
    }
}

impl Flight {
    /// A gradient of bucket `at` is there: takes it, and those after it that were ready before their turn, if nothing is missing.
    fn finished(&mut self, at: usize, leaves: &[Tensor], last: bool) {
        self.missing[at] = self.missing[at].saturating_sub(1);
        while self.failed.is_none() && self.missing.get(self.taken) == Some(&0) {
            let at = self.taken;
            let grads = |member: &Member| leaves[member.at].grad().contiguous();
            let grads: Vec<Tensor> = self.plan.buckets[at].members.iter().map(grads).collect();
            self.failed = self.take(at, &grads, last).err();
        }
    }

    /// Takes the gradients of one bucket.
    fn take(&mut self, at: usize, grads: &[Tensor], last: bool) -> ssl_torch::Result<()> {
        self.taken = at + 1;
        let plan = Arc::clone(&self.plan);
        let bucket = &plan.buckets[at];
        let flat = if let Some(sum) = self.sums[at].as_ref().filter(|_| self.shard != Shard::Gradients) {
            optimizer::accumulate(&bucket.views(sum), grads)?;
            sum.shallow_clone()
        } else {
            let flat = bucket.room(grads[0].device());
            tch::no_grad(|| bucket.views(&flat).into_iter().zip(grads).for_each(|(mut place, grad)| place.copy_(grad)));
            flat
        };
        if self.shard == Shard::Gradients {
            if self.under_way.len() >= AHEAD {
                self.arrive()?;
            }
            self.under_way.push_back((self.group.reduce(&flat, bucket.owner)?, at, flat));
        } else {
            if last {
                self.under_way.push_back((self.group.all_reduce(&flat)?, at, flat.shallow_clone()));
            }
            self.sums[at] = Some(flat);
        }
        Ok(())
    }

    /// Waits for the oldest sum under way.
    fn arrive(&mut self) -> ssl_torch::Result<()> {
        let Some((work, at, flat)) = self.under_way.pop_front() else { return Ok(()) };
        work.wait()?;
        let owned = self.plan.buckets[at].owner == self.group.seat().rank;
        if self.shard == Shard::Gradients && owned {
            match &self.sums[at] {
                Some(sum) => optimizer::accumulate(&[sum.shallow_clone()], &[flat])?,
                None => self.sums[at] = Some(flat),
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another holder has ended the pass already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
