//! Inputs in a folder and the corpus that comes of them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use ssl_data::Result;
use ssl_data::config::DataConfig;
use ssl_data::corpus::{Corpus, SplitName};
use ssl_data::manifest::Manifest;
use ssl_data::prepare::{Silent, Watch, prepare};
use ssl_data::vocab::Vocab;
use tempfile::TempDir;

/// Input files in a folder of their own, and a corpus beside them.
pub(crate) struct Case(pub(crate) TempDir);

impl Case {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let case = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(case.input()).expect("creates");
        for (name, bytes) in files {
            fs::write(case.input().join(name), bytes).expect("writes");
        }
        case
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.0.path().join("input")
    }

    pub(crate) fn corpus(&self) -> PathBuf {
        self.0.path().join("corpus")
    }

    /// Prepares with the given keys beside the paths; everything is trained on unless they say otherwise.
    pub(crate) fn prepare(&self, keys: &Value) -> Result<Manifest> {
        self.watched(keys, &Silent)
    }

    pub(crate) fn watched(&self, keys: &Value, watch: &dyn Watch) -> Result<Manifest> {
        let mut config = json!({ "paths": [self.input()], "tokenizer": { "char": {} }, "validation-fraction": 0.0 });
        config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        let config: DataConfig = serde_json::from_value(config).expect("a configuration");
        let result = prepare(&config, &self.corpus(), watch);
        if result.is_err() {
            let left: Vec<_> = fs::read_dir(self.corpus())
                .map_or(Vec::new(), |dir| dir.map(|entry| entry.expect("reads").file_name()).collect());
            assert!(left.iter().all(|name| name == "prepare.lock"), "left behind: {left:?}");
        }
        result
    }

    /// The documents of the corpus as text, read back from the shards.
    pub(crate) fn texts(&self) -> Vec<String> {
        let corpus = Corpus::open(&self.corpus(), SplitName::Train).expect("opens");
        let vocab = Vocab::load(&self.corpus().join("tokenizer.json")).expect("loads");
        let text = |k| {
            let range = corpus.document(k).expect("a document");
            let mut ids = Vec::new();
            corpus.read(range.start + 1, (range.end - range.start - 1) as usize, &mut ids).expect("reads");
            vocab.decode(&ids)
        };
        (0..corpus.documents()).map(text).collect()
    }
}

/// What gzip makes of bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}
