//! Training: byte-level BPE, characters and words here, the rest with the `tokenizers` library.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};

use rayon::prelude::*;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior, Tokenizer,
};

use super::{PIECE_BYTES, SEPARATOR, count, merges, split, words};
use crate::config::TokenizerConfig;
use crate::document::BORDER;
use crate::error::{Error, Result};

/// What `WordPiece` calls a word it cannot spell, as in BERT.
const UNKNOWN: &str = "[UNK]";

/// Memory for words and their counts, where the configuration does not say.
const MEMORY_MIB: u64 = 256;

/// Trains the tokenizer of a configuration that is not a file.
pub(super) fn train(texts: impl Iterator<Item = String>, config: &TokenizerConfig, specials: &[String]) -> Result<Tokenizer> {
    let fault = |reason: String| Error::TrainTokenizer { reason };
    let mut texts = texts.filter(|text| !text.is_empty()).peekable();
    if texts.peek().is_none() {
        return Err(fault("there is no text".into()));
    }
    let special = |word: &str| AddedToken::from(word, true);
    // The separator is id 0, the others follow, and then what stands for the unknown.
    let first = |unknown: Option<&str>| -> Vec<String> {
        let names = std::iter::once(SEPARATOR).chain(specials.iter().map(String::as_str)).chain(unknown);
        names.map(String::from).collect()
    };
    let all = |unknown: Option<&str>| -> Vec<AddedToken> { first(unknown).iter().map(|word| special(word)).collect() };
    let build = || -> tokenizers::Result<Tokenizer> {
        let tokenizer = match config {
            TokenizerConfig::ByteBpe(vocab) => {
                let mut tokenizer = Tokenizer::new(BPE::default());
                tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
                tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
                let memory = vocab.memory_mib.unwrap_or(MEMORY_MIB).saturating_mul(1 << 20);
                let counts = count::count(texts, usize::try_from(memory).unwrap_or(usize::MAX))?;
                if counts.rare > 0 {
                    let (words, times) = (counts.rare, counts.rare_occurrences);
                    tracing::warn!(words, times, "the tokenizer is trained without the rarest words: memory-mib holds no more");
                }
                let learned = merges::learn(&counts.words, &first(None), vocab.vocab_tokens as usize);
                tokenizer.with_model(BPE::new(learned.tokens.into_iter().zip(0..).collect(), learned.merges));
                tokenizer.add_special_tokens(all(None))?;
                tokenizer
            }
            TokenizerConfig::Wordpiece(vocab) => {
                let mut tokenizer = Tokenizer::new(WordPiece::builder().unk_token(UNKNOWN.into()).build()?);
                // Case and accents are kept: they are the language's own.
                tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, Some(false), false)))?;
                tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
                tokenizer.with_decoder(Some(WordPieceDecoder::default()));
                let texts: Vec<String> = texts.collect();
                // Continuations get their ids beforehand: the library hands them out in the order of a hash table, anew each time.
                let known = first(Some(UNKNOWN)).into_iter().chain(continuations(&words(&tokenizer, &texts)?));
                let trainer = WordPieceTrainer::builder()
                    .vocab_size(vocab.vocab_tokens as usize)
                    .special_tokens(known.map(|word| special(&word)).collect())
                    .show_progress(false)
                    .build();
                let trained = fit(tokenizer.clone(), trainer, texts.into_iter())?;
                tokenizer.with_model(trained.get_model().clone());
                tokenizer.add_special_tokens(all(Some(UNKNOWN)))?;
                tokenizer
            }
            TokenizerConfig::Unigram(vocab) => {
                let mut tokenizer = Tokenizer::new(Unigram::default());
                tokenizer.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
                tokenizer.with_decoder(Some(Metaspace::new('▁', PrependScheme::Always, true)));
                let trainer = UnigramTrainer::builder()
                    .vocab_size(vocab.vocab_tokens)
                    .special_tokens(all(Some("<unk>")))
                    .unk_token(Some("<unk>".into()))
                    .show_progress(false)
                    .build()?;
                fit(tokenizer, trainer, texts)?
            }
            TokenizerConfig::Char {} => chars(texts, &first(Some("<unk>")))?,
            TokenizerConfig::Word(config) => words::train(texts, config, &first(Some("<unk>")))?,
            TokenizerConfig::File { .. } => return Err("a file is loaded, not trained".into()),
        };
        Ok(tokenizer)
    };
    // The library panics on some texts instead of failing.
    let built = panic::catch_unwind(AssertUnwindSafe(build)).map_err(|_| fault("the trainer panicked".into()))?;
    built.map_err(|reason| fault(reason.to_string()))
}

