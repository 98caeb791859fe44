//! A model that answers over HTTP: every route, in the form that OpenAI's clients read.

mod client;
mod hostile;
mod load;
mod tasks;

use serde_json::{Value, json};

use crate::support::{Place, RUN};
use client::{MODEL, Server, place, train};

const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";

#[test]
fn every_route_answers_as_openai_does() {
    let place = place();
    let server = Server::start(&place, &[]);
    looks(&server);
    completions(&server);
    scores_prompts(&server);
    streams(&server);
    converses(&server);
    tokens(&server);
    is_looked_into(&server);
    refuses(&server);
    server.is_idle();
    server.signal();
    let ran = server.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    assert!(document["requests"].as_u64() > Some(20) && document["generation_tokens"].as_u64() > Some(20), "{document}");
    assert_eq!((&document["cancelled"], &document["model"]), (&0.into(), &MODEL.into()));
}

fn looks(server: &Server) {
    assert_eq!(server.get("/health").json(), json!({ "status": "ok" }));
    let models = server.get("/v1/models").json();
    let model = &models["data"][0];
    assert_eq!((&models["object"], &model["object"], &model["id"]), (&"list".into(), &"model".into(), &MODEL.into()));
    assert_eq!((&model["ssl"]["writes"], &model["ssl"]["context"]), (&true.into(), &1024.into()));
    assert_eq!(&server.get("/v1/models/out").json(), model);
    assert_eq!(server.get("/v1/models/other").status, 404);
    let document = server.get("/openapi.json").json();
    for (path, methods) in document["paths"].as_object().expect("paths").iter().filter(|(path, _)| !path.contains('{')) {
        for method in methods.as_object().expect("methods").keys().map(|method| method.to_uppercase()) {
            // Every route that is told of is there, whatever it says to nothing, and to no other method.
            let right = server.ask(&method, path, "", "{}").status;
            assert_eq!(right, if method == "GET" { 200 } else { 400 }, "{method} {path}");
            assert_eq!(server.ask("DELETE", path, "", "").status, 405, "{path}");
        }
    }
    let absent = server.get("/absent");
    assert_eq!((absent.status, &absent.json()["error"]["type"]), (404, &"not_found_error".into()));
    let named = server.ask("GET", "/health", "X-Request-Id: mine-1\r\n", "");
    assert!(named.head.contains("x-request-id: mine-1"), "{}", named.head);
    assert!(server.get("/health").head.contains("x-request-id: "));
}

