//! What an adapted model says of an example depends on nothing but the example.

use ssl_data::config::TokenizerConfig;
use ssl_data::document::Origin;
use ssl_data::task::{Answer, Content, Encoder, Example, Reader, TaskKind};
use ssl_data::vocab::{CLASS, END, PAD, Vocab};
use ssl_eval::adapted::{Asked, Said, features};
use ssl_model::config::{BertConfig, GptConfig, LstmConfig, ModelConfig, T5Config};
use ssl_model::head::{HeadConfig, Headed, Pool};
use ssl_model::params::{Params, Precision};
use tch::Device;

const TEXT: &str = "the quick brown fox jumps over the lazy dog, and the old fisherman carried the lamp before dawn";

fn vocab() -> Vocab {
    let specials = [PAD, CLASS, END].map(String::from);
    Vocab::train(std::iter::once(TEXT.to_owned()), &TokenizerConfig::Char {}, &specials).expect("a vocabulary")
}

fn models() -> Vec<(ModelConfig, Reader)> {
    let bert = BertConfig { layers: 2, heads: 2, width: 16, context_tokens: 48, ..BertConfig::default() };
    let gpt = GptConfig { layers: 2, heads: 2, width: 16, context_tokens: 48, ..GptConfig::default() };
    let lstm = LstmConfig { layers: 1, width: 16, context_tokens: 48, ..LstmConfig::default() };
    let t5 = T5Config { layers: 1, heads: 2, width: 16, context_tokens: 48, ..T5Config::default() };
    vec![
        (ModelConfig::Bert(bert), Reader::Both),
        (ModelConfig::Gpt(gpt), Reader::Causal),
        (ModelConfig::Lstm(lstm), Reader::Causal),
        (ModelConfig::T5(t5), Reader::Pair),
    ]
}

fn kind(json: serde_json::Value) -> TaskKind {
    serde_json::from_value(json).expect("a kind")
}

fn example(content: Content, at: usize) -> Example {
    let path: std::sync::Arc<std::path::Path> = std::path::Path::new("made").into();
    Example { id: at.to_string(), origin: Origin { path, line: at as u64, address: None }, content }
}

/// Contents of unequal lengths.
fn contents(kind: &TaskKind) -> Vec<Example> {
    let piece = |i: usize| &TEXT[i * 3..(i * 3 + 4 + (i * 11) % 60).min(TEXT.len())];
    let content = |i: usize| match kind {
        TaskKind::Classification(_) => Content::Texts { first: piece(i).into(), second: None, label: i % 3 },
        TaskKind::Tagging(_) => {
            let words: Vec<String> = piece(i).split_whitespace().map(str::to_owned).collect();
            let words = if words.is_empty() { vec!["fox".to_owned()] } else { words };
            Content::Words { tags: (0..words.len()).map(|tag| tag % 3).collect(), words }
        }
        _ => Content::Question {
            question: "the fox".into(),
            context: TEXT[..30 + i * 3].into(),
            answers: vec![Answer { text: "quick".into(), start: 4 }],
            references: vec!["quick".into()],
        },
    };
    (0..18).map(|i| example(content(i), i)).collect()
}

fn close(a: &Said, b: &Said) -> bool {
    match (a, b) {
        (Said::Class(a), Said::Class(b)) => a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5),
        (Said::Span { start: a, score: x, no_answer: n, .. }, Said::Span { start: b, score: y, no_answer: m, .. }) => {
            a == b && (x - y).abs() < 1e-4 && (n - m).abs() < 1e-4
        }
        _ => a == b,
    }
}

#[test]
fn an_answer_does_not_depend_on_batch_padding_order_or_threads() {
    let vocab = vocab();
    let labels: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
    let kinds = [
        (kind(serde_json::json!({ "classification": { "text": "{t}", "long": "mean", "stride-tokens": 8 } })), "classes"),
        (kind(serde_json::json!({ "tagging": { "token": "1", "tag": "2" } })), "tags"),
        (kind(serde_json::json!({ "extraction": { "stride-tokens": 8 } })), "span"),
    ];
    let mut judged = 0;
    for (config, reader) in models() {
        for (kind, name) in &kinds {
            let Ok(encoder) = Encoder::new(&vocab, 48, reader, kind) else {
                assert!(reader == Reader::Pair && *name != "classes", "{name} of {}", config.name());
                continue;
            };
            let head = match *name {
                "classes" => HeadConfig::Classes { count: 3, pool: Pool::Mean },
                "tags" => HeadConfig::Tags { count: 3 },
                _ => HeadConfig::Span {},
            };
            let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(7));
            let base = config.build(vocab.size(), &mut params);
            let model = Headed::new(base, &config, &head, 0.0, &mut params);
            let asked = Asked { model: &model, encoder: &encoder, kind, labels: &labels, device: Device::Cpu };
            let examples = contents(kind);
            let whole = asked.judge(&examples, &|_| false).expect("judged");
            let alone: Vec<Said> =
                examples.iter().flat_map(|one| asked.answer(std::slice::from_ref(one), &|_| false).expect("answered")).collect();
            let backwards: Vec<Example> = examples.iter().rev().cloned().collect();
            let mut turned = asked.answer(&backwards, &|_| false).expect("answered");
            turned.reverse();
            let before = tch::get_num_threads();
            tch::set_num_threads(1);
            let single = asked.answer(&examples, &|_| false).expect("answered");
            tch::set_num_threads(before);
            for (at, said) in whole.said.iter().enumerate() {
                for (how, other) in [("alone", &alone), ("backwards", &turned), ("on one thread", &single)] {
                    assert!(close(said, &other[at]), "{name} of {} {how}: {said:?} and {:?}", config.name(), other[at]);
                }
            }
            // A model of random weights says different things of different texts, or this would show nothing.
            assert!(whole.said.iter().any(|said| !close(said, &whole.said[0])), "{name} of {}", config.name());
            judged += 1;
        }
        let classes = &kinds[0].0;
        let encoder = Encoder::new(&vocab, 48, reader, classes).expect("an encoder");
        let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(7));
        let model = config.build(vocab.size(), &mut params);
        let examples = contents(classes);
        let read = |examples: &[Example]| {
            features(model.as_ref(), &encoder, examples, Pool::Mean, Device::Cpu, &|_| false).expect("features")
        };
        let (all, one) = (read(&examples), read(&examples[5..6]));
        assert!(all[5].iter().zip(&one[0]).all(|(a, b)| (a - b).abs() < 1e-5) && all[5] != all[6]);
    }
    assert_eq!(judged, 10);
}

#[test]
fn windows_that_reach_over_the_whole_text_say_what_one_row_says() {
    let vocab = vocab();
    let (config, reader) = models().swap_remove(0);
    let labels = Vec::new();
    let said = |stride: u32| {
        let kind = kind(serde_json::json!({ "extraction": { "stride-tokens": stride } }));
        let encoder = Encoder::new(&vocab, 48, reader, &kind).expect("an encoder");
        let mut params = Params::new(Device::Cpu, Precision::Fp32, Some(9));
        let base = config.build(vocab.size(), &mut params);
        let model = Headed::new(base, &config, &HeadConfig::Span {}, 0.0, &mut params);
        let asked = Asked { model: &model, encoder: &encoder, kind: &kind, labels: &labels, device: Device::Cpu };
        asked.answer(&contents(&kind)[..3], &|_| false).expect("answered")
    };
    // These passages fit into a row, so that no stride makes a second window.
    let (one, other) = (said(4), said(32));
    assert!(one[0] == other[0], "{:?} and {:?}", one[0], other[0]);
}
