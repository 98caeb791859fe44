//! Named sources: what the manifest and the card say of them, and how they are drawn in training.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use ssl_data::Error;
use ssl_data::batch::Window;
use ssl_data::card::CARD;
use ssl_data::config::DataConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, prepare};
use ssl_data::sampler::Sampler;
use tempfile::TempDir;

/// Three sources whose texts are told apart by their letters; `c` has a copy of a document of `a`, and a near copy.
fn sources() -> (TempDir, DataConfig) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let words = |letter: char, seed: u64, count: u64| -> String {
        let word = |n| String::from_iter([letter, char::from(b'q' + (ssl_data::rng::hash(seed, 1, n) % 8) as u8), letter]);
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    for (name, documents) in [('a', 30), ('b', 90), ('c', 10)] {
        let mut lines: Vec<String> = (0..documents).map(|n| words(name, n, 40 + n % 7)).collect();
        if name == 'c' {
            lines.push(words('a', 3, 43));
            let mut near: Vec<String> = words('c', 5, 45).split(' ').map(String::from).collect();
            near[44] = "altered".into();
            lines.push(near.join(" "));
        }
        fs::write(dir.path().join(format!("{name}.txt")), lines.join("\n")).expect("writes");
    }
    let source = |name: &str| json!({ "paths": [dir.path().join(format!("{name}.txt"))] });
    let config = json!({
        "sources": { "ay": source("a"), "bee": source("b"), "中文 <c>": source("c") },
        "document": "line",
        "tokenizer": { "char": {} },
        "validation-fraction": 0.1,
        "dedup": { "near": {} },
    });
    (dir, serde_json::from_value(config).expect("a configuration"))
}

fn weigh(config: &mut DataConfig, weights: [f64; 3]) {
    config.sources.values_mut().zip(weights).for_each(|(source, weight)| source.weight = Some(weight));
}

fn train(dir: &Path) -> Corpus {
    Corpus::open(dir, SplitName::Train).expect("opens")
}

/// The source that most letters of a window are of, by its place.
fn source_of(corpus: &Corpus, vocab: &ssl_data::vocab::Vocab, window: &Window) -> usize {
    let tokens: Vec<u32> = window.tokens.iter().copied().filter(|&token| token != corpus.separator()).collect();
    let text = vocab.decode(&tokens);
    let count = |letter| text.matches(letter).count();
    let counts = ['a', 'b', 'c'].map(count);
    assert_eq!(counts.iter().filter(|&&count| count > 1).count(), 1, "a window of one source: {text:?}");
    (0..3).max_by_key(|&at| counts[at]).unwrap_or(0)
}

#[test]
fn manifest_and_card_tell_the_sources() {
    let (dir, config) = sources();
    assert_eq!(config.validate(), []);
    let into = dir.path().join("corpus");
    let manifest = prepare(&config, &into, &Silent).expect("prepares");
    let sources = &manifest.composition.sources;
    let told: Vec<_> = sources.iter().map(|source| (source.name.as_str(), source.read, source.size().documents)).collect();
    assert_eq!(told, [("ay", 30, 30), ("bee", 90, 90), ("中文 <c>", 12, 10)]);
    assert_eq!(sources.iter().map(|source| source.train.tokens).sum::<u64>() + 1, manifest.train.tokens);
    assert_eq!(sources.iter().map(|source| source.validation.bytes).sum::<u64>(), manifest.validation.bytes);
    assert_eq!(manifest.composition.lengths.iter().sum::<u64>(), 130);
    assert_eq!(sources.iter().map(|source| source.sample.documents).sum::<u64>(), 130);
    assert_eq!(Manifest::load(&into).expect("reads"), manifest);
    let card = fs::read_to_string(into.join(CARD)).expect("a card");
    for text in ["中文 &lt;c&gt;", &manifest.fingerprint, &manifest.fingerprints.inputs, "c.txt:11", "near duplicate"] {
        assert!(card.contains(text), "no {text:?}");
    }

    // The parts of the split are the sources, token by token.
    let corpus = train(&into);
    let mut joined = Vec::new();
    for (name, part) in corpus.sources().expect("sources") {
        let mut tokens = Vec::new();
        part.read(0, part.tokens() as usize, &mut tokens).expect("reads");
        assert_eq!((tokens[0], tokens.pop()), (corpus.separator(), Some(corpus.separator())), "{name}");
        let last = part.document(part.documents() - 1).expect("a document");
        assert_eq!((last.end, part.starts(0).count() as u64), (part.targets(), part.documents()));
        joined.extend(tokens);
    }
    joined.push(corpus.separator());
    let mut whole = Vec::new();
    corpus.read(0, corpus.tokens() as usize, &mut whole).expect("reads");
    assert!(joined == whole);
}

