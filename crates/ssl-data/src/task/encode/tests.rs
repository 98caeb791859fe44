//! Rows of every kind, token by token.

use serde_json::{Value, json};

use super::*;
use crate::batch::{Attend, Batch, Grid, Rows};
use crate::config::TokenizerConfig;
use crate::document::Origin;
use crate::task::{Answer, Role, Turn};
use crate::vocab::MASK;

const TEXT: &str = "the bird sings loud and the cat hears it\n\nUser: Assistant: 天地玄黄, London is a place. ?";

fn vocab(config: Value, specials: &[&str]) -> Vocab {
    let config: TokenizerConfig = serde_json::from_value(config).expect("a configuration");
    let specials: Vec<String> = specials.iter().map(ToString::to_string).collect();
    Vocab::train(std::iter::repeat_n(TEXT.to_owned(), 9), &config, &specials).expect("a vocabulary")
}

fn bert() -> Vocab {
    vocab(json!({ "wordpiece": { "vocab-tokens": 200 } }), &[PAD, CLASS, END, MASK])
}

fn gpt() -> Vocab {
    vocab(json!({ "byte-bpe": { "vocab-tokens": 330 } }), &[])
}

fn t5() -> Vocab {
    vocab(json!({ "byte-bpe": { "vocab-tokens": 330 } }), &[PAD, END, TO])
}

fn kind(config: Value) -> TaskKind {
    serde_json::from_value(config).expect("a kind")
}

fn example(content: Content) -> Example {
    let origin = Origin { path: std::path::Path::new("x").into(), line: 1, address: None };
    Example { id: "0".into(), origin, content }
}

fn rows(encoder: &Encoder, content: Content) -> Vec<Encoded> {
    let rows = encoder.encode(&example(content), 7).expect("encodes");
    for row in &rows {
        let n = row.ids.len();
        assert_eq!((row.example, row.segments.len(), row.targets.len()), (7, n, n));
        assert_eq!((row.weights.len(), row.spans.len()), (n, n));
        assert!(n <= encoder.length && row.source.len() <= encoder.length, "{row:?}");
    }
    rows
}

fn texts(first: &str, second: Option<&str>, label: usize) -> Content {
    Content::Texts { first: first.into(), second: second.map(Into::into), label }
}

fn classification() -> TaskKind {
    kind(json!({ "classification": { "text": "{a}" } }))
}

fn rows_of(batch: Batch<Grid>) -> Rows<Grid> {
    let Batch::Rows(rows) = batch else { unreachable!("it makes rows") };
    rows
}

fn ids(grid: &Grid) -> &[i64] {
    let Grid::Ids { data, .. } = grid else { unreachable!("it holds ids") };
    data
}

#[test]
fn a_class_stands_at_the_first_position() {
    let vocab = bert();
    let (class, end) = (vocab.special(CLASS).expect("is there"), vocab.special(END).expect("is there"));
    let word = |text: &str| vocab.encode(text).expect("encodes");
    let encoder = Encoder::new(&vocab, 16, Reader::Both, &classification()).expect("fits");
    let row = rows(&encoder, texts("the bird", Some("the cat"), 3)).remove(0);
    let expect = [&[class], &word("the bird")[..], &[end], &word("the cat"), &[end]].concat();
    assert_eq!(row.ids, expect);
    let second = 2 + word("the bird").len();
    assert!(row.segments.iter().enumerate().all(|(at, &segment)| segment == u8::from(at >= second)));
    assert_eq!((row.targets[0], row.weights[0], row.weights[1..].iter().sum::<f32>()), (3, 1.0, 0.0));

    let vocab = gpt();
    let separator = vocab.separator();
    let encoder = Encoder::new(&vocab, 16, Reader::Causal, &classification()).expect("fits");
    let row = rows(&encoder, texts("the bird", None, 1)).remove(0);
    assert_eq!(row.ids, [&[separator], &vocab.encode("the bird").expect("encodes")[..], &[separator]].concat());

    let vocab = t5();
    let encoder = Encoder::new(&vocab, 16, Reader::Pair, &classification()).expect("fits");
    let row = rows(&encoder, texts("the bird", None, 1)).remove(0);
    let end = vocab.special(END).expect("is there");
    assert_eq!(row.source, [&vocab.encode("the bird").expect("encodes")[..], &[end]].concat());
    assert_eq!((row.ids, row.targets, row.weights), (vec![vocab.special(PAD).expect("is there")], vec![1], vec![1.0]));
}

