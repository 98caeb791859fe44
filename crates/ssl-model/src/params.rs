//! The weights of a model, by name: the fp32 masters that are trained and stored, and the leaves that the model reads.

use serde::{Deserialize, Serialize};
use ssl_data::rng;
use tch::{Device, Kind, Tensor};

use crate::init::Init;
use crate::layer::{LoraConfig, quantised};

/// The type that a model computes in. Masters and optimizer states are fp32 in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    Fp32,
    /// bfloat16 weights, activations and gradients; reductions inside an operation in fp32.
    Bf16,
}

impl Precision {
    /// libtorch's name.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Fp32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// One weight.
#[derive(Debug)]
pub struct Param {
    /// The name in Hugging Face's files.
    pub name: String,
    /// The fp32 value that is trained and stored.
    pub master: Tensor,
    /// What the model reads and gets its gradient on: the master itself in fp32, a copy in bf16.
    pub leaf: Tensor,
    /// Where it maps hidden features to hidden features: how many maps stand side by side, and the axis of their outputs.
    pub maps: Option<(i64, i64)>,
    /// The share of the learning rate that it moves by; 0 keeps it as it is, without a gradient.
    pub rate: f64,
}

impl Param {
    /// Weight decay acts on matrices and tables, not on gains and biases.
    #[must_use]
    pub fn decays(&self) -> bool {
        self.master.dim() >= 2
    }
}

/// All weights of one model, in the order the model made them.
#[derive(Debug)]
pub struct Params {
    list: Vec<Param>,
    device: Device,
    precision: Precision,
    seed: Option<u64>,
    planned: bool,
    lora: Option<LoraConfig>,
    adapted: Vec<Adapted>,
}

/// A weight with a low-rank adapter, by their places in the list.
#[derive(Debug, Clone, Copy)]
struct Adapted {
    weight: usize,
    /// Whether the weight is stored `[in, out]`.
    transposed: bool,
    /// The adapter's first factor, `[rank, in]`; the second, `[out, rank]`, follows it.
    factor: usize,
    scale: f64,
}

impl Params {
    /// An empty store; without a seed every weight begins at 0, for models that are about to be loaded.
    #[must_use]
    pub fn new(device: Device, precision: Precision, seed: Option<u64>) -> Self {
        Self { list: Vec::new(), device, precision, seed, planned: false, lora: None, adapted: Vec::new() }
    }

    /// A store whose weights have shapes and no memory, to count what a model of any size is made of.
    #[must_use]
    pub fn planned() -> Self {
        Self { planned: true, ..Self::new(Device::Cpu, Precision::Fp32, None) }
    }

    /// Makes a weight and returns the leaf to compute with; its draws depend on the seed and on its place in the model.
    pub fn add(&mut self, name: impl Into<String>, shape: &[i64], init: Init) -> Tensor {
        self.add_maps(name, shape, init, (0, 0))
    }

    /// The same of a weight that is `count` maps between hidden features, with their outputs along `axis`.
    pub fn add_maps(&mut self, name: impl Into<String>, shape: &[i64], init: Init, (count, axis): (i64, i64)) -> Tensor {
        let master = if self.planned {
            Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand(shape, false)
        } else {
            Tensor::zeros(shape, (Kind::Float, Device::Cpu))
        };
        if let Some(seed) = self.seed {
            init.fill(&master, rng::hash(seed, STREAM, self.list.len() as u64));
        }
        let master = master.to_device(self.device);
        let leaf = match self.precision {
            Precision::Fp32 => master.shallow_clone(),
            Precision::Bf16 => master.to_kind(Kind::BFloat16),
        };
        let leaf = leaf.set_requires_grad(true);
        let out = leaf.shallow_clone();
        self.list.push(Param {
            name: name.into(),
            master: if self.precision == Precision::Fp32 { leaf.shallow_clone() } else { master },
            leaf,
            maps: (count > 0).then_some((count, axis)),
            rate: 1.0,
        });
        out
    }

    /// The weights, in order.
    #[must_use]
    pub fn list(&self) -> &[Param] {
        &self.list
    }

    /// The weights that `wanted` says, one answer a weight: the same tensors, in the same order.
    #[must_use]
    pub fn pick(&self, wanted: &[bool]) -> Self {
        let same = |param: &Param| Param {
            name: param.name.clone(),
            master: param.master.shallow_clone(),
            leaf: param.leaf.shallow_clone(),
            maps: param.maps,
            rate: param.rate,
        };
        let list = self.list.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(param, _)| same(param)).collect();
        Self { list, lora: None, adapted: Vec::new(), ..*self }
    }

    /// The weights that training moves.
    #[must_use]
    pub fn moved(&self) -> Self {
        self.pick(&self.list.iter().map(|param| param.rate > 0.0).collect::<Vec<_>>())
    }

