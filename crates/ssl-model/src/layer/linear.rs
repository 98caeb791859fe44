//! Linear maps in the two layouts that published models use, and the look-up of embeddings.

use ssl_torch::kernels;
use tch::{Device, Kind, Tensor};

use super::lora::Lora;
use super::quantised::{product, restored};
use super::whole;
use crate::init::{Init, Role, Scheme};
use crate::params::Params;

/// `y = x Wᵀ + b`, the weight stored `[out, in]`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    lora: Option<Lora>,
}

impl Linear {
    /// A map without bias, as in Llama.
    pub fn new(params: &mut Params, name: &str, init: Scheme, role: Role) -> Self {
        Self::with_bias(params, name, init, role, false)
    }

    /// A map, with a bias where `bias` says so.
    pub fn with_bias(params: &mut Params, name: &str, init: Scheme, role: Role, bias: bool) -> Self {
        let Self { weight, lora, .. } = Self::begun(params, name, role, init.of(role));
        let bias = bias.then(|| params.add(format!("{name}.bias"), &[weight.size()[0]], Init::Zeros));
        Self { weight, bias, lora }
    }

    /// A map without bias that begins as `init` says, whatever its role.
    pub fn begun(params: &mut Params, name: &str, role: Role, init: Init) -> Self {
        let (inputs, outputs) = role.features();
        let weight = params.add_maps(format!("{name}.weight"), &[outputs, inputs], init, (role.maps(), 0));
        Self { weight, bias: None, lora: Lora::new(params, name, (inputs, outputs), false) }
    }

    /// What it computes in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // Rows of eight bits meet what is wider.
        if self.weight.kind() == Kind::Int8 { Kind::Float } else { self.weight.kind() }
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        Lora::add(self.lora.as_ref(), x, linear(x, &self.weight, self.bias.as_ref()))
    }

    /// The same by several maps of one input.
    pub fn together<const N: usize>(maps: [&Self; N], x: &Tensor) -> [Tensor; N] {
        if !are_few(x) {
            return maps.map(|map| map.forward(x));
        }
        let mut made = whole(kernels::linear_few(x, maps.map(|map| (&map.weight, map.bias.as_ref())))).into_iter();
        maps.map(|map| Lora::add(map.lora.as_ref(), x, made.next().unwrap_or_default()))
    }
}

/// `y = x W + b`, the weight stored `[in, out]` as GPT-2 does.
#[derive(Debug)]
pub struct Conv1d {
    weight: Tensor,
    bias: Option<Tensor>,
    lora: Option<Lora>,
}

impl Conv1d {
    /// A map, with a bias where `bias` says so.
    pub fn new(params: &mut Params, name: &str, init: Scheme, role: Role, bias: bool) -> Self {
        let (inputs, outputs) = role.features();
        let weight = params.add_maps(format!("{name}.weight"), &[inputs, outputs], init.of(role), (role.maps(), 1));
        let lora = Lora::new(params, name, (inputs, outputs), true);
        let bias = bias.then(|| params.add(format!("{name}.bias"), &[outputs], Init::Zeros));
        Self { weight, bias, lora }
    }

    /// `[n, in]` to `[n, out]`.
    pub fn forward(&self, x_nd: &Tensor) -> Tensor {
        let y = match &self.bias {
            // Weights of eight bits lie along the inputs, and others do in a model for use alone.
            bias if self.weight.kind() == Kind::Int8 => linear(x_nd, &self.weight, bias.as_ref()),
            bias if self.weight.stride()[0] == 1 && are_few(x_nd) => linear(x_nd, &self.weight.tr(), bias.as_ref()),
            bias => by_some(x_nd, |x_nd| match bias {
                Some(bias) => bias.addmm(x_nd, &self.weight),
                None => x_nd.mm(&self.weight),
            }),
        };
        Lora::add(self.lora.as_ref(), x_nd, y)
    }
}

/// `y = x Wᵀ + b`, `[.., in]` to `[.., out]`: few rows, as in decoding, by loops of our own. A weight may be [`super::quantised`].
pub fn linear(x: &Tensor, weight_oi: &Tensor, bias: Option<&Tensor>) -> Tensor {
    match weight_oi.kind() {
        _ if are_few(x) => {
            let [y] = whole(kernels::linear_few(x, [(weight_oi, bias)]));
            y
        }
        Kind::Int8 => bias.map_or_else(|| product(x, weight_oi), |bias| product(x, weight_oi) + bias),
        _ => by_some(x, |x| x.linear(weight_oi, bias)),
    }
}

/// Rows that a product of bf16 is made of.
const SOME: i64 = 32;

/// A product of `x` `[.., in]`. In a pass without gradients a bf16 `x` gets rows of zeros up to a multiple of [`SOME`]: for every number of
/// rows that it meets oneDNN compiles a program of half a megabyte and keeps a thousand of them, and prompts have every length.
fn by_some(x: &Tensor, product: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    let mut shape = x.size();
    let width = shape.last().copied().unwrap_or(1).max(1);
    let rows = x.numel() as i64 / width;
    let more = (SOME - rows % SOME) % SOME;
    if x.kind() != Kind::BFloat16 || x.device() != Device::Cpu || rows * more == 0 || kernels::wants_gradients() {
        return product(x);
    }
    let y = product(&x.reshape([rows, width]).constant_pad_nd([0, 0, 0, more])).narrow(0, 0, rows);
    if let Some(last) = shape.last_mut() {
        *last = y.size()[1];
    }
    y.view(shape.as_slice())
}

/// More rows than this keep a matrix product of libtorch busy.
const FEW: usize = 16;

/// Whether `x` has few rows, on the CPU, in a pass that wants no gradient.
fn are_few(x: &Tensor) -> bool {
    let width = x.size().last().copied().unwrap_or(1).max(1) as usize;
    let kind = matches!(x.kind(), Kind::Float | Kind::BFloat16);
    kind && x.numel() <= FEW * width && x.device() == Device::Cpu && x.numel() > 0 && !kernels::wants_gradients()
}

/// Rows of a table by id, `[..]` to `[.., d]`. A table may be [`super::quantised`].
pub fn embedding(table_vd: &Tensor, ids: &Tensor) -> Tensor {
    let rows = Tensor::embedding(table_vd, ids, -1, false, false);
    if table_vd.kind() == Kind::Int8 {
        restored(&rows.flatten(0, -2)).view([&ids.size()[..], &[-1]].concat().as_slice())
    } else {
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_some_rows_are_those_of_all() {
        let of = |shape: &[i64]| {
            let at = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
            (at * 0.37).sin().reshape(shape).to_kind(Kind::BFloat16)
        };
        let (w, b) = (of(&[24, 40]), of(&[24]));
        for shape in [&[19, 40][..], &[2, 17, 40], &[32, 40], &[1, 33, 40], &[0, 40]] {
            let x = of(shape);
            let whole = |x: &Tensor| x.linear(&w, Some(&b));
            let by = |x: &Tensor| {
                assert_eq!(x.numel() as i64 / 40 % SOME, 0, "{shape:?}");
                whole(x)
            };
            let found = tch::no_grad(|| by_some(&x, by));
            assert_eq!(found.size(), whole(&x).size());
            let off = (found - whole(&x)).abs().to_kind(Kind::Float);
            // Half a unit in the last place of sums up to 20.
            assert!(off.numel() == 0 || off.max().double_value(&[]) <= 0.07, "{shape:?}: {off:?}");
        }
    }
}