#[test]
fn the_longer_text_is_cut_and_windows_read_it_all() {
    let vocab = vocab(json!({ "char": {} }), &[PAD, CLASS, END]);
    let pair = |first: &str, second: &str| {
        let encoder = Encoder::new(&vocab, 13, Reader::Both, &classification()).expect("fits");
        let row = rows(&encoder, texts(first, Some(second), 0)).remove(0);
        (row.ids.len(), row.segments.iter().map(|&segment| usize::from(segment)).sum::<usize>() - 1)
    };
    assert_eq!(pair("thebird", "the"), (13, 3));
    assert_eq!(pair("the", "thebirdsings"), (13, 7));
    assert_eq!(pair("thebirdsings", "thebirdsings"), (13, 5));
    assert_eq!(pair("thebirdsings", "a"), (13, 1));
    let mean = kind(json!({ "classification": { "text": "{a}", "long": "mean", "stride-tokens": 4 } }));
    let encoder = Encoder::new(&vocab, 8, Reader::Both, &mean).expect("fits");
    let text = "the bird sings";
    let rows = rows(&encoder, texts(text, None, 1));
    let read: Vec<String> = rows.iter().map(|row| vocab.decode(&row.ids[1..row.ids.len() - 1])).collect();
    assert_eq!(read, ["the bi", "bird s", " sings"]);
    assert!(rows.iter().all(|row| row.targets[0] == 1 && row.weights[0] == 1.0));
}

#[test]
fn classes_count_as_the_training_examples_say() {
    let vocab = bert();
    let balanced = kind(json!({ "classification": { "text": "{a}", "class-weights": "balanced" } }));
    let encoder = Encoder::new(&vocab, 16, Reader::Both, &balanced).expect("fits");
    let mut task = Task { labels: vec!["a".into(), "b".into()], ..Task::default() };
    task.train.examples = [0, 0, 0, 1].map(|label| example(texts("x", None, label))).to_vec();
    let encoder = encoder.weighing(&task);
    let weights = [0, 1].map(|label| rows(&encoder, texts("the", None, label))[0].weights[0]);
    assert_eq!(weights, [4.0 / 6.0, 2.0]);
}

#[test]
fn every_word_bears_its_tag_once_and_none_is_lost() {
    let tagging = kind(json!({ "tagging": { "token": "1", "tag": "2" } }));
    let words: Vec<String> = ["London", "is", "天", "地", "xyzzyxyzzy", "\u{200b}", ".", "the", "cat"].map(String::from).to_vec();
    let tags: Vec<usize> = (0..words.len()).map(|at| at % 4).collect();
    let word = vocab(json!({ "word": { "min-count": 1, "split": "words" } }), &[PAD, CLASS, END]);
    let chars = vocab(json!({ "char": {} }), &[PAD, CLASS, END]);
    for (name, vocab, reader) in [
        ("bert", bert(), Reader::Both),
        ("gpt", gpt(), Reader::Causal),
        ("words", word, Reader::Both),
        ("chars", chars.clone(), Reader::Both),
    ] {
        for length in [8, 12, 64] {
            let encoder = Encoder::new(&vocab, length, reader, &tagging).expect("fits");
            let rows = rows(&encoder, Content::Words { words: words.clone(), tags: tags.clone() });
            let mut found = Vec::new();
            for row in &rows {
                for at in (0..row.ids.len()).filter(|&at| row.weights[at] > 0.0) {
                    found.push((row.spans[at].0 as usize - 1, row.targets[at] as usize));
                }
            }
            let expect: Vec<(usize, usize)> = tags.iter().copied().enumerate().collect();
            assert_eq!(found, expect, "{name} {length}");
            assert!(length < 64 || rows.len() == 1);
        }
    }
    // Words have a blank before them where their script has blanks, and the tag stands at the letter.
    let encoder = Encoder::new(&chars, 64, Reader::Both, &tagging).expect("fits");
    let words = ["is", "天", "地", "a"].map(String::from).to_vec();
    let row = rows(&encoder, Content::Words { words, tags: vec![0; 4] }).remove(0);
    assert_eq!(chars.decode(&row.ids[1..row.ids.len() - 1]), " is 天地 a");
    let heads: Vec<usize> = (0..row.ids.len()).filter(|&at| row.weights[at] > 0.0).collect();
    assert_eq!(heads, [2, 5, 6, 8]);
}

