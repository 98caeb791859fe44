//! Sentences of a word a line (`CoNLL`, `CoNLL-U`): an empty line ends a sentence, whose columns become lists.
//!
//! Source: Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 shared task"; universaldependencies.org/format.html.

use std::path::Path;

use serde_json::Value;

use super::{Line, Lost, Record, Sink, lines};
use crate::document::Origin;
use crate::error::Result;

/// Columns of CoNLL-U.
const UNIVERSAL: usize = 10;

/// Reads sentences; columns are called by number, from 1, where `columns` has no name for them.
pub(super) fn read(path: &Path, columns: &[String], sink: Sink<'_>) -> Result<()> {
    let mut sentence = Sentence::default();
    let mut known = None;
    lines(path, &mut |line| match line {
        Ok(line) if line.text.trim().is_empty() => sentence.end(columns, sink),
        Ok(line) => {
            if let Some(comment) = comment(&line.text, known) {
                if let Some(id) = comment.trim().strip_prefix("sent_id").and_then(|id| id.trim_start().strip_prefix('=')) {
                    sentence.id = Some(id.trim().to_owned());
                }
                return;
            }
            let tabs = line.text.contains('\t');
            known = sentence.word(line).map(|count| (tabs, count)).or(known);
        }
        Err(lost) => {
            sentence.lost.get_or_insert(lost);
        }
    })?;
    sentence.end(columns, sink);
    Ok(())
}

fn cells(text: &str) -> Vec<&str> {
    if text.contains('\t') { text.split('\t').collect() } else { text.split_whitespace().collect() }
}

/// What a comment says. A word may begin with `#` as well: then its line is parted as the words known so far are, into as many cells;
/// before there are any, by tabs.
fn comment(text: &str, known: Option<(bool, usize)>) -> Option<&str> {
    let said = text.strip_prefix('#')?;
    let (tabs, count) = (text.contains('\t'), cells(text).len());
    let word = known.map_or(tabs, |known| known == (tabs, count));
    (!word).then_some(said)
}

#[derive(Default)]
struct Sentence {
    id: Option<String>,
    /// Where it begins.
    origin: Option<Origin>,
    columns: Vec<Vec<Value>>,
    /// Why it cannot be taken.
    lost: Option<Lost>,
}

impl Sentence {
    /// Takes a word; how many cells it has.
    fn word(&mut self, line: Line) -> Option<usize> {
        let cells = cells(&line.text);
        let id = cells.first().copied().unwrap_or_default();
        // Words of several tokens ("1-2") and words that were left out ("1.1") stand beside the words themselves.
        let beside = |mark| id.split_once(mark).is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
        if cells.len() == UNIVERSAL && (beside('-') || beside('.')) {
            return None;
        }
        if self.origin.is_none() {
            self.origin = Some(line.origin.clone());
            self.columns = vec![Vec::new(); cells.len()];
        }
        if cells.len() != self.columns.len() {
            let told = format!("{} cells in a sentence of {} columns", cells.len(), self.columns.len());
            self.lost.get_or_insert(Lost::broken(line.origin, told));
            return None;
        }
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.push((*cell).into());
        }
        Some(cells.len())
    }

    fn end(&mut self, names: &[String], sink: Sink<'_>) {
        let sentence = std::mem::take(self);
        if let Some(lost) = sentence.lost {
            return sink(Err(lost));
        }
        let Some(origin) = sentence.origin else {
            return;
        };
        let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| (at + 1).to_string());
        let columns = sentence.columns.into_iter().enumerate();
        let mut fields: std::collections::BTreeMap<_, _> = columns.map(|(at, list)| (name(at), Value::Array(list))).collect();
        if let Some(id) = sentence.id {
            fields.entry("id".into()).or_insert(id.into());
        }
        sink(Ok(Record { fields, origin }));
    }
}
