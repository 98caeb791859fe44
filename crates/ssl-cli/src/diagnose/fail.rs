//! What stopped a reading, and the words for it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Expected, Unexpected};

use super::tree::{Kind, Node, Place};

/// One fault, with where and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where; absent for the whole file.
    pub(crate) place: Option<Place>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Found {
    /// A key that its table does not have.
    pub(crate) fn unknown_key(name: &str, node: &Node, table: &str, known: &[&str]) -> Self {
        let message = if table.is_empty() {
            format!("unknown section or key `{name}`")
        } else {
            format!("unknown key `{name}` in `{table}`")
        };
        Self { place: node.key.clone(), message, hint: suggest(name, known) }
    }
}

/// Why serde stopped.
#[derive(Debug)]
pub(crate) enum Why {
    Missing { field: &'static str },
    Variant { name: String, hint: String, table: bool },
    NoVariant { known: &'static [&'static str] },
    NotOne { message: String, hint: String, second: Option<Place> },
    Bare { name: String },
    Other { message: String },
}

impl Why {
    pub(crate) fn other(message: &str) -> Self {
        Self::Other { message: message.to_owned() }
    }

    /// A choice among tables of which there is none, or more than one.
    pub(crate) fn one_of(path: &str, entries: &BTreeMap<String, Node>, known: &[&str]) -> Self {
        let mut tables: Vec<_> = entries.iter().map(|(name, node)| (node.key.clone(), name)).collect();
        tables.sort();
        let names: Vec<_> = tables.iter().map(|(_, name)| format!("[{path}.{name}]")).collect();
        let known: Vec<_> = known.iter().map(|name| format!("[{path}.{name}]")).collect();
        if names.is_empty() {
            let message = format!("`{path}` is empty");
            return Self::NotOne { message, hint: format!("write one of {}", known.join(", ")), second: None };
        }
        Self::NotOne {
            message: format!("more than one `{path}`: {}", names.join(" and ")),
            hint: "keep one of them".into(),
            second: tables.into_iter().nth(1).and_then(|(key, _)| key),
        }
    }
}

/// The error of a reading: why, and at which dotted path.
#[derive(Debug)]
pub(crate) struct Fail {
    why: Box<Why>,
    path: Option<String>,
}

impl From<Why> for Fail {
    fn from(why: Why) -> Self {
        Self { why: Box::new(why), path: None }
    }
}

impl Fail {
    /// Remembers the innermost path that the error passes.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The path whose value must be made up to get past this.
    pub(crate) fn hole(&self) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        match &*self.why {
            Why::Missing { field } if path.is_empty() => (*field).to_owned(),
            Why::Missing { field } => format!("{path}.{field}"),
            _ => path.to_owned(),
        }
    }

    /// The fault for a reader.
    pub(crate) fn found(self, root: &Node) -> Found {
        let node = locate(root, self.path.as_deref().unwrap_or_default());
        self.found_at(node)
    }

    /// The fault for a reader, of a value whose node is known.
    pub(crate) fn found_at(self, node: &Node) -> Found {
        let path = self.path.unwrap_or_default();
        let top = path.is_empty();
        let key = named(&path);
        let value = (!top).then(|| node.value.clone());
        let name = node.key.clone().or_else(|| value.clone());
        let (place, message, hint) = match *self.why {
            Why::Missing { field } if top => {
                (None, format!("missing section `[{field}]`"), format!("add it to the file: [{field}]"))
            }
            Why::Missing { field } => (name, format!("missing key `{field}` in `{path}`"), format!("add `{field} = ...` to it")),
            Why::Variant { name: found, hint, table: false } => (value, format!("unknown value `{found}` for {key}"), hint),
            Why::Variant { name: found, hint, table: true } => {
                let entry = match &node.kind {
                    Kind::Table(entries) => entries.get(&found).and_then(|entry| entry.key.clone()),
                    _ => None,
                };
                (entry.or(name), format!("unknown table `[{path}.{found}]`"), hint)
            }
            Why::NoVariant { known } => {
                (value, format!("{key} must name one of its kinds"), format!("known: {}", known.join(", ")))
            }
            Why::NotOne { message, hint, second } => (second.or(name), message, hint),
            Why::Bare { name: found } => (value, format!("`{found}` needs a table"), format!("write [{path}.{found}] instead")),
            Why::Other { message } => (value, format!("{key}: {message}"), String::new()),
        };
        Found { place, message, hint }
    }
}

