//! Takes the text out of one line of JSONL without building the rest of the object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::document::Origin;
use crate::error::{Error, Result};

/// The string in field `name` of the JSON object that `line` holds.
///
/// # Errors
/// When the line is not one JSON object, names the field twice, or holds no string there.
pub fn field(line: &str, name: &str, origin: &Origin) -> Result<String> {
    let mut json = serde_json::Deserializer::from_str(line);
    let found = Object(name).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    match found {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(Error::Field { origin: origin.clone(), field: name.into() }),
        Err(fault) => {
            let told = fault.to_string();
            // What was found may be anybody's text, and of any length; what was expected says enough.
            let told = told.rsplit_once(", expected ").map_or(told.clone(), |(_, expected)| format!("expected {expected}"));
            // The parser counts lines within what it was given, which is always one.
            let reason = told.replace(" at line 1 column ", " at column ");
            Err(Error::Json { origin: origin.clone(), reason })
        }
    }
}

struct Object<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(wanted) = map.next_key_seed(Key(self.0))? {
            if !wanted {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_none() {
                found = Some(map.next_value_seed(Text)?);
            } else {
                // Readers disagree on which of the two counts.
                return Err(serde::de::Error::custom(format_args!("field {:?} stands twice", self.0)));
            }
        }
        Ok(found.flatten())
    }
}

/// Compares a key without keeping it.
struct Key<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> std::result::Result<bool, E> {
        Ok(key == self.0)
    }
}

/// A string, or nothing where something else stands.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(line: &str) -> Result<String> {
        field(line, "text", &Origin { path: Path::new("a.jsonl").into(), line: 7, address: None })
    }

    #[test]
    fn the_named_string_comes_out_unescaped() {
        let lines = [
            r#"{"text": "a\n\u00e9\ud83d\ude00"}"#,
            r#"{"id": [1, {"text": 2}], "text": "a\né😀", "more": null}"#,
            "\t{\"\\u0074ext\":\"a\\né😀\"}\r\n",
        ];
        for line in lines {
            assert_eq!(read(line).expect(line), "a\né😀");
        }
    }

    #[test]
    fn what_is_no_object_is_named_with_its_column() {
        let deep = format!("{{\"text\": {}", "[".repeat(100_000));
        let lines = [
            "",
            "{",
            "[]",
            "\"text\"",
            "{\"text\": \"a\"} {}",
            r#"{"text": "\ud800"}"#,
            r#"{"text": "a", "text": "b"}"#,
            "{'text': 1}",
            &deep,
        ];
        for line in lines {
            let fault = read(line).expect_err(line);
            assert!(matches!(fault, Error::Json { .. }), "{fault}");
            assert!(fault.to_string().starts_with("a.jsonl:7: ") && !fault.to_string().contains("line 1"), "{fault}");
        }
    }

    #[test]
    fn a_field_without_a_string_is_missing() {
        for line in [
            "{}",
            r#"{"Text": "a"}"#,
            r#"{"text": null}"#,
            r#"{"text": 1}"#,
            r#"{"text": -1.5}"#,
            r#"{"text": true}"#,
            r#"{"text": ["a"]}"#,
            r#"{"text": {"text": "a"}}"#,
        ] {
            let fault = read(line).expect_err(line);
            assert!(matches!(fault, Error::Field { .. }), "{fault}");
        }
    }
}
