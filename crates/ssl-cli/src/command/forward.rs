//! `ssl forward`: the numbers of one forward pass, for comparing with any other program.

use anyhow::Result;
use serde_json::json;
use ssl_data::batch::{Attend, Batch, Rows, Source};
use ssl_data::objective::Form;
use ssl_model::{Pass, weights};
use tch::{Device, Kind, Tensor};

use crate::args::ForwardArgs;
use crate::assemble::{Opened, Session, open};
use crate::outcome::{Outcome, Refusal};

/// Writes `ids` [1, t], `hidden` [1, t, d], `logits` [1, t, v] and, from two tokens on in models that look back, `loss` (mean
/// nats of each next token) in fp32. Of a model with two stacks, `hidden` is the encoder's, and `logits` and `loss` are those
/// of the ids that its decoder reads.
pub(crate) fn run(session: &Session, args: &ForwardArgs) -> Result<Outcome> {
    let opened = open(session, &args.checkpoint)?;
    let ids = match &args.text {
        Some(text) => opened.vocab()?.encode(text)?,
        None => args.ids.clone(),
    };
    let (start, device) = (opened.shape.config.start_token(), opened.params.device());
    let begins = || start.into_iter().collect();
    let written: Vec<u32> = if args.decoder_ids.is_empty() { begins() } else { args.decoder_ids.clone() };
    if start.is_none() && !written.is_empty() {
        return Err(Refusal::usage("the model has no decoder that reads a source", "leave --decoder-ids out"));
    }
    check(&opened, &ids)?;
    let read = if start.is_some() { &written } else { &ids };
    check(&opened, read)?;
    let causal = start.is_some() || opened.shape.config.reads(Form::Causal);
    let tensors = ssl_torch::guard(|| {
        let ids = upload(&ids, device);
        let rows = rows(upload(read, device), causal);
        let predicted = rows.counts.double_value(&[0]);
        let source = Source { present: ids.ones_like(), ids: ids.shallow_clone() };
        let batch = if start.is_some() { Batch::Pair(source, rows) } else { Batch::Rows(rows) };
        tch::no_grad(|| {
            let mut tensors = vec![
                ("ids".to_owned(), ids),
                ("hidden".to_owned(), opened.model.hidden(&batch, Pass::Eval)),
                ("logits".to_owned(), opened.model.logits(&batch)),
            ];
            if predicted > 0.0 && causal {
                let loss = opened.model.loss(&batch, Pass::Eval).total / predicted;
                tensors.push(("loss".into(), loss.to_kind(Kind::Float)));
            }
            tensors
        })
    })?;
    weights::write(&args.out, &tensors)?;
    let loss = tensors.iter().find(|(name, _)| name == "loss").map(|(_, loss)| loss.double_value(&[]));
    let json =
        json!({ "out": args.out, "model": opened.dir, "tokens": read.len(), "vocab": opened.shape.vocab_size, "loss": loss });
    let human = format!("{}: logits of {} tokens over {} ids", args.out.display(), read.len(), opened.shape.vocab_size);
    Ok(Outcome { json, human, code: 0 })
}

/// Ids that the model can read.
fn check(opened: &Opened, ids: &[u32]) -> Result<()> {
    let context = opened.model.context();
    if ids.is_empty() || ids.len() > context {
        return Err(Refusal::usage(format!("{} tokens", ids.len()), format!("give from 1 to {context}, the model's context")));
    }
    if let Some(id) = ids.iter().find(|&&id| id >= opened.shape.vocab_size) {
        return Err(Refusal::usage(
            format!("id {id} lies outside the vocabulary of {}", opened.shape.vocab_size),
            "give smaller ids",
        ));
    }
    Ok(())
}

fn upload(ids: &[u32], device: Device) -> Tensor {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Tensor::from_slice(&ids).view([1, -1]).to_device(device)
}

/// A row whose targets are its own next tokens.
fn rows(inputs: Tensor, causal: bool) -> Rows<Tensor> {
    let (t, device) = (inputs.size()[1], inputs.device());
    // The last position has no next token; it repeats its own at weight 0.
    let targets = Tensor::cat(&[inputs.narrow(1, 1, t - 1), inputs.narrow(1, t - 1, 1)], 1);
    let ones = Tensor::ones([1, t - 1], (Kind::Float, device));
    let weights = Tensor::cat(&[ones, Tensor::zeros([1, 1], (Kind::Float, device))], 1);
    let counts = weights.sum_dim_intlist(1, false, Kind::Float);
    let positions = Tensor::arange(t, (Kind::Int64, device)).view([1, t]);
    let attend = if causal { Attend::Causal } else { Attend::Both };
    Rows { attend, ..Rows::new(inputs, targets, weights, counts, positions) }
}
