//! The files of the repository, read once.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// From the root, with `/`.
    pub(super) path: String,
    /// Its text; `None` where it is not UTF-8.
    pub(super) text: Option<String>,
    /// Its size.
    pub(super) bytes: u64,
}

/// All files, in order of path.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// The files.
    pub(super) files: Vec<Source>,
}

/// Folders at the root that are not part of the repository.
const ROOT_LEFT_OUT: &[&str] = &["target", "runs", ".git"];

impl Tree {
    /// Reads the repository at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The text files whose path passes `wanted`.
    pub(super) fn texts<'a>(&'a self, wanted: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| wanted(&file.path))
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts(|path| has_end(path, "rs"))
    }

    fn walk(&mut self, root: &Path, below: &str) -> Result<()> {
        let folder = root.join(below);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let kind = entry.file_type()?;
            if below.is_empty() && ROOT_LEFT_OUT.contains(&name.as_str()) || name == "__pycache__" || has_end(&name, "tmp") {
                continue;
            }
            if kind.is_dir() {
                self.walk(root, &path)?;
            } else if kind.is_file() {
                let content = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                self.files.push(Source { path, bytes: content.len() as u64, text: String::from_utf8(content).ok() });
            }
        }
        Ok(())
    }
}

/// Whether `path` ends in `.end`.
pub(super) fn has_end(path: &str, end: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == end)
}

#[cfg(test)]
impl Tree {
    /// A tree of one made-up file.
    pub(super) fn of(path: &str, text: &str) -> Self {
        Self { files: vec![Source { path: path.into(), text: Some(text.into()), bytes: text.len() as u64 }] }
    }
}
