//! What a request asks to be written: its fields as the engine needs them, with OpenAI's defaults.

use std::hash::{BuildHasher, RandomState};

use serde_json::Value;
use ssl_eval::engine;
use ssl_eval::sample::Sampling;

use super::ask::{Ask, Input, wrong};
use super::fault::{Fault, Result};
use super::served::Served;

/// The most stop strings. Source: OpenAI's interface.
const STOPS: usize = 4;
/// The most bytes of one.
const STOP_BYTES: usize = 256;
/// The most alternatives beside a token.
const ALTERNATIVES: i64 = 20;
/// The most entries of `logit_bias`.
const BIASES: usize = 1024;
/// The most log-probabilities that one request may be told, over all its texts.
const TOLD: usize = 1 << 20;
/// Tokens of a completion that does not say how many. Source: OpenAI's interface.
const USUAL_TOKENS: i64 = 16;

/// What is to be written.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// After what.
    pub(super) prompts: Vec<Prompt>,
    /// How many texts after each.
    pub(super) n: usize,
    /// How, and how much.
    pub(super) request: engine::Request,
    /// What ends a text, and is not part of it.
    pub(super) stops: Vec<String>,
    /// Ids that end a text and are told with their log-probabilities, where a completion asks for these: lm-evaluation-harness asks for one
    /// token behind a text that it scores, and leaves the last one out, whichever it is.
    pub(super) told_ends: Vec<u32>,
    /// Whether the prompts stand before their texts.
    pub(super) echo: bool,
    /// Whether texts are told as they come.
    pub(super) stream: bool,
    /// Whether a stream ends with what was used.
    pub(super) usage: bool,
}

/// What stands before a text.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    /// What the model reads.
    pub(super) ids: Vec<u32>,
    /// Ids at its beginning that the client did not send.
    pub(super) added: usize,
    /// As text; empty where nobody wants it back.
    pub(super) text: String,
}

impl Order {
    /// What a completion asks.
    pub(super) fn completion(ask: &Ask, served: &Served) -> Result<Self> {
        let echo = ask.flag("echo")?;
        let begin = ask.get("add_special_tokens").is_none() || ask.flag("add_special_tokens")?;
        let prompt = |input: Input| -> Result<Prompt> {
            let (ids, added) = match &input {
                // A document begins after a separator; ids are read as they are.
                Input::Text(text) => {
                    let begin = begin.then(|| served.vocab.separator());
                    let ids: Vec<u32> = begin.into_iter().chain(served.vocab.encode_foreign(text)?).collect();
                    (ids, usize::from(begin.is_some()))
                }
                Input::Ids(ids) => (ids.clone(), 0),
            };
            let text = match input {
                Input::Text(text) if echo => text,
                Input::Ids(ids) if echo => served.vocab.decode(&ids),
                _ => String::new(),
            };
            Ok(Prompt { ids, added, text })
        };
        let inputs = ask.inputs("prompt", served.about.vocab_size, served.limits.texts)?;
        let prompts = inputs.into_iter().map(prompt).collect::<Result<Vec<_>>>()?;
        let logprobs = ask.whole("logprobs", &(0..=ALTERNATIVES))?.map(|n| n as usize);
        let max_tokens = ask.whole("max_tokens", &(0..=served.limits.tokens as i64))?.unwrap_or(USUAL_TOKENS);
        for name in ["suffix", "best_of"] {
            refuse(ask, name, |value| value == 1 || ask.get("n").is_some_and(|n| n == value))?;
        }
        let mut order = Self::common(ask, served, prompts, max_tokens as usize, logprobs)?;
        order.echo = echo;
        if logprobs.is_some() {
            order.request.echo = echo;
            order.told_ends = std::mem::take(&mut order.request.ends);
        }
        order.within(served.about.context)
    }

    /// What a conversation asks; `ends` are ids and `stops` texts that begin another's turn.
    pub(super) fn chat(ask: &Ask, served: &Served) -> Result<Self> {
        let (ids, ends, own_stops) = served.turns.prompt(ask, served)?;
        let room = served.about.context.saturating_sub(ids.len()).clamp(1, served.limits.tokens);
        let most = 1..=served.limits.tokens as i64;
        let max_tokens = match ask.whole("max_completion_tokens", &most)? {
            Some(tokens) => Some(tokens),
            None => ask.whole("max_tokens", &most)?,
        };
        let logprobs = ask.flag("logprobs")?.then_some(0);
        let top = ask.whole("top_logprobs", &(0..=ALTERNATIVES))?.map(|n| n as usize);
        if top.is_some_and(|top| top > 0) && logprobs.is_none() {
            return Err(Fault::param("top_logprobs", "top_logprobs needs logprobs to be true"));
        }
        for name in ["tools", "functions"] {
            refuse(ask, name, |value| value.as_array().is_some_and(Vec::is_empty))?;
        }
        refuse(ask, "response_format", |value| value["type"] == "text")?;
        let prompts = vec![Prompt { ids, added: 0, text: String::new() }];
        let max_tokens = max_tokens.map_or(room, |tokens| tokens as usize);
        let mut order = Self::common(ask, served, prompts, max_tokens, logprobs.map(|_| top.unwrap_or(0)))?;
        order.request.ends.extend(ends);
        order.stops.extend(own_stops);
        order.within(served.about.context)
    }