fn completions(server: &Server) {
    let ask = json!({ "model": MODEL, "prompt": "The old", "max_tokens": 5, "seed": 3, "temperature": 0.9 });
    let one = server.done(COMPLETIONS, &ask);
    assert_eq!((&one["object"], &one["model"]), (&"text_completion".into(), &MODEL.into()));
    assert!(one["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")) && one["created"].is_u64(), "{one}");
    let choice = &one["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"], &choice["logprobs"]), (&0.into(), &"length".into(), &Value::Null));
    // A letter a token, and the separator.
    assert_eq!(one["usage"], json!({ "prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13 }));
    assert_eq!(server.done(COMPLETIONS, &ask)["choices"], one["choices"], "the same seed");

    let ids = server.done("/tokenize", &json!({ "prompt": "The old", "add_special_tokens": true }))["tokens"].clone();
    let by_ids = json!({ "prompt": ids, "max_tokens": 5, "seed": 3, "temperature": 0.9 });
    assert_eq!(server.done(COMPLETIONS, &by_ids)["choices"], one["choices"], "the same ids");

    let many = json!({ "prompt": ["The old", "A"], "n": 2, "max_tokens": 3, "echo": true, "seed": 1 });
    let many = server.done(COMPLETIONS, &many);
    let texts: Vec<&str> =
        many["choices"].as_array().expect("a list").iter().filter_map(|choice| choice["text"].as_str()).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts[..2].iter().all(|text| text.starts_with("The old")) && texts[2..].iter().all(|text| text.starts_with('A')));
    assert_eq!(many["usage"]["prompt_tokens"], 8 + 2);

    // A bias that leaves one letter makes a text of it, up to a stop.
    let letter = server.done("/tokenize", &json!({ "prompt": "e" }))["tokens"][0].to_string();
    let forced = json!({ "prompt": "x", "max_tokens": 9, "logit_bias": { letter: 100 }, "stop": ["zz", "eee"] });
    let forced = server.done(COMPLETIONS, &forced);
    assert_eq!((&forced["choices"][0]["text"], &forced["choices"][0]["finish_reason"]), (&"".into(), &"stop".into()));
    let greedy = json!({ "prompt": "The old", "max_tokens": 4, "temperature": 0, "n": 2, "frequency_penalty": 0.5, "min_p": 0.1,
        "top_k": 3, "top_p": 0.9, "presence_penalty": 0.1, "repetition_penalty": 1.1, "user": "x", "unheard_of": [] });
    let greedy = server.done(COMPLETIONS, &greedy);
    assert_eq!(greedy["choices"][0]["text"], greedy["choices"][1]["text"]);
}

/// What lm-evaluation-harness asks: the log-probabilities of a prompt's own tokens.
fn scores_prompts(server: &Server) {
    let scored = |ask: Value| server.done(COMPLETIONS, &ask)["choices"][0].clone();
    let text = scored(json!({ "prompt": "The old", "max_tokens": 0, "echo": true, "logprobs": 2 }));
    assert_eq!((&text["text"], &text["finish_reason"]), (&"The old".into(), &"length".into()));
    let logprobs = &text["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["T", "h", "e", " ", "o", "l", "d"]));
    assert_eq!(logprobs["text_offset"], json!([0, 1, 2, 3, 4, 5, 6]));
    let of =
        |value: &Value| value.as_array().expect("a list").iter().map(|one| one.as_f64().unwrap_or(f64::NAN)).collect::<Vec<_>>();
    let told = of(&logprobs["token_logprobs"]);
    assert!(told.iter().all(|&logprob| logprob < 0.0 && logprob > -20.0), "{told:?}");
    for (top, (token, logprob)) in
        logprobs["top_logprobs"].as_array().expect("a list").iter().zip(["T", "h", "e"].iter().zip(&told))
    {
        let top = top.as_object().expect("an object");
        assert!((2..=3).contains(&top.len()) && top[*token].as_f64() == Some(*logprob), "{top:?}");
        // Whoever asks whether the token was the likeliest compares numbers.
        assert!(top.values().all(|other| other.as_f64() >= Some(*logprob) || top.len() == 2), "{top:?} {logprob}");
    }
    // Ids are read as they are: with the separator before them they are the same text, without it the first has nothing before it.
    let ids = server.done("/tokenize", &json!({ "prompt": "The old", "add_special_tokens": true }))["tokens"].clone();
    let (special, by_ids_text) = (ids[0].clone(), Value::from("<|endoftext|>The old"));
    let asked = |ids: &Value| json!({ "prompt": [ids], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0 });
    let by_ids = scored(asked(&ids));
    let scores = of(&by_ids["logprobs"]["token_logprobs"]);
    assert_eq!(scores.len(), 9, "the separator, the text, and a token that was written");
    assert!(scores[0].is_nan() && by_ids["logprobs"]["top_logprobs"][0].is_null());
    for (a, b) in scores[1..8].iter().zip(&told) {
        assert!((a - b).abs() < 1e-5, "{scores:?} and {told:?}");
    }
    // The token that ends a text is told where tokens are, so that a harness that leaves out the last one has all of its own.
    let mut ending = asked(&ids);
    ending["logit_bias"] = json!({ special.to_string(): 100 });
    let ended = scored(ending);
    let tokens = ended["logprobs"]["tokens"].as_array().expect("a list");
    assert_eq!((tokens.len(), &ended["text"], &ended["finish_reason"]), (9, &by_ids_text, &"stop".into()));
    assert_eq!(tokens[8], tokens[0]);
    let bare: Vec<Value> = ids.as_array().expect("a list")[1..].to_vec();
    assert!(scored(asked(&bare.into()))["logprobs"]["token_logprobs"][0].is_null());
}

fn streams(server: &Server) {
    let mut ask = json!({ "prompt": "The old", "max_tokens": 6, "seed": 5, "n": 2, "logprobs": 1 });
    let whole = server.done(COMPLETIONS, &ask);
    ask["stream"] = true.into();
    let plain = server.post(COMPLETIONS, &ask).events();
    assert!(plain.iter().all(|event| event.get("usage").is_none() && event["object"] == "text_completion"));
    ask["stream_options"] = json!({ "include_usage": true });
    let events = server.post(COMPLETIONS, &ask).events();
    let (last, events) = events.split_last().expect("events");
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(events.iter().all(|event| event["usage"].is_null() && event.get("usage").is_some() && event["id"] == last["id"]));
    for index in 0..2 {
        let of: Vec<&Value> = events.iter().map(|event| &event["choices"][0]).filter(|choice| choice["index"] == index).collect();
        let text: String = of.iter().filter_map(|choice| choice["text"].as_str()).collect();
        let tokens: Vec<Value> =
            of.iter().filter_map(|choice| choice["logprobs"]["tokens"].as_array()).flatten().cloned().collect();
        let expect = &whole["choices"][index];
        assert_eq!((&text.into(), &tokens.into()), (&expect["text"], &expect["logprobs"]["tokens"]));
        let reasons: Vec<&Value> = of.iter().map(|choice| &choice["finish_reason"]).collect();
        let (end, others) = reasons.split_last().expect("pieces");
        assert!(others.iter().all(|reason| reason.is_null()) && *end == &expect["finish_reason"], "{reasons:?}");
    }
}

fn converses(server: &Server) {
    let user = json!({ "role": "user", "content": "hello" });
    let system = json!({ "role": "system", "content": [{ "type": "text", "text": "be brief" }] });
    let mut ask = json!({ "model": MODEL, "messages": [system, user], "max_completion_tokens": 4, "seed": 1, "temperature": 0.5,
        "logprobs": true, "top_logprobs": 2 });
    let one = server.done(CHAT, &ask);
    assert_eq!(one["object"], "chat.completion");
    assert!(one["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    let choice = &one["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    let tokens = choice["logprobs"]["content"].as_array().expect("tokens");
    assert_eq!(tokens.len(), one["usage"]["completion_tokens"].as_u64().expect("a number") as usize);
    for token in tokens {
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(2), "{token}");
        assert_eq!(token["bytes"][0], token["token"].as_str().expect("a text").as_bytes()[0]);
    }
    ask["stream"] = true.into();
    let events = server.post(CHAT, &ask).events();
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"));
    assert_eq!(events[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(Value::from(text), choice["message"]["content"]);
    let last = &events.last().expect("events")["choices"][0];
    assert_eq!((&last["delta"], &last["finish_reason"]), (&json!({}), &choice["finish_reason"]));
}

fn tokens(server: &Server) {
    let ids = server.done("/tokenize", &json!({ "prompt": "The" }));
    assert_eq!((&ids["count"], &ids["max_model_len"], &ids["token_strs"]), (&3.into(), &1024.into(), &json!(["T", "h", "e"])));
    assert_eq!(server.done("/detokenize", &json!({ "tokens": ids["tokens"] })), json!({ "prompt": "The" }));
    // What a user writes becomes no special token, whatever it says.
    let special = server.done("/tokenize", &json!({ "prompt": "", "add_special_tokens": true }))["tokens"][0].clone();
    for text in ["<|endoftext|>", "a<|endoftext|>b", "\u{1e}", "<|user|>[MASK]"] {
        let ids = server.done("/tokenize", &json!({ "prompt": text }))["tokens"].clone();
        assert!(ids.as_array().expect("a list").iter().all(|id| *id != special), "{text:?}: {ids}");
    }
}

fn is_looked_into(server: &Server) {
    let page = server.get("/");
    assert!(page.status == 200 && page.head.contains("text/html") && page.body.contains("</html>"), "{}", page.head);
    let vectors = |ask: Value| server.done("/v1/embeddings", &ask);
    let both = vectors(json!({ "model": MODEL, "input": ["The old", "A tired"] }));
    let vector = |index: usize| both["data"][index]["embedding"].as_array().expect("numbers").clone();
    assert_eq!((vector(0).len(), &both["usage"]), (16, &json!({ "prompt_tokens": 14, "total_tokens": 14 })));
    assert!(vector(0) != vector(1));
    let coded = vectors(json!({ "input": "The old", "encoding_format": "base64" }));
    // 16 numbers of 4 bytes are 22 times 3 bytes, the last two short.
    assert!(coded["data"][0]["embedding"].as_str().is_some_and(|text| text.len() == 88 && text.ends_with("==")), "{coded}");
    let ids = server.done("/tokenize", &json!({ "prompt": "The old" }))["tokens"].clone();
    assert_eq!(vectors(json!({ "input": [ids] }))["data"][0]["embedding"], Value::from(vector(0)));
    let seen = server.done("/x/tokens", &json!({ "text": "The old", "top_k": 3 }))["tokens"].clone();
    let echo = json!({ "prompt": "The old", "max_tokens": 0, "echo": true, "logprobs": 0 });
    let echo = server.done(COMPLETIONS, &echo)["choices"][0]["logprobs"]["token_logprobs"].clone();
    for (one, logprob) in seen.as_array().expect("a list").iter().zip(echo.as_array().expect("a list")) {
        let (probability, logprob) = (one["probability"].as_f64().expect("a number"), logprob.as_f64().expect("a number"));
        assert!((probability.ln() - logprob).abs() < 1e-4 && one["candidates"].as_array().map(Vec::len) == Some(3), "{one}");
    }
    let view = server.done("/x/attention", &json!({ "text": "The old" }));
    assert_eq!(
        (&view["layers"], &view["heads"], view["tokens"].as_array().map(Vec::len)),
        (&1.into(), &2.into(), Some(8)),
        "{view}"
    );
    server.refuses("/x/attention", &json!({ "text": "a", "layer": 1 }), 400, Some("layer"));
    server.refuses("/x/attention", &json!({ "text": "a".repeat(300) }), 400, Some("text"));
    server.refuses("/x/fill-mask", &json!({ "text": "a [MASK]" }), 400, None);
    server.refuses("/x/tokens", &json!({ "text": "a", "top_k": 0 }), 400, Some("top_k"));
    for (field, bad) in
        [("input", json!("")), ("input", json!(["a", ""])), ("encoding_format", json!("x")), ("dimensions", json!(4))]
    {
        let mut ask = json!({ "input": "a" });
        ask[field] = bad;
        server.refuses("/v1/embeddings", &ask, 400, Some(field));
    }
}

fn refuses(server: &Server) {
    for (field, bad) in [
        ("prompt", json!(null)),
        ("prompt", json!([])),
        ("prompt", json!([1_000_000])),
        ("prompt", json!({})),
        ("prompt", json!("a".repeat(1024))),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(1e12)),
        ("max_tokens", json!(1_000_000_000_000_i64)),
        ("max_tokens", json!("5")),
        ("temperature", json!(-0.1)),
        ("temperature", json!("hot")),
        ("top_p", json!(0)),
        ("top_p", json!(1.5)),
        ("top_k", json!(1.5)),
        ("min_p", json!(2)),
        ("n", json!(0)),
        ("n", json!(1_000_000)),
        ("logprobs", json!(1_000_000_000)),
        ("logprobs", json!(true)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stop", json!("")),
        ("stop", json!([1])),
        ("stop", json!(vec!["x"; 100_000])),
        ("logit_bias", json!({ "x": 1 })),
        ("logit_bias", json!({ "99999": 1 })),
        ("logit_bias", json!({ "1": 1000 })),
        ("logit_bias", json!({ "+1": 1 })),
        ("logit_bias", (0..2000).map(|id| (id.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into()),
        ("logit_bias", json!([])),
        ("seed", json!(0.5)),
        ("stream", json!("yes")),
        ("stream_options", json!(1)),
        ("frequency_penalty", json!(3)),
        ("presence_penalty", json!(-3)),
        ("repetition_penalty", json!(0)),
        ("suffix", json!("x")),
        ("best_of", json!(5)),
        ("echo", json!(1)),
    ] {
        let mut ask = json!({ "prompt": "a", "max_tokens": 1 });
        ask[field] = bad;
        server.refuses(COMPLETIONS, &ask, 400, Some(field));
    }
    server.refuses(COMPLETIONS, &json!({ "prompt": "a", "model": "gpt-4" }), 404, Some("model"));
    let user = json!([{ "role": "user", "content": "a" }]);
    for (ask, field) in [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "robot", "content": "a" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }), "messages[0].content"),
        (json!({ "messages": user, "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "messages": user, "max_tokens": 0 }), "max_tokens"),
        (json!({ "messages": user, "tools": [{}] }), "tools"),
        (json!({ "messages": user, "response_format": { "type": "json_object" } }), "response_format"),
    ] {
        server.refuses(CHAT, &ask, 400, Some(field));
    }
    for (path, ask, field) in [
        ("/tokenize", json!({}), Some("prompt")),
        ("/detokenize", json!({ "tokens": [-1] }), Some("tokens")),
        ("/x/classify", json!({ "text": "a" }), None),
        ("/x/answer", json!({ "question": "a", "passage": "b" }), None),
        ("/x/translate", json!({ "text": "a" }), None),
        ("/x/summarize", json!({ "text": "a" }), None),
    ] {
        server.refuses(path, &ask, 400, field);
    }
    let wrong = server.ask("GET", COMPLETIONS, "", "");
    assert_eq!((wrong.status, &wrong.json()["error"]["type"]), (405, &"invalid_request_error".into()));
    for body in ["", "[]", "{", "{\"prompt\": NaN}", &"[".repeat(100_000)] {
        assert_eq!(server.ask("POST", COMPLETIONS, "", body).status, 400);
    }
    let ask = json!({ "prompt": "a", "max_tokens": 1, "logit_bias": { "0": -100 } });
    assert_eq!(server.done(COMPLETIONS, &ask)["usage"]["completion_tokens"], 1);
}

#[test]
fn others_need_a_key() {
    let place = place();
    place.ssl(&["serve", MODEL, "--addr", "0.0.0.0:0"]).says(2, &["0.0.0.0:0", "hint: give --api-key-file"]);
    place.ssl(&["serve", MODEL, "--addr", "nonsense"]).says(2, &["--addr nonsense", "hint:"]);
    place.ssl(&["serve", MODEL, "--api-key-file", "absent"]).says(3, &["absent"]);
    place.write("none", "# nothing\n");
    place.ssl(&["serve", MODEL, "--api-key-file", "none"]).says(3, &["holds no key"]);
    place.ssl(&["serve", "absent"]).says(3, &["absent"]);
    place.write("keys", "first-key\nsecond-key\n");
    let server = Server::start(&place, &["--api-key-file", "keys", "--name", "mine"]);
    let taken = server.addr.to_string();
    place.ssl(&["serve", MODEL, "--addr", &taken]).says(4, &["cannot listen", "hint: name another port"]);
    for (headers, code) in [
        ("", "missing_api_key"),
        ("Authorization: Bearer wrong\r\n", "invalid_api_key"),
        ("Authorization: Bearer first-ke\r\n", "invalid_api_key"),
        ("Authorization: Basic first-key\r\n", "missing_api_key"),
    ] {
        let answer = server.ask("GET", "/v1/models", headers, "");
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &code.into()), "{headers}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert_eq!(server.ask("GET", "/metrics", headers, "").status, 401);
        assert_eq!(server.ask("GET", "/health", headers, "").status, 200);
    }
    let server = server.with_key("second-key");
    assert_eq!(server.get("/v1/models").json()["data"][0]["id"], "mine");
    // Who has a key may call the machine as they like.
    assert_eq!(server.ask("GET", "/v1/models", "Host: example.org\r\n", "").status, 200);
}

#[test]
fn a_model_that_does_not_write_says_what_it_does() {
    let place = Place::new();
    train(&place, &RUN.replace("[objective.causal]", "[objective.masked]").replace("[model.gpt]", "[model.bert]"));
    let server = Server::start(&place, &[]);
    assert_eq!(server.get("/v1/models").json()["data"][0]["ssl"]["writes"], false);
    let gaps = server.done("/x/fill-mask", &json!({ "text": "The [MASK]ld [MASK]", "top_k": 2 }))["gaps"].clone();
    for gap in gaps.as_array().expect("a list") {
        let of = |at: usize| gap["candidates"][at]["probability"].as_f64().expect("a number");
        assert!(of(0) >= of(1) && of(1) > 0.0 && gap["candidates"][0]["token"].is_string(), "{gap}");
    }
    assert_eq!(gaps.as_array().map(Vec::len), Some(2));
    server.refuses("/x/fill-mask", &json!({ "text": "no gap" }), 400, Some("text"));
    for (path, ask) in
        [(COMPLETIONS, json!({ "prompt": "a" })), (CHAT, json!({ "messages": [{ "role": "user", "content": "a" }] }))]
    {
        server.refuses(path, &ask, 400, None);
        let message = server.post(path, &ask).json()["error"]["message"].to_string();
        assert!(message.contains("does not go on with texts; it fills gaps"), "{message}");
    }
}

#[test]
fn drafts_save_steps_and_weights_may_be_rounded() {
    let place = Place::new();
    let heads = "[model.multi-token]\nfuture-tokens = 2\n[model.multi-token.llama]\nkv-heads = 1\nfeed-forward-width = 32\n";
    let run =
        RUN.replace("[model.gpt]\n", heads).replace("dropout = 0.1\n", "").replace("context-tokens = 16", "context-tokens = 64");
    place.write("run.toml", &run);
    place.ssl(&["train", "run.toml", "--out", MODEL, "--quiet"]).says(0, &[]);
    let ask = json!({ "prompt": "The old", "max_tokens": 50, "temperature": 0 });
    let written = |args: &[&str]| {
        let server = Server::start(&place, args);
        let text = server.done(COMPLETIONS, &ask)["choices"][0]["text"].clone();
        (text, server.metric("ssl:engine_steps_total", ""))
    };
    let (plain, drafted) = (written(&[]), written(&["--drafts"]));
    assert_eq!(plain.0, drafted.0);
    assert!(drafted.1 < plain.1, "{} steps with drafts, {} without", drafted.1, plain.1);
    for form in ["bf16", "int8"] {
        assert!(written(&["--weights", form]).0.is_string(), "{form}");
    }
}
