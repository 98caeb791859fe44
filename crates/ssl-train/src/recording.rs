//! Forward and backward passes, recorded on a GPU after the first few and replayed from then on.
//!
//! The launches of a small model's pass take longer to ask for than to run; a replay asks once. The numbers are those of a pass that is
//! not recorded.

use ssl_data::batch::Batch;
use ssl_model::params::Params;
use ssl_model::{Loss, Model, Pass};
use ssl_torch::graph::Graph;
use ssl_torch::optimizer;
use ssl_torch::trace::range;
use tch::{Device, Kind, Tensor};

/// Passes before one is recorded: in them libraries are loaded and kernels compiled.
const WARM_UP: u32 = 3;

/// Extent and type of each array of a batch.
type Form = Batch<(Vec<i64>, Kind)>;

/// What is known of the passes so far; begins empty.
#[derive(Debug, Default)]
pub struct Recording {
    form: Option<Form>,
    passes: u32,
    tape: Option<Tape>,
    refused: bool,
}

/// A recorded pass, and the tensors it reads and writes.
#[derive(Debug)]
struct Tape {
    graph: Graph,
    batch: Batch<Tensor>,
    loss: Loss,
    grads: Vec<Tensor>,
}

impl Recording {
    /// Whether passes of this model are recorded where its weights are.
    pub(crate) fn serves(model: &dyn Model, params: &Params) -> bool {
        matches!(params.device(), Device::Cuda(_)) && model.steady()
    }

    /// The loss of a training pass, whose gradients are then on the leaves; before it the leaves have none. Chance must have been
    /// seeded.
    ///
    /// # Errors
    /// When an operation fails.
    pub(crate) fn pass(
        &mut self,
        model: &dyn Model,
        params: &Params,
        batch: &Batch<Tensor>,
        way: Pass,
    ) -> ssl_torch::Result<Loss> {
        let plain = || ssl_torch::guard(|| plain(model, batch, way));
        if !Self::serves(model, params) || way != Pass::Train || self.refused {
            return plain();
        }
        let form = form(batch);
        if self.form.as_ref() != Some(&form) {
            *self = Self { form: Some(form), ..Self::default() };
        }
        if self.tape.is_none() && self.passes >= WARM_UP {
            match Tape::record(model, params, batch, way) {
                Ok(tape) => self.tape = Some(tape),
                // There may be no room for a second set of inner values; what cannot be recorded can still be done.
                Err(_) => self.refused = true,
            }
        }
        self.passes += 1;
        match &self.tape {
            Some(tape) => tape.replay(params, batch),
            None => plain(),
        }
    }
}

impl Tape {
    fn record(model: &dyn Model, params: &Params, batch: &Batch<Tensor>, way: Pass) -> ssl_torch::Result<Self> {
        let batch = ssl_torch::guard(|| {
            let Ok(own) = batch.as_ref().try_map(&mut |array| Ok::<_, std::convert::Infallible>(array.copy()));
            own
        })?;
        let work = || ssl_torch::guard(|| plain(model, &batch, way));
        let recorded = Graph::record(params.device(), work);
        let leaves = leaves(params);
        let grads = leaves.iter().map(Tensor::grad).collect();
        if recorded.is_err() {
            optimizer::drop_grads(&leaves)?;
        }
        let (graph, loss) = recorded?;
        Ok(Self { graph, batch, loss, grads })
    }

    fn replay(&self, params: &Params, batch: &Batch<Tensor>) -> ssl_torch::Result<Loss> {
        ssl_torch::guard(|| {
            arrays(&self.batch).into_iter().zip(arrays(batch)).for_each(|(own, given)| own.shallow_clone().copy_(given));
        })?;
        range("replay", || self.graph.replay())?;
        optimizer::set_grads(&leaves(params), &self.grads)?;
        let Loss { total, nats, weights, counts } = &self.loss;
        let [total, nats, weights, counts] = [total, nats, weights, counts].map(Tensor::shallow_clone);
        Ok(Loss { total, nats, weights, counts })
    }
}

/// One pass as it is written down.
fn plain(model: &dyn Model, batch: &Batch<Tensor>, way: Pass) -> Loss {
    let loss = range("forward", || model.loss(batch, way));
    range("backward", || loss.total.backward());
    loss
}

fn leaves(params: &Params) -> Vec<Tensor> {
    params.list().iter().map(|param| param.leaf.shallow_clone()).collect()
}

fn arrays(batch: &Batch<Tensor>) -> Vec<&Tensor> {
    let mut all = Vec::new();
    let Ok(_) = batch.as_ref().try_map(&mut |array| {
        all.push(array);
        Ok::<_, std::convert::Infallible>(())
    });
    all
}

fn form(batch: &Batch<Tensor>) -> Form {
    let Ok(form) = batch.as_ref().try_map(&mut |array| Ok::<_, std::convert::Infallible>((array.size(), array.kind())));
    form
}
