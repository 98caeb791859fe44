//! `/openapi.json`: every route with what it takes and gives. Source: `OpenAPI` 3.1.

use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for Told { method, path, summary, takes, gives } in told() {
        let gives = match gives {
            Gives::Json(schema) => json!({ "application/json": { "schema": schema } }),
            Gives::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
            Gives::Stream(schema) => json!({
                "application/json": { "schema": schema },
                "text/event-stream": { "schema": { "type": "string", "description": "`data: {json}` events, then `data: [DONE]`" } },
            }),
        };
        let refused = json!({ "description": "a fault", "content": { "application/json": { "schema": reference("Error") } } });
        let mut operation = json!({
            "summary": summary, "operationId": format!("{method}{}", path.replace(['/', '.', '-', '{', '}'], "_")),
            "responses": { "200": { "description": "an answer", "content": gives }, "default": refused },
        });
        if path.contains("{model}") {
            operation["parameters"] = json!([{ "name": "model", "in": "path", "required": true, "schema": text() }]);
        }
        if let Some(schema) = takes {
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        paths.insert(path.to_owned(), json!({ method: operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ssl serve", "version": env!("CARGO_PKG_VERSION"),
            "description": "A self-supervised language model at work. Fields that are not named are read over.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": error(), "Usage": object(&["prompt_tokens", "completion_tokens", "total_tokens"], &[
                ("prompt_tokens", whole()), ("completion_tokens", whole()), ("total_tokens", whole()),
            ]) },
        },
        // A server without keys asks for none.
        "security": [{}, { "key": [] }],
    })
}

/// One route.
struct Told {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    takes: Option<Value>,
    gives: Gives,
}

