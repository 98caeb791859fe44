//! Turns raw files into a corpus folder: read and clean, train the tokenizer, encode and pack.
//!
//! The work is done in `prepare.tmp` inside the folder and moved out at the end, the manifest last, so that the folder
//! holds a whole corpus or none. Each finished stage is recorded there; a run that was stopped or killed goes on behind
//! the last of them. A corpus of other inputs or another configuration in the same folder stays whole until the new one
//! is packed, and is then replaced. One process works in a folder at a time; others wait for it.
//!
//! What comes out is a function of the inputs and the configuration alone: not of threads, time or interruptions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use crate::config::{DataConfig, Format, PairsConfig, SourceConfig, TokenizerConfig, WindowConfig};
use crate::corpus::{Corpus, SplitName};
use crate::error::{Error, Result};
use crate::manifest::{Fingerprints, Manifest, TOKENIZER, VALIDATION_TEXT, VERSION};
use crate::source::{self, Input, Progress, Stamp};
use crate::vocab::Vocab;

mod curate;
mod division;
mod draft;
mod encode;
mod folder;
mod met;
mod near;
mod pairs;
mod read;
mod repeats;
mod spool;
mod tally;
mod tasks;
mod tokenizer;

use encode::Packed;
use folder::{Finished, Folder, Trained};
use read::Cleaned;

pub use tasks::{Task, prepare_task};

/// The version of the rules by which text is cleaned, divided and sampled: a change has every corpus prepared again.
const RULES: u32 = 1;

/// The stages' names, as [`Watch`] and the manifest give them.
pub mod stage {
    /// Every input is read once and hashed.
    pub const CHECK: &str = "check inputs";
    /// Another process works in the folder.
    pub const WAIT: &str = "wait for another process";
    /// Inputs become clean documents.
    pub const READ: &str = "read and clean";
    /// Near copies are found and left out.
    pub const NEAR: &str = "find near copies";
    /// Paragraphs and runs of bytes that stood before are found and cut.
    pub const CUT: &str = "cut repeated passages";
    /// A sample of the documents becomes a vocabulary.
    pub const TOKENIZER: &str = "train tokenizer";
    /// Documents become shards.
    pub const ENCODE: &str = "encode and pack";
}

/// Looks on while a corpus is prepared.
pub trait Watch: Sync {
    /// Called often: `done_bytes` of the `total_bytes` that the stage reads are done, and `documents` so far.
    fn stage(&self, stage: &'static str, done_bytes: u64, total_bytes: Option<u64>, documents: u64);

    /// Asked often and from several threads; a yes ends the preparation with [`Error::Interrupted`].
    fn stop(&self) -> bool;
}

/// Watches nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn stage(&self, _: &'static str, _: u64, _: Option<u64>, _: u64) {}

    fn stop(&self) -> bool {
        false
    }
}

/// Prepares the corpus that `config` describes in the folder `into`; returns at once when it lies there already.
///
/// # Errors
/// When a path gives no file, or a server none; when more records are bad than `config.limits` let pass; when cleaning leaves nothing;
/// when the disk refuses what is written; when `watch` says stop. Finished stages are kept for the next run.
///
/// A file that cannot be read, is damaged, unpacks beyond the limits or changes meanwhile is one bad record: what was read of it before
/// stays, the rest of it is given up, and the next file is read. Where another reading could give more (it changed or vanished between
/// the first look and the reading), the corpus bears another fingerprint than that of its inputs, and the next run prepares it again.
pub fn prepare(config: &DataConfig, into: &Path, watch: &dyn Watch) -> Result<Manifest> {
    let inputs = check(source::find(config, into)?, watch)?;
    let prints = fingerprint(config, &inputs, into)?;
    let fingerprint = &prints.corpus;
    if let Some(manifest) = whole(into, fingerprint).filter(|_| !Folder::has_work(into)) {
        return Ok(manifest);
    }
    build(config, &inputs, prints, &Folder::lock(into, watch)?, watch, &Alone)
}

