//! Pairs of text: from parallel files, columns and fields to sources and targets, whole.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssl_data::batch::{Batch, Grid};
use ssl_data::config::{DataConfig, WindowConfig};
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::objective::{ObjectiveConfig, TranslationConfig};
use ssl_data::prepare::{Silent, prepare};
use ssl_data::sampler::Sampler;
use ssl_data::vocab::{PAD, TO, Vocab};

/// Pairs with what might go wrong: marks in the text, control characters, other scripts, white space at the ends.
fn pairs() -> Vec<(String, String)> {
    let odd = [("A <|to|> B\u{1e}C", "Ein <|endoftext|> D"), ("  two  ", "zwei\u{0}"), ("敏捷的狐狸", "der schnelle Fuchs")];
    let plain = (0..40).map(|n| (format!("the {n} dogs run in the snow"), format!("die {n} Hunde laufen im Schnee")));
    odd.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().chain(plain).collect()
}

fn cleaned() -> Vec<(String, String)> {
    let clean = |text: &str| text.replace(['\u{1e}', '\u{0}'], "").trim_end().to_owned();
    pairs().iter().map(|(a, b)| (clean(a), clean(b))).collect()
}

fn run(dir: &Path, data: &Value) -> ssl_data::Result<(Corpus, Vocab)> {
    let mut whole = json!({
        "tokenizer": { "byte-bpe": { "vocab-tokens": 300 } }, "special-tokens": [PAD, TO], "validation-fraction": 0.0,
        "windows": { "segments": {} },
    });
    whole.as_object_mut().expect("an object").extend(data.as_object().expect("an object").clone());
    let config: DataConfig = serde_json::from_value(whole).expect("a configuration");
    let corpus = dir.join("corpus");
    prepare(&config, &corpus, &Silent)?;
    Ok((Corpus::open(&corpus, SplitName::Train)?, Vocab::load(&corpus.join("tokenizer.json"))?))
}

/// Both sides of every pair as the objective gives them, decoded.
fn read(corpus: &Corpus, vocab: &Vocab) -> Vec<(String, String)> {
    let windows = WindowConfig::Segments {};
    let config = ObjectiveConfig::Translation(TranslationConfig { target_tokens: Some(60) });
    let objective = config.build(&windows, 80, vocab).expect("an objective");
    let sampler = Sampler::new(corpus, &windows, objective.window(), 0).expect("a sampler");
    let windows: Vec<_> = (0..sampler.in_order_len()).map(|index| sampler.in_order(index).expect("reads")).collect();
    let Batch::Pair(source, rows) = objective.collate(&windows, &mut []) else { panic!("pairs were expected") };
    let ids = |grid: &Grid| match grid {
        Grid::Ids { data, shape } => {
            data.chunks(shape[1] as usize).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
        }
        Grid::Reals { .. } => Vec::<Vec<u32>>::new(),
    };
    let (sources, present, targets) = (ids(&source.ids), ids(&source.present), ids(&rows.targets));
    let Grid::Reals { data: weights, shape } = &rows.weights else { panic!("reals were expected") };
    let pad = vocab.special(PAD).expect("a pad");
    let mut found = Vec::new();
    for row in 0..sources.len() {
        let n = present[row].iter().sum::<u32>() as usize;
        let weights = &weights[row * shape[1] as usize..][..shape[1] as usize];
        let m = weights.iter().filter(|weight| **weight > 0.0).count();
        let (source, target) = (&sources[row][..n], &targets[row][..m]);
        assert!(source.last() == Some(&vocab.separator()) && target.last() == Some(&vocab.separator()));
        assert!(!target[..m - 1].iter().any(|&id| id == pad || vocab.specials().any(|special| special == id)));
        found.push((vocab.decode(&source[..n - 1]), vocab.decode(&target[..m - 1])));
    }
    found
}

fn lines(side: impl Fn(&(String, String)) -> String) -> String {
    pairs().iter().map(|pair| side(pair) + "\n").collect()
}

#[test]
fn parallel_files_columns_and_fields_give_the_same_pairs() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).expect("written");
        dir.path().join(name)
    };
    let (en, de) = (file("a.en", lines(|pair| pair.0.clone())), file("a.de", lines(|pair| pair.1.clone())));
    let tsv = file("a.tsv", lines(|(a, b)| format!("{a}\t{b}")));
    let jsonl = file("a.jsonl", lines(|(a, b)| json!({ "en": a, "de": b }).to_string()));
    let forms = [
        json!({ "paths": [en], "pairs": { "files": { "targets": [de] } } }),
        json!({ "paths": [tsv], "pairs": { "tab": {} } }),
        json!({ "paths": [jsonl], "field": "en", "pairs": { "field": { "target": "de" } } }),
    ];
    for form in forms {
        let scratch = tempfile::tempdir().expect("a folder");
        let (corpus, vocab) = run(scratch.path(), &form).expect("a corpus");
        assert_eq!(read(&corpus, &vocab), cleaned(), "{form}");
    }
}

#[test]
fn sides_that_are_not_as_many_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (en, de) = (dir.path().join("en"), dir.path().join("de"));
    fs::write(&en, "one\ntwo\nthree\n").expect("written");
    fs::write(&de, "eins\nzwei\n").expect("written");
    let told = |a: &Path, b: Vec<&Path>| {
        run(dir.path(), &json!({ "paths": [a], "pairs": { "files": { "targets": b } } })).expect_err("uneven").to_string()
    };
    assert!(told(&en, vec![&de]).ends_with("en: 3 on one side of the pairs, 2 on the other"), "{}", told(&en, vec![&de]));
    assert!(told(&de, vec![&en]).ends_with("de: 2 on one side of the pairs, 3 on the other"));
    assert!(told(&en, vec![&de, &en]).starts_with("files: 1 on one side"));
}

#[test]
fn half_a_pair_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let tsv = dir.path().join("a.tsv");
    fs::write(&tsv, "one\teins\nno tab\n\tno source\ntwo\tzwei\n").expect("written");
    let (corpus, vocab) = run(dir.path(), &json!({ "paths": [tsv], "pairs": { "tab": {} } })).expect("a corpus");
    let expect = [("one", "eins"), ("two", "zwei")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(read(&corpus, &vocab), expect);
}
