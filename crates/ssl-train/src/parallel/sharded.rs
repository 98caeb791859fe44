//! An optimizer that moves the weights a rank owns and gets the others' from their owners.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ssl_model::params::Params;
use ssl_torch::group::{Group, Work};
use tch::Tensor;

use super::{AHEAD, Bucket, Plan};
use crate::error::Result;
use crate::optim::Optimizer;

/// Any optimizer, over a part of the weights.
pub(super) struct Sharded {
    inner: Box<dyn Optimizer>,
    group: Group,
    plan: Arc<Plan>,
}

impl Sharded {
    pub(super) fn new(inner: Box<dyn Optimizer>, group: Group, plan: Arc<Plan>) -> Self {
        Self { inner, group, plan }
    }
}

impl Optimizer for Sharded {
    fn step(&mut self, params: &Params, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        self.inner.step(&params.pick(&self.plan.owned), &self.plan.own(grads), lr, scale)?;
        spread(&self.group, &self.plan.buckets, params)
    }

    /// Of what this rank owns.
    fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        self.inner.state(&params.pick(&self.plan.owned))
    }

    /// Takes what this rank owns out of the state of all.
    fn restore(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
        self.inner.restore(&params.pick(&self.plan.owned), state)
    }
}

/// Gives every rank the weights of each bucket's owner.
pub(super) fn spread(group: &Group, buckets: &[Bucket], params: &Params) -> Result<()> {
    let mut under_way: VecDeque<(Work, &Bucket, Tensor)> = VecDeque::new();
    let arrive = |(work, bucket, flat): (Work, &Bucket, Tensor)| -> Result<()> {
        work.wait()?;
        if bucket.owner != group.seat().rank {
            for (member, value) in bucket.members.iter().zip(bucket.views(&flat)) {
                params.set(member.at, &value);
            }
        }
        Ok(())
    };
    for bucket in buckets {
        let flat = bucket.room(params.device());
        if bucket.owner == group.seat().rank {
            for (member, place) in bucket.members.iter().zip(bucket.views(&flat)) {
                tch::no_grad(|| place.shallow_clone().copy_(&params.list()[member.at].master));
            }
        }
        under_way.push_back((group.broadcast(&flat, bucket.owner)?, bucket, flat));
        if under_way.len() > AHEAD
            && let Some(oldest) = under_way.pop_front()
        {
            arrive(oldest)?;
        }
    }
    under_way.into_iter().try_for_each(arrive)
}