/// Does what is not done of the corpus, in the folder that this process alone works in.
fn build(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    prints: Prints,
    folder: &Folder,
    watch: &dyn Watch,
    road: &dyn Road,
) -> Result<Manifest> {
    let fingerprint = &prints.corpus;
    // Whoever held the lock may have done the work, or was killed when nothing but clearing up was left.
    if let Some(manifest) = whole(folder.dir(), fingerprint) {
        folder.clear()?;
        return Ok(manifest);
    }
    let mut finished = folder.resume(fingerprint)?;
    match stages(config, inputs, folder, &mut finished, watch, road) {
        Ok(mut manifest) => {
            manifest.fingerprints.inputs = prints.inputs;
            manifest.fingerprints.config = prints.config;
            folder.commit(&manifest)?;
            Ok(manifest)
        }
        Err(fault) => {
            // The fault is what counts; what cannot be removed now is removed by the next run.
            let _ = folder.sweep(&finished);
            Err(fault)
        }
    }
}

/// The two stages that can be shared out: both ways give the same bytes.
trait Road {
    fn clean(&self, config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned>;

    fn encode(&self, vocab: &Vocab, cleaned: &Cleaned, folder: &Folder, watch: &dyn Watch) -> Result<Packed>;
}

/// One process does it all.
struct Alone;

impl Road for Alone {
    fn clean(&self, config: &DataConfig, inputs: &[(Input, Stamp)], spool: &Path, watch: &dyn Watch) -> Result<Cleaned> {
        read::run(config, inputs, spool, watch)
    }

