//! `ssl serve`: a model that answers over HTTP, as OpenAI's interface does, until it is asked to stop.
//!
//! A request passes the door (`door`), is read within limits (`body`, `ask`), becomes an order (`order`, `chat`), runs in the engine
//! beside others (`running`), and is told whole or as it comes (`wire`, `sse`).

mod ask;
mod body;
mod chat;
mod door;
mod fault;
mod line;
mod listen;
mod looks;
mod metrics;
mod openapi;
mod order;
mod page;
mod routes;
mod running;
mod served;
mod sse;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::task::{Encoder, Reader, TaskKind};
use ssl_eval::engine::{self, Engine};
use ssl_eval::likelihood::Scorer;
use tokio::sync::{Semaphore, watch};

use self::chat::Turns;
use self::door::Keys;
use self::listen::{Bounds, Connections};
use self::metrics::Metrics;
use self::served::{About, Limits, Served, Skill, TURNS, now};
use crate::adapted::{Adapted, reader};
use crate::args::{LimitArgs, ServeArgs};
use crate::assemble::{Opened, Session, open_for_use};
use crate::documents::Library;
use crate::outcome::{Outcome, Refusal};
use crate::rewrite::Rewriter;
use crate::signal;

/// Threads that connections are served by; the model computes on its own.
const WORKERS: usize = 2;
/// Threads for what takes a processor: reading bodies, finding tokens, and waiting for the model.
const ASIDE: usize = 16;
/// How often a stop is looked for.
const LOOK: Duration = Duration::from_millis(25);
/// What cut answers are given to be told.
const LAST: Duration = Duration::from_secs(2);

