//! Texts as OpenAI's clients read them: whole, or in pieces as they come.

use serde_json::{Value, json};
use ssl_data::vocab::{Stream, Vocab};
use ssl_eval::engine::Token;

use super::running::{Finish, Piece, Usage};

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `text_completion`.
    Completion,
    /// `chat.completion`.
    Chat,
}

/// Writes one request's documents.
pub(super) struct Wire<'a> {
    form: Form,
    vocab: &'a Vocab,
    /// What every document of it bears.
    id: String,
    created: u64,
    model: String,
    /// How many alternatives beside each token; none where tokens are not asked for.
    logprobs: Option<usize>,
    /// Whether a stream's last document says what was used, so that all others say null.
    usage: bool,
    /// Of each text, what its next token's place is found with.
    places: Vec<(Stream<'a>, usize)>,
}

impl<'a> Wire<'a> {
    /// For a request of `texts` texts that is called `name`.
    pub(super) fn new(form: Form, vocab: &'a Vocab, name: &str, created: u64, model: &str, texts: usize) -> Self {
        let kind = if form == Form::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            form,
            vocab,
            id: format!("{kind}-{name}"),
            created,
            model: model.to_owned(),
            logprobs: None,
            usage: false,
            places: (0..texts).map(|_| (vocab.stream(), 0)).collect(),
        }
    }

    /// Telling the tokens with so many alternatives, and what was used.
    pub(super) fn telling(self, logprobs: Option<usize>, usage: bool) -> Self {
        Self { logprobs, usage, ..self }
    }

    /// What a stream of a text begins with: of a conversation, who speaks.
    pub(super) fn opening(&self, index: usize) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.form == Form::Chat).then(|| {
            self.chunk(&json!({
                "index": index, "delta": delta, "logprobs": null, "finish_reason": null,
            }))
        })
    }

    /// A piece of a stream; a failure is told as a document of its own kind.
    pub(super) fn piece(&mut self, index: usize, piece: Piece) -> Value {
        let (text, tokens, finish) = match piece {
            Piece::Part(text, tokens) => (text, tokens, None),
            Piece::End(Finish::Failed(what)) => return super::fault::Fault::ours(what).json(),
            Piece::End(finish) => (String::new(), Vec::new(), Some(finish.name())),
        };
        let logprobs = if finish.is_some() { Value::Null } else { self.tokens(index, &tokens) };
        let mut choice = json!({ "index": index, "logprobs": logprobs, "finish_reason": finish });
        match self.form {
            Form::Completion => choice["text"] = text.into(),
            Form::Chat if finish.is_some() => choice["delta"] = json!({}),
            Form::Chat => choice["delta"] = json!({ "content": text }),
        }
        self.chunk(&choice)
    }

    /// What a stream ends with where it was asked what was used.
    pub(super) fn closing(&self, usage: Usage) -> Option<Value> {
        let last = || Value::Array(Vec::new());
        self.usage.then(|| self.document(self.kind(true), &last(), Some(used(usage))))
    }

    /// The document of whole texts.
    pub(super) fn whole(&mut self, texts: Vec<(String, Vec<Token>, Finish)>, usage: Usage) -> Value {
        let choices: Vec<Value> = texts
            .into_iter()
            .enumerate()
            .map(|(index, (text, tokens, finish))| {
                let logprobs = self.tokens(index, &tokens);
                let mut choice = json!({ "index": index, "logprobs": logprobs, "finish_reason": finish.name() });
                match self.form {
                    Form::Completion => choice["text"] = text.into(),
                    Form::Chat => choice["message"] = json!({ "role": "assistant", "content": text, "refusal": null }),
                }
                choice
            })
            .collect();
        self.document(self.kind(false), &choices.into(), Some(used(usage)))
    }

    fn kind(&self, piece: bool) -> &'static str {
        match (self.form, piece) {
            (Form::Completion, _) => "text_completion",
            (Form::Chat, false) => "chat.completion",
            (Form::Chat, true) => "chat.completion.chunk",
        }
    }

    fn chunk(&self, choice: &Value) -> Value {
        let choices = Value::Array(vec![choice.clone()]);
        self.document(self.kind(true), &choices, self.usage.then_some(Value::Null))
    }

    fn document(&self, kind: &str, choices: &Value, usage: Option<Value>) -> Value {
        let mut document = json!({
            "id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices,
        });
        if let Some(usage) = usage {
            document["usage"] = usage;
        }
        document
    }

    /// Tokens with their log-probabilities; null where nobody asked.
    fn tokens(&mut self, index: usize, tokens: &[Token]) -> Value {
        let Some(most) = self.logprobs else { return Value::Null };
        match self.form {
            Form::Completion => self.columns(index, tokens, most),
            Form::Chat => {
                let one = |token: &Token| {
                    let top: Vec<Value> =
                        token.top.iter().take(most).map(|&(id, logprob)| self.entry(id, Some(logprob))).collect();
                    let mut entry = self.entry(token.id, token.logprob);
                    entry["top_logprobs"] = top.into();
                    entry
                };
                json!({ "content": tokens.iter().map(one).collect::<Vec<_>>(), "refusal": null })
            }
        }
    }

    /// A conversation's form: an object a token.
    fn entry(&self, id: u32, logprob: Option<f32>) -> Value {
        json!({ "token": name(self.vocab, id), "logprob": logprob, "bytes": self.vocab.bytes(&[id]) })
    }

    /// A completion's form: a list a property.
    fn columns(&mut self, index: usize, tokens: &[Token], most: usize) -> Value {
        let (mut tops, mut places) = (Vec::new(), Vec::new());
        for token in tokens {
            let (stream, place) = &mut self.places[index];
            places.push(*place);
            *place += stream.push(token.id).chars().count();
            // The token that was taken is among them even when it is not likely. Of two with one name the likelier stays.
            let mut top = serde_json::Map::new();
            let taken = token.logprob.map(|logprob| (token.id, logprob));
            for (id, logprob) in token.top.iter().take(most).copied().chain(taken) {
                top.entry(name(self.vocab, id)).or_insert_with(|| logprob.into());
            }
            tops.push(if token.logprob.is_some() { Value::Object(top) } else { Value::Null });
        }
        json!({
            "tokens": tokens.iter().map(|token| name(self.vocab, token.id)).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
            "top_logprobs": tops,
            "text_offset": places,
        })
    }
}

/// A token's text; one that is a part of a character is called by its bytes, as OpenAI's interface does.
pub(super) fn name(vocab: &Vocab, id: u32) -> String {
    use std::fmt::Write;
    match String::from_utf8(vocab.bytes(&[id])) {
        Ok(text) => text,
        Err(fault) => fault.as_bytes().iter().fold("bytes:".to_owned(), |mut name, byte| {
            // Writing to a string cannot fail.
            let _ = write!(name, "\\x{byte:02x}");
            name
        }),
    }
}

/// What was used, as a document.
pub(super) fn used(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt, "completion_tokens": usage.written, "total_tokens": usage.prompt + usage.written,
    })
}