    fn encode(&self, vocab: &Vocab, cleaned: &Cleaned, folder: &Folder, watch: &dyn Watch) -> Result<Packed> {
        encode::run(vocab, cleaned, &folder.spool(), folder.work(), watch)
    }
}

/// Runs the stages that are not finished.
fn stages(
    config: &DataConfig,
    inputs: &[(Input, Stamp)],
    folder: &Folder,
    finished: &mut Finished,
    watch: &dyn Watch,
    road: &dyn Road,
) -> Result<Manifest> {
    let spool = folder.spool();
    let cleaned = if let Some(cleaned) = finished.cleaned.clone() {
        cleaned
    } else {
        let cleaned = road.clean(config, inputs, &spool, watch)?;
        finished.cleaned = Some(cleaned.clone());
        folder.record(finished)?;
        cleaned
    };
    let trained = if let Some(trained) = finished.tokenizer.clone() {
        trained
    } else {
        let stage = tokenizer::run(config, &cleaned, &spool, &folder.tokenizer(), watch)?;
        let trained = Trained { digest: folder.digest()?, stage };
        finished.tokenizer = Some(trained.clone());
        folder.record(finished)?;
        trained
    };
    let vocab = Vocab::load(&folder.tokenizer())?;
    let packed = road.encode(&vocab, &cleaned, folder, watch)?;
    Ok(Manifest {
        version: VERSION,
        // Another reading may give more, so this is not the corpus of these inputs.
        fingerprint: if cleaned.in_part { in_part(&finished.fingerprint) } else { finished.fingerprint.clone() },
        fingerprints: Fingerprints { tokenizer: trained.digest, ..Fingerprints::default() },
        token_bytes: packed.layout.width.bytes(),
        vocab_size: packed.layout.vocab_size,
        separator: packed.layout.separator,
        train: packed.train,
        validation: packed.validation,
        files: inputs.len() as u64,
        dropped: cleaned.dropped,
        examples: cleaned.examples,
        repaired: cleaned.repaired,
        curation: cleaned.curation,
        composition: packed.composition,
        stages: vec![cleaned.stage, trained.stage, packed.stage],
    })
}

/// The fingerprint of a corpus of inputs that were not all read as they were stamped.
fn in_part(fingerprint: &str) -> String {
    blake3::hash(fingerprint.as_bytes()).to_hex().to_string()
}

/// Hashes every input, so that a change between now and its reading is seen.
fn check(inputs: Vec<Input>, watch: &dyn Watch) -> Result<Vec<(Input, Stamp)>> {
    let progress = Progress::default();
    let stamped = inputs.into_par_iter().map(|input| {
        let stamp = source::stamp(&input, &progress, &|| watch.stop())?;
        watch.stage(stage::CHECK, progress.stored.load(Ordering::Relaxed), None, 0);
        Ok((input, stamp))
    });
    // All of them, so that the fault told is the first in the order of the inputs.
    stamped.collect::<Vec<_>>().into_iter().collect()
}

/// The hashes of a corpus to be.
struct Prints {
    corpus: String,
    inputs: String,
    config: String,
}

/// The part of a configuration that touches the corpus (not how it is cut into windows and mixed, nor how its files were named), and a
/// hash of the files that it names beside the inputs: those count by what they hold.
fn essence(config: &DataConfig) -> Result<(DataConfig, blake3::Hasher)> {
    let mut config = DataConfig {
        paths: Vec::new(),
        extensions: Vec::new(),
        curriculum: Vec::new(),
        windows: WindowConfig::default(),
        ..config.clone()
    };
    for source in config.sources.values_mut() {
        *source = SourceConfig { paths: Vec::new(), weight: None, max_epochs: None };
    }
    if let Some(PairsConfig::Files { targets }) = &mut config.pairs {
        targets.clear();
    }
    let mut hash = blake3::Hasher::new();
    if let TokenizerConfig::File { path } = &mut config.tokenizer {
        beside(path, &mut hash)?;
    }
    if let Some(scrub) = &mut config.scrub {
        for path in [&mut scrub.names, &mut scrub.hash_key].into_iter().flatten() {
            beside(path, &mut hash)?;
        }
    }
    if let Some(rules) = &mut config.filter.quality {
        beside(&mut rules.model, &mut hash)?;
    }
    for path in config.decontaminate.iter_mut().flat_map(|rules| rules.sets.values_mut()).flat_map(|set| &mut set.paths) {
        // The end of its name says how it is read.
        hash.update(path.extension().unwrap_or_default().as_encoded_bytes());
        beside(path, &mut hash)?;
    }
    Ok((config, hash))
}

/// Identifies the corpus: its rules, the essence of its configuration, and its inputs.
fn fingerprint(config: &DataConfig, inputs: &[(Input, Stamp)], into: &Path) -> Result<Prints> {
    let (config, mut hash) = essence(config)?;
    let fault = |source| Error::Manifest { path: into.into(), source };
    let named: Vec<_> = inputs.iter().map(|(input, stamp)| (&input.name, stamp.size, stamp.digest)).collect();
    let (mut of_inputs, mut of_config) = (blake3::Hasher::new(), hash.clone());
    serde_json::to_writer(&mut of_inputs, &named).map_err(fault)?;
    serde_json::to_writer(&mut of_config, &(RULES, VERSION, &config)).map_err(fault)?;
    serde_json::to_writer(&mut hash, &(RULES, VERSION, &config, named)).map_err(fault)?;
    for (at, (input, _)) in inputs.iter().enumerate() {
        // What is no text says so: such files were once read as text.
        if !matches!(input.format, Format::Text | Format::Markdown | Format::Jsonl) {
            hash.update(format!("{at} {:?}", input.format).as_bytes());
        }
        // Where a named source ends is written in the manifest; where a path ends is not worth another corpus.
        if !config.sources.is_empty() {
            hash.update(format!("{at} of {}", input.part).as_bytes());
        }
    }
    // Runs were once compared with white space, quotation marks and dashes.
    if config.dedup.substrings.is_some() {
        hash.update(b"runs of what counts");
    }
    let hex = |hash: blake3::Hasher| hash.finalize().to_hex().to_string();
    Ok(Prints { corpus: hex(hash), inputs: hex(of_inputs), config: hex(of_config) })
}

/// Adds what the file at `path` holds to `hash`, and forgets its name.
fn beside(path: &mut PathBuf, hash: &mut blake3::Hasher) -> Result<()> {
    let bytes = fs::read(&path).map_err(|source| Error::io("read", path, source))?;
    hash.update(blake3::hash(&bytes).as_bytes());
    *path = PathBuf::new();
    Ok(())
}

/// The manifest of the corpus in `dir`, if it is the one looked for and all of it is there.
fn whole(dir: &Path, fingerprint: &str) -> Option<Manifest> {
    let manifest = Manifest::load(dir).ok().filter(|manifest| manifest.fingerprint == fingerprint)?;
    let text = fs::metadata(dir.join(VALIDATION_TEXT)).is_ok_and(|text| text.len() == manifest.validation.bytes);
    let opens = |split| Corpus::open(dir, split).is_ok();
    let all = text && dir.join(TOKENIZER).is_file() && opens(SplitName::Train) && opens(SplitName::Validation);
    if !all {
        tracing::warn!(dir = %dir.display(), "the corpus is damaged and is prepared again");
    }
    all.then_some(manifest)
}
