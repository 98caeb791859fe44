//! Where a run begins: its folder, whether it goes on from a checkpoint, and what its checkpoints carry.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Result;
use ssl_data::corpus::Corpus;
use ssl_data::manifest::TOKENIZER;
use ssl_data::sampler::Sampler;
use ssl_data::vocab::{PAD, Vocab};
use ssl_model::SelfTaught;
use ssl_model::weights::{CONFIG, WEIGHTS, write_config};
use ssl_train::checkpoint::{Checkpoint, Companion};
use ssl_train::state::TrainState;
use ssl_train::trainer::Saving;

use super::io;
use crate::args::Resume;
use crate::assemble::{CHECKPOINTS, CORPUS, FINGERPRINT, RESOLVED, RUN, Session, resolve};
use crate::diagnose::Loaded;
use crate::outcome::Refusal;
use crate::run::RunConfig;
use crate::words;

/// A run folder that is ours, and the checkpoint to go on from.
pub(crate) struct Start {
    /// Held by rank 0 while the run lives; the system lets go of it even after a kill.
    lock: Option<File>,
    dir: PathBuf,
    from: Option<Checkpoint>,
    verbatim: String,
    resolved: String,
    changed: bool,
}

impl Start {
    /// Takes the folder, and decides what to go on from.
    pub(crate) fn open<T>(session: &Session, dir: &Path, loaded: &Loaded<T>, resume: Resume, allow_change: bool) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|source| io("create", dir, source))?;
        let lock = lock(&dir.join("run.lock"))?;
        let root = dir.join(CHECKPOINTS);
        let (latest, passed) = Checkpoint::latest(&root)?;
        for fault in &passed {
            session.progress.say(&format!("warning: {fault}; passed over"));
        }
        let from = match (resume, latest) {
            (Resume::Must, None) => return Err(ssl_train::Error::NoCheckpoint { dir: root }.into()),
            (Resume::Never, found) if found.is_some() || !passed.is_empty() => {
                let message = format!("{} holds a run already", dir.display());
                return Err(Refusal::usage(message, "give --out another folder, or --resume auto to go on"));
            }
            (_, found) => found,
        };
        if from.is_none() && !passed.is_empty() {
            let hint = "none of its checkpoints is whole; remove the folder's checkpoints to begin again";
            return Err(Refusal::input(format!("{} cannot be resumed", dir.display()), hint));
        }
        let mut changed = false;
        if let Some(from) = &from {
            changed = from.config_hash()? != hash(&loaded.resolved);
            if changed && !allow_change {
                let before = fs::read_to_string(from.dir.join(RESOLVED)).unwrap_or_default();
                let message =
                    format!("the run has changed since {}:\n{}", from.dir.display(), difference(&before, &loaded.resolved));
                return Err(Refusal::usage(message, "give --out another folder, or --allow-config-change to go on all the same"));
            }
        }
        let (verbatim, resolved) = (loaded.verbatim.clone(), loaded.resolved.clone());
        let start = Self { lock: Some(lock), dir: dir.into(), from, verbatim, resolved, changed };
        // A run that goes on keeps its old run file until it is known that the new one fits.
        if start.from.is_none() {
            start.keep_run()?;
        }
        Ok(start)
    }

    /// Begins where rank 0 does: at the checkpoint of that step, or anew.
    pub(super) fn follow(dir: &Path, loaded: &Loaded<RunConfig>, step: Option<u64>) -> Result<Self> {
        let from = step.map(|step| Checkpoint::open(&dir.join(CHECKPOINTS).join(format!("{step:08}")))).transpose()?;
        let changed = from.as_ref().map(Checkpoint::config_hash).transpose()?.is_some_and(|old| old != hash(&loaded.resolved));
        let (verbatim, resolved) = (loaded.verbatim.clone(), loaded.resolved.clone());
        Ok(Self { lock: None, dir: dir.into(), from, verbatim, resolved, changed })
    }

    /// The step of the checkpoint to go on from.
    pub(super) fn step(&self) -> Option<u64> {
        self.from.as_ref().map(|from| from.step)
    }

    /// Writes the run file into the run folder, as it was written and in full.
    fn keep_run(&self) -> Result<()> {
        write(&self.dir.join(RUN), &self.verbatim)?;
        write(&self.dir.join(RESOLVED), &self.resolved)
    }

    /// Takes the checkpoint's state; returns the step it was made at.
    pub(super) fn restore(&self, session: &Session, corpus: &Corpus, state: &mut TrainState) -> Result<Option<u64>> {
        let Some(from) = &self.from else { return Ok(None) };
        let trained_on = fs::read_to_string(from.dir.join(FINGERPRINT)).unwrap_or_default();
        if trained_on != corpus.fingerprint() && !self.changed {
            let message = format!("the corpus is not the one that {} was trained on", from.dir.display());
            return Err(Refusal::input(message, "bring the old data back, or give --out another folder"));
        }
        self.restore_state(session, state)
    }

    /// The same of a run without a corpus.
    pub(crate) fn restore_state(&self, session: &Session, state: &mut TrainState) -> Result<Option<u64>> {
        let Some(from) = &self.from else { return Ok(None) };
        from.restore(state)?;
        if self.lock.is_some() {
            self.keep_run()?;
        }
        if self.changed {
            // A changed plan begins from what is done, not from what was planned.
            state.progress.planned_steps = None;
            state.progress.calibrated = false;
        }
        session.progress.say(&format!("going on from step {}", from.step));
        Ok(Some(from.step))
    }

    /// What checkpoints of this run carry, so that each is a model folder of its own; nothing where rank 0 writes them.
    pub(super) fn saving(&self, config: &RunConfig, corpus: &Corpus) -> Result<Option<Saving>> {
        if self.lock.is_none() {
            return Ok(None);
        }
        let scratch = self.dir.join(format!(".{CONFIG}"));
        let mut model = config.model.clone();
        if let Ok(pad) = Vocab::load(&self.dir.join(CORPUS).join(TOKENIZER))?.special(PAD) {
            model.starts_with(pad);
        }
        write_config(&scratch, &model, corpus.vocab_size(), Some(corpus.separator()))?;
        let read = |path: &Path| fs::read(path).map_err(|source| io("read", path, source));
        let companions = vec![
            (CONFIG, read(&scratch)?),
            (TOKENIZER, read(&self.dir.join(CORPUS).join(TOKENIZER))?),
            (RUN, self.verbatim.clone().into_bytes()),
            (RESOLVED, self.resolved.clone().into_bytes()),
            (FINGERPRINT, corpus.fingerprint().as_bytes().to_vec()),
        ];
        let _ = fs::remove_file(&scratch);
        Ok(Some(self.saving_of(companions)))
    }

    /// The same with companions of another kind of run.
    pub(crate) fn saving_of(&self, companions: Vec<Companion>) -> Saving {
        Saving { root: self.dir.join(CHECKPOINTS), config_hash: hash(&self.resolved), companions }
    }
}

