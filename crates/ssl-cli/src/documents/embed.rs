//! Vectors of texts: a model's hidden states, averaged over each text.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use ssl_data::document::Origin;
use ssl_data::retrieve::{Index, Vectors};
use ssl_data::task::{ClassWeights, ClassificationConfig, Content, Encoder, Example, Long, TaskKind, Template};
use ssl_eval::adapted::features;
use ssl_model::Model;
use ssl_model::head::Pool;
use ssl_model::weights::WEIGHTS;
use tch::Device;

use crate::adapted::reader;
use crate::assemble::Opened;

/// What tells a model from another: the BLAKE3 hash of its weights.
pub(crate) fn hash(opened: &Opened) -> Result<[u8; 32]> {
    let path = opened.dir.join(WEIGHTS);
    let mut hash = blake3::Hasher::new();
    let read = File::open(&path).and_then(|file| hash.update_reader(file).map(|_| ()));
    read.map_err(|source| ssl_data::Error::Io { action: "read", path, source })?;
    Ok(hash.finalize().into())
}

/// Makes vectors with a model.
pub(crate) struct Embedder {
    encoder: Encoder,
    device: Device,
    /// Whose they are, see [`hash`].
    pub(crate) model: [u8; 32],
}

impl Embedder {
    /// For a model that reads texts.
    pub(crate) fn of(opened: &Opened) -> Result<Self> {
        let kind = TaskKind::Classification(ClassificationConfig {
            text: Template::from("{text}"),
            second: None,
            label: String::new(),
            labels: Vec::new(),
            label_names: std::collections::BTreeMap::new(),
            class_weights: ClassWeights::None,
            long: Long::Mean,
            stride_tokens: u32::MAX,
            words: std::collections::BTreeMap::new(),
            prompt: None,
        });
        let encoder = Encoder::new(opened.vocab()?, opened.model.context(), reader(&opened.shape), &kind)?;
        Ok(Self { encoder, device: opened.params.device(), model: hash(opened)? })
    }

    /// A vector of each text. `stop` is told the share done, and ends it.
    pub(crate) fn vectors(
        &self,
        model: &dyn Model,
        texts: &[&str],
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vec<Vec<f32>>, ssl_eval::Error> {
        let origin = Origin { path: Path::new("").into(), line: 1, address: None };
        let example = |text: &&str| Example {
            id: String::new(),
            origin: origin.clone(),
            content: Content::Texts { first: (*text).to_owned(), second: None, label: 0 },
        };
        let examples: Vec<Example> = texts.iter().map(example).collect();
        features(model, &self.encoder, &examples, Pool::Mean, self.device, stop)
    }

    /// Those of an index's passages: what is kept in `dir`, and what is made now.
    pub(crate) fn index(
        &self,
        model: &dyn Model,
        dir: Option<&Path>,
        index: &Index,
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Vectors> {
        let mut vectors = dir.map_or_else(|| Vectors::new(self.model), |dir| Vectors::open(dir, self.model));
        let missing = vectors.missing(index);
        let texts: Vec<&str> = missing.iter().map(|&at| index.passage(at).text).collect();
        for (text, vector) in texts.iter().zip(self.vectors(model, &texts, stop)?) {
            vectors.insert(text, vector);
        }
        if let Some(dir) = dir.filter(|_| !texts.is_empty()) {
            vectors.save(dir, index)?;
        }
        Ok(vectors)
    }
}
