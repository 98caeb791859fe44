//! How much text each part of a page holds, and how much of it is links.

use super::hints::{Hint, hint};
use super::tree::{NONE, Tag, Tree};

/// What a node and everything below it hold, in bytes that are no white space.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    /// All text.
    pub(super) text: u32,
    /// The part of it that stands in links.
    pub(super) links: u32,
    /// The part of it that stands in paragraphs: blocks with enough running text of their own.
    pub(super) prose: u32,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.text += other.text;
        self.links += other.links;
        self.prose += other.prose;
    }

    /// The share of text that stands in links.
    pub(super) fn link_share(self) -> f32 {
        if self.text == 0 { 0.0 } else { self.links as f32 / self.text as f32 }
    }
}

/// A block has running text with so many bytes that are no white space: about two lines of a narrow column.
const PROSE: u32 = 60;

/// A tree and what is known of its nodes.
pub(super) struct Measured<'a> {
    pub(super) tree: Tree<'a>,
    pub(super) hints: Vec<Hint>,
    /// Whether a node, and all below it, is left out.
    pub(super) out: Vec<bool>,
    /// With everything that is left out counted as nothing.
    pub(super) amounts: Vec<Amount>,
    /// The text that stands in each block itself, and not in a block within it.
    pub(super) own: Vec<Amount>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(tree: Tree<'a>) -> Self {
        let nodes = tree.nodes.len();
        let hints: Vec<Hint> = tree.nodes.iter().map(|node| if node.is_text { Hint::None } else { hint(node) }).collect();
        let out = hints.iter().map(|&hint| hint == Hint::Hidden).collect();
        let none = vec![Amount::default(); nodes];
        let mut measured = Self { tree, hints, out, amounts: none.clone(), own: none };
        measured.weigh();
        measured
    }

    /// Counts anew, after something was left out.
    pub(super) fn weigh(&mut self) {
        let nodes = &self.tree.nodes;
        self.amounts.fill(Amount::default());
        self.own.fill(Amount::default());
        // The block that each node stands in, and whether it stands in a link.
        let mut block: Vec<u32> = vec![0; nodes.len()];
        let mut linked = vec![false; nodes.len()];
        let mut at = 0;
        while at < nodes.len() {
            let node = &nodes[at];
            if self.out[at] {
                at = node.end as usize;
                continue;
            }
            let parent = if node.parent == NONE { 0 } else { node.parent as usize };
            if node.is_text {
                let text = node.text.bytes().filter(|byte| *byte > b' ').count() as u32;
                let amount = Amount { text, links: if linked[parent] { text } else { 0 }, prose: 0 };
                self.amounts[at] = amount;
                self.own[block[parent] as usize].add(amount);
            } else {
                block[at] = if node.tag.is_block() { at as u32 } else { block[parent] };
                linked[at] = linked[parent] || node.tag == Tag::A;
            }
            at += 1;
        }
        for at in (0..nodes.len()).rev() {
            let own = self.own[at];
            if own.text >= PROSE && own.link_share() < 0.5 && nodes[at].tag != Tag::Heading {
                self.amounts[at].prose += own.text - own.links;
            }
            let amount = self.amounts[at];
            if nodes[at].parent != NONE {
                self.amounts[nodes[at].parent as usize].add(amount);
            }
        }
    }

    /// The parts right below a node that are not left out.
    pub(super) fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.tree.nodes[at].end as usize;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            while next < end {
                let child = next;
                next = self.tree.nodes[child].end as usize;
                if !self.out[child] {
                    return Some(child);
                }
            }
            None
        })
    }
}
