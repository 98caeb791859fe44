//! Tiny models, readers that wait, and models that fail on demand.

use std::sync::mpsc::{self, Receiver};

use ssl_data::batch::{Batch, Rows, Source};
use ssl_data::rng::Rng;
use ssl_eval::engine::{End, Engine, Event, Request, Ticket, Token};
use ssl_eval::sample::Want;
use ssl_model::config::{GptConfig, LlamaConfig, LstmConfig, ModelConfig, MultiTokenConfig, T5Config, TransformerConfig};
use ssl_model::init::Scheme;
use ssl_model::layer::source_of;
use ssl_model::params::{Params, Precision};
use ssl_model::{Cache, Decode, Loss, Model, Pass, Piece};
use tch::{Device, Kind, Tensor};

pub(crate) const VOCAB: u32 = 61;
pub(crate) const CONTEXT: usize = 48;

fn llama() -> LlamaConfig {
    LlamaConfig {
        layers: 2,
        heads: 4,
        kv_heads: 2,
        width: 32,
        feed_forward_width: 48,
        context_tokens: CONTEXT as u32,
        rope_base: 1e4,
        norm_eps: 1e-5,
        tied: false,
        init: Scheme::default(),
    }
}

/// A model that foretells three tokens.
pub(crate) fn multi_token() -> ModelConfig {
    ModelConfig::MultiToken(MultiTokenConfig { future_tokens: 3, llama: llama() })
}

/// Every kind of model that writes.
pub(crate) fn models() -> Vec<ModelConfig> {
    let context_tokens = CONTEXT as u32;
    let gpt = GptConfig { layers: 2, heads: 2, width: 32, context_tokens, ..GptConfig::default() };
    let t5 = T5Config { layers: 2, heads: 2, head_width: 8, width: 32, feed_forward_width: 48, ..T5Config::default() };
    let transformer =
        TransformerConfig { layers: 2, heads: 2, width: 32, feed_forward_width: 48, ..TransformerConfig::default() };
    vec![
        ModelConfig::Gpt(gpt),
        ModelConfig::Llama(llama()),
        ModelConfig::T5(T5Config { context_tokens, buckets: 8, reach: 16, ..t5 }),
        ModelConfig::Transformer(TransformerConfig { context_tokens, ..transformer }),
        ModelConfig::Lstm(LstmConfig { layers: 2, width: 32, context_tokens, ..LstmConfig::default() }),
    ]
}

/// A model whose random weights are large enough for its answers to differ.
pub(crate) fn built(config: &ModelConfig) -> Box<dyn Model> {
    let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(3));
    let model = config.build(VOCAB, &mut params);
    for param in params.list().iter().filter(|param| param.decays()) {
        tch::no_grad(|| {
            let norm = param.leaf.std(false).double_value(&[]);
            let _ = param.leaf.shallow_clone().g_mul_scalar_(0.2 / norm);
        });
    }
    model
}

/// Tokens by chance, none of which triggers a fault.
pub(crate) fn ids(seed: u64, count: usize) -> Vec<u32> {
    (0..count).map(|at| 3 + (Rng::at(seed, 0, at as u64).unit() * f64::from(VOCAB - 3)) as u32).collect()
}

/// The logits of all positions of a text in one full pass, `[t, v]`; `prompt` is the source of a model that reads one.
fn forward(model: &dyn Model, prompt: &[u32], text: &[u32]) -> Tensor {
    let row = source_of(text, Device::Cpu).ids;
    let t = text.len() as i64;
    let zeros = Tensor::zeros([1, t], (Kind::Float, Device::Cpu));
    let positions = Tensor::arange(t, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let rows = Rows::new(row.shallow_clone(), row, zeros.shallow_clone(), zeros.sum(Kind::Float).view([1]), positions);
    let reads_sources = model.decoder().is_some_and(|decoder| decoder.start().is_some());
    let batch = if reads_sources { Batch::Pair(source_of(prompt, Device::Cpu), rows) } else { Batch::Rows(rows) };
    tch::no_grad(|| model.logits(&batch)).squeeze_dim(0)
}

/// The likeliest token after the likeliest token, each by a full pass over all before it.
pub(crate) fn greedy_by_forward(model: &dyn Model, request: &Request) -> Vec<u32> {
    let start = model.decoder().and_then(Decode::start);
    let mut text = start.map_or_else(|| request.prompt.clone(), |start| vec![start]);
    let given = text.len();
    for _ in 0..request.max_tokens {
        let logits = forward(model, &request.prompt, &text);
        text.push(logits.get(-1).argmax(-1, false).int64_value(&[]) as u32);
    }
    text.split_off(given)
}

/// What a full pass says of a token: its log-probability, and the likeliest token with its own.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) own: f64,
    pub(crate) best: (u32, f64),
}

