//! `cargo xtask tidy`: the repository's own rules, checked on the text of its files.
//!
//! A rule is a function from the tree to its faults; each has a control in its tests that it must find.

mod code;
mod rules;
mod tree;

use std::fmt;

use anyhow::Result;

use crate::output::{data, say};
use crate::summary::Summary;
use crate::workspace;
use tree::Tree;

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    /// From the workspace's root.
    path: String,
    /// Counted from 1; 0 speaks of the whole file.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A named rule.
type Rule = (&'static str, fn(&Tree) -> Vec<Fault>);

/// Cheapest first.
const RULES: &[Rule] = &[
    ("every Rust file says what it is for", rules::heads),
    ("no file is too long", rules::lengths),
    ("unsafe code only in ssl-torch, with its reason", rules::unsafe_code),
    ("nothing unfinished and no test switched off", rules::unfinished),
    ("dependencies run one way", rules::dependencies),
    ("only programs read arguments and environment", rules::surroundings),
    ("every TOML fixture parses", rules::toml),
    ("fixtures stay small", rules::fixtures),
    ("no paths of one machine and no registry hosts", rules::places),
    ("links between documents lead somewhere", rules::links),
    ("the check of a change is the documented command", rules::ci),
];

/// The command.
pub(crate) fn run() -> Result<u8> {
    let summary = check()?;
    data(summary);
    Ok(u8::from(summary.failed > 0))
}

/// Checks every rule, prints the faults, and counts a rule as one test.
pub(crate) fn check() -> Result<Summary> {
    let tree = Tree::read(&workspace::root())?;
    let mut summary = Summary::default();
    for (name, rule) in RULES {
        let faults = rule(&tree);
        if faults.is_empty() {
            summary.passed += 1;
            continue;
        }
        summary.failed += 1;
        say(format_args!("tidy: {name}"));
        for fault in faults {
            say(format_args!("  {fault}"));
        }
    }
    Ok(summary)
}