#[test]
fn answers_are_found_again_in_every_window() {
    let context = "the bird sings loud and 天地玄黄 the cat hears it";
    let extraction = kind(json!({ "extraction": { "stride-tokens": 5 } }));
    for (vocab, reader) in [(bert(), Reader::Both), (gpt(), Reader::Causal)] {
        for (length, answer) in [(24, "bird"), (64, "玄黄"), (24, "loud and"), (64, "it")] {
            let encoder = Encoder::new(&vocab, length, reader, &extraction).expect("fits");
            let start = context.find(answer).expect("stands there");
            let answers = vec![Answer { text: answer.into(), start }];
            let content = Content::Question { question: "the ?".into(), context: context.into(), answers, references: vec![] };
            let mut met = 0;
            let mut end = 0;
            for row in rows(&encoder, content) {
                assert_eq!(row.weights.iter().sum::<f32>(), 1.0);
                let place = |bit: u32| row.targets.iter().position(|target| target & bit != 0).expect("is marked");
                let (first, last) = (place(1), place(2));
                let spans: Vec<_> = row.spans.iter().filter(|span| span.1 > 0).collect();
                assert!(spans[0].0 as usize <= end, "a gap before {spans:?}");
                end = spans[spans.len() - 1].1 as usize;
                if first == 0 {
                    assert_eq!((last, row.targets[0]), (0, 3));
                    continue;
                }
                met += 1;
                let text = &context[row.spans[first].0 as usize..row.spans[last].1 as usize];
                // Whole tokens: of a pair of letters in a longer word the word is what can be marked.
                assert!(text.trim() == answer || answer == "玄黄" && text.trim() == "天地玄黄", "{text:?}");
            }
            assert!(met > 0 && end == context.len(), "{answer}");
        }
    }
    let encoder_vocab = bert();
    let encoder = Encoder::new(&encoder_vocab, 24, Reader::Both, &extraction).expect("fits");
    let none = Content::Question { question: "the ?".into(), context: "the cat".into(), answers: vec![], references: vec![] };
    let row = rows(&encoder, none).remove(0);
    assert_eq!((row.targets[0], row.weights[0]), (3, 1.0));
}

#[test]
fn targets_are_written_after_their_sources() {
    let writing = kind(json!({ "writing": { "source": "{a}", "target": "{b}", "metric": "rouge", "max-new-tokens": 6 } }));
    let content =
        |source: &str, target: &str| Content::Writing { source: source.into(), targets: vec![target.into(), "x".into()] };
    let vocab = gpt();
    let encode = |text: &str| vocab.encode(text).expect("encodes");
    let separator = vocab.separator();
    let encoder = Encoder::new(&vocab, 24, Reader::Causal, &writing).expect("fits");
    let row = rows(&encoder, content("the bird", "the cat")).remove(0);
    let whole = [&[separator], &encode("the bird")[..], &encode("\n"), &encode("the cat"), &[separator]].concat();
    assert_eq!((&row.ids[..], &row.targets[..]), (&whole[..whole.len() - 1], &whole[1..]));
    let learned: Vec<u32> =
        row.targets.iter().zip(&row.weights).filter(|(_, weight)| **weight > 0.0).map(|(id, _)| *id).collect();
    assert_eq!(learned, [&encode("the cat")[..], &[separator]].concat());
    let prompt = encoder.prompt(&example(content("the bird", "the cat"))).expect("encodes");
    assert_eq!(prompt, whole[..prompt.len()]);
    assert_eq!(prompt.len() + learned.len(), whole.len());
    // A long source is cut, to the same whatever is written; a long target is counted.
    let long = "the bird sings loud and the cat hears it ".repeat(3);
    let row = rows(&encoder, content(&long, &long)).remove(0);
    let prompt = encoder.prompt(&example(content(&long, "it"))).expect("encodes");
    assert_eq!((row.ids.len(), &row.ids[..prompt.len()]), (24, &prompt[..]));
    let target = encode(&long).len() + 1;
    assert_eq!(row.cut as usize + row.weights.iter().sum::<f32>() as usize, target);

    let vocab = t5();
    let encode = |text: &str| vocab.encode(text).expect("encodes");
    let (separator, pad) = (vocab.separator(), vocab.special(PAD).expect("is there"));
    let encoder = Encoder::new(&vocab, 24, Reader::Pair, &writing).expect("fits");
    let row = rows(&encoder, content("the bird", "the cat")).remove(0);
    let target = [&encode("the cat")[..], &[separator]].concat();
    assert_eq!(row.source, [&encode("the bird")[..], &[separator]].concat());
    assert_eq!((&row.ids[..], &row.targets[..]), (&[&[pad], &target[..target.len() - 1]].concat()[..], &target[..]));
    let Batch::Pair(source, rows) = encoder.collate(&[&row]) else { unreachable!("it makes pairs") };
    assert_eq!(ids(&source.present).iter().sum::<i64>() as usize, row.source.len());
    assert_eq!(rows.targets, Grid::ids(target.iter().map(|&id| i64::from(id)).collect(), target.len()));
}

