//! Addresses as they are told: in messages, manifests and lists, where nobody's password belongs.

use std::fmt::{self, Write as _};
use std::path::Path;

/// The most bytes of an address that are told.
const LENGTH: usize = 2000;

/// Schemes under which [`super`] finds inputs on servers.
const SCHEMES: [&str; 10] = ["http", "https", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];

/// The address of an input on a server, which may hold a password; what is shown of it does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The address that `text` is, if it begins like one.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let (scheme, _) = text.split_once("://")?;
        SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()).then(|| Self(text.to_owned()))
    }

    /// All of it.
    #[cfg(feature = "remote")]
    pub(super) fn whole(&self) -> &str {
        &self.0
    }

    /// Whether it stands for the objects below it, or those that a pattern fits, and not for one of its own name.
    #[must_use]
    pub fn is_many(&self) -> bool {
        !self.0.to_ascii_lowercase().starts_with("http") && (self.0.ends_with('/') || self.0.contains(['*', '[']))
    }

    /// The part up to the slash before the first pattern, and what follows, if there is one.
    #[cfg(feature = "remote")]
    pub(super) fn parts(&self) -> (Self, Option<&str>) {
        let pattern = self.0.find(['*', '[']).and_then(|at| self.0[..at].rfind('/'));
        pattern.map_or((self.clone(), None), |at| (Self(self.0[..=at].to_owned()), Some(&self.0[at + 1..])))
    }

    /// The address of what is called `name` below this one.
    #[cfg(feature = "remote")]
    pub(super) fn join(&self, name: &str) -> Self {
        let mut joined = self.0.trim_end_matches('/').to_owned() + "/";
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                joined.push(char::from(byte));
            } else {
                let _ = write!(joined, "%{byte:02X}");
            }
        }
        Self(joined)
    }

    /// What may be shown: without users, passwords and queries, of which signatures are made.
    #[must_use]
    pub fn shown(&self) -> String {
        told(self.0.split(['?', '#']).next().unwrap_or(""))
    }
}

/// A path of a configuration as it may be told: of an address what [`Address::shown`] gives, any other as it is.
#[must_use]
pub(crate) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    Address::of(&text).map_or_else(|| text.into_owned(), |address| address.shown())
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// An address as it is told: what is no plain character is written as `%XX`, and users and their passwords are left out.
pub(super) fn told(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let begin = rest[..host].rfind('@').map_or(0, |at| at + 1);
    let mut told = if scheme.is_empty() { String::new() } else { format!("{}://", told(scheme)) };
    for byte in rest.as_bytes()[begin..].iter().take(LENGTH) {
        if byte.is_ascii_graphic() {
            told.push(char::from(*byte));
        } else {
            let _ = write!(told, "%{byte:02X}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_without_what_is_nobodys_business() {
        let cases = [
            ("http://jane:secret@a.example/x?y=@z", "http://a.example/x?y=@z"),
            ("https://a.example/caf\u{e9} \u{202e}\n", "https://a.example/caf%C3%A9%20%E2%80%AE%0A"),
            ("urn:x:1", "urn:x:1"),
        ];
        for (address, expect) in cases {
            assert_eq!(told(address), expect);
        }
        assert!(told(&"\u{0}".repeat(9000)).len() <= 3 * LENGTH);
        let signed = Address::of("HTTPS://me:pw@a.example/b.gz?X-Amz-Signature=1").expect("an address");
        assert_eq!(format!("{signed:?}"), "HTTPS://a.example/b.gz");
        assert_eq!(shown(Path::new("s3://key:pw@bucket/a/*.gz?sig=1")), "s3://bucket/a/*.gz");
        assert_eq!(shown(Path::new("data/what?.txt")), "data/what?.txt");
        assert_eq!((Address::of("ftp://x/y"), Address::of("C:/x"), Address::of("data/x.txt")), (None, None, None));
    }
}
