//! The ways to go on of a choice: one field, or a template each.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Template;
use crate::task::Drop;
use crate::task::record::Record;

/// Templates of choices; written as a field's name, or as a list of templates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choices(Vec<Template>);

impl Choices {
    /// The templates.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.0
    }

    /// The choices of a record: of a field that holds a list, its elements.
    pub(in crate::task) fn of(&self, record: &Record) -> Result<Vec<String>, Drop> {
        let texts = self.0.iter().map(|template| template.fill_all(record)).collect::<Result<Vec<_>, _>>()?;
        Ok(texts.into_iter().flatten().collect())
    }
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: an untagged enum would report a fault at the parent's line.
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Choices;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field with a list, or a list of templates")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Choices, E> {
        let template = if name.contains(['{', '}']) { name.to_owned() } else { format!("{{{name}}}") };
        Ok(Choices(vec![Template::from(template)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
        let mut templates = Vec::new();
        while let Some(template) = list.next_element()? {
            templates.push(template);
        }
        Ok(Choices(templates))
    }
}
