//! `ssl generate`: text from a model, as it comes.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use serde_json::json;
use ssl_eval::sample::{Sampling, Want};

use crate::args::GenerateArgs;
use crate::assemble::{Session, open};
use crate::outcome::Outcome;
use crate::signal;
use crate::write::Writer;

/// Writes text to stdout, or into the JSON document.
pub(crate) fn run(session: &Session, args: &GenerateArgs, as_json: bool) -> Result<Outcome> {
    let opened = open(session, &args.checkpoint)?;
    let vocab = opened.vocab()?;
    let prompt = if args.prompt == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().take(64 << 20).read_to_end(&mut bytes).context("cannot read stdin")?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        args.prompt.clone()
    };
    signal::listen("after this token")?;
    // A document begins after a separator.
    let mut ids = vec![vocab.separator()];
    ids.extend(vocab.encode(&prompt)?);
    let sampling =
        Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p.unwrap_or(1.0), seed: args.seed };
    let objective = opened.objective();
    let writer = Writer { model: opened.model.as_ref(), objective: &objective, vocab, device: opened.params.device() };
    if !writer.writes() {
        return Err(ssl_eval::Error::NoDecoder.into());
    }
    let mut out = std::io::stdout();
    let mut show = |text: &str| as_json || out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    if writer.goes_on() {
        show(&prompt);
    }
    let (mut stream, mut text, mut tokens, mut ended) = (vocab.stream(), String::new(), 0_u64, "length");
    writer.write(&ids, u64::from(args.max_tokens), &sampling, &mut |id| {
        if id == vocab.separator() {
            ended = "end of document";
            return Want::Enough;
        }
        tokens += 1;
        let piece = stream.push(id);
        text.push_str(&piece);
        // A reader that went away needs no more.
        if show(&piece) && !signal::requested() { Want::More } else { Want::Enough }
    })?;
    let rest = stream.finish();
    text.push_str(&rest);
    show(&rest);
    show("\n");
    let json = json!({ "model": opened.dir, "prompt": prompt, "text": text, "tokens": tokens, "stopped_because": ended });
    Ok(Outcome { json, human: String::new(), code: 0 })
}