#[test]
fn only_the_assistant_is_learned() {
    let turns = || {
        let turn = |role, text: &str| Turn { role, text: text.into() };
        let mut turns = vec![turn(Role::System, "loud"), turn(Role::User, "the bird"), turn(Role::Assistant, "sings")];
        turns.extend([turn(Role::User, "the cat"), turn(Role::Assistant, "hears it")]);
        Content::Turns(turns)
    };
    let learned = |row: &Encoded, vocab: &Vocab| {
        let learned = row.targets.iter().zip(&row.weights).filter(|(_, weight)| **weight > 0.0);
        vocab.decode(&learned.map(|(id, _)| *id).collect::<Vec<_>>())
    };
    let vocab_plain = gpt();
    let encoder = Encoder::new(&vocab_plain, 96, Reader::Causal, &kind(json!({ "chat": {} }))).expect("fits");
    let row = rows(&encoder, turns()).remove(0);
    let end = crate::vocab::SEPARATOR;
    let said = vocab_plain.decode(&[&row.ids[..1], &row.targets].concat());
    let expect = "loud\n\nUser: the bird\n\nAssistant: sings\n\nUser: the cat\n\nAssistant: hears it";
    assert_eq!(said.replace(end, ""), expect);
    assert_eq!(learned(&row, &vocab_plain), format!("sings{end}hears it{end}"));
    let prompt = encoder.prompt(&example(turns())).expect("encodes");
    assert_eq!((&prompt[..], vocab_plain.decode(&prompt).ends_with("\n\nAssistant: ")), (&row.ids[..prompt.len()], true));
    // What does not fit is counted.
    let short = Encoder::new(&vocab_plain, 32, Reader::Causal, &kind(json!({ "chat": {} }))).expect("fits");
    let cut = rows(&short, turns()).remove(0);
    assert_eq!(cut.cut as f32 + cut.weights.iter().sum::<f32>(), row.weights.iter().sum::<f32>());
    assert_eq!(short.prompt(&example(turns())).expect("encodes").len(), 32);

    let marks = ["<|user|>", "<|assistant|>"];
    let vocab = vocab(json!({ "byte-bpe": { "vocab-tokens": 330 } }), &marks);
    let encoder = Encoder::new(&vocab, 96, Reader::Causal, &kind(json!({ "chat": {} }))).expect("fits");
    let row = rows(&encoder, turns()).remove(0);
    assert!(marks.iter().all(|mark| row.ids.contains(&vocab.special(mark).expect("is there"))));
    assert_eq!(learned(&row, &vocab), format!("sings\n{end}hears it\n{end}"));
    // A text that looks like a mark stays text.
    let given = json!({ "chat": { "user": "Q: {text}\n", "assistant": "A: {text}." } });
    let encoder = Encoder::new(&vocab, 96, Reader::Causal, &kind(given)).expect("fits");
    assert_eq!(learned(&rows(&encoder, turns())[0], &vocab), format!("sings.{end}hears it.{end}"));
}

#[test]
fn a_preference_is_two_rows_of_one_prompt() {
    let preference = kind(json!({ "preference": { "prompt": "{p}", "chosen": "{c}", "rejected": "{r}" } }));
    let vocab = gpt();
    let encoder = Encoder::new(&vocab, 24, Reader::Causal, &preference).expect("fits");
    let content = || Content::Preference { prompt: "the bird".into(), chosen: "sings".into(), rejected: "is a cat".into() };
    let rows = rows(&encoder, content());
    let prompt = encoder.prompt(&example(content())).expect("encodes");
    assert!(rows.len() == 2 && rows.iter().all(|row| row.ids.starts_with(&prompt)));
    let count = |text: &str| vocab.encode(text).expect("encodes").len() as f32 + 1.0;
    let sums = [0, 1].map(|at| rows[at].weights.iter().sum::<f32>());
    assert_eq!(sums, [count("sings"), count("is a cat")]);
}