    /// Sets by what share of the learning rate each weight moves; 0 keeps it.
    pub fn set_rates(&mut self, rate: impl Fn(&Param) -> f64) {
        for param in &mut self.list {
            param.rate = rate(param);
            let _ = param.leaf.set_requires_grad(param.rate > 0.0);
        }
    }

    /// Gives the linear maps that are made from now on low-rank adapters, where `config` names them; `None` ends it.
    pub fn adapt(&mut self, config: Option<LoraConfig>) {
        self.lora = config;
    }

    /// The factors and the scale of the adapter of the map that was made last, if it is to have one.
    pub(crate) fn adapter(
        &mut self,
        name: &str,
        (inputs, outputs): (i64, i64),
        transposed: bool,
    ) -> Option<(Tensor, Tensor, f64)> {
        let config = self.lora.clone().filter(|config| config.adapts(name))?;
        let (weight, factor, rank) = (self.list.len() - 1, self.list.len(), i64::from(config.rank));
        // PEFT's start: He et al.'s uniform with a = √5, and 0, so that the adapter begins as nothing.
        let a_ri = self.add(format!("{name}.lora_A.weight"), &[rank, inputs], Init::Uniform(1.0 / (inputs as f64).sqrt()));
        let b_or = self.add(format!("{name}.lora_B.weight"), &[outputs, rank], Init::Zeros);
        self.adapted.push(Adapted { weight, transposed, factor, scale: config.scale() });
        Some((a_ri, b_or, config.scale()))
    }

    /// Adds `times` every adapter to its weight: 1 merges, -1 takes a merge back. The adapters themselves stay.
    pub fn fold(&self, times: f64) {
        for adapted in &self.adapted {
            let [weight, a, b] = [adapted.weight, adapted.factor, adapted.factor + 1].map(|at| &self.list[at].master);
            let product = tch::no_grad(|| b.matmul(a) * (adapted.scale * times));
            let product = if adapted.transposed { product.tr() } else { product };
            self.set(adapted.weight, &tch::no_grad(|| weight + product));
        }
    }

    /// The adapters' weights alone, or all others.
    #[must_use]
    pub fn adapters(&self, wanted: bool) -> Self {
        let of_adapter = |at| self.adapted.iter().any(|adapted| at == adapted.factor || at == adapted.factor + 1);
        self.pick(&(0..self.list.len()).map(|at| of_adapter(at) == wanted).collect::<Vec<_>>())
    }

    /// Rounds the weights of linear maps, and tables over `vocab` ids, to eight bits, for use alone: nothing can be trained or stored
    /// any more. What they took before is let go of.
    pub fn quantise(&mut self, vocab: u32) {
        for param in &mut self.list {
            let shape = param.leaf.size();
            let axis = match (&shape[..], param.maps) {
                ([_, _], Some((_, axis))) => axis,
                // A table of positions may have as many rows.
                ([rows, _], None) if *rows == i64::from(vocab) && !of_positions(&param.name) => 0,
                _ => continue,
            };
            let weight = if axis == 0 { param.leaf.shallow_clone() } else { param.leaf.tr() };
            let rows = tch::no_grad(|| quantised(&weight));
            for held in [&mut param.leaf, &mut param.master] {
                let _ = held.set_requires_grad(false);
                held.set_data(&rows);
            }
        }
    }

    /// Prepares for use alone: lets go of masters that the model does not read, and on the CPU lays weights `[in, out]` along their
    /// inputs, as maps of few rows read them.
    pub fn settle(&mut self) {
        for param in &mut self.list {
            if let (Device::Cpu, Some((_, 1)), [_, _]) = (self.device, param.maps, &param.leaf.size()[..]) {
                let along = tch::no_grad(|| param.leaf.tr().contiguous().tr());
                param.leaf.set_data(&along);
            }
            param.master.set_data(&param.leaf);
        }
    }

    /// Where they live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// What the leaves are made of.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How many numbers the model has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.list.iter().map(|param| param.master.numel() as u64).sum()
    }

    /// Sets a weight, master and leaf.
    ///
    /// # Panics
    /// When shapes differ; loaders check first.
    pub fn set(&self, index: usize, value: &Tensor) {
        let param = &self.list[index];
        tch::no_grad(|| {
            param.master.shallow_clone().copy_(value);
            param.leaf.shallow_clone().copy_(&param.master);
        });
    }
}

/// Whether a table is one of positions, by Hugging Face's names.
fn of_positions(name: &str) -> bool {
    name.contains("wpe") || name.contains("position")
}

/// Keeps the seeds of weights apart from the other uses of a run's seed.
const STREAM: u64 = 0x7765_6967_6874_7300;
