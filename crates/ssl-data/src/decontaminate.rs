//! Finds the items of evaluation sets within documents, so that a model is not scored on what it was trained on.
//!
//! An item and a document overlap where they share a run of `ngram-words` words, by default 13; of an item of fewer words, but at least
//! `min-item-words`, all of it is one run. Case, accents, signs and white space are passed over; numbers count. Which items were
//! met, and where, is kept beside the corpus, so that a score can be told for the items that were not.
//!
//! Source: Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C (runs of 8 to 13 words). Differs: a document is dropped whole
//! or kept whole, where the paper cuts 200 characters around the run out of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::hash::BuildHasherDefault;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Fault;
use crate::dedup::Low;
use crate::dedup::minhash::{Numbers, runs};
use crate::error::{Error, Result};

/// More bytes than a line of an evaluation set has.
const LINE: u64 = 64 << 20;

/// `[data.decontaminate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DecontaminateConfig {
    /// The evaluation sets, by name.
    pub sets: BTreeMap<String, EvaluationSet>,
    /// Words of a run.
    #[serde(default = "default_words")]
    pub ngram_words: usize,
    /// Items of fewer words are not looked for: they are common phrases.
    #[serde(default = "default_item_words")]
    pub min_item_words: usize,
    /// The smallest share of an item's runs that a document must hold; 0 for any run at all.
    #[serde(default)]
    pub min_share: f64,
    /// What becomes of documents with an overlap.
    #[serde(default)]
    pub overlapping: Overlapping,
}

impl DecontaminateConfig {
    /// Every fault of meaning; paths begin with `data.decontaminate.`.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        let mut fault = |name: &str, message: String, hint: &str| {
            faults.push(Fault::new(&format!("data.decontaminate.{name}"), message, hint));
        };
        if self.sets.is_empty() || self.sets.values().any(|set| set.paths.is_empty()) {
            fault("sets", "there is nothing to look for".into(), "name a set and its files");
        }
        if !(1..=256).contains(&self.ngram_words) {
            fault("ngram-words", format!("{} is outside 1..=256", self.ngram_words), "13 is the default, 8 finds more");
        }
        if !(0.0..=1.0).contains(&self.min_share) {
            fault("min-share", format!("{} is not a share", self.min_share), "0.0 asks for any run, 0.8 for most of an item");
        }
    }
}

/// What becomes of documents with an overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlapping {
    /// They are dropped.
    #[default]
    Drop,
    /// They are kept, and the report tells.
    Keep,
}

/// The files of a set: of `.jsonl` and `.ndjson` an object is an item, of others a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EvaluationSet {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// The fields of an object that are its text, put together in this order; none for all texts in it, in the order of the
    /// fields' names.
    #[serde(default)]
    pub fields: Vec<String>,
}

const fn default_words() -> usize {
    13
}

const fn default_item_words() -> usize {
    8
}

/// An item of an evaluation set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its set's place among the sets.
    pub set: u32,
    /// Its file and line.
    pub place: String,
    /// Its different runs; 0 if it is too short to be looked for.
    runs: u32,
}

/// The runs of all items.
#[derive(Debug)]
pub struct Index {
    /// The sets' names.
    pub sets: Vec<String>,
    /// The items, set by set.
    pub items: Vec<Item>,
    /// Which items have a run.
    holders: HashMap<u64, Vec<u32>, BuildHasherDefault<Low>>,
    /// The lengths of runs.
    lengths: BTreeSet<usize>,
    min_share: f64,
}

impl Index {
    /// Reads the sets.
    ///
    /// # Errors
    /// When a file cannot be read, is not UTF-8, or a line of JSONL is no JSON object with the fields.
    pub fn new(config: &DecontaminateConfig) -> Result<Self> {
        let mut index = Self {
            sets: config.sets.keys().cloned().collect(),
            items: Vec::new(),
            holders: HashMap::default(),
            lengths: BTreeSet::new(),
            min_share: config.min_share,
        };
        for (number, set) in config.sets.values().enumerate() {
            for path in &set.paths {
                index.read(number as u32, path, &set.fields, config)?;
            }
        }
        Ok(index)
    }

