//! Takes personal data and secrets out of texts, and counts them by kind; what they were is never kept.
//!
//! Found are values whose shape, and where there is one whose check digits, tell them from other text. What stands in their place
//! is a tag (`<email>`) or, with a key, a tag and a keyed hash (`<email:9f86d081884c7d65>`): the same value has the same hash, so
//! that a text still says that two mails came from one sender, and who does not have the key cannot try values.
//!
//! This lowers the risk that a model repeats someone's data; it does not make texts anonymous. Names of people are found only from a
//! list, and street addresses are not found.
//!
//! Time is linear in the text: from each place only a bounded stretch is looked at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, MatchKind};
use serde::{Deserialize, Serialize};

use crate::config::Fault;
use crate::document::BORDER;
use crate::error::{Error, Result};

mod address;
mod checks;
mod key;
mod number;

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Users and passwords in links, and values of parameters that are named as secrets.
    Credentials,
    /// Keys to services, private keys, and what stands behind `password=` and the like if it looks random.
    Key,
    /// Mail addresses.
    Email,
    /// Account numbers, with their check digits.
    Iban,
    /// Payment cards, by issuer, length and check digit.
    Card,
    /// Numbers of people: USA (SSN), China, India, Spain, Brazil, United Kingdom; with check digits where there are.
    NationalId,
    /// Telephones: with `+`, and as written in China, North America, the United Kingdom and France.
    Phone,
    /// Public addresses of machines, of version 4 and 6.
    Ip,
    /// Names of the list in `names`.
    Name,
}

impl Kind {
    /// All kinds, those first that win where two are found at one place and are of one length.
    pub const ALL: [Self; 9] =
        [Self::Credentials, Self::Key, Self::Email, Self::Iban, Self::Card, Self::NationalId, Self::Phone, Self::Ip, Self::Name];

    /// The name, as in reports and tags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Key => "key",
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::NationalId => "national-id",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::Name => "name",
        }
    }
}

/// `[data.scrub]`; absent, nothing is scrubbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ScrubConfig {
    /// What is taken out.
    pub kinds: Vec<Kind>,
    /// A file of names, one a line, that are taken out too where they stand as words of their own, in the case of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
    /// A file with a secret of at least 16 bytes: values are then replaced by a hash under it. Absent, by a tag alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<PathBuf>,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { kinds: Kind::ALL.to_vec(), names: None, hash_key: None }
    }
}

impl ScrubConfig {
    /// Every fault of meaning; paths begin with `data.scrub.`.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        if self.kinds.is_empty() {
            faults.push(Fault::new("data.scrub.kinds", "nothing is taken out", "leave it out for all kinds"));
        }
        if self.names.is_some() && !self.kinds.contains(&Kind::Name) {
            let message = "the list is not used: the kind \"name\" is not among data.scrub.kinds";
            faults.push(Fault::new("data.scrub.names", message, "add it, or leave the list out"));
        }
    }
}

/// How many values of each kind were taken out.
pub type Counts = BTreeMap<Kind, u64>;

/// A value: where it is, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    kind: Kind,
}

/// Finds and replaces.
#[derive(Debug)]
pub struct Scrub {
    kinds: Vec<Kind>,
    names: Option<AhoCorasick>,
    key: Option<[u8; 32]>,
}

impl Scrub {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// When one cannot be read, is not UTF-8 (names), or is too short (key).
    pub fn new(config: &ScrubConfig) -> Result<Self> {
        let read = |path: &Path| fs::read(path).map_err(|source| Error::io("read", path, source));
        let names = config.names.as_deref().filter(|_| config.kinds.contains(&Kind::Name)).map(|path| {
            let text = String::from_utf8(read(path)?)
                .map_err(|fault| Error::Utf8 { path: path.into(), offset: fault.utf8_error().valid_up_to() as u64 })?;
            let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(names)
                .map_err(|fault| Error::List { path: path.into(), reason: fault.to_string() })
        });
        let key = config.hash_key.as_deref().map(|path| {
            let secret = read(path)?;
            if secret.len() < 16 {
                return Err(Error::List { path: path.into(), reason: "a key of fewer than 16 bytes can be tried".into() });
            }
            Ok(blake3::derive_key("ssl-data 2026 scrub values", &secret))
        });
        Ok(Self { kinds: config.kinds.clone(), names: names.transpose()?, key: key.transpose()? })
    }

