//! Linear maps in the two layouts that published models use, and the look-up of embeddings.

use tch::{Kind, Tensor};

use super::lora::Lora;
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
        self.weight.kind()
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        Lora::add(self.lora.as_ref(), x, x.linear(&self.weight, self.bias.as_ref()))
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
            Some(bias) => bias.addmm(x_nd, &self.weight),
            None => x_nd.mm(&self.weight),
        };
        Lora::add(self.lora.as_ref(), x_nd, y)
    }
}

/// Rows of a table by id, `[..]` to `[.., d]`.
pub fn embedding(table_vd: &Tensor, ids: &Tensor) -> Tensor {
    Tensor::embedding(table_vd, ids, -1, false, false)
}