/// Tells a model how often words occur; what stands for no word is read over.
pub(super) fn count(pupil: &dyn SelfTaught, corpus: &Corpus, vocab: &Vocab) -> Result<()> {
    let mut counts = corpus.counts()?;
    for id in vocab.specials().chain(vocab.unknown()) {
        if let Some(count) = counts.get_mut(id as usize) {
            *count = 0;
        }
    }
    pupil.count(&counts);
    Ok(())
}

/// Takes the weights of another model that fit this one by name and shape, or the vectors of the words that it knows; the
/// rest begin as they would have.
pub(super) fn begin_from(session: &Session, from: &Path, state: &TrainState, dir: &Path) -> Result<()> {
    if from.is_file() {
        let vocab = Vocab::load(&dir.join(CORPUS).join(TOKENIZER))?;
        let (name, taken) = words::begin_from(from, &state.params, &vocab)?;
        session.progress.say(&format!("beginning with {taken} rows of {name} from {}", from.display()));
        return Ok(());
    }
    let (run, dir) = (dir, resolve(session, from)?);
    let theirs = dir.join(TOKENIZER);
    let same = !theirs.exists() || Vocab::load(&theirs)?.same_ids(&Vocab::load(&run.join(CORPUS).join(TOKENIZER))?);
    if !same {
        let message = format!("{} has other ids than this run's tokenizer", theirs.display());
        let hint = format!("give data.tokenizer.file.path = {:?}", theirs.display().to_string());
        return Err(Refusal::input(message, hint));
    }
    let taken = ssl_model::weights::adopt(&dir.join(WEIGHTS), &state.params)?;
    let all = state.params.list().len();
    if taken == 0 {
        let message = format!("{} has no weight of this model's names and shapes", dir.display());
        return Err(Refusal::input(message, "name a model of the same kind and width"));
    }
    session.progress.say(&format!("beginning with {taken} of {all} weights from {}", dir.display()));
    Ok(())
}

/// Adds to a fault what only this place knows: the text of the sample that caused it.
pub(super) fn explain(fault: ssl_train::Error, corpus: &Corpus, config: &RunConfig, dir: &Path) -> anyhow::Error {
    let ssl_train::Error::NonFinite { sample, .. } = fault else { return fault.into() };
    let length = config.model.context_tokens() as usize;
    let read = || -> ssl_data::Result<String> {
        let vocab = Vocab::load(&dir.join(CORPUS).join(TOKENIZER))?;
        let objective = config.objective.build(&config.data.windows, length, &vocab)?;
        let sampler = Sampler::mixed(corpus, &config.data, objective.window())?;
        Ok(vocab.decode(&sampler.window(sample)?.tokens))
    };
    match read() {
        Ok(text) => {
            anyhow::Error::from(fault).context(format!("sample {sample} begins {:?}", text.chars().take(160).collect::<String>()))
        }
        Err(_) => fault.into(),
    }
}

/// The best checkpoint where there was a validation, else the last.
pub(crate) fn best(dir: &Path, state: &TrainState) -> (PathBuf, u64) {
    let root = dir.join(CHECKPOINTS);
    let step = state.progress.best.at.map(|(step, _)| step).filter(|step| root.join(format!("{step:08}")).is_dir());
    let step = step.unwrap_or(state.progress.step);
    (root.join(format!("{step:08}")), step)
}

/// One run at a time in a folder.
fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(|source| io("open", path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ssl_train::Error::Locked { path: path.into() }.into()),
        Err(TryLockError::Error(source)) => Err(io("lock", path, source).into()),
    }
}

pub(super) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("toml.tmp");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(|source| io("write", path, source))?;
    Ok(())
}

/// The lines of two texts that differ.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("  - {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("  + {line}"));
    gone.chain(come).collect::<Vec<_>>().join("\n")
}
