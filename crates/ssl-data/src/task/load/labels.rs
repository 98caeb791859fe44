//! The labels of a task: found in the training examples, or known before.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::task::{Content, Split, TaskKind};

/// Labels by name.
pub(super) struct Labels {
    names: Vec<String>,
    ids: HashMap<String, usize>,
    /// Whether one that is met for the first time gets an id.
    open: bool,
}

impl Labels {
    /// Those that the configuration gives, or none yet.
    pub(super) fn of(kind: &TaskKind) -> Self {
        match kind {
            TaskKind::Classification(config) if !config.labels.is_empty() => Self::fixed(&config.labels),
            TaskKind::Classification(config) if !config.words.is_empty() => {
                let mut names: Vec<String> = config.words.keys().cloned().collect();
                names.sort_by(|a, b| order(a, b));
                Self::fixed(&names)
            }
            _ => Self { names: Vec::new(), ids: HashMap::new(), open: true },
        }
    }

    /// Those and no others.
    pub(super) fn fixed(names: &[String]) -> Self {
        let ids = names.iter().cloned().zip(0..).collect();
        Self { names: names.to_vec(), ids, open: false }
    }

    /// The index of a label, if it is one.
    pub(super) fn id(&mut self, name: &str) -> Option<usize> {
        if let Some(&id) = self.ids.get(name) {
            return Some(id);
        }
        if !self.open {
            return None;
        }
        self.ids.insert(name.into(), self.names.len());
        self.names.push(name.into());
        Some(self.names.len() - 1)
    }

    /// Puts the labels that were met in order and takes no more, unless there are none.
    pub(super) fn close(&mut self, splits: &mut [&mut Split]) {
        if !self.open || self.names.is_empty() {
            return;
        }
        let mut sorted: Vec<usize> = (0..self.names.len()).collect();
        sorted.sort_by(|&a, &b| order(&self.names[a], &self.names[b]));
        let mut places = vec![0; sorted.len()];
        for (place, &id) in sorted.iter().enumerate() {
            places[id] = place;
        }
        for example in splits.iter_mut().flat_map(|split| &mut split.examples) {
            match &mut example.content {
                Content::Texts { label, .. } => *label = places[*label],
                Content::Words { tags, .. } => tags.iter_mut().for_each(|tag| *tag = places[*tag]),
                _ => {}
            }
        }
        let names: Vec<String> = sorted.into_iter().map(|id| std::mem::take(&mut self.names[id])).collect();
        *self = Self::fixed(&names);
    }

    /// The names so far.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// Numbers come first, by their size; other names by their letters.
fn order(a: &str, b: &str) -> Ordering {
    let number = |name: &str| name.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}