fn fit(
    mut tokenizer: Tokenizer,
    trainer: impl Into<TrainerWrapper>,
    texts: impl Iterator<Item = String>,
) -> tokenizers::Result<Tokenizer> {
    let mut trainer: TrainerWrapper = trainer.into();
    // A document of many megabytes goes in by pieces, so that the library holds none whole and threads share it.
    let pieces = texts.flat_map(|text| {
        let sides = text.split(BORDER).flat_map(|side| split::pieces(side, PIECE_BYTES));
        sides.map(str::to_owned).collect::<Vec<_>>()
    });
    // Threads only count words, and counts add up the same in any order.
    tokenizer.train(&mut trainer, Feed(std::sync::Mutex::new(pieces)).into_iter())?;
    Ok(tokenizer)
}

/// `##c` for every character that stands behind another in a word, in the order of code points.
fn continuations(words: &[String]) -> impl Iterator<Item = String> + use<> {
    let inside: BTreeSet<char> = words.iter().flat_map(|word| word.chars().skip(1)).collect();
    inside.into_iter().map(|c| format!("##{c}"))
}

/// The words of texts, as a tokenizer without a model would hand them on.
fn words(tokenizer: &Tokenizer, texts: &[String]) -> tokenizers::Result<Vec<String>> {
    let of = |text: &String| -> tokenizers::Result<Vec<String>> {
        let mut text = NormalizedString::from(text.as_str());
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer.normalize(&mut text)?;
        }
        let mut words = PreTokenizedString::from(text);
        if let Some(splitter) = tokenizer.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut words)?;
        }
        let words = words.get_splits(OffsetReferential::Normalized, OffsetType::None);
        Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
    };
    let lists: Vec<Vec<String>> = texts.par_iter().map(of).collect::<tokenizers::Result<_>>()?;
    Ok(lists.concat())
}

/// The library wants an iterator that can move to another thread.
struct Feed<I>(std::sync::Mutex<I>);

impl<I: Iterator<Item = String>> Feed<I> {
    fn into_iter(self) -> std::vec::IntoIter<String> {
        let inner = self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.collect::<Vec<_>>().into_iter()
    }
}

/// One id a character, in the order of code points, after the separator and the unknown.
fn chars(texts: impl Iterator<Item = String>, first: &[String]) -> tokenizers::Result<Tokenizer> {
    let mut alphabet = BTreeSet::new();
    for text in texts {
        alphabet.extend(text.chars().filter(|&char| char != BORDER));
    }
    let words = first.iter().cloned().chain(alphabet.into_iter().map(String::from));
    let vocab = words.zip(0..).collect();
    let mut tokenizer = Tokenizer::new(WordLevel::builder().vocab(vocab).unk_token("<unk>".into()).build()?);
    // An empty pattern matches between any two characters.
    let between = SplitPattern::String(String::new());
    tokenizer.with_pre_tokenizer(Some(Split::new(between, SplitDelimiterBehavior::Isolated, false)?));
    tokenizer.with_decoder(Some(Fuse::new()));
    tokenizer.add_special_tokens(first.iter().map(|word| AddedToken::from(word.clone(), true)))?;
    Ok(tokenizer)
}
