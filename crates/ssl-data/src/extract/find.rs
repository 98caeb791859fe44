//! Finds the part of a page that holds its main text, and leaves out what stands within it without belonging to it.

use std::collections::BTreeMap;

use super::hints::Hint;
use super::measure::Measured;
use super::token::attribute;
use super::tree::Tag;

/// A part that its author says stands beside the text is believed, unless it holds this share of the page's prose.
const TOO_MUCH: f32 = 0.5;
/// A part that its author says is the text is believed if it holds this share.
const ENOUGH: f32 = 0.4;
/// The main text lies in the part of a part that holds this share of its prose.
const MOST: f32 = 0.8;

/// So many teasers make a list of them.
const TEASERS: usize = 4;
/// The most text of a teaser.
const TEASER: u32 = 800;

/// The most nodes of it that are looked at.
const TEASER_NODES: usize = 200;

/// The node that holds the main text.
pub(super) fn find(page: &mut Measured<'_>) -> usize {
    leave_out_beside(page);
    page.weigh();
    leave_out_teasers(page);
    page.weigh();
    let root = descend(page, named(page).unwrap_or(0));
    prune(page, root);
    page.weigh();
    root
}

/// Leaves out what stands beside the text.
fn leave_out_beside(page: &mut Measured<'_>) {
    let all = page.amounts[0].prose as f32;
    for at in 0..page.tree.nodes.len() {
        if page.hints[at] == Hint::Beside && page.amounts[at].prose as f32 <= TOO_MUCH * all {
            page.out[at] = true;
        }
    }
}

/// Leaves out lists of other articles: siblings of one kind, each with a headline or a beginning that is a link.
fn leave_out_teasers(page: &mut Measured<'_>) {
    let all = page.amounts[0].prose as f32;
    for parent in 0..page.tree.nodes.len() {
        let node = &page.tree.nodes[parent];
        if node.is_text || page.out[parent] || node.end as usize - parent < 2 * TEASERS {
            continue;
        }
        let mut kinds: BTreeMap<(u8, &str), Vec<usize>> = BTreeMap::new();
        for child in page.children(parent).filter(|&child| is_teaser(page, child)) {
            let node = &page.tree.nodes[child];
            kinds.entry((node.tag as u8, attribute(node.text, "class").unwrap_or(""))).or_default().push(child);
        }
        let prose = |items: &[usize]| items.iter().map(|&at| page.amounts[at].prose).sum::<u32>() as f32;
        let lists: Vec<_> =
            kinds.into_values().filter(|items| items.len() >= TEASERS && prose(items) <= TOO_MUCH * all).collect();
        for at in lists.into_iter().flatten() {
            page.out[at] = true;
        }
    }
}

/// Whether a part could announce another article.
fn is_teaser(page: &Measured<'_>, at: usize) -> bool {
    let node = &page.tree.nodes[at];
    let amount = page.amounts[at];
    let holds = matches!(node.tag, Tag::Article | Tag::Div | Tag::Item | Tag::Section | Tag::Cell | Tag::Row);
    if !holds || amount.links == 0 || amount.text > TEASER {
        return false;
    }
    let within = || (at + 1..node.end as usize).take(TEASER_NODES).filter(|&inner| page.amounts[inner].text > 0);
    let linked = |inner: usize| page.amounts[inner].link_share() > 0.8;
    let begins = within().find(|&inner| page.tree.nodes[inner].is_text).is_some_and(linked);
    begins || within().any(|inner| page.tree.nodes[inner].tag == Tag::Heading && linked(inner))
}

/// The part that its author says is an article's text, if it holds most of what there is; of several, what holds them all.
fn named(page: &Measured<'_>) -> Option<usize> {
    let all = page.amounts[0].prose as f32;
    let nodes = &page.tree.nodes;
    let (mut bodies, mut at) = (Vec::new(), 0);
    while at < nodes.len() {
        let body = page.hints[at] == Hint::Body && page.amounts[at].prose > 0;
        if body {
            bodies.push(at);
        }
        at = if body { nodes[at].end as usize } else { at + 1 };
    }
    let prose = |at: usize| page.amounts[at].prose as f32;
    let best = bodies.iter().copied().max_by(|&a, &b| prose(a).total_cmp(&prose(b)).then(b.cmp(&a)))?;
    let together: f32 = bodies.iter().map(|&at| prose(at)).sum();
    if together < ENOUGH * all {
        return None;
    }
    let mut around = best;
    if prose(best) < MOST * together {
        let last = bodies.last().map_or(best, |&last| last);
        while !(around <= bodies[0] && last < nodes[around].end as usize) {
            around = nodes[around].parent as usize;
        }
    }
    Some(around)
}

/// Goes down from `at` as long as one child holds most of the prose.
fn descend(page: &Measured<'_>, mut at: usize) -> usize {
    loop {
        let here = page.amounts[at].prose as f32;
        let within = page.children(at).filter(|&child| holds_others(page.tree.nodes[child].tag));
        let Some(best) = within.max_by_key(|&child| page.amounts[child].prose) else { return at };
        let amount = page.amounts[best];
        let is_paragraph = page.own[best].text * 2 >= amount.text;
        if amount.prose == 0 || (amount.prose as f32) < MOST * here || is_paragraph {
            return at;
        }
        at = best;
    }
}

fn holds_others(tag: Tag) -> bool {
    use Tag::{Article, Body, Cell, Div, Form, Header, Inline, Main, Row, Section, Table};
    matches!(tag, Article | Body | Cell | Div | Form | Header | Inline | Main | Row | Section | Table)
}

/// Leaves out parts of the main text that are mostly links.
fn prune(page: &mut Measured<'_>, root: usize) {
    let mut at = root + 1;
    while at < page.tree.nodes[root].end as usize {
        let node = page.tree.nodes[at];
        let amount = page.amounts[at];
        if !node.is_text && node.tag.is_block() && amount.text > 0 && mostly_links(node.tag, amount.link_share(), amount.prose) {
            page.out[at] = true;
        }
        at = if page.out[at] { node.end as usize } else { at + 1 };
    }
}

fn mostly_links(tag: Tag, share: f32, prose: u32) -> bool {
    match tag {
        Tag::P | Tag::Heading => share > 0.9,
        Tag::List | Tag::Table => share > 0.5,
        _ => share > 0.6 || (prose == 0 && share > 0.4),
    }
}
