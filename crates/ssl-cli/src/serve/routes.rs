//! Every route: a line each, which the router, the counters and `/openapi.json` are made of.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fault::{Fault, Result};
use super::served::Served;
use super::wire;
use super::{body, door, looks, openapi, tasks, write};

/// One route.
pub(super) struct Route {
    /// Where.
    pub(super) path: &'static str,
    handler: MethodRouter<Arc<Served>>,
}

/// All of them.
pub(super) fn all() -> Vec<Route> {
    let route = |path, handler| Route { path, handler };
    vec![
        route("/", get(page)),
        route("/health", get(health)),
        route("/metrics", get(metrics)),
        route("/openapi.json", get(document)),
        route("/v1/models", get(models)),
        route("/v1/models/{model}", get(model)),
        route("/v1/completions", post(write::completions)),
        route("/v1/chat/completions", post(write::chat)),
        route("/v1/embeddings", post(looks::embeddings)),
        route("/tokenize", post(tokenize)),
        route("/detokenize", post(detokenize)),
        route("/x/fill-mask", post(looks::fill_mask)),
        route("/x/tokens", post(looks::likelihoods)),
        route("/x/attention", post(looks::attention)),
        route("/x/classify", post(tasks::classify)),
        route("/x/answer", post(tasks::answer)),
        route("/x/translate", post(tasks::translate)),
        route("/x/summarize", post(tasks::summarize)),
    ]
}

/// The router with its door.
pub(super) fn router(served: &Arc<Served>) -> Router {
    let routes = all();
    let names = routes.iter().map(|route| route.path).collect();
    let router = routes.into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    door::before(router.fallback(nowhere).method_not_allowed_fallback(another_method), served, names)
}

async fn nowhere(request: Request) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("there is nothing at {}; /openapi.json tells what there is", request.uri().path()))
}

async fn another_method(request: Request) -> Fault {
    let message = format!("{} cannot be asked with {}", request.uri().path(), request.method());
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn page() -> Html<&'static str> {
    Html(super::page::html())
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let text = served.metrics.text(&served.about.id, &served.engine.state());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn document() -> Json<Value> {
    Json(openapi::document())
}

async fn models(State(served): State<Arc<Served>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [served.model_json()] }))
}

async fn model(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    // A name is compared as it stands in the address.
    let asked = request.uri().path().rsplit('/').next().unwrap_or_default();
    if asked == served.about.id {
        return Ok(Json(served.model_json()));
    }
    let message = format!("there is no model {asked:?} here, but {:?}", served.about.id);
    Err(Fault::param("model", message).missing().coded("model_not_found"))
}

/// The ids of a text, as they stand in the middle of one: no separator before it, unless `add_special_tokens` is true.
async fn tokenize(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let work = move |served: &Served| {
        let text = ask.needed("prompt")?;
        let begin = ask.flag("add_special_tokens")?.then(|| served.vocab.separator());
        let ids: Vec<u32> = begin.into_iter().chain(served.vocab.encode_foreign(text)?).collect();
        let texts: Vec<String> = ids.iter().map(|&id| wire::name(&served.vocab, id)).collect();
        let (count, most) = (ids.len(), served.about.context);
        Ok(json!({ "count": count, "max_model_len": most, "tokens": ids, "token_strs": texts }))
    };
    served.aside(work).await.map(Json)
}

async fn detokenize(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let work = move |served: &Served| {
        let ids = ask.ids("tokens", served.about.vocab_size)?;
        Ok(json!({ "prompt": served.vocab.decode(&ids) }))
    };
    served.aside(work).await.map(Json)
}
