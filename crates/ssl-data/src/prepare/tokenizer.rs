//! The second stage: a vocabulary from a sample of the text that is trained on.

use std::path::Path;
use std::time::Instant;

use super::read::Cleaned;
use super::spool::Reader;
use super::{Watch, stage};
use crate::config::{DataConfig, TokenizerConfig};
use crate::corpus::SplitName;
use crate::error::{Error, Result};
use crate::manifest::Stage;
use crate::vocab::Vocab;

/// Bytes of one piece of the sample: small, so that the pieces lie all over the corpus, and far longer than a word.
const PIECE: usize = 16 << 10;

/// Trains the tokenizer, or loads the one that `config` names, and saves it as `into`.
pub(super) fn run(config: &DataConfig, cleaned: &Cleaned, spool: &Path, into: &Path, watch: &dyn Watch) -> Result<Stage> {
    let begin = Instant::now();
    let sample_bytes = match &config.tokenizer {
        TokenizerConfig::ByteBpe(vocab) | TokenizerConfig::Wordpiece(vocab) | TokenizerConfig::Unigram(vocab) => vocab.sample_bytes,
        // A character that is not met here has no id of its own.
        TokenizerConfig::Char {} => u64::MAX,
        TokenizerConfig::File { path } => {
            Vocab::load(path)?.save(into)?;
            return Ok(Stage { name: stage::TOKENIZER.into(), seconds: begin.elapsed().as_secs_f64(), ..Stage::default() });
        }
    };
    let mut sample = Sample {
        spool: Reader::open(spool, cleaned.spool_bytes, cleaned.division)?,
        sample_bytes,
        train_bytes: cleaned.train_bytes,
        text: String::new(),
        at: 0,
        seen: 0,
        taken: 0,
        documents: 0,
        watch,
        fault: None,
    };
    let vocab = Vocab::train(&mut sample, &config.tokenizer);
    // The sample of a run that was stopped, or of a spool that could not be read, is not the whole sample.
    if let Some(fault) = sample.fault {
        return Err(fault);
    }
    let vocab = vocab?;
    if watch.stop() {
        return Err(Error::Interrupted { stage: stage::TOKENIZER });
    }
    vocab.save(into)?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Stage { name: stage::TOKENIZER.into(), seconds, bytes: sample.taken, documents: sample.documents })
}

/// Pieces of the training text, as evenly spread as they can be: a piece is taken whenever less was taken than the
/// sample's share of what went by.
struct Sample<'a> {
    spool: Reader,
    sample_bytes: u64,
    train_bytes: u64,
    text: String,
    at: usize,
    seen: u64,
    taken: u64,
    documents: u64,
    watch: &'a dyn Watch,
    fault: Option<Error>,
}

impl Sample<'_> {
    /// Whether a piece of `bytes` is taken; it went by then.
    fn take(&mut self, bytes: u64) -> bool {
        self.seen += bytes;
        let share = u128::from(self.sample_bytes.min(self.train_bytes)) * u128::from(self.seen);
        let take = u128::from(self.taken + bytes) * u128::from(self.train_bytes) <= share;
        self.taken += if take { bytes } else { 0 };
        take
    }

    /// Goes on to the next document of the training side; false at the end.
    fn document(&mut self) -> Result<bool> {
        for part in &mut self.spool {
            if self.watch.stop() {
                return Err(Error::Interrupted { stage: stage::TOKENIZER });
            }
            let part = part?;
            if part.split == SplitName::Train {
                self.watch.stage(stage::TOKENIZER, self.seen, Some(self.train_bytes), self.documents);
                self.documents += 1;
                (self.text, self.at) = (part.text, 0);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Iterator for Sample<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            while self.at < self.text.len() {
                let begin = self.at;
                self.at += piece(&self.text[begin..]);
                if self.take((self.at - begin) as u64) {
                    return Some(self.text[begin..self.at].into());
                }
            }
            match self.document() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(fault) => {
                    self.fault = Some(fault);
                    return None;
                }
            }
        }
    }
}

/// Bytes of the next piece of `text`: up to the last line end among the first [`PIECE`] bytes, else the last space, else
/// the last character.
fn piece(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let most = &text[..text.floor_char_boundary(PIECE)];
    most.rfind('\n').or_else(|| most.rfind(' ')).map_or(most.len(), |at| at + 1)
}
