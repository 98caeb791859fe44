//! Turns examples into rows of tokens with targets and weights, and rows into batches.
//!
//! How a row looks follows from how the model reads, see [`Reader`]; `END` is `[SEP]`, or the separator where there is none:
//!
//! | | looks back only | looks to both sides | encoder and decoder |
//! |---|---|---|---|
//! | one text or two | `SEP a (SEP b) SEP` | `[CLS] a END (b END)` | source `([CLS]) a END (b END)`, one position that bears the class |
//! | words | `SEP words SEP` | `[CLS] words END` | |
//! | a question | `SEP question SEP window SEP` | `[CLS] question END window END` | |
//! | a text from another | `SEP source TO target SEP` | | source `source SEP`, written `target SEP` after `[PAD]` |
//! | a conversation | `SEP turn turn .. SEP` | | |

mod collate;
mod read;
mod write;

use super::{ClassWeights, Content, Example, Task, TaskKind};
use crate::batch::{Grid, Source};
use crate::error::{Error, Result};
use crate::vocab::{CLASS, END, PAD, TO, Vocab};

/// How a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Each position sees those before it.
    Causal,
    /// Each position sees all.
    Both,
    /// One text is read from both sides, another is written from it.
    Pair,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Causal => "a model that looks back only",
            Self::Both => "a model that looks to both sides",
            Self::Pair => "a model with an encoder and a decoder",
        }
    }
}

/// One row of tokens made of an example, or of one window of it.
///
/// # Shapes
/// All lists but `source` are as long as `ids`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoded {
    /// Which example it is of, as the caller counts them.
    pub example: usize,
    /// What is read; of [`Reader::Pair`], what the decoder reads.
    pub ids: Vec<u32>,
    /// 1 where the second text stands, else 0.
    pub segments: Vec<u8>,
    /// What is to be predicted: the class at the first position; each word's tag at its first token; in a passage bit 0 where the answer
    /// begins and bit 1 where it ends, both at the first position where the window has none; else the next token.
    pub targets: Vec<u32>,
    /// What each target counts. The two ends of an answer count one half each, so that every window counts 1.
    pub weights: Vec<f32>,
    /// What is read from both sides; of [`Reader::Pair`] only.
    pub source: Vec<u32>,
    /// Of a passage: the bytes in it that each token stands for, whole characters. Of words: the word's number from 1, and the token's
    /// number in its word. (0, 0) elsewhere.
    pub spans: Vec<(u32, u32)>,
    /// Tokens that should have been learned and did not fit.
    pub cut: u32,
}

impl Encoded {
    /// The positions that a model reads: of a pair, of its source.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.source.is_empty() { self.ids.len() } else { self.source.len() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes rows of examples for one model and one task.
#[derive(Debug, Clone)]
pub struct Encoder {
    vocab: Vocab,
    length: usize,
    reader: Reader,
    kind: TaskKind,
    marks: Marks,
    /// What each class counts; 1 where there is none.
    class_weights: Vec<f32>,
}

/// The tokens that rows are made with.
#[derive(Debug, Clone)]
struct Marks {
    separator: u32,
    /// What every row begins with.
    first: Option<u32>,
    end: u32,
    pad: u32,
    /// What stands between a source and what is written from it, where one row holds both.
    to: Vec<u32>,
}

/// Shorter rows hold no example of any kind.
const LEAST: usize = 8;
/// Rows are as long as the next multiple of this, which is what devices are fast at.
const ROUND: usize = 8;

impl Encoder {
    /// For a model that reads rows of up to `length` tokens.
    ///
    /// # Errors
    /// When such a model cannot do the task, rows are too short for any example, or the vocabulary lacks a special token.
    pub fn new(vocab: &Vocab, length: usize, reader: Reader, kind: &TaskKind) -> Result<Self> {
        let fits = match kind {
            TaskKind::Classification(_) => true,
            TaskKind::Tagging(_) | TaskKind::Extraction(_) => reader != Reader::Pair,
            TaskKind::Writing(_) | TaskKind::Preference(_) => reader != Reader::Both,
            TaskKind::Chat(_) => reader == Reader::Causal,
            TaskKind::Choice(_) | TaskKind::Cloze(_) | TaskKind::MinimalPairs(_) => false,
        };
        if !fits {
            return Err(Error::TaskReader { kind: kind.name(), reader: reader.name() });
        }
        if length < LEAST {
            return Err(Error::TaskLength { kind: kind.name(), length });
        }
        let separator = vocab.separator();
        let end = vocab.special(END).unwrap_or(separator);
        let (first, end, pad) = match reader {
            // The separator is what follows a text in pretraining, and so what is learned to follow it.
            Reader::Causal => (Some(separator), separator, separator),
            // A diffusion's rows begin with the separator, and know no other mark.
            Reader::Both => (Some(vocab.special(CLASS).unwrap_or(separator)), end, vocab.special(PAD).unwrap_or(separator)),
            Reader::Pair => (vocab.special(CLASS).ok(), end, vocab.special(PAD)?),
        };
        let mut to = vocab.special(TO).map_or_else(|_| vocab.encode("\n"), |id| Ok(vec![id]))?;
        if to.is_empty() {
            to.push(separator);
        }
        let marks = Marks { separator, first, end, pad, to };
        Ok(Self { vocab: vocab.clone(), length, reader, kind: kind.clone(), marks, class_weights: Vec::new() })
    }

