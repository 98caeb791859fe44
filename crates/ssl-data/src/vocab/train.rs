//! Training: byte-level BPE, `WordPiece`, characters and words here, Unigram with the `tokenizers` library.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior, Tokenizer,
};

use super::count::{Counted, Cut};
use super::{SEPARATOR, count, merges, split, words};
use crate::config::{TokenizerConfig, VocabConfig};
use crate::document::BORDER;
use crate::error::{Error, Result};

/// What `WordPiece` calls a word it cannot spell, as in BERT.
const UNKNOWN: &str = "[UNK]";

/// Memory for words and their counts, where the configuration does not say.
const MEMORY_MIB: u64 = 256;

/// Trains the tokenizer of a configuration that is not a file. Counts that memory does not hold are put into `folder`.
pub(super) fn train(
    texts: impl Iterator<Item = String>,
    config: &TokenizerConfig,
    specials: &[String],
    folder: Option<&Path>,
) -> Result<Tokenizer> {
    let fault = |reason: String| Error::TrainTokenizer { reason };
    let mut texts = texts.filter(|text| !text.is_empty()).peekable();
    if texts.peek().is_none() {
        return Err(fault("there is no text".into()));
    }
    // The separator is id 0, the others follow, and then what stands for the unknown.
    let first = |unknown: Option<&str>| -> Vec<String> {
        let names = std::iter::once(SEPARATOR).chain(specials.iter().map(String::as_str)).chain(unknown);
        names.map(String::from).collect()
    };
    // The library panics on some texts instead of failing.
    let build = |build: &mut dyn FnMut() -> tokenizers::Result<Tokenizer>| {
        let built = panic::catch_unwind(AssertUnwindSafe(build)).map_err(|_| fault("the trainer panicked".into()))?;
        built.map_err(|reason| fault(reason.to_string()))
    };
    match config {
        TokenizerConfig::ByteBpe(vocab) => {
            let words = counted(texts, vocab, folder, &gpt2_words)?;
            build(&mut || byte_bpe(&words, vocab, &first(None)))
        }
        TokenizerConfig::Wordpiece(vocab) => {
            let empty = build(&mut || empty_wordpiece())?;
            let words = counted(texts, vocab, folder, &|text| library_words(&empty, text))?;
            build(&mut || wordpiece(empty.clone(), &words, vocab, &first(Some(UNKNOWN))))
        }
        TokenizerConfig::Unigram(vocab) => {
            let empty = empty_unigram();
            let words = counted(texts, vocab, folder, &|text| library_words(&empty, text))?;
            build(&mut || unigram(empty.clone(), &words, vocab, &first(Some("<unk>"))))
        }
        TokenizerConfig::Char {} => build(&mut || chars(&mut texts, &first(Some("<unk>")))),
        TokenizerConfig::Word(config) => build(&mut || words::train(&mut texts, config, &first(Some("<unk>")))),
        TokenizerConfig::File { .. } => Err(fault("a file is loaded, not trained".into())),
    }
}

/// The words of `texts` in their order, the rarest left out if `memory-mib` does not hold them.
fn counted(
    texts: impl Iterator<Item = String>,
    vocab: &VocabConfig,
    folder: Option<&Path>,
    cut: &Cut<'_>,
) -> Result<Vec<Counted>> {
    let memory = vocab.memory_mib.unwrap_or(MEMORY_MIB).saturating_mul(1 << 20);
    let counts = count::count(texts, cut, usize::try_from(memory).unwrap_or(usize::MAX), folder).map_err(|source| {
        Error::io("count the words of the sample in", folder.unwrap_or(Path::new("a temporary folder")), source)
    })?;
    if counts.rare > 0 {
        let (words, times) = (counts.rare, counts.rare_occurrences);
        tracing::warn!(words, times, "the tokenizer is trained without the rarest words: memory-mib holds no more");
    }
    Ok(counts.words)
}

fn special(words: &[String]) -> Vec<AddedToken> {
    words.iter().map(|word| AddedToken::from(word.clone(), true)).collect()
}

/// Words in GPT-2's sense.
#[expect(clippy::unnecessary_wraps, reason = "others can fail")]
fn gpt2_words(text: &str) -> io::Result<Vec<Cow<'_, [u8]>>> {
    let (mut words, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let end = split::word_end(text, at);
        words.push(Cow::Borrowed(&text.as_bytes()[at..end]));
        at = end;
    }
    Ok(words)
}

