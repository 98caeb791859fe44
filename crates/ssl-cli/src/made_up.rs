//! A batch of made-up tokens in the shapes of a run's own: for speed alone, and to tell costs before there is a corpus.

use anyhow::Result;
use ssl_data::batch::{Batch, Grid, Window};
use ssl_data::config::TokenizerConfig;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::rng::Rng;
use ssl_data::vocab::{TO, Vocab};

use crate::run::RunConfig;

/// What a vocabulary of words of a few million tokens counts as.
const WORDS: u32 = 32_768;
/// What a character vocabulary of English prose counts as.
const CHARACTERS: u32 = 65;

/// A batch, and the tokens of its windows.
pub(crate) struct MadeUp {
    /// One micro-batch.
    pub(crate) batch: Batch<Grid>,
    /// How often each id occurs.
    pub(crate) counts: Vec<u64>,
}

/// How many ids the run's tokenizer will have, as far as its configuration tells.
pub(crate) fn vocab_size(config: &RunConfig) -> Result<u32> {
    Ok(match &config.data.tokenizer {
        TokenizerConfig::ByteBpe(v) | TokenizerConfig::Wordpiece(v) | TokenizerConfig::Unigram(v) => v.vocab_tokens,
        TokenizerConfig::Word(words) => words.max_words.unwrap_or(WORDS),
        TokenizerConfig::Char {} => CHARACTERS + config.objective.special_tokens().len() as u32,
        TokenizerConfig::File { path } => Vocab::load(path)?.size(),
    })
}

/// One micro-batch of a run over `vocab` ids, its windows as full as windows can be.
pub(crate) fn batch(config: &RunConfig, vocab: u32) -> Result<MadeUp> {
    let length = config.model.context_tokens() as usize;
    let letters = letters(vocab, &config.objective)?;
    let objective = config.objective.build(&config.data.windows, length, &letters)?;
    let samples = u64::from(config.train.batch_rows) * objective.windows_per_row() as u64;
    let windows: Vec<Window> =
        (0..samples).map(|sample| window(sample, objective.window(), vocab, letters.special(TO).ok())).collect();
    let mut rngs: Vec<Rng> = (0..samples).map(|sample| Rng::at(0, 1, sample)).collect();
    let mut counts = vec![0; vocab as usize];
    windows.iter().flat_map(|window| &window.tokens).for_each(|&token| counts[token as usize] += 1);
    Ok(MadeUp { batch: objective.collate(&windows, &mut rngs), counts })
}

/// A vocabulary of so many ids, one a letter.
fn letters(vocab: u32, objective: &ObjectiveConfig) -> Result<Vocab> {
    let specials = objective.special_tokens();
    // The separator and the unknown have ids of their own.
    let letters = ('\u{4e00}'..).take((vocab as usize).saturating_sub(specials.len() + 2)).collect();
    Ok(Vocab::train(std::iter::once(letters), &TokenizerConfig::Char {}, &specials)?)
}

/// A window of chance, with what stands between two sides in its middle.
fn window(row: u64, length: usize, vocab: u32, middle: Option<u32>) -> Window {
    let mut rng = Rng::at(0, 0, row);
    let mut tokens: Vec<u32> = (0..=length).map(|_| rng.below(u64::from(vocab)) as u32).collect();
    if let Some(middle) = middle {
        tokens[length / 2] = middle;
    }
    Window { tokens, document: vec![0; length + 1], fresh: 0, continues: false }
}
