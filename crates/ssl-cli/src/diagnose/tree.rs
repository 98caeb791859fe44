//! A run file and its overrides as one tree that remembers where each key and value was written.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something was written: bytes of one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The index of the source: 0 is the run file, then the overrides in order.
    pub(crate) source: usize,
    /// First byte.
    pub(crate) from: usize,
    /// One past the last byte.
    pub(crate) to: usize,
}

impl Place {
    pub(crate) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, from: span.start, to: span.end }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The key, where the value has one.
    pub(crate) key: Option<Place>,
    /// The value; of a table, its header.
    pub(crate) value: Place,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text(String),
    /// Absent where the number is too large for any type.
    Whole(Option<i128>),
    Real(f64),
    Truth(bool),
    Date,
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// The tree of a parsed document.
    pub(crate) fn document(table: Spanned<DeTable<'_>>, source: usize) -> Self {
        let span = table.span();
        Self { key: None, value: Place::new(source, span), kind: entries(table.into_inner(), source) }
    }

    /// The tree of a parsed value whose text begins at byte `at` of its source.
    pub(crate) fn of(value: Spanned<DeValue<'_>>, source: usize, at: usize) -> Self {
        let span = value.span();
        let kind = match value.into_inner() {
            DeValue::String(text) => Kind::Text(text.into_owned()),
            DeValue::Integer(digits) => Kind::Whole(i128::from_str_radix(digits.as_str(), digits.radix()).ok()),
            DeValue::Float(digits) => Kind::Real(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Kind::Truth(truth),
            DeValue::Datetime(_) => Kind::Date,
            DeValue::Array(list) => Kind::List(list.into_iter().map(|value| Self::of(value, source, at)).collect()),
            DeValue::Table(table) => entries(table, source),
        };
        Self { key: None, value: Place::new(source, span.start + at..span.end + at), kind }
    }

    /// The deepest node on the way to a dotted path, and whether it is the path's own.
    pub(crate) fn find(&self, path: &str) -> (&Self, bool) {
        let mut node = self;
        for name in path.split('.') {
            let Kind::Table(entries) = &node.kind else { return (node, false) };
            let Some(next) = entries.get(name) else { return (node, false) };
            node = next;
        }
        (node, true)
    }

    /// What to underline: `key = value` where both are on one line, else the key or the header.
    pub(crate) fn whole(&self) -> Place {
        match (&self.key, &self.kind) {
            (Some(key), Kind::Table(_)) => key.clone(),
            (Some(key), _) if key.source == self.value.source && key.from < self.value.to => {
                Place { source: key.source, from: key.from, to: self.value.to }
            }
            _ => self.value.clone(),
        }
    }
}

fn entries(table: DeTable<'_>, source: usize) -> Kind {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, _)| {
        let place = Place::new(source, key.span());
        (key.into_inner().into_owned(), Node { key: Some(place), ..Node::of(value, source, 0) })
    };
    Kind::Table(table.into_iter().map(entry).collect())
}
