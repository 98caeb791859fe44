//! The second stage: a vocabulary from a sample of the text that is trained on.

use std::path::Path;
use std::time::Instant;

use super::division::Division;
use super::read::Cleaned;
use super::spool::Reader;
use super::{Watch, stage};
use crate::config::{DataConfig, TokenizerConfig};
use crate::corpus::SplitName;
use crate::error::{Error, Result};
use crate::manifest::Stage;
use crate::vocab::Vocab;

/// Most bytes of one piece of the sample: small, so that the pieces lie all over the corpus, and far longer than a word.
const PIECE: u64 = 16 << 10;

/// Trains the tokenizer, or loads the one that `config` names, and saves it as `into`.
pub(super) fn run(config: &DataConfig, cleaned: &Cleaned, spool: &Path, into: &Path, watch: &dyn Watch) -> Result<Stage> {
    let begin = Instant::now();
    let sample_bytes = match &config.tokenizer {
        TokenizerConfig::ByteBpe(vocab) | TokenizerConfig::Wordpiece(vocab) | TokenizerConfig::Unigram(vocab) => {
            vocab.sample_bytes
        }
        // A character or word that is not met here has no id of its own, and words are counted.
        TokenizerConfig::Char {} | TokenizerConfig::Word(_) => u64::MAX,
        TokenizerConfig::File { .. } => {
            Vocab::train(std::iter::empty(), &config.tokenizer, &config.special_tokens)?.save(into)?;
            return Ok(Stage { name: stage::TOKENIZER.into(), seconds: begin.elapsed().as_secs_f64(), ..Stage::default() });
        }
    };
    let mut sample = Sample::open(spool, cleaned.spool_bytes, cleaned.division, cleaned.train_bytes, sample_bytes, watch)?;
    let folder = into.parent().unwrap_or(Path::new("."));
    let vocab = Vocab::train_within(&mut sample, &config.tokenizer, &config.special_tokens, folder);
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
    /// Bytes of the whole sample, at most.
    most: u64,
    train_bytes: u64,
    /// Bytes of one piece, at most.
    piece: usize,
    text: String,
    at: usize,
    seen: u64,
    /// Mebibytes seen when the watch was last told.
    told: u64,
    taken: u64,
    documents: u64,
    watch: &'a dyn Watch,
    fault: Option<Error>,
}

impl<'a> Sample<'a> {
    fn open(spool: &Path, size: u64, division: Division, train_bytes: u64, most: u64, watch: &'a dyn Watch) -> Result<Self> {
        let spool = Reader::open(spool, size, division)?;
        let piece = (most / 16).clamp(64, PIECE) as usize;
        Ok(Self {
            spool,
            most,
            train_bytes,
            piece,
            text: String::new(),
            at: 0,
            seen: 0,
            told: u64::MAX,
            taken: 0,
            documents: 0,
            watch,
            fault: None,
        })
    }

    /// Whether a piece of `bytes` is taken; it went by then.
    fn take(&mut self, bytes: u64) -> bool {
        self.seen += bytes;
        let share = u128::from(self.most.min(self.train_bytes)) * u128::from(self.seen);
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
                // Once for each mebibyte is often enough: documents may be single lines.
                if self.seen >> 20 != self.told {
                    self.told = self.seen >> 20;
                    self.watch.stage(stage::TOKENIZER, self.seen, Some(self.train_bytes), self.documents);
                }
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
                self.at += piece(&self.text[begin..], self.piece);
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

/// Bytes of the next piece of `text`: up to the last line end among the first `most` bytes, else the last space, else the
/// last character.
fn piece(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let text = &text[..text.floor_char_boundary(most)];
    text.rfind('\n').or_else(|| text.rfind(' ')).map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Silent;
    use super::super::division::Divider;
    use super::super::spool::Writer;
    use super::*;
    use crate::dedup::TextHash;

    fn sample(texts: &[String], fraction: f64, most: u64) -> (Vec<String>, u64) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut writer = Writer::create(file.path()).expect("creates");
        let mut divider = Divider::new(0, fraction);
        for text in texts {
            writer.push(text, TextHash::of(text)).expect("writes");
            divider.add(text, TextHash::of(text));
        }
        let (division, train_bytes) = divider.finish();
        let mut sample =
            Sample::open(file.path(), writer.finish().expect("finishes").0, division, train_bytes, most, &Silent).expect("opens");
        let pieces = sample.by_ref().collect();
        assert!(sample.fault.is_none());
        (pieces, sample.taken)
    }

    #[test]
    fn a_sample_as_large_as_the_text_is_the_text() {
        let texts: Vec<String> = (0..50).map(|n| format!("{n} 中文\n").repeat(n * 40)).filter(|text| !text.is_empty()).collect();
        let (pieces, taken) = sample(&texts, 0.0, u64::MAX);
        assert_eq!(pieces.concat(), texts.concat());
        assert_eq!(taken, texts.concat().len() as u64);
    }

    #[test]
    fn a_small_sample_lies_all_over_the_text() {
        let texts: Vec<String> = (0..10_000).map(|n| format!("{n:04} and more of it\n")).collect();
        for texts in [vec![texts.concat()], texts] {
            let (pieces, taken) = sample(&texts, 0.0, 20_000);
            let whole = pieces.concat();
            assert_eq!(whole.len() as u64, taken);
            assert!((19_000..=20_000).contains(&taken), "{taken}");
            let (mut last, mut gap) = (0, 0);
            for line in whole.lines().filter(|line| line.len() == 19) {
                let number: usize = line[..4].parse().expect("a whole line");
                gap = gap.max(number - last);
                last = number;
            }
            assert!(gap.max(10_000 - last) < 700, "{gap} lines without a sample");
        }
    }

    proptest! {
        /// Never more than asked for, never from the validation side, and pieces end between characters.
        #[test]
        fn the_bound_holds(texts in proptest::collection::vec("[a-c中 \n]{1,300}", 1..40), most in 1_u64..3000) {
            let (pieces, taken) = sample(&texts, 0.3, most);
            prop_assert!(taken <= most);
            prop_assert_eq!(pieces.concat().len() as u64, taken);
        }
    }
}
