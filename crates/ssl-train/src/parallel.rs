//! Several processes that train one model: each takes its rows of every batch, and all end each step with the same weights.
//!
//! The gradient of a step is that of the batch's summed nats, so ranks add up gradients, nats and counts, and one factor
//! (clip / count) makes of the sum what a single process has. Under [`Shard`] each weight has a rank that owns it, which
//! alone keeps its moments, moves it, and gives it to the others. Weights themselves are on every rank.
//!
//! Source: Li et al. 2020, "PyTorch Distributed", section 3.2 (buckets, begun in one order on all ranks); Rajbhandari et al.
//! 2020, "`ZeRO`", section 5. Differs: whole weights are dealt out, not ranges of one flat vector, so that any optimizer works on
//! its share as it is.

mod config;
mod gather;
mod reduction;
mod sharded;

use std::sync::Arc;

use ssl_model::params::Params;
use ssl_torch::group::{Group, Seat};
use ssl_torch::optimizer;
use tch::{Device, Kind, Tensor};

pub use self::config::{ParallelConfig, Shard};
pub(crate) use self::reduction::Reduction;
use crate::config::OptimConfig;
use crate::error::Result;
use crate::optim::{self, Optimizer};

/// Collectives under way at once, where each holds memory of its own.
const AHEAD: usize = 4;

/// The ranks of a run, seen from one of them.
pub struct Ranks {
    /// For counts and what a checkpoint stores: on the CPU.
    group: Group,
    /// For gradients and weights, where they are.
    near: Group,
    shard: Shard,
    plan: Arc<Plan>,
}

/// Which weights travel together, and whose they are.
struct Plan {
    buckets: Vec<Bucket>,
    /// For each weight, whether this rank moves it.
    owned: Vec<bool>,
}

/// Weights, or their gradients, that travel as one vector.
struct Bucket {
    owner: u32,
    members: Vec<Member>,
    numbers: i64,
}

/// A weight of a bucket.
struct Member {
    /// Its place in the list of weights.
    at: usize,
    shape: Vec<i64>,
}

impl Ranks {
    /// Deals out the weights, and gives every rank those of rank 0.
    ///
    /// # Errors
    /// When another rank is late or gone.
    pub fn new(group: Group, config: &ParallelConfig, params: &Params) -> Result<Self> {
        let seat = group.seat();
        let shapes: Vec<Vec<i64>> = params.list().iter().map(|param| param.master.size()).collect();
        let sharded = config.shard != Shard::None;
        let one = vec![0; shapes.len()];
        let owners = if sharded { deal(&shapes, seat.world) } else { one.clone() };
        let owned = owners.iter().map(|&owner| !sharded || owner == seat.rank).collect();
        let room = i64::from(config.bucket_mib) << 18;
        let plan = Plan { buckets: buckets(&shapes, &owners, room), owned };
        let near = group.on(params.device())?;
        sharded::spread(&near, &buckets(&shapes, &one, room), params)?;
        Ok(Self { group, near, shard: config.shard, plan: Arc::new(plan) })
    }

    /// Which of how many this is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.group.seat()
    }

    /// Whether this rank writes what the run leaves behind.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.seat().rank == 0
    }

    /// The optimizer of a configuration, over what this rank owns.
    #[must_use]
    pub fn optimizer(&self, config: &OptimConfig, params: &Params) -> Box<dyn Optimizer> {
        match self.shard {
            Shard::None => optim::build(config, params),
            Shard::Optimizer | Shard::Gradients => {
                let inner = optim::build(config, &params.pick(&self.plan.owned));
                Box::new(sharded::Sharded::new(inner, self.near.clone(), Arc::clone(&self.plan)))
            }
        }
    }

    /// Adds up numbers over ranks.
    pub(crate) fn sum<const N: usize>(&self, numbers: [f64; N]) -> Result<[f64; N]> {
        let tensor = Tensor::from_slice(&numbers);
        self.group.all_reduce(&tensor)?.wait()?;
        Ok(std::array::from_fn(|i| tensor.double_value(&[i as i64])))
    }

    /// The numbers of rank 0.
    pub(crate) fn told<const N: usize>(&self, numbers: [f64; N]) -> Result<[f64; N]> {
        let tensor = Tensor::from_slice(&numbers);
        self.group.broadcast(&tensor, 0)?.wait()?;
        Ok(std::array::from_fn(|i| tensor.double_value(&[i as i64])))
    }

    /// The length of all gradients together, of which this rank may hold a part.
    pub(crate) fn norm(&self, grads: &[Tensor]) -> Result<f64> {
        if self.shard != Shard::Gradients {
            return Ok(optimizer::norm(grads)?);
        }
        let own: Vec<Tensor> = self.plan.own(grads);
        let [squares] = self.sum([optimizer::norm(&own)?.powi(2)])?;
        Ok(squares.sqrt())
    }
}

