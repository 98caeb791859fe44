//! A small classifier of texts that anyone can train: good pages against others, or any two kinds of text.
//!
//! A text is the bag of its words and pairs of words, hashed into a table of weights; their mean through a logistic function is
//! the score. Training is `AdaGrad` on the log loss, one example after another, in an order drawn from the seed: the same examples
//! give the same weights, bit for bit.
//!
//! Source: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification"; Weinberger et al. 2009, "Feature Hashing for
//! Large Scale Multitask Learning"; Duchi et al. 2011 (`AdaGrad`). Differs from fastText: one weight a feature instead of a vector,
//! which for two classes is the same function of fewer numbers.
//!
//! ```
//! use ssl_data::classify::{Classifier, TrainConfig};
//!
//! let good = ["the harbour was quiet that morning", "nobody had seen the boat come in"].map(|text| (text, true));
//! let bad = ["click here to win a prize", "buy cheap buy now click here"].map(|text| (text, false));
//! let examples: Vec<_> = good.into_iter().chain(bad).collect();
//! let classifier = Classifier::train(&examples, &TrainConfig::default())?;
//! assert!(classifier.score("the boat was quiet") > classifier.score("click here now"));
//! # Ok::<(), ssl_data::Error>(())
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dedup::minhash::{Numbers, runs};
use crate::error::{Error, Result};
use crate::rng::{Rng, mix};

mod examples;

pub use examples::Side;

/// The file's first bytes.
const MAGIC: &[u8; 8] = b"SSLCLASS";
/// The file's version.
const VERSION: u32 = 1;
/// Bytes before the weights: magic, version, table bits, longest run, bias.
const HEAD: usize = 24;

/// How a classifier is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainConfig {
    /// The table holds 2 to this many weights.
    pub table_bits: u32,
    /// Runs of up to so many words are features.
    pub ngram_words: u32,
    /// How often each example is seen.
    pub epochs: u32,
    /// The first step's length.
    pub learning_rate: f32,
    /// Draws the order of examples.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { table_bits: 18, ngram_words: 2, epochs: 5, learning_rate: 0.5, seed: 0 }
    }
}

/// Weights of hashed runs of words.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    ngram_words: u32,
    bias: f32,
    weights: Vec<f32>,
}

/// How well a classifier tells examples apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// Examples of the class, and others.
    pub positive: u64,
    /// The others.
    pub negative: u64,
    /// The share on the right side of 0.5.
    pub accuracy: f64,
    /// The chance that one of the class has a higher score than one of the others; equal scores count half.
    pub auc: f64,
    /// The mean log loss, in nats.
    pub log_loss: f64,
}

