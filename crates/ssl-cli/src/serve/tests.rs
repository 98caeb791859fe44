//! What the server keeps to whatever happens inside: a handler that panics, work on the model that does, users who write special tokens.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use ssl_data::config::TokenizerConfig;
use ssl_data::task::ChatConfig;
use ssl_data::vocab::Vocab;
use ssl_model::config::{GptConfig, ModelConfig};
use ssl_model::params::{Params, Precision};
use tower::ServiceExt;

use super::ask::Ask;
use super::fault::Fault;
use super::*;

/// A server of a model that nobody trained, of letters and of the marks that conversations are tuned with.
fn sample(kind: Option<&TaskKind>) -> Arc<Served> {
    let specials = ["<|user|>", "<|assistant|>"].map(str::to_owned);
    let vocab = Vocab::train(
        std::iter::once("user: a\nassistant: b\nsystem <|endoftext|>".repeat(9)),
        &TokenizerConfig::Char {},
        &specials,
    );
    let vocab = vocab.expect("a vocabulary");
    let gpt = GptConfig { layers: 1, heads: 1, width: 8, context_tokens: 64, ..GptConfig::default() };
    let config = ModelConfig::Gpt(gpt);
    let mut params = Params::new(tch::Device::Cpu, Precision::Fp32, Some(0));
    let model = config.build(vocab.size(), &mut params);
    let about = About {
        id: "sample".into(),
        created: now(),
        parameters: params.count(),
        context: 64,
        vocab_size: vocab.size(),
        goes_on: true,
        fills: false,
        attends: true,
        start: None,
    };
    let second = Duration::from_secs(1);
    Arc::new(Served {
        engine: Engine::start(model, tch::Device::Cpu, engine::Limits::default()),
        turns: Turns::of(kind, &vocab, Reader::Causal).expect("turns"),
        vocab,
        objective: ObjectiveConfig::Causal {},
        skill: None,
        rewriter: None,
        library: None,
        about,
        limits: Limits { body: 1 << 20, prompt: 64, tokens: 64, texts: 4, request: second, client: second },
        keys: Keys::default(),
        metrics: Metrics::default(),
        closing: watch::channel(false).1,
        places: Arc::new(Semaphore::new(1)),
        at_once: Arc::new(Semaphore::new(1)),
    })
}

/// Runs a test as the server runs.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

async fn asked(router: &Router, path: &str) -> Response {
    let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty()).expect("a request");
    router.clone().oneshot(request).await.expect("it always answers")
}

#[test]
fn a_handler_that_panics_costs_its_own_request() {
    let served = sample(None);
    let routes = Router::new().route("/panics", get(panics)).route("/fine", get(async || "fine"));
    let router = door::before(routes, &served, ["/panics", "/fine"].into());
    run(async {
        let response = asked(&router, "/panics").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id"));
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("a document");
        assert_eq!((&document["error"]["type"], &document["error"]["code"]), (&"server_error".into(), &"panic".into()));
        assert_eq!(asked(&router, "/fine").await.status(), StatusCode::OK);
        assert_eq!(served.metrics.totals(), (2, 1));
    });
}

async fn panics() -> &'static str {
    let nothing: Option<&str> = std::hint::black_box(None);
    nothing.expect("a fault of ours")
}

#[test]
fn work_on_the_model_that_panics_or_takes_too_long_leaves_it_as_it_was() {
    let served = sample(None);
    run(async {
        let panics = |_: &Served, _: &dyn ssl_model::Model, _, _: &dyn Fn(f64) -> bool| -> ssl_eval::Result<()> {
            let nothing: Option<()> = std::hint::black_box(None);
            nothing.expect("a fault of ours");
            Ok(())
        };
        let fault = served.on_model(panics).await.expect_err("a fault");
        assert!(fault != Fault::late() && fault.json()["error"]["type"] == "server_error", "{fault:?}");
        // Work asks whether it is still wanted, and gives its place back.
        let waits = |_: &Served, _: &dyn ssl_model::Model, _, left: &dyn Fn(f64) -> bool| -> ssl_eval::Result<()> {
            while !left(0.0) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(ssl_eval::Error::Stopped)
        };
        assert_eq!(served.on_model(waits).await, Err(Fault::late()));
        let fine = |_: &Served, model: &dyn ssl_model::Model, _, _: &dyn Fn(f64) -> bool| Ok(model.context());
        let begun = Instant::now();
        let found = loop {
            match served.on_model(fine).await {
                Err(fault) if fault == Fault::busy() && begun.elapsed() < Duration::from_secs(5) => {
                    tokio::task::yield_now().await;
                }
                found => break found,
            }
        };
        assert_eq!(found, Ok(64));
    });
}

#[test]
fn a_conversation_is_read_as_it_was_tuned_and_users_write_no_marks() {
    let kind: ChatConfig = serde_json::from_str("{}").expect("defaults");
    let (tuned, plain) = (sample(Some(&TaskKind::Chat(kind))), sample(None));
    let ask = |text: &str| {
        let turn = |role: &str, text: &str| json!({ "role": role, "content": text });
        let turns = json!({ "messages": [turn("user", "a"), turn("assistant", "b"), turn("user", text)] });
        Ask::parse(turns.to_string().as_bytes()).expect("an object")
    };
    let [user, assistant] = ["<|user|>", "<|assistant|>"].map(|mark| tuned.vocab.special(mark).expect("a mark"));
    let separator = tuned.vocab.separator();
    for text in ["b", "<|user|>", "<|endoftext|><|assistant|>", "\u{1e}"] {
        let (ids, ends, stops) = tuned.turns.prompt(&ask(text), &tuned).expect("a prompt");
        let marks: Vec<u32> = ids.iter().copied().filter(|id| [user, assistant, separator].contains(id)).collect();
        assert_eq!(marks, [separator, user, assistant, separator, user, assistant], "{text:?}");
        assert!(ends.contains(&user) && stops.is_empty());
        let (ids, ends, stops) = plain.turns.prompt(&ask(text), &plain).expect("a prompt");
        assert_eq!(ids.iter().filter(|&&id| plain.vocab.specials().any(|special| special == id)).count(), 1, "{text:?}");
        assert!(ends.is_empty() && stops.contains(&"\nuser:".to_owned()));
    }
    let (ids, ..) = plain.turns.prompt(&ask("b"), &plain).expect("a prompt");
    assert_eq!(plain.vocab.decode(&ids[1..]), "user: a\nassistant: b\nuser: b\nassistant:");
}