    fn read(&mut self, set: u32, path: &Path, fields: &[String], config: &DecontaminateConfig) -> Result<()> {
        let io = |source| Error::io("read", path, source);
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let json = path.extension().is_some_and(|end| end == "jsonl" || end == "ndjson");
        let (mut line, mut number, mut offset) = (Vec::new(), 0_u64, 0_u64);
        loop {
            line.clear();
            let read = file.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(io)?;
            if read == 0 {
                return Ok(());
            }
            if read as u64 == LINE {
                return Err(Error::Line { path: path.into(), limit: LINE });
            }
            number += 1;
            let text = std::str::from_utf8(&line)
                .map_err(|fault| Error::Utf8 { path: path.into(), offset: offset + fault.valid_up_to() as u64 })?;
            offset += read as u64;
            if text.trim().is_empty() {
                continue;
            }
            let place = format!("{}:{number}", path.display());
            if json {
                let refuse = |reason: String| Error::List { path: path.into(), reason: format!("line {number}: {reason}") };
                let object: Value = serde_json::from_str(text).map_err(|fault| refuse(fault.to_string()))?;
                let mut texts = Vec::new();
                if fields.is_empty() {
                    collect(&object, &mut texts);
                }
                for field in fields {
                    let value = object.get(field).ok_or_else(|| refuse(format!("there is no field {field:?}")))?;
                    collect(value, &mut texts);
                }
                self.add(set, place, &texts.join("\n"), config);
            } else {
                self.add(set, place, text, config);
            }
        }
    }

    fn add(&mut self, set: u32, place: String, text: &str, config: &DecontaminateConfig) {
        let mut words = 0;
        runs(text, 1, Numbers::Apart, &mut |_| words += 1);
        let number = self.items.len() as u32;
        let mut item = Item { set, place, runs: 0 };
        if words >= config.min_item_words.max(1) {
            let length = words.min(config.ngram_words);
            self.lengths.insert(length);
            runs(text, length, Numbers::Apart, &mut |run| {
                let holders = self.holders.entry(keyed(run, length)).or_default();
                if holders.last() != Some(&number) {
                    holders.push(number);
                    item.runs += 1;
                }
            });
        }
        self.items.push(item);
    }

    /// The items that `text` holds runs of, in order, where they are a large enough share of the item's.
    #[must_use]
    pub fn overlaps(&self, text: &str) -> Vec<u32> {
        let mut met: BTreeMap<u32, usize> = BTreeMap::new();
        let mut seen = HashSet::<u64, BuildHasherDefault<Low>>::default();
        for &length in &self.lengths {
            runs(text, length, Numbers::Apart, &mut |run| {
                let run = keyed(run, length);
                let Some(holders) = self.holders.get(&run) else { return };
                // A run that stands again is not counted again, nor are its holders walked.
                if seen.insert(run) {
                    for &item in holders {
                        *met.entry(item).or_default() += 1;
                    }
                }
            });
        }
        let enough = |item: u32, runs: usize| runs as f64 >= self.min_share * f64::from(self.items[item as usize].runs);
        met.into_iter().filter(|(item, runs)| enough(*item, *runs)).map(|(item, _)| item).collect()
    }
}

/// Runs of different lengths are apart.
fn keyed(run: u64, length: usize) -> u64 {
    crate::rng::mix(run ^ length as u64)
}

/// All texts within a JSON value, in order.
fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(values) => values.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// What was found of one evaluation set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Overlap {
    /// Its items.
    pub items: u64,
    /// Items too short to be looked for.
    pub short: u64,
    /// Items met in at least one document.
    pub met: u64,
    /// Documents with at least one of its items.
    pub documents: u64,
}

/// Counts what was found in all documents, in their order.
#[derive(Debug)]
pub struct Tally<'a> {
    index: &'a Index,
    /// How many documents held each item.
    times: Vec<u32>,
    documents: Vec<u64>,
}