    /// Refuses more log-probabilities than fit in memory many times over.
    fn within(self, context: usize) -> Result<Self> {
        let Some(alternatives) = self.request.logprobs else { return Ok(self) };
        let prompts: usize = self.prompts.iter().map(|prompt| prompt.ids.len()).sum();
        let written = self.prompts.len() * self.request.max_tokens.min(context);
        let tokens = self.n * (written + if self.request.echo { prompts } else { 0 });
        let told = tokens.saturating_mul(1 + alternatives);
        if told > TOLD {
            let message =
                format!("{told} log-probabilities are asked for, and at most {TOLD} are told; ask for fewer texts at once");
            return Err(Fault::param("logprobs", message));
        }
        Ok(self)
    }

    fn common(ask: &Ask, served: &Served, prompts: Vec<Prompt>, max_tokens: usize, logprobs: Option<usize>) -> Result<Self> {
        served.called(ask)?;
        let n = ask.whole("n", &(1..=served.limits.texts as i64))?.unwrap_or(1) as usize;
        if prompts.len() * n > served.limits.texts {
            let message = format!("{} texts are asked for, and at most {} at once", prompts.len() * n, served.limits.texts);
            return Err(Fault::param("n", message));
        }
        let most = served.limits.prompt.min(served.about.context - usize::from(max_tokens > 0));
        if let Some(long) = prompts.iter().map(|prompt| prompt.ids.len()).find(|&tokens| tokens > most) {
            let message = format!("the prompt has {long} tokens, and at most {most} are read");
            return Err(Fault::param("prompt", message).coded("context_length_exceeded"));
        }
        let request = engine::Request {
            max_tokens,
            sampling: sampling(ask, served.about.vocab_size)?,
            ends: vec![served.vocab.separator()],
            logprobs,
            ..engine::Request::default()
        };
        let stream = ask.flag("stream")?;
        let usage = match ask.get("stream_options") {
            Some(Value::Object(options)) => match options.get("include_usage") {
                Some(Value::Bool(usage)) => *usage,
                None | Some(Value::Null) => false,
                Some(value) => return Err(wrong("stream_options.include_usage", value, "true or false")),
            },
            Some(value) => return Err(wrong("stream_options", value, "an object")),
            None => false,
        };
        Ok(Self { prompts, n, request, stops: stops(ask)?, told_ends: Vec::new(), echo: false, stream, usage })
    }
}

/// How tokens are drawn.
fn sampling(ask: &Ask, vocab_size: u32) -> Result<Sampling> {
    let number = |name, low, high, usual| ask.number(name, &(low..=high)).map(|found| found.unwrap_or(usual));
    // The smallest share keeps the likeliest token alone.
    Ok(Sampling {
        temperature: number("temperature", 0.0, 2.0, 1.0)?,
        top_p: number("top_p", f64::MIN_POSITIVE, 1.0, 1.0)?,
        // 0 and -1 are others' words for all.
        top_k: ask.whole("top_k", &(-1..=i64::from(u32::MAX)))?.filter(|&k| k > 0).map(|k| k as u32),
        min_p: number("min_p", 0.0, 1.0, 0.0)?,
        repetition_penalty: number("repetition_penalty", 0.01, 100.0, 1.0)?,
        frequency_penalty: number("frequency_penalty", -2.0, 2.0, 0.0)?,
        presence_penalty: number("presence_penalty", -2.0, 2.0, 0.0)?,
        logit_bias: bias(ask, vocab_size)?,
        // Those who give no seed want another text each time.
        seed: ask.whole("seed", &(i64::MIN..=i64::MAX))?.map_or_else(|| RandomState::new().hash_one(0), |seed| seed as u64),
    })
}

fn bias(ask: &Ask, vocab_size: u32) -> Result<Vec<(u32, f32)>> {
    let fields = match ask.get("logit_bias") {
        None => return Ok(Vec::new()),
        Some(Value::Object(fields)) if fields.len() <= BIASES => fields,
        Some(Value::Object(fields)) => {
            let message = format!("logit_bias names {} ids, and at most {BIASES} are looked at", fields.len());
            return Err(Fault::param("logit_bias", message));
        }
        Some(value) => return Err(wrong("logit_bias", value, "an object")),
    };
    let one = |(id, bias): (&String, &Value)| {
        // One id has one name: "+1" and "01" are none.
        let id = id.parse().ok().filter(|&found: &u32| found < vocab_size && found.to_string() == *id);
        let id = id.ok_or_else(|| Fault::param("logit_bias", format!("logit_bias names ids below {vocab_size}")))?;
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        let bias = bias.ok_or_else(|| Fault::param("logit_bias", "logit_bias gives numbers from -100 to 100"))?;
        Ok((id, bias as f32))
    };
    fields.iter().map(one).collect()
}

fn stops(ask: &Ask) -> Result<Vec<String>> {
    let list = match ask.get("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(stop)) => vec![Value::String(stop.clone())],
        Some(Value::Array(list)) if list.len() <= STOPS => list.clone(),
        Some(Value::Array(list)) => {
            return Err(Fault::param("stop", format!("stop holds {} texts, and at most {STOPS} are looked for", list.len())));
        }
        Some(value) => return Err(wrong("stop", value, "a text or a list of texts")),
    };
    let one = |stop: Value| match stop {
        Value::String(stop) if (1..=STOP_BYTES).contains(&stop.len()) => Ok(stop),
        Value::String(_) => Err(Fault::param("stop", format!("a stop text has from 1 to {STOP_BYTES} bytes"))),
        value => Err(wrong("stop", &value, "a text or a list of texts")),
    };
    list.into_iter().map(one).collect()
}

/// Refuses what cannot be done and would change an answer, but for values that ask for nothing.
fn refuse(ask: &Ask, name: &str, nothing: impl Fn(&Value) -> bool) -> Result<()> {
    match ask.get(name) {
        Some(value) if !nothing(value) => Err(Fault::param(name, format!("{name} is not offered here"))),
        _ => Ok(()),
    }
}