/// What comes back.
enum Gives {
    Json(Value),
    /// Text of a kind.
    Text(&'static str),
    /// A document, or events.
    Stream(Value),
}

fn told() -> Vec<Told> {
    let get = |path, summary, gives| Told { method: "get", path, summary, takes: None, gives };
    let post = |path, summary, takes, gives| Told { method: "post", path, summary, takes: Some(takes), gives };
    let model = || object(&["id", "object", "created", "owned_by"], &[("id", text()), ("ssl", json!({ "type": "object" }))]);
    let one_text = || object(&["text"], &[("text", text())]);
    vec![
        get("/", "A page to try the model in a browser", Gives::Text("text/html")),
        get("/health", "Whether it is there", Gives::Json(object(&["status"], &[("status", text())]))),
        get("/metrics", "Counters for Prometheus", Gives::Text("text/plain")),
        get("/openapi.json", "This document", Gives::Json(json!({ "type": "object" }))),
        get("/v1/models", "The model and what it does", Gives::Json(object(&["object", "data"], &[("data", list(model()))]))),
        get("/v1/models/{model}", "The same for one", Gives::Json(model())),
        post("/v1/completions", "Go on with texts", completion(), Gives::Stream(completed("text", &text()))),
        post("/v1/chat/completions", "Answer in a conversation", chat(), Gives::Stream(completed("message", &message()))),
        post("/v1/embeddings", "Vectors of texts", embedding(), Gives::Json(embedded())),
        post(
            "/x/fill-mask",
            "What fills each [MASK] of a text",
            object(&["text"], &[("text", text()), ("top_k", usual(bounded(1, Some(100)), 5))]),
            Gives::Json(object(&["gaps"], &[("gaps", list(object(&["candidates"], &[("candidates", list(candidate()))])))])),
        ),
        post(
            "/x/tokens",
            "How likely the model found each token of a text",
            object(&["text"], &[("text", text()), ("top_k", usual(bounded(1, Some(100)), 5))]),
            Gives::Json(object(&["tokens"], &[("tokens", list(likelihood()))])),
        ),
        post(
            "/x/attention",
            "Which tokens of a text look at which, head by head",
            object(&["text"], &[("text", text()), ("layer", usual(bounded(0, None), 0))]),
            Gives::Json(object(
                &["tokens", "layers", "heads", "layer", "weights"],
                &[
                    ("tokens", list(text())),
                    ("layers", whole()),
                    ("heads", whole()),
                    ("layer", whole()),
                    ("weights", list(list(list(number(0, 1))))),
                ],
            )),
        ),
        post(
            "/tokenize",
            "The ids of a text",
            object(&["prompt"], &[("prompt", text()), ("add_special_tokens", flag(false))]),
            Gives::Json(object(
                &["count", "max_model_len", "tokens", "token_strs"],
                &[("count", whole()), ("max_model_len", whole()), ("tokens", list(whole())), ("token_strs", list(text()))],
            )),
        ),
        post(
            "/detokenize",
            "The text of ids",
            object(&["tokens"], &[("tokens", list(whole()))]),
            Gives::Json(object(&["prompt"], &[("prompt", text())])),
        ),
        post(
            "/x/classify",
            "The class of a text, or of two",
            object(&["text"], &[("text", text()), ("second", text())]),
            Gives::Json(object(
                &["label", "probabilities"],
                &[
                    ("label", text()),
                    (
                        "probabilities",
                        list(object(&["label", "probability"], &[("label", text()), ("probability", number(0, 1))])),
                    ),
                ],
            )),
        ),
        post(
            "/x/answer",
            "The answer to a question, from a passage or from the server's documents",
            object(&["question"], &[("question", text()), ("passage", text())]),
            Gives::Json(object(
                &["answer", "probability", "abstained", "citations"],
                &[("answer", text()), ("probability", number(0, 1)), ("abstained", flag(false)), ("citations", list(citation()))],
            )),
        ),
        post("/x/translate", "A text in the other language", one_text(), Gives::Json(one_text())),
        post("/x/summarize", "A shorter text that says the same", one_text(), Gives::Json(one_text())),
    ]
}

/// What is read in one of four forms.
fn inputs() -> Value {
    let ids = list(whole());
    json!({ "oneOf": [text(), list(text()), ids, list(&ids)] })
}

fn embedding() -> Value {
    let format = json!({ "type": "string", "enum": ["float", "base64"], "default": "float" });
    object(&["input"], &[("model", text()), ("input", inputs()), ("encoding_format", format)])
}

fn embedded() -> Value {
    let numbers = json!({ "oneOf": [{ "type": "array", "items": { "type": "number" } }, text()] });
    let one = object(&["object", "index", "embedding"], &[("object", text()), ("index", whole()), ("embedding", numbers)]);
    object(&["object", "model", "data"], &[("object", text()), ("model", text()), ("data", list(one))])
}

fn candidate() -> Value {
    let id = json!({ "type": ["integer", "null"] });
    let own = [("token", text()), ("id", id), ("ids", list(whole())), ("probability", number(0, 1))];
    object(&["token", "id", "probability"], &own)
}

fn likelihood() -> Value {
    let own = [
        ("text", text()),
        ("id", whole()),
        ("probability", number(0, 1)),
        ("rank", bounded(1, None)),
        ("candidates", list(candidate())),
    ];
    object(&["text", "id", "probability", "rank"], &own)
}

fn citation() -> Value {
    let own =
        [("document", text()), ("start", whole()), ("end", whole()), ("text", text()), ("score", json!({ "type": "number" }))];
    object(&["document", "start", "end", "text"], &own)
}

fn completion() -> Value {
    let mut own = vec![
        ("prompt", inputs()),
        ("max_tokens", usual(bounded(0, None), 16)),
        ("logprobs", bounded(0, Some(20))),
        ("echo", flag(false)),
        ("add_special_tokens", flag(true)),
    ];
    own.extend(shared());
    object(&["prompt"], &own)
}

fn chat() -> Value {
    let mut own = vec![
        ("messages", list(message())),
        ("max_tokens", bounded(1, None)),
        ("max_completion_tokens", bounded(1, None)),
        ("logprobs", flag(false)),
        ("top_logprobs", bounded(0, Some(20))),
    ];
    own.extend(shared());
    object(&["messages"], &own)
}

/// What both take.
fn shared() -> Vec<(&'static str, Value)> {
    let stop = json!({ "oneOf": [text(), { "type": "array", "items": text(), "maxItems": 4 }] });
    vec![
        ("model", text()),
        ("n", usual(bounded(1, None), 1)),
        ("stream", flag(false)),
        ("stream_options", object(&[], &[("include_usage", flag(false))])),
        ("stop", stop),
        ("seed", json!({ "type": "integer", "description": "the same seed writes the same text" })),
        ("temperature", usual(number(0, 2), 1)),
        ("top_p", usual(number(0, 1), 1)),
        ("top_k", json!({ "type": "integer", "minimum": -1 })),
        ("min_p", usual(number(0, 1), 0)),
        ("repetition_penalty", json!({ "type": "number", "exclusiveMinimum": 0, "default": 1 })),
        ("frequency_penalty", usual(number(-2, 2), 0)),
        ("presence_penalty", usual(number(-2, 2), 0)),
        ("logit_bias", json!({ "type": "object", "additionalProperties": number(-100, 100) })),
    ]
}

fn message() -> Value {
    let role = json!({ "type": "string", "enum": ["system", "developer", "user", "assistant"] });
    object(&["role", "content"], &[("role", role), ("content", text())])
}

fn completed(name: &'static str, content: &Value) -> Value {
    let finish = json!({ "type": "string", "enum": ["stop", "length"] });
    let choice = object(
        &["index", name, "finish_reason"],
        &[
            ("index", whole()),
            (name, content.clone()),
            ("finish_reason", finish),
            ("logprobs", json!({ "type": ["object", "null"] })),
        ],
    );
    object(
        &["id", "object", "created", "model", "choices"],
        &[
            ("id", text()),
            ("object", text()),
            ("created", whole()),
            ("model", text()),
            ("choices", list(choice)),
            ("usage", reference("Usage")),
        ],
    )
}

fn error() -> Value {
    let maybe = || json!({ "type": ["string", "null"] });
    let inner = object(&["message", "type"], &[("message", text()), ("type", text()), ("param", maybe()), ("code", maybe())]);
    object(&["error"], &[("error", inner)])
}

fn object(required: &[&str], properties: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(items: impl std::borrow::Borrow<Value>) -> Value {
    json!({ "type": "array", "items": items.borrow() })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn whole() -> Value {
    bounded(0, None)
}

fn bounded(minimum: i64, maximum: Option<i64>) -> Value {
    let mut schema = json!({ "type": "integer", "minimum": minimum });
    if let Some(maximum) = maximum {
        schema["maximum"] = maximum.into();
    }
    schema
}

fn number(minimum: i64, maximum: i64) -> Value {
    json!({ "type": "number", "minimum": minimum, "maximum": maximum })
}

fn flag(usual: bool) -> Value {
    json!({ "type": "boolean", "default": usual })
}

fn usual(mut schema: Value, default: i64) -> Value {
    schema["default"] = default.into();
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::serve::routes;

    #[test]
    fn routes_and_the_document_are_the_same() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let told: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        let served: BTreeSet<&str> = routes::all().iter().map(|route| route.path).collect();
        assert_eq!(told, served);
        // Every reference leads somewhere, and no two operations have one name.
        for name in document.to_string().split("#/components/schemas/").skip(1) {
            let name = name.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let names: Vec<&Value> = paths
            .values()
            .flat_map(|methods| methods.as_object().expect("methods").values())
            .map(|one| &one["operationId"])
            .collect();
        assert_eq!(names.len(), names.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len());
    }
}
