//! One id a word.
//!
//! Split at white space, or into runs of letters, marks and digits that may have apostrophes inside, everything else dropped.
//! The text `<unk>` is the unknown word, as in corpora that were cut down to a vocabulary; a line end can be a word of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::{Lowercase, Replace, Sequence};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use crate::config::{WordConfig, WordSplit};

/// What a word is that the vocabulary does not have.
const UNKNOWN: &str = "<unk>";
/// What a line end is, where it is a word.
const LINE_END: &str = "<eos>";
/// A word among words, for the library; the scanner below finds the same.
pub(super) const PATTERN: &str = r"<unk>|<eos>|[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*";

/// One bit a code point: whether words are made of it.
static INSIDE: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bits = vec![0; 0x11_0000 / 64];
    if let Ok(hir) = regex_syntax::parse(r"[\p{L}\p{M}\p{N}]")
        && let HirKind::Class(Class::Unicode(class)) = hir.kind()
    {
        for range in class.ranges() {
            for code in u32::from(range.start())..=u32::from(range.end()) {
                bits[code as usize / 64] |= 1 << (code % 64);
            }
        }
    }
    bits
});

/// How text becomes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    split: WordSplit,
    lowercase: bool,
    line_end: bool,
}

/// The ids of words.
#[derive(Debug)]
pub(super) struct Words {
    rule: Rule,
    ids: HashMap<Box<str>, u32>,
    unknown: u32,
}

impl Words {
    /// Of a tokenizer that splits and looks up as one trained here; `None` of any other.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let ModelWrapper::WordLevel(model) = tokenizer.get_model() else { return None };
        let splits = [WordSplit::Whitespace, WordSplit::Words];
        let rules = splits.into_iter().flat_map(|split| {
            let cases = [(false, false), (false, true), (true, false), (true, true)];
            cases.map(|(lowercase, line_end)| Rule { split, lowercase, line_end })
        });
        let json = |part: Result<Value, serde_json::Error>| part.unwrap_or(Value::Null);
        let theirs =
            (json(serde_json::to_value(tokenizer.get_normalizer())), json(serde_json::to_value(tokenizer.get_pre_tokenizer())));
        let rule = rules.into_iter().find(|rule| {
            let ours = (rule.normalizer().ok(), rule.splitter().ok());
            theirs == (json(serde_json::to_value(ours.0.flatten())), json(serde_json::to_value(ours.1)))
        })?;
        let added = tokenizer.get_added_tokens_decoder();
        if added.values().any(|token| !token.special) {
            return None;
        }
        let unknown = tokenizer.token_to_id(&model.unk_token)?;
        let text = |id: u32, word: &str| !added.contains_key(&id) || [UNKNOWN, LINE_END].contains(&word);
        let vocab = tokenizer.get_vocab(false).into_iter().filter(|(word, id)| text(*id, word));
        Some(Self { rule, ids: vocab.map(|(word, id)| (word.into(), id)).collect(), unknown })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        self.rule.each(text, |word| ids.push(self.id(word)));
    }

    /// The ids of a text, each with the bytes that it stands for.
    pub(super) fn encode_with_offsets(&self, text: &str, take: &mut impl FnMut(u32, Range<usize>)) {
        if !self.rule.lowercase {
            return self.rule.each_at(text, &mut |word, bytes| take(self.id(word), bytes));
        }
        // A letter may have more or fewer bytes in lower case; by byte of the lower text, where its letter begins in the other.
        let (mut lower, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
        for (at, char) in text.char_indices() {
            lower.extend(char.to_lowercase());
            places.resize(lower.len(), at);
        }
        places.push(text.len());
        let end = |at: usize| places[at - 1] + text[places[at - 1]..].chars().next().map_or(0, char::len_utf8);
        self.rule.each_at(&lower, &mut |word, bytes| take(self.id(word), places[bytes.start]..end(bytes.end)));
    }

    fn id(&self, word: &str) -> u32 {
        self.ids.get(word).copied().unwrap_or(self.unknown)
    }
}

impl Rule {
    /// The library's name for what happens before text is split.
    fn normalizer(self) -> tokenizers::Result<Option<NormalizerWrapper>> {
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if self.line_end {
            steps.push(Replace::new("\n", format!(" {LINE_END} "))?.into());
        }
        if self.lowercase {
            steps.push(Lowercase.into());
        }
        Ok(if steps.is_empty() { None } else { Some(Sequence::new(steps).into()) })
    }