impl Classifier {
    /// Learns from texts and whether each is of the class.
    ///
    /// # Errors
    /// When one of both sides has no example, or the configuration is of no use.
    pub fn train<T: AsRef<str>>(examples: &[(T, bool)], config: &TrainConfig) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::Classifier { reason: reason.into() });
        if !(8..=28).contains(&config.table_bits) || !(1..=8).contains(&config.ngram_words) {
            return refuse("a table of 2^8 to 2^28 weights and runs of 1 to 8 words can be trained");
        }
        let positive = examples.iter().filter(|(_, class)| *class).count();
        if positive == 0 || positive == examples.len() {
            return refuse("examples of both sides are needed");
        }
        let mut classifier = Self { ngram_words: config.ngram_words, bias: 0.0, weights: vec![0.0; 1 << config.table_bits] };
        let mut squares = vec![1e-8_f32; classifier.weights.len()];
        let mut bias_squares = 1e-8_f32;
        // Sides of unequal number weigh the same.
        let share = positive as f32 / examples.len() as f32;
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut features = Vec::new();
        for epoch in 0..config.epochs {
            let mut rng = Rng::at(config.seed, 0x636c_6173, u64::from(epoch));
            for last in (1..order.len()).rev() {
                order.swap(last, rng.below(last as u64 + 1) as usize);
            }
            for &example in &order {
                let (text, class) = &examples[example];
                classifier.features(text.as_ref(), &mut features);
                if features.is_empty() {
                    continue;
                }
                let weight = 0.5 / if *class { share } else { 1.0 - share };
                let slope = weight * (logistic(classifier.sum(&features)) - f32::from(*class));
                bias_squares += slope * slope;
                classifier.bias -= config.learning_rate * slope / bias_squares.sqrt();
                let slope = slope / (features.len() as f32).sqrt();
                for &feature in &features {
                    let square = &mut squares[feature as usize];
                    *square += slope * slope;
                    classifier.weights[feature as usize] -= config.learning_rate * slope / square.sqrt();
                }
            }
        }
        Ok(classifier)
    }

    /// The places of a text's features in the table.
    fn features(&self, text: &str, features: &mut Vec<u32>) {
        features.clear();
        let mask = self.weights.len() as u64 - 1;
        for length in 1..=self.ngram_words as usize {
            runs(text, length, Numbers::Alike, &mut |run| features.push((mix(run ^ length as u64) & mask) as u32));
        }
    }

    /// The log odds: features are scaled to length 1.
    fn sum(&self, features: &[u32]) -> f32 {
        let sum: f32 = features.iter().map(|&feature| self.weights[feature as usize]).sum();
        self.bias + sum / (features.len().max(1) as f32).sqrt()
    }

    /// How surely the text is of the class, from 0 to 1.
    #[must_use]
    pub fn score(&self, text: &str) -> f32 {
        let mut features = Vec::new();
        self.features(text, &mut features);
        logistic(self.sum(&features))
    }

    /// How well it tells examples apart that it was not trained on.
    #[must_use]
    pub fn evaluate<T: AsRef<str>>(&self, examples: &[(T, bool)]) -> Measured {
        let mut scores: Vec<(f32, bool)> = examples.iter().map(|(text, class)| (self.score(text.as_ref()), *class)).collect();
        scores.sort_by(|one, other| one.0.total_cmp(&other.0));
        let positive = scores.iter().filter(|(_, class)| *class).count() as u64;
        let negative = scores.len() as u64 - positive;
        let right = scores.iter().filter(|(score, class)| (*score > 0.5) == *class).count();
        let loss = |(score, class): &(f32, bool)| {
            let score = f64::from(*score).clamp(1e-7, 1.0 - 1e-7);
            if *class { -score.ln() } else { -(1.0 - score).ln() }
        };
        // Mann and Whitney's U: for each of the class, the others below it, and half of those beside it.
        let (mut wins, mut below) = (0.0, 0.0);
        for group in scores.chunk_by(|one, other| one.0 == other.0) {
            let ours = group.iter().filter(|(_, class)| *class).count() as f64;
            let others = group.len() as f64 - ours;
            wins += ours * (below + others / 2.0);
            below += others;
        }
        let count = scores.len().max(1) as f64;
        Measured {
            positive,
            negative,
            accuracy: right as f64 / count,
            auc: wins / (positive as f64 * negative as f64).max(1.0),
            log_loss: scores.iter().map(loss).sum::<f64>() / count,
        }
    }

    /// Writes the classifier, whole or not at all.
    ///
    /// ```text
    /// 8 bytes "SSLCLASS", u32 version, u32 bits of the table, u32 longest run, f32 bias, f32 weights..., 32 bytes BLAKE3 of all before
    /// ```
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.weights.len().trailing_zeros().to_le_bytes());
        bytes.extend(self.ngram_words.to_le_bytes());
        bytes.extend(self.bias.to_le_bytes());
        self.weights.iter().for_each(|weight| bytes.extend(weight.to_le_bytes()));
        bytes.extend(blake3::hash(&bytes).as_bytes());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| Error::io("write", path, source))
    }

    /// Reads a classifier.
    ///
    /// # Errors
    /// When the file cannot be read, is no classifier, of another version, or altered.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let refuse = |reason: &str| Error::List { path: path.into(), reason: reason.into() };
        let body = bytes.len().checked_sub(32).filter(|&body| body >= HEAD && bytes.starts_with(MAGIC));
        let (body, hash) = bytes.split_at(body.ok_or_else(|| refuse("it is no classifier"))?);
        if blake3::hash(body).as_bytes() != hash {
            return Err(refuse("it does not match its checksum"));
        }
        let word = |at: usize| u32::from_le_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let (version, bits, ngram_words) = (word(8), word(12), word(16));
        if version != VERSION {
            return Err(refuse(&format!("it is of version {version}, this program reads version {VERSION}")));
        }
        if bits > 28 || body.len() != HEAD + (4 << bits) || !(1..=8).contains(&ngram_words) {
            return Err(refuse("its sizes do not fit each other"));
        }
        let weights = body[HEAD..].chunks_exact(4).map(float).collect();
        Ok(Self { ngram_words, bias: float(&body[20..]), weights })
    }
}

fn logistic(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences of two vocabularies that share half of their words.
    fn examples(count: u64, seed: u64) -> Vec<(String, bool)> {
        let word = |class: bool, n: u64| format!("w{}", char::from(b'a' + (n % 16 + if class { 8 } else { 0 }) as u8));
        (0..count)
            .map(|example| {
                let mut rng = Rng::at(seed, 1, example);
                let class = example % 3 == 0;
                ((0..12).map(|_| word(class, rng.below(16))).collect::<Vec<_>>().join(" "), class)
            })
            .collect()
    }

    #[test]
    fn it_learns_and_is_measured() {
        let classifier = Classifier::train(&examples(600, 1), &TrainConfig::default()).expect("trains");
        let measured = classifier.evaluate(&examples(300, 2));
        assert_eq!((measured.positive, measured.negative), (100, 200));
        assert!(measured.accuracy > 0.95 && measured.auc > 0.98 && measured.log_loss < 0.3, "{measured:?}");
        // Labels of no meaning are not learned.
        let shuffled: Vec<_> = examples(600, 1)
            .into_iter()
            .enumerate()
            .map(|(n, (text, _))| (text, crate::rng::hash(3, 0, n as u64).is_multiple_of(3)))
            .collect();
        let chance = Classifier::train(&shuffled, &TrainConfig::default()).expect("trains").evaluate(&examples(300, 2));
        assert!((0.2..0.8).contains(&chance.auc), "{chance:?}");
    }

    #[test]
    fn a_file_gives_back_what_was_saved_and_no_altered_one_is_read() {
        let config = TrainConfig { table_bits: 8, ..TrainConfig::default() };
        let classifier = Classifier::train(&examples(60, 1), &config).expect("trains");
        assert_eq!(Classifier::train(&examples(60, 1), &config).expect("trains"), classifier);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("quality");
        classifier.save(&path).expect("saves");
        assert_eq!(Classifier::load(&path).expect("loads"), classifier);
        let whole = fs::read(&path).expect("reads");
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("writes");
            assert!(Classifier::load(&path).is_err(), "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).expect("writes");
        assert!(Classifier::load(&path).is_err());
    }

    #[test]
    fn scores_that_are_equal_count_half() {
        let classifier = Classifier { ngram_words: 1, bias: 0.0, weights: vec![0.0; 256] };
        let measured = classifier.evaluate(&[("a", true), ("b", false)]);
        assert_eq!((measured.auc, measured.accuracy), (0.5, 0.5));
        assert!(matches!(Classifier::train(&[("a", true)], &TrainConfig::default()), Err(Error::Classifier { .. })));
    }
}