/// The words of a text, as a tokenizer without a model hands them on.
fn library_words(tokenizer: &Tokenizer, text: &str) -> io::Result<Vec<Cow<'static, [u8]>>> {
    let cut = || -> tokenizers::Result<Vec<Cow<'static, [u8]>>> {
        let mut text = NormalizedString::from(text);
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer.normalize(&mut text)?;
        }
        let mut words = PreTokenizedString::from(text);
        if let Some(splitter) = tokenizer.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut words)?;
        }
        let words = words.get_splits(OffsetReferential::Normalized, OffsetType::None);
        Ok(words.into_iter().map(|(word, ..)| Cow::Owned(word.as_bytes().to_vec())).collect())
    };
    cut().map_err(io::Error::other)
}

fn byte_bpe(words: &[Counted], vocab: &VocabConfig, first: &[String]) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    let learned = merges::bytes(words, first, vocab.vocab_tokens as usize);
    tokenizer.with_model(BPE::new(learned.tokens.into_iter().zip(0..).collect(), learned.merges));
    tokenizer.add_special_tokens(special(first))?;
    Ok(tokenizer)
}

fn empty_wordpiece() -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(WordPiece::builder().unk_token(UNKNOWN.into()).build()?);
    // Case and accents are kept: they are the language's own.
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, Some(false), false)))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(WordPieceDecoder::default()));
    Ok(tokenizer)
}

fn wordpiece(
    mut tokenizer: Tokenizer,
    words: &[Counted],
    vocab: &VocabConfig,
    first: &[String],
) -> tokenizers::Result<Tokenizer> {
    let learned = merges::pieces(words, first, vocab.vocab_tokens as usize);
    let model = WordPiece::from_bpe(&BPE::new(learned.tokens.into_iter().zip(0..).collect(), Vec::new()));
    tokenizer.with_model(model);
    tokenizer.add_special_tokens(special(first))?;
    Ok(tokenizer)
}

fn empty_unigram() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(Unigram::default());
    tokenizer.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    tokenizer.with_decoder(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    tokenizer
}

fn unigram(mut tokenizer: Tokenizer, words: &[Counted], vocab: &VocabConfig, first: &[String]) -> tokenizers::Result<Tokenizer> {
    let trainer = UnigramTrainer::builder()
        .vocab_size(vocab.vocab_tokens)
        .special_tokens(special(first))
        .unk_token(first.last().cloned())
        .show_progress(false)
        .build()?;
    let words: Vec<(String, u32)> = words
        .iter()
        .map(|(word, count)| (String::from_utf8_lossy(word).into_owned(), u32::try_from(*count).unwrap_or(u32::MAX)))
        .collect();
    let mut model = Unigram::default();
    // On several threads the library adds fractions in an order of chance.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    one.install(|| trainer.do_train(words, &mut model))?;
    tokenizer.with_model(in_order(&model, first.len())?);
    tokenizer.add_special_tokens(special(first))?;
    Ok(tokenizer)
}

/// The same model, whatever the order in which the library dealt out its least scores: characters that training lost come back with
/// the least score of all, the next higher by 0.0001, and so on, in the order of a hash table. Here it is that of code points.
fn in_order(model: &Unigram, first: usize) -> tokenizers::Result<Unigram> {
    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    let least = pieces[first.min(pieces.len())..].iter().map(|piece| piece.1).fold(f64::INFINITY, f64::min);
    let (mut dealt, mut penalty) = (BTreeSet::new(), 0.0);
    for _ in first..pieces.len() {
        dealt.insert(f64::to_bits(least + penalty));
        penalty += 0.0001;
    }
    let is_dealt = |(piece, score): &(String, f64)| piece.chars().nth(1).is_none() && dealt.contains(&f64::to_bits(*score));
    let places: Vec<usize> = (first..pieces.len()).filter(|&at| is_dealt(&pieces[at])).collect();
    let mut names: Vec<String> = places.iter().map(|&at| pieces[at].0.clone()).collect();
    names.sort_unstable();
    // Places stand by falling score, and so do names.
    for (at, name) in places.into_iter().zip(names) {
        pieces[at].0 = name;
    }
    // Equal scores stand in an order of chance too.
    pieces[first..].sort_by(|(one, a), (other, b)| b.total_cmp(a).then_with(|| one.cmp(other)));
    Unigram::from(pieces, Some(first - 1), model.byte_fallback())
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