    /// The library's name for the split.
    fn splitter(self) -> tokenizers::Result<PreTokenizerWrapper> {
        Ok(match self.split {
            WordSplit::Whitespace => WhitespaceSplit.into(),
            WordSplit::Words => Split::new(SplitPattern::Regex(PATTERN.into()), SplitDelimiterBehavior::Removed, true)?.into(),
        })
    }

    /// Hands on the words of a text in order.
    fn each(self, text: &str, mut word: impl FnMut(&str)) {
        let text = if self.lowercase { lower(text) } else { Cow::Borrowed(text) };
        self.each_at(&text, &mut |found, _| word(found));
    }

    /// Hands on the words of a text that is in lower case where it must be, each with its bytes.
    fn each_at(self, text: &str, word: &mut impl FnMut(&str, Range<usize>)) {
        if !self.line_end {
            return self.line(text, 0, word);
        }
        let mut from = 0;
        for whole in text.split_inclusive('\n') {
            let line = whole.trim_end_matches('\n');
            self.line(line, from, word);
            from += whole.len();
            if line.len() < whole.len() {
                word(LINE_END, from - 1..from);
            }
        }
    }

    /// Hands on the words of a line that begins at byte `base`.
    fn line(self, text: &str, base: usize, word: &mut impl FnMut(&str, Range<usize>)) {
        match self.split {
            WordSplit::Whitespace => text.split_whitespace().for_each(|found| {
                let at = base + (found.as_ptr() as usize - text.as_ptr() as usize);
                word(found, at..at + found.len());
            }),
            WordSplit::Words => {
                let mut at = 0;
                while at < text.len() {
                    let end = run(text, at);
                    if end > at {
                        word(&text[at..end], base + at..base + end);
                        at = end;
                    } else if let Some(mark) = [UNKNOWN, LINE_END].into_iter().find(|mark| text[at..].starts_with(mark)) {
                        word(mark, base + at..base + at + mark.len());
                        at += mark.len();
                    } else {
                        at += text[at..].chars().next().map_or(1, char::len_utf8);
                    }
                }
            }
        }
    }
}

/// In lower case, character by character as the library does it.
fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
        if upper { text.to_ascii_lowercase().into() } else { text.into() }
    } else {
        text.chars().flat_map(char::to_lowercase).collect::<String>().into()
    }
}

/// Where the word that begins at `at` ends: letters, marks and digits, and apostrophes between two of them.
fn run(text: &str, at: usize) -> usize {
    let inside = |char: char| INSIDE[char as usize / 64] >> (char as usize % 64) & 1 == 1;
    let mut end = at;
    let mut chars = text[at..].char_indices().peekable();
    while let Some((offset, char)) = chars.next() {
        let joins = || matches!(char, '\'' | '’') && end > at;
        if inside(char) {
            end = at + offset + char.len_utf8();
        } else if !(joins() && chars.peek().is_some_and(|&(_, next)| inside(next))) {
            break;
        }
    }
    end
}

/// Ids by falling count, then by text, after the tokens that are no text, and the line end where it is a word.
pub(super) fn train(texts: impl Iterator<Item = String>, config: &WordConfig, first: &[String]) -> tokenizers::Result<Tokenizer> {
    let rule = Rule { split: config.split, lowercase: config.lowercase, line_end: config.line_end };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in texts {
        rule.each(&text, |word| match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.into(), 1)),
        });
    }
    let mut special = first.to_vec();
    special.extend(rule.line_end.then(|| LINE_END.to_owned()));
    let known = counts.into_iter().filter(|(word, count)| *count >= config.min_count && !special.contains(word));
    let mut words: Vec<(String, u64)> = known.collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    words.truncate(config.max_words.map_or(usize::MAX, |most| most as usize));
    let vocab = special.into_iter().chain(words.into_iter().map(|(word, _)| word)).zip(0..).collect();
    let mut tokenizer = Tokenizer::new(WordLevel::builder().vocab(vocab).unk_token(UNKNOWN.into()).build()?);
    tokenizer.with_normalizer(rule.normalizer()?)?;
    tokenizer.with_pre_tokenizer(Some(rule.splitter()?));
    tokenizer.add_special_tokens(first.iter().map(|word| AddedToken::from(word.clone(), true)))?;
    Ok(tokenizer)
}
