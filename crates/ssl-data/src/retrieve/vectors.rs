//! Vectors of passages, made by a model, beside an index: `vectors.bin`.
//!
//! ```text
//! magic 8 bytes, width 4 bytes, model 32 bytes, count 8 bytes; count x (key 16 bytes, width x f32); BLAKE3 of all before, 32 bytes
//! ```
//!
//! Numbers are little-endian. A vector belongs to the hash of its passage's text, so that those of passages that did not change are kept,
//! and an index and its vectors need not be replaced at one moment.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::{Index, store};
use crate::error::{Error, Result};

/// The file.
const VECTORS: &str = "vectors.bin";
const MAGIC: [u8; 8] = *b"SSLVEC1\n";
const HEADER: usize = 52;
const SUM: usize = 32;
const KEY: usize = 16;

/// What tells a passage's text from another.
type Key = [u8; KEY];

/// Vectors of length 1 by the texts that they were made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The BLAKE3 hash of the model that made them.
    model: [u8; 32],
    vectors: HashMap<Key, Vec<f32>>,
}

impl Vectors {
    /// Those that `model` made for the index in `dir`; none where there are none, or others', or damaged ones.
    #[must_use]
    pub fn open(dir: &Path, model: [u8; 32]) -> Self {
        let read = fs::read(dir.join(VECTORS)).ok().and_then(|bytes| parse(&bytes));
        read.filter(|read| read.model == model).unwrap_or_else(|| Self::new(model))
    }

    /// None yet.
    #[must_use]
    pub fn new(model: [u8; 32]) -> Self {
        Self { model, vectors: HashMap::new() }
    }

    /// The passages of an index that have none, by their numbers.
    #[must_use]
    pub fn missing(&self, index: &Index) -> Vec<usize> {
        (0..index.len()).filter(|&at| !self.vectors.contains_key(&key(index.passage(at).text))).collect()
    }

    /// Adds the vector of a passage's text, scaled to length 1.
    pub fn insert(&mut self, text: &str, mut vector: Vec<f32>) {
        scale(&mut vector);
        self.vectors.insert(key(text), vector);
    }

    /// Writes those of the index's passages into its folder, whole or not at all.
    ///
    /// # Errors
    /// When the vectors are not equally long, another process writes the index, or the disk refuses.
    pub fn save(&self, dir: &Path, index: &Index) -> Result<()> {
        let _lock = store::lock(dir)?;
        let mut keys: Vec<Key> = (0..index.len()).map(|at| key(index.passage(at).text)).collect();
        keys.sort_unstable();
        keys.dedup();
        let kept: Vec<(Key, &Vec<f32>)> = keys.into_iter().filter_map(|key| Some((key, self.vectors.get(&key)?))).collect();
        let width = kept.first().map_or(0, |(_, vector)| vector.len());
        if kept.iter().any(|(_, vector)| vector.len() != width) {
            return Err(Error::Index { path: dir.join(VECTORS), reason: "vectors of several lengths".into() });
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((width as u32).to_le_bytes());
        bytes.extend(self.model);
        bytes.extend((kept.len() as u64).to_le_bytes());
        for (key, vector) in kept {
            bytes.extend(key);
            bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        }
        let sum = blake3::hash(&bytes);
        bytes.extend(sum.as_bytes());
        store::write(dir, VECTORS, &bytes)
    }

    /// The `most` passages whose vectors point most nearly where `vector` does, with the cosine of the angle between.
    #[must_use]
    pub fn nearest(&self, index: &Index, vector: &[f32], most: usize) -> Vec<(usize, f64)> {
        let mut asked = vector.to_vec();
        scale(&mut asked);
        let near = |at: usize| {
            let vector = self.vectors.get(&key(index.passage(at).text)).filter(|vector| vector.len() == asked.len())?;
            Some((at, vector.iter().zip(&asked).map(|(a, b)| f64::from(a * b)).sum()))
        };
        let mut found: Vec<(usize, f64)> = (0..index.len()).filter_map(near).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.truncate(most);
        found
    }
}

fn key(text: &str) -> Key {
    let mut key = [0; KEY];
    key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..KEY]);
    key
}

/// To length 1; what is 0 stays so.
fn scale(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in vector {
            *x /= length;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Vectors> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    if body.len() < HEADER || body[..8] != MAGIC || blake3::hash(body).as_bytes() != sum {
        return None;
    }
    let width = u32::from_le_bytes(body[8..12].try_into().ok()?) as usize;
    let model = body[12..44].try_into().ok()?;
    let records = body[HEADER..].chunks_exact(KEY + 4 * width);
    let number = |four: &[u8]| four.try_into().map_or(f32::NAN, f32::from_le_bytes);
    let record = |record: &[u8]| Some((record[..KEY].try_into().ok()?, record[KEY..].chunks_exact(4).map(number).collect()));
    let vectors = records.map(record).collect::<Option<HashMap<_, _>>>()?;
    Some(Vectors { model, vectors })
}
