//! Text to token ids and back: trained here or loaded from a `tokenizer.json`, which other tools read too.
//!
//! Byte-level BPE, characters and words are encoded by our own code, the rest by the `tokenizers` library; ids are the same.
//! Text never becomes a special token: what a document says about `<|endoftext|>` stays text.

mod bpe;
mod chars;
mod count;
mod edges;
pub mod fertility;
mod load;
mod merges;
mod offsets;
mod special;
mod split;
mod stream;
mod train;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::config::TokenizerConfig;
use crate::document::BORDER;
use crate::error::{Error, Result};

pub use edges::Edges;
pub use special::{CLASS, END, MASK, PAD, TO, sentinel};
pub use stream::Stream;

/// The separator between documents in every vocabulary trained here.
pub const SEPARATOR: &str = "<|endoftext|>";
/// Text handed to the library at once; it panics on some longer runs.
const PIECE_BYTES: usize = 1 << 20;
/// Text encoded as one piece of work.
const WORK_BYTES: usize = 1 << 16;

/// A vocabulary; clones share it, and any number of threads may use it.
#[derive(Debug, Clone)]
pub struct Vocab(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokenizer: Tokenizer,
    /// The file it came from or is saved as.
    json: String,
    size: u32,
    separator: u32,
    /// The id between the two sides of a pair, where there is one.
    to: Option<u32>,
    /// Every special token, by id.
    specials: BTreeMap<u32, String>,
    encoder: Encoder,
}

/// Who turns text into ids.
#[derive(Debug)]
enum Encoder {
    Bpe(Box<bpe::Bpe>),
    Chars(chars::Chars),
    Words(Box<words::Words>),
    Library,
}

impl Vocab {
    /// Learns a vocabulary from texts. Equal texts give equal vocabularies, on any number of threads.
    ///
    /// `specials` are tokens that no text becomes, beside the separator; one that a loaded file lacks gets an id at its end. Counts
    /// that memory does not hold are put into the system's temporary folder; [`Self::train_within`] takes another.
    ///
    /// # Errors
    /// When there is no text, or the library cannot train on it, or a configured file cannot be loaded.
    pub fn train(texts: impl Iterator<Item = String>, config: &TokenizerConfig, specials: &[String]) -> Result<Self> {
        Self::learn(texts, config, specials, None)
    }

    /// The same, with temporary files in `folder`.
    ///
    /// # Errors
    /// As above, and when the folder's disk refuses.
    pub fn train_within(
        texts: impl Iterator<Item = String>,
        config: &TokenizerConfig,
        specials: &[String],
        folder: &Path,
    ) -> Result<Self> {
        Self::learn(texts, config, specials, Some(folder))
    }

    fn learn(
        texts: impl Iterator<Item = String>,
        config: &TokenizerConfig,
        specials: &[String],
        folder: Option<&Path>,
    ) -> Result<Self> {
        match config {
            TokenizerConfig::File { path } => {
                let mut tokenizer = load::load(path)?;
                special::complete(&mut tokenizer, specials)?;
                Self::of(tokenizer, path)
            }
            _ => Self::of(train::train(texts, config, specials, folder)?, Path::new("trained tokenizer")),
        }
    }

    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not one, contradicts itself, splits by an unknown pattern, or has no token that ends a document.
    pub fn load(path: &Path) -> Result<Self> {
        Self::of(load::load(path)?, path)
    }

    fn of(mut tokenizer: Tokenizer, path: &Path) -> Result<Self> {
        let fault = |reason: String| Error::Tokenizer { path: path.into(), reason };
        tokenizer.set_encode_special_tokens(true);
        let separator =
            load::separator(&tokenizer).ok_or_else(|| fault("no token ends a document, such as <|endoftext|> or </s>".into()))?;
        let size = load::size(&tokenizer).map_err(fault)?;
        let json = tokenizer.to_string(true).map_err(|reason| fault(reason.to_string()))?;
        let (specials, to) = (special::all(&tokenizer, separator), special::find(&tokenizer, TO));
        let encoder = bpe::Bpe::of(&tokenizer).map(|bpe| Encoder::Bpe(Box::new(bpe)));
        let encoder = encoder.or_else(|| chars::Chars::of(&tokenizer).map(Encoder::Chars));
        let encoder = encoder.or_else(|| words::Words::of(&tokenizer).map(|words| Encoder::Words(Box::new(words))));
        let encoder = encoder.unwrap_or(Encoder::Library);
        Ok(Self(Arc::new(Inner { tokenizer, json, size, separator, to, specials, encoder })))
    }