impl<'a> Tally<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(index: &'a Index) -> Self {
        Self { index, times: vec![0; index.items.len()], documents: vec![0; index.sets.len()] }
    }

    /// Adds the items of one document; gives those that were met fewer than `most` times before.
    pub fn add(&mut self, items: &[u32], most: u32) -> Vec<&'a Item> {
        let mut sets = BTreeSet::new();
        let mut told = Vec::new();
        for &item in items {
            let times = &mut self.times[item as usize];
            if *times < most {
                told.push(&self.index.items[item as usize]);
            }
            *times = times.saturating_add(1);
            sets.insert(self.index.items[item as usize].set);
        }
        for set in sets {
            self.documents[set as usize] += 1;
        }
        told
    }

    /// The counts by set.
    #[must_use]
    pub fn finish(&self) -> BTreeMap<String, Overlap> {
        let mut overlaps = vec![Overlap::default(); self.index.sets.len()];
        for (item, times) in self.index.items.iter().zip(&self.times) {
            let overlap = &mut overlaps[item.set as usize];
            overlap.items += 1;
            overlap.short += u64::from(item.runs == 0);
            overlap.met += u64::from(*times > 0);
        }
        for (overlap, documents) in overlaps.iter_mut().zip(&self.documents) {
            overlap.documents = *documents;
        }
        self.index.sets.iter().cloned().zip(overlaps).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn index(files: &[(&str, &str)], keys: &serde_json::Value) -> Result<Index> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = serde_json::json!({ "sets": {} });
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("writes");
            config["sets"][name.split('.').next().expect("a name")] = serde_json::json!({ "paths": [path] });
        }
        config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        Index::new(&serde_json::from_value(config).expect("a configuration"))
    }

    #[test]
    fn items_are_met_by_runs_of_their_words() {
        let words: Vec<String> =
            (0..40).map(|n| format!("w{}", char::from(b'a' + n % 26).to_string().repeat(1 + n as usize / 26))).collect();
        let item = words[..20].join(" ");
        let index = index(
            &[
                ("a.txt", &format!("{item}\nfar too short\n")),
                ("b.jsonl", "{\"a\": \"one two three four five\", \"b\": [\"six seven\", \"eight\"]}"),
            ],
            &serde_json::json!({}),
        )
        .expect("reads");
        // Thirteen words in a row, in any spelling, and no fewer.
        assert_eq!(index.overlaps(&format!("x {} y", words[3..16].join(", ").to_uppercase())), [0]);
        assert_eq!(index.overlaps(&words[3..15].join(" ")), [] as [u32; 0]);
        // A short item is met as a whole.
        assert_eq!(index.overlaps("zero one two three four five six seven eight nine"), [2]);
        assert_eq!(index.overlaps("one two three four five six seven"), [] as [u32; 0]);
        let mut tally = Tally::new(&index);
        assert_eq!(tally.add(&[0], 1).len(), 1);
        assert_eq!(tally.add(&[0, 2], 1).len(), 1);
        let overlaps = tally.finish();
        assert_eq!(overlaps["a"], Overlap { items: 2, short: 1, met: 1, documents: 2 });
        assert_eq!(overlaps["b"], Overlap { items: 1, short: 0, met: 1, documents: 1 });
    }

    #[test]
    fn numbers_count_and_shares_are_asked() {
        let sum = "If a train goes 60 miles in 2 hours how far does it go";
        let index = index(&[("a.txt", sum)], &serde_json::json!({ "min-share": 0.5, "ngram-words": 8 })).expect("reads");
        assert_eq!(index.overlaps(&sum.replace("60", "75")), [] as [u32; 0]);
        assert_eq!(index.overlaps(sum), [0]);
        // Two of its seven runs, then four.
        assert_eq!(index.overlaps("train goes 60 miles in 2 hours how far"), [] as [u32; 0]);
        assert_eq!(index.overlaps("if a train goes 60 miles in 2 hours how far"), [0]);
    }

    #[test]
    fn what_is_no_set_is_named() {
        let reason = |name: &str, text: &str| index(&[(name, text)], &serde_json::json!({})).expect_err("refused").to_string();
        assert!(reason("a.jsonl", "{}\n{").contains("a.jsonl: line 2"));
    }
}