impl Plan {
    /// The tensors of what this rank owns, out of one a weight.
    fn own(&self, all: &[Tensor]) -> Vec<Tensor> {
        all.iter().zip(&self.owned).filter(|(_, owned)| **owned).map(|(tensor, _)| tensor.shallow_clone()).collect()
    }
}

impl Bucket {
    /// A vector with room for all members.
    fn room(&self, device: Device) -> Tensor {
        Tensor::empty([self.numbers], (Kind::Float, device))
    }

    /// The part of `flat` that belongs to each member, in its shape.
    fn views(&self, flat: &Tensor) -> Vec<Tensor> {
        let mut end = 0;
        let view = |member: &Member| {
            let numbers: i64 = member.shape.iter().product();
            end += numbers;
            flat.narrow(0, end - numbers, numbers).view(member.shape.as_slice())
        };
        self.members.iter().map(view).collect()
    }
}

/// Deals weights of these shapes to ranks: the largest first, each to whoever has the least. A function of the shapes alone.
fn deal(shapes: &[Vec<i64>], world: u32) -> Vec<u32> {
    let sizes: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
    let mut load = vec![0; world as usize];
    let mut owners = vec![0; sizes.len()];
    for i in order {
        let rank = (0..load.len()).min_by_key(|&rank| load[rank]).unwrap_or(0);
        load[rank] += sizes[i];
        owners[i] = rank as u32;
    }
    owners
}

/// Groups weights, last first as the backward pass finishes them, into buckets of one owner and up to `room` numbers; what is
/// larger stands alone.
fn buckets(shapes: &[Vec<i64>], owners: &[u32], room: i64) -> Vec<Bucket> {
    let mut out: Vec<Bucket> = Vec::new();
    for (at, (shape, &owner)) in shapes.iter().zip(owners).enumerate().rev() {
        let numbers: i64 = shape.iter().product();
        let member = Member { at, shape: shape.clone() };
        let open = out.iter_mut().rev().find(|bucket| bucket.owner == owner);
        match open.filter(|bucket| bucket.numbers + numbers <= room) {
            Some(bucket) => {
                bucket.members.push(member);
                bucket.numbers += numbers;
            }
            None => out.push(Bucket { owner, members: vec![member], numbers }),
        }
    }
    // In the order in which they fill up.
    out.sort_by_key(|bucket| std::cmp::Reverse(bucket.members.last().map(|member| member.at)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_dealt_once_and_evenly() {
        let shapes = [vec![10, 100], vec![10], vec![500], vec![10], vec![49, 10], vec![30]];
        let owners = deal(&shapes, 2);
        let load = |rank| -> i64 {
            shapes.iter().zip(&owners).filter(|(_, owner)| **owner == rank).map(|(shape, _)| shape.iter().product::<i64>()).sum()
        };
        assert_eq!((load(0), load(1)), (1020, 1020), "{owners:?}");
        assert_eq!(deal(&shapes, 1), [0; 6]);
    }

    #[test]
    fn buckets_hold_every_weight_once_under_one_owner_last_first() {
        let shapes = [5, 100, 3, 4, 50, 2].map(|numbers| vec![numbers]);
        let owners = [0, 1, 0, 1, 0, 1];
        let buckets = buckets(&shapes, &owners, 60);
        let places = |bucket: &Bucket| bucket.members.iter().map(|member| member.at).collect::<Vec<_>>();
        let mut seen: Vec<usize> = buckets.iter().flat_map(places).collect();
        for bucket in &buckets {
            assert!(bucket.members.iter().all(|member| owners[member.at] == bucket.owner));
            assert_eq!(bucket.numbers, bucket.members.iter().map(|member| member.shape[0]).sum::<i64>());
            assert!(bucket.numbers <= 60 || bucket.members.len() == 1);
        }
        assert_eq!(places(&buckets[0]), [5, 3], "the first to be complete begins");
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }
}
