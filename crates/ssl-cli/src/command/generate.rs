//! `ssl generate`: text from a model, as it comes.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use ssl_data::vocab::Vocab;
use ssl_eval::engine::voice::{Spoken, Voice};
use ssl_eval::sample::{Sampling, Want, log_probs};

use crate::args::GenerateArgs;
use crate::assemble::{Session, open_for_use};
use crate::input;
use crate::outcome::Outcome;
use crate::signal;
use crate::write::Writer;

/// The longest prompt.
const LONGEST: u64 = 64 << 20;

/// Writes text to stdout, or into the JSON document.
pub(crate) fn run(session: &Session, args: &GenerateArgs, as_json: bool) -> Result<Outcome> {
    let opened = open_for_use(session, &args.checkpoint, None, args.weights)?;
    let vocab = opened.vocab()?;
    let prompt = if args.prompt == "-" {
        String::from_utf8_lossy(&input::read(Path::new("-"), LONGEST)?).into_owned()
    } else {
        args.prompt.clone()
    };
    signal::listen("after this token")?;
    // A document begins after a separator.
    let mut ids = vec![vocab.separator()];
    ids.extend(vocab.encode(&prompt)?);
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p.unwrap_or(1.0),
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        frequency_penalty: args.frequency_penalty,
        presence_penalty: args.presence_penalty,
        logit_bias: Vec::new(),
        seed: args.seed,
    };
    let objective = opened.objective();
    let (model, device) = (opened.model.as_ref(), opened.params.device());
    let writer = Writer { model, objective: &objective, vocab, device, beam: args.beam.map(usize::from) };
    if !writer.writes() {
        return Err(ssl_eval::Error::NoDecoder.into());
    }
    let mut out = std::io::stdout();
    let mut show = |text: &str| as_json || out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    if writer.goes_on() {
        show(&prompt);
    }
    let (mut voice, mut text, mut tokens, mut ended) =
        (Voice::new(vocab.stream(), args.stop.clone()), String::new(), 0_u64, "length");
    let mut scores = Vec::new();
    writer.write(&ids, u64::from(args.max_tokens), &sampling, &mut |id, logits| {
        if id == vocab.separator() {
            ended = "end of document";
            return Want::Enough;
        }
        tokens += 1;
        if let Some(top) = args.logprobs.filter(|_| !logits.is_empty()) {
            scores.push(scored(vocab, id, log_probs(logits, id, usize::from(top))));
        }
        let Spoken { text: piece, stopped } = voice.push(id);
        text.push_str(&piece);
        if stopped {
            ended = "stop text";
        }
        // A reader that went away needs no more.
        if show(&piece) && !stopped && !signal::requested() { Want::More } else { Want::Enough }
    })?;
    let rest = voice.finish();
    text.push_str(&rest);
    show(&rest);
    show("\n");
    let mut json = json!({ "model": opened.dir, "prompt": prompt, "text": text, "tokens": tokens, "stopped_because": ended });
    if args.logprobs.is_some() {
        json["logprobs"] = scores.into();
    }
    Ok(Outcome { json, human: String::new(), code: 0 })
}

/// A token with its log-probability and those of the likeliest.
fn scored(vocab: &Vocab, id: u32, (own, top): (f32, Vec<(u32, f32)>)) -> Value {
    let one = |(id, logprob): (u32, f32)| json!({ "id": id, "token": vocab.decode(&[id]), "logprob": logprob });
    let mut token = one((id, own));
    token["top"] = top.into_iter().map(one).collect();
    token
}