#[test]
fn a_row_does_not_depend_on_those_beside_it() {
    let vocab = bert();
    let pairs = kind(json!({ "classification": { "text": "{a}", "second": "{b}" } }));
    let encoder = Encoder::new(&vocab, 60, Reader::Both, &pairs).expect("fits");
    let short = rows(&encoder, texts("the", Some("cat"), 1)).remove(0);
    let long = rows(&encoder, texts("the bird sings loud and", Some("the cat hears it"), 0)).remove(0);
    let (alone, both) = (rows_of(encoder.collate(&[&short])), rows_of(encoder.collate(&[&short, &long])));
    let n = short.ids.len();
    let length = both.inputs.shape()[1] as usize;
    assert_eq!((alone.inputs.shape(), both.inputs.shape()[0]), (&[1, n.next_multiple_of(8) as i64][..], 2));
    assert_eq!(length, long.ids.len().next_multiple_of(8).min(60));
    let pad = i64::from(vocab.special(PAD).expect("is there"));
    for (batch, length) in [(&alone, alone.inputs.shape()[1] as usize), (&both, length)] {
        let inputs = &ids(&batch.inputs)[..length];
        assert_eq!(inputs[..n].iter().map(|&id| id as u32).collect::<Vec<_>>(), short.ids);
        assert!(inputs[n..].iter().all(|&id| id == pad));
        let documents = &ids(batch.documents.as_ref().expect("there is padding"))[..length];
        assert!(documents.iter().enumerate().all(|(at, &document)| document == i64::from(at >= n)));
        let segments = &ids(&batch.sentences.as_ref().expect("two texts").segments)[..length];
        assert!(segments.iter().enumerate().all(|(at, &segment)| segment == i64::from(*short.segments.get(at).unwrap_or(&0))));
        assert_eq!(ids(&batch.positions)[..length], (0..length as i64).collect::<Vec<_>>());
        assert_eq!(batch.attend, Attend::Both);
    }
    assert_eq!(both.counts, Grid::column(vec![1.0, 1.0]));
    // Without padding nothing says which positions are padding.
    let vocab = vocab_of_chars();
    let encoder = Encoder::new(&vocab, 8, Reader::Causal, &classification()).expect("fits");
    let full = rows(&encoder, texts("the bird", None, 1)).remove(0);
    assert_eq!(rows_of(encoder.collate(&[&full])).documents, None);
    let less = rows(&encoder, texts("the", None, 1)).remove(0);
    assert!(rows_of(encoder.collate(&[&full, &less])).documents.is_some());
}

fn vocab_of_chars() -> Vocab {
    vocab(json!({ "char": {} }), &[])
}

#[test]
fn what_cannot_be_done_is_refused() {
    let vocab = gpt();
    let tagging = kind(json!({ "tagging": { "token": "1", "tag": "2" } }));
    let pairs = kind(json!({ "minimal-pairs": { "good": "{a}", "bad": "{b}" } }));
    let chat = kind(json!({ "chat": {} }));
    for (reader, kind) in [(Reader::Pair, &tagging), (Reader::Both, &chat), (Reader::Causal, &pairs)] {
        let fault = Encoder::new(&vocab, 32, reader, kind).expect_err("is refused");
        assert!(matches!(fault, Error::TaskReader { .. }) && fault.hint().is_some(), "{fault}");
    }
    assert!(matches!(Encoder::new(&vocab, 7, Reader::Causal, &tagging), Err(Error::TaskLength { length: 7, .. })));
    // A pair's source needs padding; rows without marks begin with the separator, as a diffusion's do.
    let pairs = Encoder::new(&vocab, 32, Reader::Pair, &classification());
    assert!(matches!(pairs, Err(Error::NoSpecial { .. })));
    let both = Encoder::new(&vocab, 32, Reader::Both, &classification()).expect("fits");
    assert_eq!(rows(&both, texts("the", None, 0))[0].ids[0], vocab.separator());
    let encoder = Encoder::new(&vocab, 32, Reader::Causal, &tagging).expect("fits");
    assert!(matches!(encoder.encode(&example(texts("the", None, 0)), 0), Err(Error::TaskReader { .. })));
}
