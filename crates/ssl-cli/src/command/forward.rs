//! `ssl forward`: the numbers of one forward pass, for comparing with any other program.

use anyhow::Result;
use serde_json::json;
use ssl_data::batch::{Attend, Batch, Rows};
use ssl_data::objective::Form;
use ssl_model::{Pass, weights};
use tch::{Kind, Tensor};

use crate::args::ForwardArgs;
use crate::assemble::{Session, open};
use crate::outcome::{Outcome, Refusal};

/// Writes `ids` [1, t], `hidden` [1, t, d], `logits` [1, t, v] and, from two tokens on in models that look back, `loss` (mean nats of each next token) in fp32.
pub(crate) fn run(session: &Session, args: &ForwardArgs) -> Result<Outcome> {
    let opened = open(session, &args.checkpoint)?;
    let ids = match &args.text {
        Some(text) => opened.vocab()?.encode(text)?,
        None => args.ids.clone(),
    };
    let context = opened.model.context();
    if ids.is_empty() || ids.len() > context {
        return Err(Refusal::usage(format!("{} tokens", ids.len()), format!("give from 1 to {context}, the model's context")));
    }
    if let Some(id) = ids.iter().find(|&&id| id >= opened.vocab_size) {
        return Err(Refusal::usage(format!("id {id} lies outside the vocabulary of {}", opened.vocab_size), "give smaller ids"));
    }
    let t = ids.len() as i64;
    let device = opened.params.device();
    let tensors = ssl_torch::guard(|| {
        let inputs = Tensor::from_slice(&ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>()).view([1, t]).to_device(device);
        // The last position has no next token; it repeats its own at weight 0.
        let targets = Tensor::cat(&[inputs.narrow(1, 1, t - 1), inputs.narrow(1, t - 1, 1)], 1);
        let ones = Tensor::ones([1, t - 1], (Kind::Float, device));
        let weights = Tensor::cat(&[ones, Tensor::zeros([1, 1], (Kind::Float, device))], 1);
        let counts = weights.sum_dim_intlist(1, false, Kind::Float);
        let positions = Tensor::arange(t, (Kind::Int64, device)).view([1, t]);
        let causal = opened.config.reads(Form::Causal);
        let attend = if causal { Attend::Causal } else { Attend::Both };
        let ids = inputs.shallow_clone();
        let batch = Batch::Rows(Rows { attend, ..Rows::new(inputs, targets, weights, counts, positions) });
        tch::no_grad(|| {
            let mut tensors = vec![
                ("ids".to_owned(), ids),
                ("hidden".to_owned(), opened.model.hidden(&batch)),
                ("logits".to_owned(), opened.model.logits(&batch)),
            ];
            if t > 1 && causal {
                let loss = opened.model.loss(&batch, Pass::Eval).total / (t - 1) as f64;
                tensors.push(("loss".into(), loss.to_kind(Kind::Float)));
            }
            tensors
        })
    })?;
    weights::write(&args.out, &tensors)?;
    let loss = tensors.iter().find(|(name, _)| name == "loss").map(|(_, loss)| loss.double_value(&[]));
    let json = json!({ "out": args.out, "model": opened.dir, "tokens": t, "vocab": opened.vocab_size, "loss": loss });
    let human = format!("{}: logits of {t} tokens over {} ids", args.out.display(), opened.vocab_size);
    Ok(Outcome { json, human, code: 0 })
}