    /// Writes `tokenizer.json`, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(self.0.json.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|fault| fault.error)?;
            fs::File::open(dir)?.sync_all()
        };
        write().map_err(|source| Error::io("write", path, source))
    }

    /// The text of `tokenizer.json`.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// Ids are below this.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.0.size
    }

    /// The id between documents.
    #[must_use]
    pub fn separator(&self) -> u32 {
        self.0.separator
    }

    /// The id of a special token by the name it has in BERT or T5, or the one that another family gives it.
    ///
    /// # Errors
    /// When the vocabulary has none.
    pub fn special(&self, name: &str) -> Result<u32> {
        special::find(&self.0.tokenizer, name).ok_or_else(|| Error::NoSpecial { name: name.into() })
    }

    /// Whether ids are turned back into the very text they came from, up to characters that the vocabulary does not have.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        const PROBE: &str = "The Bird\n\n  saw 42, (no)  \"one\" .";
        match &self.0.encoder {
            Encoder::Bpe(_) | Encoder::Chars(_) => true,
            Encoder::Words(_) => false,
            Encoder::Library => self.encode(PROBE).is_ok_and(|ids| self.decode(&ids) == PROBE),
        }
    }

    /// Whether it is plain byte-level BPE with GPT-2's pattern, which every program that knows GPT-2 encodes alike.
    #[must_use]
    pub fn is_gpt2(&self) -> bool {
        matches!(self.0.encoder, Encoder::Bpe(_))
    }

    /// Whether every id stands for the same token in both.
    #[must_use]
    pub fn same_ids(&self, other: &Self) -> bool {
        let token = |vocab: &Self, id| vocab.0.tokenizer.id_to_token(id);
        self.size() == other.size() && (0..self.size()).all(|id| token(self, id) == token(other, id))
    }

    /// The name of an id in `tokenizer.json`.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.tokenizer.id_to_token(id)
    }

    /// What stands for every word that it does not have, where it has such a token.
    #[must_use]
    pub fn unknown(&self) -> Option<u32> {
        special::UNKNOWN.iter().find_map(|name| self.0.tokenizer.token_to_id(name))
    }

    /// The ids that no text becomes, in order.
    pub fn specials(&self) -> impl Iterator<Item = u32> {
        self.0.specials.keys().copied()
    }

    /// By id: where words begin and end. Punctuation is a word of its own, and so is each letter of a script without spaces.
    #[must_use]
    pub fn edges(&self) -> Vec<Edges> {
        let bytes = |id| if let Encoder::Bpe(bpe) = &self.0.encoder { Some(bpe.decode(&[id])) } else { None };
        edges::all(&self.0.tokenizer, self.0.size, &bytes)
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// When the library gives up on it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// The ids of a text that may hold anything, such as what a user wrote: [`BORDER`] in it is a character like any other.
    ///
    /// # Errors
    /// When the library gives up on it.
    pub fn encode_foreign(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        self.encode_side(text, &mut ids)?;
        Ok(ids)
    }

    /// The ids of each text, on all cores; a long text is shared among them.
    ///
    /// # Errors
    /// The first that the library gives up on.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        if matches!(self.0.encoder, Encoder::Library) {
            return texts.par_iter().map(|text| self.encode(text)).collect();
        }
        let pieces: Vec<Vec<&str>> = texts.iter().map(|text| split::pieces(text, WORK_BYTES)).collect();
        let flat: Vec<&str> = pieces.iter().flatten().copied().collect();
        let mut encoded = flat.par_iter().map(|piece| self.encode(piece)).collect::<Result<Vec<_>>>()?.into_iter();
        let joined = pieces.iter().map(|pieces| {
            let mut parts = encoded.by_ref().take(pieces.len());
            let mut first = parts.next().unwrap_or_default();
            parts.for_each(|part| first.extend(part));
            first
        });
        Ok(joined.collect())
    }

    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let Some(to) = self.0.to else { return self.encode_side(text, ids) };
        for (side, text) in text.split(BORDER).enumerate() {
            if side > 0 {
                ids.push(to);
            }
            self.encode_side(text, ids)?;
        }
        Ok(())
    }

    fn encode_side(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        match &self.0.encoder {
            Encoder::Bpe(bpe) => bpe.encode(text, ids),
            Encoder::Chars(chars) => chars.encode(text, ids),
            Encoder::Words(words) => words.encode(text, ids),
            Encoder::Library => {
                // A special token's own text is cut in two, so that no model can find it whole.
                let mut from = 0;
                for cut in special::cuts(text, self.0.specials.values()) {
                    self.library(&text[from..cut], ids)?;
                    from = cut;
                }
                self.library(&text[from..], ids)?;
            }
        }
        Ok(())
    }

    fn library(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        for piece in split::pieces(text, PIECE_BYTES) {
            let fault = |reason: String| Error::Encode { text: piece.chars().take(40).collect(), reason };
            // The library's regex engine panics on some inputs instead of failing.
            let encoded = panic::catch_unwind(AssertUnwindSafe(|| self.0.tokenizer.encode_fast(piece, false)));
            let encoded =
                encoded.map_err(|_| fault("the tokenizer panicked".into()))?.map_err(|reason| fault(reason.to_string()))?;
            ids.extend_from_slice(encoded.get_ids());
        }
        Ok(())
    }

    /// The text of ids; bytes that are not UTF-8 become U+FFFD, unknown ids nothing.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.0.encoder {
            Encoder::Bpe(bpe) => String::from_utf8_lossy(&bpe.decode(ids)).into_owned(),
            _ => self.0.tokenizer.decode(ids, false).unwrap_or_default(),
        }
    }

    /// The bytes of ids, of which one alone may hold a part of a character.
    #[must_use]
    pub fn bytes(&self, ids: &[u32]) -> Vec<u8> {
        match &self.0.encoder {
            Encoder::Bpe(bpe) => bpe.decode(ids),
            _ => self.decode(ids).into_bytes(),
        }
    }

    /// Decodes ids as they come.
    #[must_use]
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }
}