    /// The vocabulary that it encodes with.
    #[must_use]
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Whether a text is written from another by a decoder of its own.
    #[must_use]
    pub fn reads_pairs(&self) -> bool {
        self.reader == Reader::Pair
    }

    /// What [`Self::prompt`] gave of several examples as one source, and the id that a decoder writes after.
    #[must_use]
    pub fn sources(&self, prompts: &[&[u32]]) -> (Source<Grid>, u32) {
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(1).max(1);
        let ids = |at: usize, prompt: &[u32]| i64::from(prompt.get(at).copied().unwrap_or(self.marks.pad));
        let grid = |of: &dyn Fn(usize, &[u32]) -> i64| {
            let data = prompts.iter().flat_map(|prompt| (0..longest).map(|at| of(at, prompt)).collect::<Vec<i64>>());
            Grid::ids(data.collect(), longest)
        };
        (Source { ids: grid(&ids), present: grid(&|at, prompt| i64::from(at < prompt.len())) }, self.marks.pad)
    }

    /// The same with the weights that the configuration asks for, over the training examples of `task`.
    #[must_use]
    pub fn weighing(self, task: &Task) -> Self {
        let balanced = matches!(&self.kind, TaskKind::Classification(config) if config.class_weights == ClassWeights::Balanced);
        Self { class_weights: if balanced { task.balanced_weights() } else { Vec::new() }, ..self }
    }

    /// The rows of an example, which the caller counts as number `at`: one, or one for each window; of a preference the chosen answer and
    /// then the other.
    ///
    /// # Errors
    /// When the vocabulary gives up on a text, or the example is of another kind of task.
    pub fn encode(&self, example: &Example, at: usize) -> Result<Vec<Encoded>> {
        let mut rows = match (&self.kind, &example.content) {
            (TaskKind::Classification(config), Content::Texts { first, second, label }) => {
                self.texts(config, first, second.as_deref(), *label)?
            }
            (TaskKind::Tagging(_), Content::Words { words, tags }) => self.words(words, tags)?,
            (TaskKind::Extraction(config), Content::Question { question, context, answers, .. }) => {
                self.question(config, question, context, answers.first())?
            }
            (TaskKind::Writing(config), Content::Writing { source, targets }) => {
                let target = targets.first().map_or("", String::as_str);
                vec![self.written(source, target, config.max_new_tokens as usize)?]
            }
            (TaskKind::Preference(_), Content::Preference { prompt, chosen, rejected }) => {
                let answer = |answer| self.written(prompt, answer, self.length / 2);
                vec![answer(chosen)?, answer(rejected)?]
            }
            (TaskKind::Chat(config), Content::Turns(turns)) => vec![self.turns(config, turns)?],
            _ => return Err(self.other_kind()),
        };
        for row in &mut rows {
            row.example = at;
        }
        Ok(rows)
    }

    /// What a model reads before it writes: of a conversation all before the assistant's last turn; of [`Reader::Pair`] the source.
    ///
    /// # Errors
    /// When the vocabulary gives up on a text, or the task is none of writing.
    pub fn prompt(&self, example: &Example) -> Result<Vec<u32>> {
        match (&self.kind, &example.content) {
            (TaskKind::Writing(config), Content::Writing { source, .. }) => self.before(source, config.max_new_tokens as usize),
            (TaskKind::Preference(_), Content::Preference { prompt, .. }) => self.before(prompt, self.length / 2),
            (TaskKind::Chat(config), Content::Turns(turns)) => self.asked(config, turns),
            _ => Err(self.other_kind()),
        }
    }

    fn other_kind(&self) -> Error {
        Error::TaskReader { kind: "another kind", reader: self.kind.name() }
    }

    /// Room for tokens beside the special ones of so many texts.
    fn room(&self, texts: usize) -> usize {
        self.length - usize::from(self.marks.first.is_some()) - texts
    }

    /// One text or two with the special tokens around, and which token is of the second.
    fn frame(&self, first: &[u32], second: Option<&[u32]>) -> (Vec<u32>, Vec<u8>) {
        let mut ids: Vec<u32> = self.marks.first.into_iter().chain(first.iter().copied()).chain([self.marks.end]).collect();
        let mut segments = vec![0; ids.len()];
        if let Some(second) = second {
            ids.extend(second.iter().copied().chain([self.marks.end]));
            segments.resize(ids.len(), 1);
        }
        (ids, segments)
    }
}

#[cfg(test)]
mod tests;