/// Serves until a signal comes.
pub(crate) fn run(session: &Session, args: &ServeArgs) -> Result<Outcome> {
    let keys = args.api_key_file.as_deref().map_or_else(|| Ok(Keys::default()), Keys::read)?;
    let addr = address(&args.addr, &keys)?;
    let opened = open_for_use(session, &args.checkpoint, None, args.weights)?;
    signal::listen("running requests may end")?;
    let (cut, closing) = watch::channel(false);
    let served = Arc::new(served(opened, args, keys, closing)?);
    let asked = args.documents.as_deref().zip(served.library.as_ref());
    if let Some(why) = asked.and_then(|(dir, library)| library.uncalibrated(dir)) {
        session
            .progress
            .say(&format!("the index {why}: what its answers' probabilities mean is not known; see ssl answer --calibrate"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(ASIDE)
        .thread_name("serve")
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start threads")?;
    let begun = Instant::now();
    let bound = runtime.block_on(serve(session, &served, addr, &args.limits, &cut));
    // What still waits for the model is not waited for.
    runtime.shutdown_background();
    let (bound, ended) = bound?;
    let (state, (requests, faults)) = (served.engine.state(), served.metrics.totals());
    let json = json!({
        "addr": bound.to_string(), "model": served.about.id, "requests": requests, "faults": faults,
        "cancelled": served.metrics.ended("abort"), "prompt_tokens": state.prompt_tokens,
        "generation_tokens": state.written_tokens, "reused_tokens": state.reused_tokens, "all_ended": ended,
        "seconds": begun.elapsed().as_secs_f64(), "stopped_because": "a signal",
    });
    let human = format!("{requests} requests answered, {faults} of them with a fault; {} tokens written", state.written_tokens);
    Ok(Outcome { json, human, code: 0 })
}

/// Accepts until a signal comes, and lets what runs end; where it listened, and whether all ended by itself.
async fn serve(
    session: &Session,
    served: &Arc<Served>,
    addr: SocketAddr,
    limits: &LimitArgs,
    cut: &watch::Sender<bool>,
) -> Result<(SocketAddr, bool)> {
    let listener = listen::bind(addr).map_err(|fault| taken(addr, &fault))?;
    let bound = listener.local_addr().context("cannot tell the address")?;
    session.progress.say(&format!("serving {} on http://{bound}", served.about.id));
    session.progress.say(&format!("{}; interface: http://{bound}/openapi.json", served.can()));
    let client = Duration::from_secs(limits.client_seconds.into());
    let connections = Arc::new(Connections::new(Bounds { connections: limits.connections, client }));
    let (stop, stopping) = watch::channel(false);
    let accepting = {
        let (connections, router, served) = (Arc::clone(&connections), routes::router(served), Arc::clone(served));
        tokio::spawn(async move { connections.accept(listener, router, served, stopping).await })
    };
    while !signal::requested() {
        tokio::time::sleep(LOOK).await;
    }
    accepting.abort();
    // Senders are told to though nobody may be there to hear it.
    let _ = stop.send(true);
    let mut ended = connections.end(Duration::from_secs(limits.stop_seconds.into())).await;
    if !ended {
        let _ = cut.send(true);
        ended = connections.end(LAST).await;
    }
    Ok((bound, ended))
}

/// The address to listen at, which without keys is this machine's own.
fn address(text: &str, keys: &Keys) -> Result<SocketAddr> {
    let hint = "give HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080";
    let found = text.to_socket_addrs().map_err(|fault| Refusal::usage(format!("--addr {text}: {fault}"), hint))?;
    let found: Vec<SocketAddr> = found.collect();
    let addr = *found.first().ok_or_else(|| Refusal::usage(format!("--addr {text} is no address"), hint))?;
    if keys.none() && !found.iter().all(|addr| addr.ip().is_loopback()) {
        let message = format!("--addr {text} can be reached by others, and there is no key");
        return Err(Refusal::usage(message, "give --api-key-file, a file of keys, one a line; or listen at 127.0.0.1"));
    }
    Ok(addr)
}

fn taken(addr: SocketAddr, fault: &std::io::Error) -> anyhow::Error {
    let hint = "name another port with --addr, or port 0 for one that is free";
    Refusal { message: format!("cannot listen at {addr}: {fault}"), hint: hint.into(), code: 4 }.into()
}

/// A model as it is served.
fn served(opened: Opened, args: &ServeArgs, keys: Keys, closing: watch::Receiver<bool>) -> Result<Served> {
    let (objective, vocab, context) = (opened.objective(), opened.vocab()?.clone(), opened.model.context());
    let (reader, device) = (reader(&opened.shape), opened.params.device());
    let skill = opened.adapted.as_ref().map(|adapted| skill(adapted, &opened, reader)).transpose()?.flatten();
    let library = args.documents.as_deref().map(|dir| Library::open(dir, &opened)).transpose()?;
    // Models that write no text from another have none.
    let rewriter = Rewriter::of(&opened).ok();
    let headed = skill.as_ref().is_some_and(|skill| skill.kind.has_head());
    let start = opened.shape.config.start_token();
    let fills =
        Scorer::new(opened.model.as_ref(), &vocab, objective.form(), start, device).is_ok_and(|scorer| scorer.fills_gaps());
    let token_by_token =
        matches!(objective, ObjectiveConfig::Causal {} | ObjectiveConfig::Infill(_) | ObjectiveConfig::Hybrid(_));
    let about = About {
        id: args.name.clone().unwrap_or_else(|| named(&args.checkpoint)),
        created: now(),
        parameters: opened.params.count(),
        context,
        vocab_size: opened.shape.vocab_size,
        goes_on: !headed && token_by_token && opened.model.decoder().is_some(),
        fills: !headed && fills,
        attends: opened.shape.config.attends(),
        start,
    };
    let turns = Turns::of(skill.as_ref().map(|skill| &skill.kind), &vocab, reader)?;
    let most = &args.limits;
    let limits = Limits {
        body: most.max_body_kib as usize * 1024,
        prompt: most.max_prompt_tokens.map_or(context, |most| context.min(most as usize)),
        tokens: most.max_tokens as usize,
        texts: usize::from(most.queue),
        request: Duration::from_secs(most.request_seconds.into()),
        client: Duration::from_secs(most.client_seconds.into()),
    };
    let at_once =
        engine::Limits { rows: most.rows.into(), queue: most.queue.into(), drafts: args.drafts, ..engine::Limits::default() };
    Ok(Served {
        engine: Engine::start(opened.model, device, at_once),
        vocab,
        objective,
        skill,
        rewriter,
        library,
        turns,
        about,
        limits,
        keys,
        metrics: Metrics::default(),
        closing,
        places: Arc::new(Semaphore::new(usize::from(most.queue) + TURNS)),
        at_once: Arc::new(Semaphore::new(TURNS)),
    })
}

/// What a model was adapted to, where that is asked example by example.
fn skill(adapted: &Adapted, opened: &Opened, reader: Reader) -> Result<Option<Skill>> {
    let kind = &adapted.config.task.kind;
    if matches!(kind, TaskKind::Choice(_) | TaskKind::Cloze(_) | TaskKind::MinimalPairs(_)) {
        return Ok(None);
    }
    let context = opened.model.context();
    let length = adapted.config.adapt.row_tokens.map_or(context, |most| context.min(most as usize));
    let encoder = Encoder::new(opened.vocab()?, length, reader, kind)?;
    Ok(Some(Skill { kind: kind.clone(), labels: adapted.labels.clone(), encoder }))
}

/// The name of a folder.
fn named(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