/// A value as a message speaks of it: its key, or its number in a list.
fn named(path: &str) -> String {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    match key.parse::<u64>() {
        Ok(index) => format!("item {} of {}", index.saturating_add(1), named(parent)),
        Err(_) => format!("`{key}`"),
    }
}

/// The deepest node on the way to a dotted path, through lists too.
fn locate<'a>(root: &'a Node, path: &str) -> &'a Node {
    let step = |node: &'a Node, name: &str| match &node.kind {
        Kind::Table(entries) => entries.get(name),
        Kind::List(list) => name.parse().ok().and_then(|index: usize| list.get(index)),
        _ => None,
    };
    let mut node = root;
    for name in path.split('.') {
        match step(node, name) {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.why)
    }
}

impl std::error::Error for Fail {}

impl serde::de::Error for Fail {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Why::other(&message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Why::Other { message: format!("expected {}, found {}", wanted(expected), had(&found)) }.into()
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let range = match expected.to_string().as_str() {
            "u8" => " up to 255".to_owned(),
            "u16" => " up to 65535".to_owned(),
            "u32" => format!(" up to {}", u32::MAX),
            "u64" | "usize" => ", zero or more".to_owned(),
            _ => String::new(),
        };
        Why::Other { message: format!("expected {}{range}, found {}", wanted(expected), had(&found)) }.into()
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Why::Variant { name: name.to_owned(), hint: suggest(name, known), table: false }.into()
    }

    fn missing_field(field: &'static str) -> Self {
        Why::Missing { field }.into()
    }
}

/// Rust's word for a type, as a writer of TOML would say it.
fn wanted(expected: &dyn Expected) -> String {
    let word = expected.to_string();
    match word.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "path string" | "a borrowed string" => "text in quotes".into(),
        "a sequence" => "a list in square brackets".into(),
        "a map" => "a table".into(),
        word if word.starts_with("struct ") => "a table".into(),
        _ => word,
    }
}

fn had(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => {
            let short: String = text.chars().take(40).collect();
            let dots = if short.len() < text.len() { "..." } else { "" };
            format!("the text {short:?}{dots}")
        }
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// The nearest known name, or all of them.
pub(crate) fn suggest(name: &str, known: &[&str]) -> String {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let name = plain(name);
    let near = known.iter().map(|word| (distance(&name, &plain(word)), word)).min();
    match near {
        Some((steps, word)) if steps <= 1.max(word.len().min(name.len()) / 3) => format!("did you mean `{word}`?"),
        Some(_) => format!("known: {}", known.join(", ")),
        None => "it has no keys".into(),
    }
}

/// The least number of insertions, removals and replacements between two texts. Source: Levenshtein 1966.
fn distance(a: &str, b: &str) -> usize {
    // No known name is this long, so nothing near is missed.
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distances() {
        for (a, b, steps) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }

    #[test]
    fn suggestions() {
        let known = ["vocab-tokens", "sample-bytes"];
        assert_eq!(suggest("vocab_tokens", &known), "did you mean `vocab-tokens`?");
        assert_eq!(suggest("vocab-token", &known), "did you mean `vocab-tokens`?");
        assert_eq!(suggest("zebra", &known), "known: vocab-tokens, sample-bytes");
        assert_eq!(suggest("zebra", &[]), "it has no keys");
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in "[abc]{0,6}", b in "[abc]{0,6}", c in "[abc]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        }
    }
}
