//! The fields of a request: what is missing may be, what is wrong is named.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::fault::{Fault, Result};

/// The fields of a request's object. A field that is null is not there; fields that nobody asks for are read over.
#[derive(Debug)]
pub(super) struct Ask(Map<String, Value>);

/// A text, or the ids of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
}

impl Ask {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Fault::new(StatusCode::BAD_REQUEST, "the body is no JSON object")),
            Err(fault) => Err(Fault::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {fault}"))),
        }
    }

    /// A field as it is.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A number in a range.
    pub(super) fn number(&self, name: &str, range: &RangeInclusive<f64>) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        let expected =
            || format!("{name} is {}, and a number from {} to {} was expected", shown(value), range.start(), range.end());
        number.map(Some).ok_or_else(|| Fault::param(name, expected()))
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, name: &str, range: &RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_i64().filter(|number| range.contains(number));
        let (low, high) = (range.start(), range.end());
        let expected = || format!("{name} is {}, and a whole number from {low} to {high} was expected", shown(value));
        number.map(Some).ok_or_else(|| Fault::param(name, expected()))
    }

    /// Yes or no; no when absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        self.get(name).map_or(Ok(false), |value| value.as_bool().ok_or_else(|| wrong(name, value, "true or false")))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| wrong(name, value, "a text"))
    }

    /// A text that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A list of ids below `size`, which must be there.
    pub(super) fn ids(&self, name: &str, size: u32) -> Result<Vec<u32>> {
        match self.get(name).ok_or_else(|| missing(name))? {
            Value::Array(list) => ids(name, list, size),
            value => Err(wrong(name, value, "a list of token ids")),
        }
    }

    /// A text, some texts, token ids below `size`, or some lists of them: at least one, at most `most`.
    pub(super) fn inputs(&self, name: &str, size: u32, most: usize) -> Result<Vec<Input>> {
        let list = match self.get(name).ok_or_else(|| missing(name))? {
            Value::String(text) => return Ok(vec![Input::Text(text.clone())]),
            Value::Array(list) if list.is_empty() => return Err(Fault::param(name, format!("{name} is empty"))),
            Value::Array(list) if list[0].is_number() => return Ok(vec![Input::Ids(ids(name, list, size)?)]),
            Value::Array(list) => list,
            value => return Err(wrong(name, value, "a text, token ids, or a list of either")),
        };
        if list.len() > most {
            return Err(Fault::param(name, format!("{name} holds {} texts, and at most {most} are read at once", list.len())));
        }
        let input = |value: &Value| match value {
            Value::String(text) => Ok(Input::Text(text.clone())),
            Value::Array(list) if list.is_empty() => Err(Fault::param(name, format!("{name} holds an empty list of ids"))),
            Value::Array(list) => ids(name, list, size).map(Input::Ids),
            value => Err(wrong(name, value, "texts or lists of token ids")),
        };
        list.iter().map(input).collect()
    }
}

fn ids(name: &str, list: &[Value], size: u32) -> Result<Vec<u32>> {
    let id = |value: &Value| value.as_u64().filter(|&id| id < u64::from(size)).map(|id| id as u32);
    let expected = format!("token ids below {size}");
    list.iter().map(|value| id(value).ok_or_else(|| wrong(name, value, &expected))).collect()
}

/// A field that must be there and is not.
pub(super) fn missing(name: &str) -> Fault {
    Fault::param(name, format!("{name} is missing"))
}

/// A field of another type.
pub(super) fn wrong(name: &str, value: &Value, expected: &str) -> Fault {
    Fault::param(name, format!("{name} is {}, and {expected} was expected", shown(value)))
}

/// A value, short enough for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        value => value.to_string().chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Ask {
        Ask::parse(text.as_bytes()).expect("an object")
    }

    fn blamed<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("a fault").json()["error"]["param"].as_str().expect("a field").to_owned()
    }

    #[test]
    fn fields_are_read_and_wrong_ones_named() {
        let fields = ask(r#"{"a": 1.5, "b": 3, "c": true, "d": "x", "e": null, "f": 1e12, "g": [1, 2]}"#);
        assert_eq!(fields.number("a", &(0.0..=2.0)), Ok(Some(1.5)));
        assert_eq!((fields.whole("b", &(0..=3)), fields.whole("e", &(0..=3))), (Ok(Some(3)), Ok(None)));
        assert_eq!((fields.flag("c"), fields.flag("e"), fields.text("d")), (Ok(true), Ok(false), Ok(Some("x"))));
        assert_eq!(blamed(fields.number("a", &(0.0..=1.0))), "a");
        assert_eq!(blamed(fields.whole("f", &(0..=i64::MAX))), "f");
        assert_eq!(blamed(fields.whole("a", &(0..=3))), "a");
        assert_eq!(blamed(fields.flag("d")), "d");
        assert_eq!(blamed(fields.text("g")), "g");
        assert_eq!(blamed(fields.needed("e")), "e");
        assert_eq!(fields.ids("g", 3), Ok(vec![1, 2]));
        assert_eq!(blamed(fields.ids("g", 2)), "g");
    }

    #[test]
    fn inputs_come_in_four_forms() {
        let read = |text: &str| ask(&format!("{{\"p\": {text}}}")).inputs("p", 10, 2);
        assert_eq!(read(r#""a""#), Ok(vec![Input::Text("a".into())]));
        assert_eq!(read(r#"["a", "b"]"#), Ok(vec![Input::Text("a".into()), Input::Text("b".into())]));
        assert_eq!(read("[1, 2]"), Ok(vec![Input::Ids(vec![1, 2])]));
        assert_eq!(read("[[1], [2, 3]]"), Ok(vec![Input::Ids(vec![1]), Input::Ids(vec![2, 3])]));
        for bad in ["null", "[]", "[[]]", "3", "{}", "[1, 10]", "[1, -1]", "[1, 1.5]", "[\"a\", 1]", "[null]", "[[\"a\"]]"] {
            assert_eq!(blamed(read(bad)), "p", "{bad}");
        }
        assert_eq!(blamed(read(r#"["a", "b", "c"]"#)), "p", "too many");
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "[]", "3", "{", "{\"a\": NaN}", deep.as_str()] {
            assert!(Ask::parse(body.as_bytes()).is_err(), "{}", body.chars().take(20).collect::<String>());
        }
    }
}