#[test]
fn what_tells_paths_apart_keeps_their_secrets() {
    let paths = ["https://me:pw@host.example/x.txt?X-Amz-Signature=abc", "s3://key:pw@bucket/a/*.gz", "data/what?.txt"];
    let config = json!({ "paths": paths, "tokenizer": { "char": {} } });
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let names: Vec<String> = config.parts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["https://host.example/x.txt", "s3://bucket/a/*.gz", "data/what?.txt"]);
}

#[test]
fn the_card_is_the_same_on_any_number_of_threads() {
    let (dir, config) = sources();
    let card = |threads| {
        let into = dir.path().join(format!("corpus-{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| prepare(&config, &into, &Silent)).expect("prepares");
        fs::read(into.join(CARD)).expect("a card")
    };
    assert!(card(1) == card(4));
}

#[test]
fn weights_draw_windows_and_do_not_touch_the_corpus() {
    let (dir, mut config) = sources();
    let into = dir.path().join("corpus");
    let first = prepare(&config, &into, &Silent).expect("prepares");
    let plain = Sampler::mixed(&train(&into), &config, 16).expect("a sampler");
    assert_eq!(plain.epochs(100), []);
    weigh(&mut config, [3.0, 1.0, 4.0]);
    assert_eq!(config.validate(), []);
    assert_eq!(prepare(&config, &into, &Silent).expect("is prepared"), first);
    let corpus = train(&into);
    let vocab = ssl_data::vocab::Vocab::load(&into.join("tokenizer.json")).expect("a tokenizer");
    let sampler = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
    let mut drawn = [0_u64; 3];
    let mut seen = BTreeMap::<Vec<u32>, u64>::new();
    for sample in 0..800 {
        let window = sampler.window(sample).expect("a window");
        drawn[source_of(&corpus, &vocab, &window)] += 1;
        *seen.entry(window.tokens).or_default() += 1;
    }
    assert!(drawn.iter().zip([300_u64, 100, 400]).all(|(drawn, expect)| drawn.abs_diff(expect) <= 3), "{drawn:?}");
    // The epochs that it tells are those that were drawn: of the smallest source each window, several times.
    let epochs = sampler.epochs(800);
    assert_eq!(epochs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ay", "bee", "中文 <c>"]);
    assert!(epochs[2].1 > 2.0 && epochs[1].1 < 1.0, "{epochs:?}");
    // Another order of asking, or asking twice, gives the same windows; another seed gives others.
    let again = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
    assert!((0..800).rev().all(|sample| again.window(sample).expect("a window") == sampler.window(sample).expect("a window")));
    config.seed = 1;
    let other = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
    assert!((0..20).any(|sample| other.window(sample).expect("a window") != sampler.window(sample).expect("a window")));
    // In order, the split is as it was.
    assert_eq!(sampler.in_order_len(), plain.in_order_len());
    assert!((0..plain.in_order_len()).all(|at| sampler.in_order(at).expect("a window") == plain.in_order(at).expect("a window")));
}

#[test]
fn a_curriculum_and_limits_change_the_shares() {
    let (dir, mut config) = sources();
    let into = dir.path().join("corpus");
    prepare(&config, &into, &Silent).expect("prepares");
    weigh(&mut config, [1.0, 1.0, 0.0]);
    config.curriculum =
        serde_json::from_value(json!([{ "from-sample": 60, "weights": { "ay": 0.0, "中文 <c>": 1.0 } }])).expect("phases");
    assert_eq!(config.validate(), []);
    let corpus = train(&into);
    let vocab = ssl_data::vocab::Vocab::load(&into.join("tokenizer.json")).expect("a tokenizer");
    let sampler = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
    let drawn = |range: std::ops::Range<u64>, sampler: &Sampler| {
        let mut drawn = [0; 3];
        for sample in range {
            drawn[source_of(&corpus, &vocab, &sampler.window(sample).expect("a window"))] += 1;
        }
        drawn
    };
    assert_eq!(drawn(0..60, &sampler), [30, 30, 0]);
    assert_eq!(drawn(60..120, &sampler), [0, 30, 30]);
    config.curriculum.clear();
    for source in config.sources.values_mut() {
        source.max_epochs = Some(1.0);
    }
    let limited = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
    let end = limited.end().expect("an end");
    assert!(limited.epochs(end).iter().all(|(_, epochs)| (epochs - 1.0).abs() < 1e-9), "{:?}", limited.epochs(end));
    limited.window(end - 1).expect("the last");
    let fault = limited.window(end).expect_err("behind the end");
    assert!(matches!(fault, Error::Exhausted { .. }) && fault.hint().is_some());
}

#[test]
fn windows_inside_documents_stay_inside_their_source() {
    let (dir, mut config) = sources();
    let into = dir.path().join("corpus");
    prepare(&config, &into, &Silent).expect("prepares");
    weigh(&mut config, [1.0, 1.0, 1.0]);
    let corpus = train(&into);
    let vocab = ssl_data::vocab::Vocab::load(&into.join("tokenizer.json")).expect("a tokenizer");
    for windows in [
        json!({ "isolated": {} }),
        json!({ "segments": {} }),
        json!({ "slide": { "stride-tokens": 8 } }),
        json!({ "random": {} }),
    ] {
        config.windows = serde_json::from_value(windows).expect("windows");
        let sampler = Sampler::mixed(&corpus, &config, 16).expect("a sampler");
        for sample in 0..300 {
            let window = sampler.window(sample).expect("a window");
            if window.tokens.len() > 4 {
                source_of(&corpus, &vocab, &window);
            }
            assert_eq!(window.tokens.len(), window.document.len());
        }
    }
}

#[test]
fn faults_of_sources_are_told() {
    let (dir, config) = sources();
    let into = dir.path().join("corpus");
    let paths = |change: &dyn Fn(&mut DataConfig)| {
        let mut config = config.clone();
        change(&mut config);
        config.validate().into_iter().map(|fault| fault.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(&|config| config.paths = vec!["x".into()]), ["data.paths"]);
    assert_eq!(paths(&|config| config.sources.clear()), ["data.paths"]);
    assert_eq!(
        paths(&|config| config.sources.values_mut().take(1).for_each(|source| source.weight = Some(1.0))),
        ["data.sources"]
    );
    assert_eq!(paths(&|config| weigh(config, [0.0; 3])), ["data.sources"]);
    assert_eq!(paths(&|config| weigh(config, [f64::NAN, 1.0, -1.0])), ["data.sources.ay.weight", "data.sources.中文 <c>.weight"]);
    assert_eq!(
        paths(&|config| config.sources.values_mut().take(1).for_each(|source| source.max_epochs = Some(0.0))),
        ["data.sources.ay.max-epochs"]
    );
    let phase = |from: u64, name: &str, weight: f64| {
        serde_json::from_value(json!({ "from-sample": from, "weights": { name: weight } })).expect("a phase")
    };
    assert_eq!(paths(&|config| config.curriculum = vec![phase(5, "ay", 1.0)]), ["data.curriculum"; 1]);
    let weighed = |config: &mut DataConfig, phases: Vec<_>| {
        weigh(config, [1.0, 0.0, 0.0]);
        config.curriculum = phases;
    };
    assert_eq!(paths(&|config| weighed(config, vec![phase(5, "ay", 1.0), phase(5, "bee", 1.0)])), ["data.curriculum"]);
    assert_eq!(paths(&|config| weighed(config, vec![phase(5, "cee", 1.0)])), ["data.curriculum"]);
    assert_eq!(paths(&|config| weighed(config, vec![phase(5, "ay", 0.0)])), ["data.curriculum"]);
    assert_eq!(
        paths(&|config| config.windows = serde_json::from_value(json!({ "streams": { "rows": 2 } })).expect("windows")),
        ["data.windows.streams"]
    );

    // A source that the corpus does not have, and a corpus whose counts were altered.
    let manifest = prepare(&config, &into, &Silent).expect("prepares");
    let mut other = config.clone();
    weigh(&mut other, [1.0; 3]);
    let source = other.sources["ay"].clone();
    other.sources.insert("more".into(), source);
    assert!(matches!(Sampler::mixed(&train(&into), &other, 16), Err(Error::NoSource { source_name }) if source_name == "more"));
    for (at, change) in [(0, 1_i64), (2, 1), (2, -1)] {
        let mut altered = manifest.clone();
        let documents = &mut altered.composition.sources[at].train.documents;
        *documents = documents.saturating_add_signed(change);
        altered.save(&into).expect("writes");
        assert!(matches!(train(&into).sources(), Err(Error::SourceCounts { .. })), "source {at} by {change}");
    }
}
