//! Writes a part of a page as plain text: a line a block, an empty line between paragraphs.

use super::entity::resolve;
use super::measure::Measured;
use super::tree::Tag;

/// Writes the text below `root`.
pub(super) fn render(page: &Measured<'_>, root: usize) -> String {
    let nodes = &page.tree.nodes;
    let mut out = Text::default();
    let mut open: Vec<(usize, Tag)> = Vec::new();
    let mut resolved = String::new();
    let (mut at, end) = (root, nodes[root].end as usize);
    while at < end {
        while open.last().is_some_and(|&(ends, _)| ends <= at) {
            let tag = open.pop().map_or(Tag::Inline, |(_, tag)| tag);
            out.leave(tag);
        }
        let node = &nodes[at];
        if page.out[at] {
            // What is left out still parts what stands before it from what stands behind it.
            out.part(lines(node.tag));
            at = node.end as usize;
            continue;
        }
        if node.is_text {
            resolved.clear();
            resolve(node.text, &mut resolved);
            out.push(&resolved);
        } else {
            out.enter(node.tag);
            open.push((node.end as usize, node.tag));
        }
        at += 1;
    }
    out.out
}

/// The line ends before and behind an element.
fn lines(tag: Tag) -> u8 {
    match tag {
        Tag::Item | Tag::Row | Tag::Term | Tag::Br => 1,
        // Cells of a row stand on one line.
        Tag::Cell => 0,
        _ if tag.is_block() => 2,
        _ => 0,
    }
}

/// Text that grows; white space is written only when something follows it.
#[derive(Default)]
struct Text {
    out: String,
    /// Line ends that are due.
    due: u8,
    /// Whether a space is due.
    space: bool,
    /// What begins the next line: the mark of a list's item, or what parts two cells.
    mark: &'static str,
    /// Open elements whose white space counts.
    pre: u32,
    /// The white space there that is written as it stands if more text follows.
    held: String,
}

impl Text {
    fn part(&mut self, lines: u8) {
        self.due = self.due.max(lines);
    }

    fn enter(&mut self, tag: Tag) {
        self.part(lines(tag));
        self.pre += u32::from(tag == Tag::Pre);
        match tag {
            Tag::Item => self.mark = "- ",
            Tag::Cell => self.mark = " | ",
            _ => {}
        }
    }

    fn leave(&mut self, tag: Tag) {
        self.part(lines(tag));
        if tag == Tag::Pre {
            self.pre -= 1;
            self.held.clear();
        }
    }

    fn push(&mut self, text: &str) {
        if self.pre > 0 {
            let kept = text.trim_end();
            if !kept.is_empty() {
                self.gap();
                self.out.push_str(&std::mem::take(&mut self.held));
                self.out.push_str(kept);
            }
            self.held.push_str(&text[kept.len()..]);
            return;
        }
        let mut words = text.split([' ', '\n', '\t', '\r', '\u{c}']);
        let Some(first) = words.next() else { return };
        self.word(first);
        for word in words {
            self.space = true;
            self.word(word);
        }
    }

    fn word(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        self.gap();
        self.out.push_str(word);
    }

    /// Writes the white space that is due.
    fn gap(&mut self) {
        let mark = std::mem::take(&mut self.mark);
        let begins_line = self.due > 0 || self.out.is_empty();
        if !self.out.is_empty() {
            self.out.extend(std::iter::repeat_n('\n', self.due as usize));
            if !begins_line && self.space && mark != " | " {
                self.out.push(' ');
            }
        }
        match (mark, begins_line) {
            ("- ", true) | (" | ", false) => self.out.push_str(mark),
            _ => {}
        }
        (self.due, self.space) = (0, false);
    }
}
