//! `--set a.b=c`: one key of a run, changed on the command line.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::diagnose::fail::Found;
use crate::diagnose::tree::{Kind, Node, Place};

/// Longer paths than this reach nothing in a run.
const MAX_KEYS: usize = 16;

/// Puts `a.b=c` into the tree, over what was there. The value is read as TOML, and as bare text where it is not TOML.
pub(crate) fn apply(root: &mut Node, text: &str, source: usize) -> Result<(), Found> {
    let refuse =
        |from, to, message: String, hint: &str| Found { place: Some(Place { source, from, to }), message, hint: hint.into() };
    let Some((path, value)) = text.split_once('=') else {
        return Err(refuse(
            0,
            text.len(),
            "an override needs a value".into(),
            "write --set key=value, such as --set train.steps=2000",
        ));
    };
    let count = path.split('.').count();
    let faulty = path.split('.').any(|key| key.trim().is_empty());
    if faulty || count > MAX_KEYS {
        let message = if faulty { "an override names an empty key" } else { "an override's key has too many parts" };
        return Err(refuse(0, path.len(), message.into(), "write the keys as in the run file, such as --set train.steps=2000"));
    }
    let key = Place { source, from: 0, to: path.len() };
    let parsed = DeValue::parse(value).map(|value| Node::of(value, source, path.len() + 1));
    let bare = || {
        let value_at = Place { source, from: path.len() + 1, to: text.len() };
        Node { key: None, value: value_at, kind: Kind::Text(value.to_owned()) }
    };
    let node = Node { key: Some(key.clone()), ..parsed.unwrap_or_else(|_| bare()) };
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    put(root, &keys, node, &key).map_err(|depth| {
        let message = format!("`{}` is not a table", keys[..depth].join("."));
        refuse(0, path.len(), message, "set the whole of it, or a key of a table")
    })
}

/// Puts a node under a path of keys, making the tables on the way; fails with the depth at which there is no table.
fn put(parent: &mut Node, keys: &[&str], node: Node, place: &Place) -> Result<(), usize> {
    let Kind::Table(entries) = &mut parent.kind else { return Err(0) };
    match keys {
        [] => Ok(()),
        [last] => {
            entries.insert((*last).to_owned(), node);
            Ok(())
        }
        [first, rest @ ..] => {
            let empty = || Node { key: Some(place.clone()), value: place.clone(), kind: Kind::Table(BTreeMap::new()) };
            put(entries.entry((*first).to_owned()).or_insert_with(empty), rest, node, place).map_err(|depth| depth + 1)
        }
    }
}