    /// The text without what was found, or `None` if nothing was.
    #[must_use]
    pub fn scrub(&self, text: &str, counts: &mut Counts) -> Option<String> {
        // No value goes from one side of a pair into the other.
        let Some((source, target)) = text.split_once(BORDER) else { return self.one(text, counts) };
        let (clean_source, clean_target) = (self.one(source, counts), self.one(target, counts));
        if clean_source.is_none() && clean_target.is_none() {
            return None;
        }
        let side = |clean: Option<String>, text: &str| clean.unwrap_or_else(|| text.to_owned());
        Some(format!("{}{BORDER}{}", side(clean_source, source), side(clean_target, target)))
    }

    fn one(&self, text: &str, counts: &mut Counts) -> Option<String> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for Found { start, end, kind } in found {
            clean.push_str(&text[at..start]);
            clean.push('<');
            clean.push_str(kind.name());
            if let Some(key) = &self.key {
                // The same number is often written with other signs or in another case.
                let number = matches!(kind, Kind::Iban | Kind::Card | Kind::NationalId | Kind::Phone);
                let value: Vec<u8> = text[start..end]
                    .bytes()
                    .filter(|byte| !number || !b" -.()".contains(byte))
                    .map(|byte| byte.to_ascii_lowercase())
                    .collect();
                clean.push(':');
                clean.push_str(&blake3::keyed_hash(key, &value).to_hex()[..16]);
            }
            clean.push('>');
            *counts.entry(kind).or_default() += 1;
            at = end;
        }
        clean.push_str(&text[at..]);
        Some(clean)
    }

    /// All values, in order and apart: the one that begins first wins, then the longer.
    fn find(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        let wants = |kind| self.kinds.contains(&kind);
        let mut add = |kind: Kind, start: usize, end: usize| {
            if wants(kind) {
                found.push(Found { start, end, kind });
            }
        };
        let bytes = text.as_bytes();
        for at in memchr::memchr_iter(b'@', bytes) {
            if let Some((start, end)) = address::email(bytes, at) {
                add(Kind::Email, start, end);
            }
        }
        let mut link_end = 0;
        for at in memchr::memmem::find_iter(bytes, b"://") {
            if let Some((start, end)) = address::credentials(bytes, at) {
                add(Kind::Credentials, start, end);
            }
            // A link within a link was looked at with it.
            if at >= link_end {
                link_end = address::parameters(bytes, at, &mut |start, end| add(Kind::Credentials, start, end));
            }
        }
        // Where no word goes on, one may begin.
        let mut inside = false;
        for (at, &byte) in bytes.iter().enumerate() {
            let word = byte.is_ascii_alphanumeric();
            if !inside && (word || matches!(byte, b'+' | b'(' | b':')) {
                let rest = &bytes[at..];
                if byte.is_ascii_digit() || byte == b'+' || byte == b'(' || rest.iter().take(9).any(u8::is_ascii_digit) {
                    number::begins(rest, &mut |kind, length| add(kind, at, at + length));
                }
                if byte.is_ascii_hexdigit() || byte == b':' {
                    let after = at.checked_sub(1).map(|before| bytes[before]);
                    if let Some(length) = address::ip(rest).filter(|_| !matches!(after, Some(b'.' | b':' | b'-' | b'_'))) {
                        add(Kind::Ip, at, at + length);
                    }
                }
            }
            let before = at.checked_sub(1).map(|before| bytes[before]);
            if byte.is_ascii_alphabetic()
                && !before.is_some_and(|before| before.is_ascii_alphanumeric())
                && let Some((start, end)) = key::begins(&bytes[at..], before)
            {
                add(Kind::Key, at + start, at + end);
            }
            inside = word || byte == b'_';
        }
        if let Some(names) = &self.names {
            for name in names.find_overlapping_iter(text) {
                if stands_alone(text, name.start(), name.end()) {
                    add(Kind::Name, name.start(), name.end());
                }
            }
        }
        found.sort_by_key(|value| (value.start, std::cmp::Reverse(value.end), value.kind));
        let mut end = 0;
        found.retain(|value| {
            let free = value.start >= end;
            end = if free { value.end } else { end };
            free
        });
        found
    }
}

/// Whether no letter or digit of a script with spaces goes on at either end.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    use crate::filter::classes::{UNSPACED, is};
    let word = |char: char| char.is_alphanumeric() && !is(char, UNSPACED);
    let open = |outside: Option<char>, inside: Option<char>| !(outside.is_some_and(word) && inside.is_some_and(word));
    open(text[..start].chars().next_back(), text[start..end].chars().next())
        && open(text[end..].chars().next(), text[start..end].chars().next_back())
}

#[cfg(test)]
mod tests;
