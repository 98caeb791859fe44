//! Lists, tables and choices, as serde walks them.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::fail::{Fail, Why};
use super::read::Reader;
use super::tree::Kind;

/// The items of a list.
pub(super) struct Items<'a>(pub(super) std::vec::IntoIter<Reader<'a>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fail;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fail> {
        self.0.next().map(|reader| seed.deserialize(reader)).transpose()
    }
}

/// The keys and values of a table.
pub(super) struct Entries<'a> {
    entries: std::vec::IntoIter<(String, Reader<'a>)>,
    value: Option<Reader<'a>>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(entries: Vec<(String, Reader<'a>)>) -> Self {
        Self { entries: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fail;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fail> {
        let Some((name, value)) = self.entries.next() else { return Ok(None) };
        let key = value.at(seed.deserialize(StrDeserializer::new(&name)));
        self.value = Some(value);
        key.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fail> {
        match self.value.take() {
            Some(reader) => {
                let place = reader.clone();
                place.at(seed.deserialize(reader))
            }
            None => Err(Why::other("a value was asked for twice").into()),
        }
    }
}

/// The one of several kinds that a value names.
pub(super) struct Variant<'a> {
    pub(super) name: &'a str,
    pub(super) value: Reader<'a>,
    /// Whether the name stands alone, without a table.
    pub(super) bare: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Fail;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fail> {
        seed.deserialize(StrDeserializer::<Fail>::new(self.name)).map(|name| (name, self))
    }
}

impl Variant<'_> {
    fn reader(self) -> Result<Self, Fail> {
        if self.bare { Err(Why::Bare { name: self.name.to_owned() }.into()) } else { Ok(self) }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Fail;

    fn unit_variant(self) -> Result<(), Fail> {
        match self.value.node.map(|node| &node.kind) {
            Some(Kind::Table(entries)) if !self.bare && !entries.is_empty() => {
                self.value.at(Err(Why::other(&format!("`{}` has no keys", self.name)).into()))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fail> {
        seed.deserialize(self.reader()?.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fail> {
        self.reader()?.value.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fail> {
        self.reader()?.value.deserialize_struct("", fields, visitor)
    }
}
