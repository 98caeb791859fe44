//! From the parts that ranks hold to the one state that a checkpoint stores, and back.

use std::collections::HashMap;

use ssl_model::params::Params;
use ssl_torch::group::{Group, Seat};
use tch::{Device, Kind, Tensor};

use super::{Ranks, Shard};
use crate::error::{Error, Result};
use crate::state::{TrainState, carry};

impl Ranks {
    /// What a checkpoint stores beside weights and counts, as a single process would: on rank 0, and nothing elsewhere. All
    /// ranks call it together.
    pub(crate) fn memory(&self, state: &TrainState) -> Result<Option<Vec<(String, Tensor)>>> {
        let mut moments = state.optimizer.state(&state.params.moved());
        if self.shard != Shard::None {
            moments = in_order(collect(&self.group, moments)?, &state.params);
        }
        for (i, own) in state.carry.iter().enumerate() {
            moments.push((carry(i), self.all_rows(own)?));
        }
        Ok(self.leads().then_some(moments))
    }

    /// The rows of this rank out of a carried tensor of all, `[layers, b, ...]`.
    pub(crate) fn own_rows(&self, whole: &Tensor) -> Tensor {
        let Seat { rank, world } = self.seat();
        let rows = whole.size()[1] / i64::from(world);
        whole.narrow(1, i64::from(rank) * rows, rows).contiguous()
    }

    /// The rows of all ranks.
    fn all_rows(&self, own: &Tensor) -> Result<Tensor> {
        let world = i64::from(self.seat().world);
        let own = own.to_device(Device::Cpu).contiguous();
        let all = Tensor::empty([world * own.numel() as i64], (own.kind(), own.device()));
        self.group.all_gather(&all, &own.view(-1))?.wait()?;
        let parts: Vec<Tensor> = all.chunk(world, 0).iter().map(|part| part.view(own.size().as_slice())).collect();
        Ok(Tensor::cat(&parts, 1))
    }
}

/// As a single process lists them: `kind/weight` by kind and weight, and then what is of no weight.
fn in_order(mut all: Vec<(String, Tensor)>, params: &Params) -> Vec<(String, Tensor)> {
    let places: HashMap<&str, usize> = params.list().iter().enumerate().map(|(at, param)| (param.name.as_str(), at)).collect();
    all.sort_by_cached_key(|(name, _)| match name.split_once('/') {
        Some((kind, weight)) => (false, kind.to_owned(), places.get(weight).copied()),
        None => (true, name.clone(), None),
    });
    all
}

/// Names and shapes of what a rank sends.
type Contents = Vec<(String, bool, Vec<i64>)>;

/// Brings named tensors (fp32 or i64) of all ranks to rank 0; one of the same name is the same everywhere.
fn collect(group: &Group, own: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
    let Seat { rank, world } = group.seat();
    let garbled = |fault: serde_json::Error| Error::Ranks { reason: format!("a list of tensors cannot be read: {fault}") };
    if rank > 0 {
        let contents: Contents =
            own.iter().map(|(name, tensor)| (name.clone(), tensor.kind() == Kind::Int64, tensor.size())).collect();
        let words = Tensor::from_slice(&serde_json::to_vec(&contents).map_err(garbled)?);
        group.send(&Tensor::from_slice(&[words.numel() as i64]), 0)?.wait()?;
        group.send(&words, 0)?.wait()?;
        for (_, tensor) in &own {
            group.send(&tensor.to_device(Device::Cpu).contiguous(), 0)?.wait()?;
        }
        return Ok(own);
    }
    let mut all = own;
    for from in 1..world {
        let length = Tensor::from_slice(&[0_i64]);
        group.receive(&length, from)?.wait()?;
        let words = Tensor::empty([length.int64_value(&[0])], (Kind::Uint8, Device::Cpu));
        group.receive(&words, from)?.wait()?;
        let words: Vec<u8> = Vec::try_from(&words).unwrap_or_default();
        for (name, whole, shape) in serde_json::from_slice::<Contents>(&words).map_err(garbled)? {
            let tensor = Tensor::empty(shape.as_slice(), (if whole { Kind::Int64 } else { Kind::Float }, Device::Cpu));
            group.receive(&tensor, from)?.wait()?;
            if all.iter().all(|(known, _)| *known != name) {
                all.push((name, tensor));
            }
        }
    }
    Ok(all)
}
