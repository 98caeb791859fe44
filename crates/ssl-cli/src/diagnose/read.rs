//! Reads a tree into a type and reports every fault, where serde alone stops at the first.
//!
//! A faulty or missing value becomes a *hole*, which answers whatever is asked of it, and the reading starts again; what the
//! holes stand in for is never handed on as a configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Deserializer, Error, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::access::{Entries, Items, Variant};
use super::fail::{Fail, Found, Why, suggest};
use super::tree::{Kind, Node};

/// After this many faults that stop serde, the rest waits for the next run.
const MAX_PASSES: usize = 64;

/// What was read.
pub(crate) struct Reading<T> {
    /// The value; where there are holes, twice, with different contents in the holes.
    pub(crate) values: Vec<T>,
    /// The dotted paths whose values are made up.
    pub(crate) holes: BTreeSet<String>,
    /// Every fault.
    pub(crate) found: Vec<Found>,
}

/// Reads the whole tree.
pub(crate) fn read<T: DeserializeOwned>(root: &Node) -> Reading<T> {
    let mut holes = BTreeSet::new();
    let mut found = Vec::new();
    let mut noted: Vec<Found> = Vec::new();
    let mut values = Vec::new();
    for _ in 0..MAX_PASSES {
        let pass = Pass { holes: &holes, noted: RefCell::new(Vec::new()), fill: 1 };
        let outcome = T::deserialize(Reader { pass: &pass, node: Some(root), path: String::new() });
        noted.extend(pass.noted.into_inner());
        noted.sort_by(|a, b| a.place.cmp(&b.place));
        noted.dedup();
        match outcome {
            Ok(value) => {
                values.push(value);
                if !holes.is_empty() {
                    let pass = Pass { holes: &holes, noted: RefCell::default(), fill: 64 };
                    values.extend(T::deserialize(Reader { pass: &pass, node: Some(root), path: String::new() }));
                }
                break;
            }
            Err(fail) => {
                let mut hole = fail.hole();
                if holes.contains(&hole) {
                    // What was made up does not fit either: make up what holds it.
                    hole = hole.rsplit_once('.').map_or_else(String::new, |(parent, _)| parent.to_owned());
                } else {
                    found.push(fail.found(root));
                }
                if hole.is_empty() || !holes.insert(hole) {
                    break;
                }
            }
        }
    }
    found.extend(noted);
    Reading { values, holes, found }
}

/// What one attempt shares.
pub(super) struct Pass<'a> {
    holes: &'a BTreeSet<String>,
    /// Faults that do not stop the reading.
    noted: RefCell<Vec<Found>>,
    /// The number in every hole.
    fill: u8,
}

/// One value to read; without a node, a hole.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pass: &'a Pass<'a>,
    pub(super) node: Option<&'a Node>,
    path: String,
}

impl<'a> Reader<'a> {
    fn child(&self, name: &str, node: Option<&'a Node>) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let node = if self.pass.holes.contains(&path) { None } else { node };
        Self { pass: self.pass, node, path }
    }

    /// The named children of a struct: what is written, what is a hole; unknown keys are noted and passed over.
    fn fields(&self, fields: &'static [&'static str]) -> Vec<(String, Self)> {
        let Some(Kind::Table(entries)) = self.node.map(|node| &node.kind) else {
            return fields.iter().map(|name| ((*name).to_owned(), self.child(name, None))).collect();
        };
        let mut children = Vec::new();
        for (name, node) in entries {
            if fields.contains(&name.as_str()) {
                children.push((name.clone(), self.child(name, Some(node))));
            } else {
                self.pass.noted.borrow_mut().push(Found::unknown_key(name, node, &self.path, fields));
            }
        }
        let absent = |name: &&&str| !entries.contains_key(**name) && self.pass.holes.contains(&self.child(name, None).path);
        children.extend(fields.iter().filter(absent).map(|name| ((*name).to_owned(), self.child(name, None))));
        children
    }

    /// Remembers this value's path in an error that has none yet.
    pub(super) fn at<T>(&self, outcome: Result<T, Fail>) -> Result<T, Fail> {
        outcome.map_err(|fail| fail.at(&self.path))
    }
}

