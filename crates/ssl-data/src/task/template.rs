//! Texts made of a record's fields: `{field}` stands for what the record holds there, `{{` and `}}` for the braces themselves.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Drop;
use super::record::Record;

/// A text with places for fields: `"{question} {passage}"`. `{field.0}` reaches into a list and `{field.sub}` into an object.
///
/// A wrong one is kept as it was written, so that [`super::TaskConfig::validate`] can tell all faults at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Template {
    written: String,
    parts: Result<Vec<Part>, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

impl From<String> for Template {
    fn from(written: String) -> Self {
        let parts = parse(&written);
        Self { written, parts }
    }
}

impl From<&str> for Template {
    fn from(written: &str) -> Self {
        Self::from(written.to_owned())
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.written
    }
}

impl Template {
    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.parts.as_ref().err().map(String::as_str)
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The names of its fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts().iter().filter_map(|part| if let Part::Field(name) = part { Some(name.as_str()) } else { None })
    }

    /// The text that comes of putting `value` in the place of each field; a field without a value stays empty.
    pub fn fill_with<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(name) => value(name).unwrap_or_default().to_owned(),
        };
        self.parts().iter().map(part).collect()
    }

    /// What stands before the first field, and behind it.
    pub(super) fn around(&self) -> (&str, &str) {
        match self.parts() {
            [Part::Field(_)] => ("", ""),
            [Part::Field(_), Part::Text(after)] => ("", after),
            [Part::Text(before), Part::Field(_)] => (before, ""),
            [Part::Text(before), Part::Field(_), Part::Text(after)] => (before, after),
            _ => (&self.written, ""),
        }
    }

    fn parts(&self) -> &[Part] {
        self.parts.as_deref().unwrap_or_default()
    }

    /// The text of a record; a list's elements are joined by a space.
    pub(super) fn fill(&self, record: &Record) -> Result<String, Drop> {
        let mut text = String::new();
        for part in self.parts.as_ref().map_err(|_| Drop::NoField)? {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Field(name) => text.push_str(&shown(record.get(name).ok_or(Drop::NoField)?)?),
            }
        }
        Ok(text)
    }

    /// The texts of a record: one for each element where the template is one field that holds a list.
    pub(super) fn fill_all(&self, record: &Record) -> Result<Vec<String>, Drop> {
        if let Ok([Part::Field(name)]) = self.parts.as_deref()
            && let Some(Value::Array(list)) = record.get(name)
        {
            return list.iter().map(shown).collect();
        }
        Ok(vec![self.fill(record)?])
    }
}

/// A value as text.
pub(super) fn shown(value: &Value) -> Result<String, Drop> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Array(list) => Ok(list.iter().map(shown).collect::<Result<Vec<_>, _>>()?.join(" ")),
        Value::Null | Value::Object(_) => Err(Drop::NoField),
    }
}

fn parse(written: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut rest = written;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let behind = &rest[at + 1..];
        if let Some(behind) = behind.strip_prefix(brace) {
            text.push_str(brace);
            rest = behind;
            continue;
        }
        if brace == "}" {
            return Err(format!("a brace closes at byte {} that none opened", written.len() - behind.len() - 1));
        }
        let Some((name, behind)) = behind.split_once('}') else {
            return Err(format!("the brace at byte {} is never closed", written.len() - behind.len() - 1));
        };
        if name.is_empty() || name.contains('{') || name.trim() != name {
            return Err(format!("{{{name}}} names no field"));
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Field(name.into()));
        rest = behind;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, record: &str) -> Result<String, Drop> {
        Template::from(template).fill(&Record::test(record))
    }

    #[test]
    fn fields_become_text() {
        let record = r#"{"a": "x", "n": 3, "r": 1.5, "t": true, "l": ["p", "q"], "o": {"k": ["v"]}, "d.d": "dots", "z": null}"#;
        for (template, expect) in [
            ("{a}", "x"),
            ("a {{{a}}} b", "a {x} b"),
            ("{n} {r} {t}", "3 1.5 true"),
            ("{l}|{l.1}|{o.k.0}|{d.d}", "p q|q|v|dots"),
            ("no field", "no field"),
            ("汉{a}字", "汉x字"),
        ] {
            assert_eq!(fill(template, record).as_deref(), Ok(expect), "{template}");
        }
        for template in ["{b}", "{z}", "{o}", "{l.2}", "{a.0}", "{l.x}"] {
            assert_eq!(fill(template, record), Err(Drop::NoField), "{template}");
        }
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong_and_is_kept() {
        for (template, expect) in [
            ("{a", "the brace at byte 0 is never closed"),
            ("x }", "a brace closes at byte 2 that none opened"),
            ("{}", "{} names no field"),
            ("{ a }", "{ a } names no field"),
            ("{a{b}", "{a{b} names no field"),
        ] {
            let template: Template = serde_json::from_value(template.into()).expect("a string");
            assert_eq!(template.fault(), Some(expect));
            assert_eq!(serde_json::to_value(&template).expect("a string"), template.as_str());
            assert_eq!(template.fill(&Record::test("{}")), Err(Drop::NoField));
        }
    }
}
