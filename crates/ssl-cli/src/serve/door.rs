//! What every request passes on its way in and out: a name of its own, a count, a key where keys are asked for, and a net under
//! handlers that panic.
//!
//! A server without keys answers this machine's own programs only. A page of the web can make a browser here send it requests, under a name
//! of its own that leads here (DNS rebinding), so that what a request says it was sent to, and from where, has to be this machine.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::fault::{Fault, Result};
use super::served::Served;
use crate::outcome::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What anybody may ask.
const OPEN: [&str; 3] = ["/", "/health", "/openapi.json"];
/// The most letters of a name that a client gives its request.
const NAME_LETTERS: usize = 64;

/// Who may ask.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<blake3::Hash>);

impl Keys {
    /// Reads keys, a line each; empty lines and those that begin with `#` are none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|fault| {
            Refusal::input(format!("cannot read {}: {fault}", path.display()), "name a file of keys, one a line")
        })?;
        let keys: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|key| blake3::hash(key.as_bytes()))
            .collect();
        if keys.is_empty() {
            return Err(Refusal::input(format!("{} holds no key", path.display()), "write keys into it, one a line"));
        }
        Ok(Self(keys))
    }

    /// Whether anybody may ask.
    pub(super) fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is one of them, in a time that does not depend on how much of it is right: hashes are compared, each to its end.
    fn has(&self, key: &str) -> bool {
        let key = blake3::hash(key.as_bytes());
        self.0.iter().filter(|own| **own == key).count() > 0
    }

    fn check(&self, headers: &HeaderMap) -> Result<()> {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = sent.and_then(|sent| sent.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match key {
            Some((_, key)) if self.has(key.trim()) => Ok(()),
            Some(_) => Err(Fault::new(StatusCode::UNAUTHORIZED, "the key is none of this server's").coded("invalid_api_key")),
            None => {
                let message = "send a key of this server as `Authorization: Bearer KEY`";
                Err(Fault::new(StatusCode::UNAUTHORIZED, message).coded("missing_api_key"))
            }
        }
    }
}

/// A request's name, which its answer bears.
#[derive(Debug, Clone)]
pub(super) struct Name(String);

impl Name {
    /// The name that the door gave it.
    pub(super) fn of(request: &Request) -> String {
        request.extensions().get::<Self>().map(|name| name.0.clone()).unwrap_or_default()
    }
}

/// Puts the door before routes. Routes are counted by the names in `routes`.
pub(super) fn before(router: Router<Arc<Served>>, served: &Arc<Served>, routes: Arc<[&'static str]>) -> Router {
    let count = {
        let served = Arc::clone(served);
        move |request: Request, next: Next| {
            let (served, routes) = (Arc::clone(&served), Arc::clone(&routes));
            async move { named(&served, &routes, request, next).await }
        }
    };
    router
        .layer(from_fn_with_state(Arc::clone(served), allowed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(count))
        .with_state(Arc::clone(served))
}

/// Names a request, answers it, and counts the answer.
async fn named(served: &Served, routes: &[&'static str], mut request: Request, next: Next) -> Response {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let given = request.headers().get(REQUEST_ID).and_then(|name| name.to_str().ok());
    let given = given.filter(|name| (1..=NAME_LETTERS).contains(&name.len()) && name.chars().all(fine));
    let new = || format!("{:016x}", RandomState::new().hash_one(NUMBER.fetch_add(1, Ordering::Relaxed)));
    let name = given.map_or_else(new, str::to_owned);
    // What nobody serves is counted as one, so that a client cannot make up counters.
    let path = request.uri().path();
    let is = |route: &str| route == path || route.split_once('{').is_some_and(|(before, _)| path.starts_with(before));
    let route = routes.iter().find(|route| is(route)).copied().unwrap_or("other");
    request.extensions_mut().insert(Name(name.clone()));
    let mut response = next.run(request).await;
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(REQUEST_ID, name);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    served.metrics.answered(route, response.status().as_u16());
    response
}

/// Lets a request in.
async fn allowed(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let checked = if served.keys.none() {
        local(request.headers())
    } else if OPEN.contains(&request.uri().path()) {
        Ok(())
    } else {
        served.keys.check(request.headers())
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

/// Whether a request was sent to this machine by its name, and by no page from elsewhere.
fn local(headers: &HeaderMap) -> Result<()> {
    let no = |what: &str| {
        let message = format!("{what} is not this machine; a server for others needs --api-key-file");
        Fault::new(StatusCode::FORBIDDEN, message).coded("not_local")
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_here) {
        return Err(no("what the header Host names"));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if origin.is_some_and(is_here) { Ok(()) } else { Err(no("what the header Origin names")) }
}

/// Whether a host, with a port or without, is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// The answer to a request whose handler panicked. What it said is on stderr.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Fault::ours("the server made a mistake over this request; others are not touched").coded("panic").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_three_names() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]", "[::1]:8080"] {
            assert!(is_here(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "localhost:", "[::2]", "a:localhost"]
        {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn origins_are_looked_at_too() {
        let asked = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().expect("a header")));
            local(&headers).is_ok()
        };
        assert!(asked("localhost:1", None) && asked("localhost:1", Some("http://127.0.0.1:1")));
        assert!(!asked("evil.example", None) && !asked("localhost:1", Some("https://evil.example")));
        assert!(!asked("localhost:1", Some("null")) && local(&HeaderMap::new()).is_err());
    }

    #[test]
    fn keys_are_lines() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# ours\n\n first \nsecond\n").expect("room");
        let keys = Keys::read(file.path()).expect("keys");
        assert!(keys.has("first") && keys.has("second") && !keys.has("") && !keys.has("# ours") && !keys.has("firs"));
        std::fs::write(file.path(), "#\n").expect("room");
        assert!(Keys::read(file.path()).is_err());
    }
}