/// Answers a number in a hole.
macro_rules! holes {
    ($($method:ident => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
            if self.node.is_some() { return self.deserialize_any(visitor) }
            let outcome = visitor.$visit(self.pass.fill.into());
            self.at(outcome)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fail;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        let Some(node) = self.node else { return self.at(visitor.visit_unit()) };
        let outcome = match &node.kind {
            Kind::Text(text) => visitor.visit_str(text),
            Kind::Date => Err(Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            Kind::Whole(Some(number)) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_i128(*number),
            },
            Kind::Whole(None) => Err(Fail::from(Why::other("the number is too large"))),
            Kind::Real(number) => visitor.visit_f64(*number),
            Kind::Truth(truth) => visitor.visit_bool(*truth),
            Kind::List(list) => {
                let items = list.iter().enumerate().map(|(index, node)| self.child(&index.to_string(), Some(node)));
                visitor.visit_seq(Items(items.collect::<Vec<_>>().into_iter()))
            }
            Kind::Table(entries) => {
                let entries = entries.iter().map(|(name, node)| (name.clone(), self.child(name, Some(node))));
                visitor.visit_map(Entries::new(entries.collect()))
            }
        };
        self.at(outcome)
    }

    holes! {
        deserialize_u8 => visit_u64, deserialize_u16 => visit_u64, deserialize_u32 => visit_u64, deserialize_u64 => visit_u64,
        deserialize_i8 => visit_i64, deserialize_i16 => visit_i64, deserialize_i32 => visit_i64, deserialize_i64 => visit_i64,
        deserialize_u128 => visit_u128, deserialize_i128 => visit_i128, deserialize_f32 => visit_f64, deserialize_f64 => visit_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() { self.deserialize_any(visitor) } else { visitor.visit_bool(false) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() { self.deserialize_any(visitor) } else { self.at(visitor.visit_str("x")) }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() {
            self.deserialize_any(visitor)
        } else {
            self.at(visitor.visit_seq(Items(Vec::new().into_iter())))
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() {
            return self.deserialize_any(visitor);
        }
        let items: Vec<_> = (0..len).map(|index| self.child(&index.to_string(), None)).collect();
        self.at(visitor.visit_seq(Items(items.into_iter())))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.node.is_some() { self.deserialize_any(visitor) } else { self.at(visitor.visit_map(Entries::new(Vec::new()))) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        match self.node.map(|node| &node.kind) {
            None | Some(Kind::Table(_)) => self.at(visitor.visit_map(Entries::new(self.fields(fields)))),
            Some(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let Some(node) = self.node else {
            let Some(first) = variants.first() else { return self.at(Err(Why::other("nothing fits here").into())) };
            return self.at(visitor.visit_enum(Variant { name: first, value: self.child(first, None), bare: false }));
        };
        let (name, value, bare) = match &node.kind {
            Kind::Text(text) => (text, self.clone(), true),
            Kind::Table(entries) => match entries.iter().next() {
                Some((name, value)) if entries.len() == 1 => (name, self.child(name, Some(value)), false),
                _ => {
                    let first =
                        entries.iter().filter(|(name, _)| variants.contains(&name.as_str())).min_by_key(|(_, node)| &node.key);
                    let Some((name, value)) = first else {
                        return self.at(Err(Why::one_of(&self.path, entries, variants).into()));
                    };
                    // The first is read on, so that what else is wrong with it shows too.
                    self.pass.noted.borrow_mut().push(Fail::from(Why::one_of(&self.path, entries, variants)).found_at(node));
                    (name, self.child(name, Some(value)), false)
                }
            },
            _ => return self.at(Err(Why::NoVariant { known: variants }.into())),
        };
        if !variants.contains(&name.as_str()) {
            let why = Why::Variant { name: name.clone(), hint: suggest(name, variants), table: !bare };
            return self.at(Err(why.into()));
        }
        self.at(visitor.visit_enum(Variant { name, value, bare }))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple_struct identifier }
}
