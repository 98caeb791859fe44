//! Question sets in the JSON of `SQuAD`: articles of paragraphs, each with questions. One record a question.
//!
//! Source: Rajpurkar et al. 2016, "`SQuAD`"; without answers: Rajpurkar, Jia and Liang 2018; in Chinese: Cui et al. 2019, "CMRC 2018".

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{FILE_BYTES, Lost, Record, Sink, numbered, raw};
use crate::config::Unit;
use crate::error::{Error, Result};
use crate::source::Item;

#[derive(Deserialize)]
struct Set {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: Value,
    #[serde(default)]
    paragraphs: Vec<Value>,
}

/// Reads questions; each has its passage as `context`, and its article's `title`.
pub(super) fn read(path: &Path, sink: Sink<'_>) -> Result<()> {
    let fault = |reason: String| Error::TaskFile { path: path.into(), reason };
    let mut bytes = Ok(Vec::new());
    raw(path, Unit::File, FILE_BYTES, &mut |item| match item {
        Item::Record(record) => bytes = Ok(record.bytes),
        Item::Dropped(reason, ..) => bytes = Err(reason),
    })?;
    let bytes = bytes.map_err(|reason| fault(format!("it cannot be read as a whole: {reason}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let set: Set = serde_json::from_slice(text).map_err(|reason| fault(format!("not a question set: {reason}")))?;
    let path: Arc<Path> = path.into();
    let mut number = 0;
    for article in set.data {
        for mut paragraph in article.paragraphs {
            let context = paragraph.get("context").filter(|context| context.is_string()).cloned();
            let questions = paragraph.get_mut("qas").map(Value::take);
            let (Some(context), Some(Value::Array(questions))) = (context, questions) else {
                number += 1;
                sink(Err(Lost::broken(numbered(&path, number), "a paragraph without a context or questions")));
                continue;
            };
            for question in questions {
                number += 1;
                let origin = numbered(&path, number);
                let Value::Object(question) = question else {
                    sink(Err(Lost::broken(origin, "a question that is no object")));
                    continue;
                };
                let mut fields: std::collections::BTreeMap<_, _> = question.into_iter().collect();
                fields.insert("context".into(), context.clone());
                fields.entry("title".into()).or_insert_with(|| article.title.clone());
                sink(Ok(Record { fields, origin }));
            }
        }
    }
    Ok(())
}
