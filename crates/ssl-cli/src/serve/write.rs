//! `/v1/completions` and `/v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ssl_eval::engine::Token;

use super::ask::Ask;
use super::door::Name;
use super::fault::{Fault, Result};
use super::order::Order;
use super::running::{Finish, Piece, Running, Usage};
use super::served::{Served, now};
use super::wire::{Form, Wire};
use super::{body, sse};

/// Goes on with texts.
pub(super) async fn completions(State(served): State<Arc<Served>>, request: Request) -> Result<Response> {
    write(served, request, Form::Completion).await
}

/// Answers in a conversation.
pub(super) async fn chat(State(served): State<Arc<Served>>, request: Request) -> Result<Response> {
    write(served, request, Form::Chat).await
}

async fn write(served: Arc<Served>, request: Request, form: Form) -> Result<Response> {
    let name = Name::of(&request);
    let ask = body::read(&served, request).await?;
    if !served.about.goes_on {
        return Err(Fault::unfit(format!("this model does not go on with texts; {}", served.can())));
    }
    let order = served.aside(move |served| order(&ask, served, form)).await?;
    let (stream, usage, logprobs) = (order.stream, order.usage, order.request.logprobs);
    let texts = order.prompts.len() * order.n;
    let running = Running::start(&served, order)?;
    if !stream {
        let mut wholes: Vec<Whole> = (0..texts).map(|_| Whole::default()).collect();
        let usage = running.run(&mut |index, piece| wholes[index].take(piece)).await;
        let wire = Wire::new(form, &served.vocab, &name, now(), &served.about.id, texts);
        return whole(wire.telling(logprobs, false), wholes, usage);
    }
    Ok(sse::stream(|events| async move {
        let wire = Wire::new(form, &served.vocab, &name, now(), &served.about.id, texts);
        let mut wire = wire.telling(logprobs, usage);
        (0..texts).filter_map(|index| wire.opening(index)).for_each(|opening| events.send(&opening));
        let usage = running.run(&mut |index, piece| events.send(&wire.piece(index, piece))).await;
        wire.closing(usage).iter().for_each(|closing| events.send(closing));
        events.done();
    }))
}

fn order(ask: &Ask, served: &Served, form: Form) -> Result<Order> {
    match form {
        Form::Completion => Order::completion(ask, served),
        Form::Chat => Order::chat(ask, served),
    }
}

/// A text that is told when it is over.
#[derive(Default)]
struct Whole {
    text: String,
    tokens: Vec<Token>,
    finish: Option<Finish>,
}

impl Whole {
    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Part(text, tokens) => {
                self.text.push_str(&text);
                self.tokens.extend(tokens);
            }
            Piece::End(finish) => self.finish = Some(finish),
        }
    }
}

fn whole(mut wire: Wire<'_>, wholes: Vec<Whole>, usage: Usage) -> Result<Response> {
    let mut texts = Vec::new();
    for Whole { text, tokens, finish } in wholes {
        match finish {
            Some(Finish::Failed(what)) => return Err(Fault::ours(what)),
            Some(Finish::Late) if usage.written == 0 => return Err(Fault::late()),
            Some(finish) => texts.push((text, tokens, finish)),
            None => return Err(Fault::ours("a text has no end")),
        }
    }
    Ok(Json(wire.whole(texts, usage)).into_response())
}