/// Of each token of the prompt, where the model predicts it.
pub(crate) fn log_probs_by_forward(model: &dyn Model, request: &Request) -> Vec<Option<Score>> {
    if model.decoder().and_then(Decode::start).is_some() {
        return request.prompt.iter().map(|_| None).collect();
    }
    let log_p = forward(model, &request.prompt, &request.prompt).to_kind(Kind::Double).log_softmax(-1, Kind::Double);
    let score = |(place, &id): (usize, &u32)| {
        let row = log_p.get(place as i64 - 1);
        let best = row.argmax(-1, false).int64_value(&[]);
        Score { own: row.double_value(&[i64::from(id)]), best: (best as u32, row.double_value(&[best])) }
    };
    request.prompt.iter().enumerate().map(|(place, id)| (place > 0).then(|| score((place, id)))).collect()
}

/// All that was heard of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) echo: Vec<Token>,
    pub(crate) ids: Vec<u32>,
    pub(crate) end: End,
}

/// A request on its way.
pub(crate) struct Waiting {
    events: Receiver<Event>,
    ticket: Option<Ticket>,
}

impl Waiting {
    /// Waits for the end, which must be the last to be heard.
    pub(crate) fn wait(self) -> Heard {
        let mut heard = Heard { echo: Vec::new(), ids: Vec::new(), end: End::Failed("it never ended".into()) };
        let mut ended = 0;
        for event in &self.events {
            assert_eq!(ended, 0, "nothing comes after the end");
            match event {
                Event::Prompt(echo) => {
                    assert!(heard.echo.is_empty() && heard.ids.is_empty(), "a prompt comes first, and once");
                    heard.echo = echo;
                }
                Event::Token(token) => heard.ids.push(token.id),
                Event::End(end) => (heard.end, ended) = (end, 1),
            }
        }
        assert_eq!(ended, 1, "an end comes");
        heard
    }

    pub(crate) fn cancel(self) -> Self {
        drop(self.ticket);
        Self { ticket: None, ..self }
    }
}

pub(crate) fn submit(engine: &Engine, request: Request) -> Waiting {
    submit_until(engine, request, usize::MAX)
}

/// The same, with enough after so many tokens.
pub(crate) fn submit_until(engine: &Engine, request: Request, most: usize) -> Waiting {
    let (send, events) = mpsc::channel();
    let mut tokens = 0;
    let sink = move |event| {
        tokens += usize::from(matches!(event, Event::Token(_)));
        // Who asked may have gone.
        let _ = send.send(event);
        if tokens >= most { Want::Enough } else { Want::More }
    };
    Waiting { events, ticket: Some(engine.submit(request, Box::new(sink)).expect("a ticket")) }
}

/// The same with a reader that panics at the first token.
pub(crate) fn submit_panicking(engine: &Engine, request: Request) -> Gone {
    let (send, gone) = mpsc::channel::<()>();
    let sink = move |event| {
        let _ = &send;
        assert!(!matches!(event, Event::Token(_)), "a reader that panics");
        Want::More
    };
    Gone { gone, _ticket: engine.submit(request, Box::new(sink)).expect("a ticket") }
}

/// A request whose reader is let go of.
pub(crate) struct Gone {
    gone: Receiver<()>,
    _ticket: Ticket,
}

impl Gone {
    pub(crate) fn wait(&mut self) {
        assert!(self.gone.recv().is_err(), "nothing is sent");
    }
}

pub(crate) fn hear(engine: &Engine, request: Request) -> Heard {
    submit(engine, request).wait()
}

/// What a model does when it reads its trigger.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Faulty {
    Panics,
    NotFinite,
}

impl Faulty {
    pub(crate) const TRIGGER: u32 = 1;

    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::Panics => "a hole in the model",
            Self::NotFinite => "not finite",
        }
    }

    pub(crate) fn around(self, model: Box<dyn Model>) -> Box<dyn Model> {
        Box::new(Hole { model, fault: self })
    }
}

struct Hole {
    model: Box<dyn Model>,
    fault: Faulty,
}

impl Model for Hole {
    fn loss(&self, batch: &Batch<Tensor>, pass: Pass) -> Loss {
        self.model.loss(batch, pass)
    }

    fn hidden(&self, batch: &Batch<Tensor>, pass: Pass) -> Tensor {
        self.model.hidden(batch, pass)
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        self.model.logits(batch)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn context(&self) -> usize {
        self.model.context()
    }
}

impl Hole {
    fn inside(&self) -> &dyn Decode {
        self.model.decoder().expect("it writes")
    }
}

impl Decode for Hole {
    fn cache(&self, source: Option<&Source<Tensor>>) -> Cache {
        self.inside().cache(source)
    }

    fn next(&self, tokens_bs: &Tensor, cache: &mut Cache) -> Tensor {
        self.inside().next(tokens_bs, cache)
    }

    fn step(&self, pieces: &mut [Piece<'_>], device: Device) -> Tensor {
        let holes: Vec<bool> = pieces.iter().map(|piece| piece.tokens.contains(&Faulty::TRIGGER)).collect();
        assert!(!(matches!(self.fault, Faulty::Panics) && holes.contains(&true)), "a hole in the model");
        let logits = self.inside().step(pieces, device);
        let mut at = 0;
        for (piece, hole) in pieces.iter().zip(holes) {
            if hole {
                let _ = logits.narrow(0, at, piece.wanted as i64).fill_(f64::NAN);
            }
            at += piece.wanted as i64;
        }
        logits
    }

    fn vocab(&self) -> usize {
        self.inside().vocab()
    }
}
