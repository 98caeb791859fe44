//! Takes the main text out of a page of HTML: the article, and not the menus, advertisements, comments and notices around it.
//!
//! The page becomes a tree; parts that are said to stand beside the text (by their element, role, or the words of their classes
//! and ids, as in Mozilla's Readability) are left out unless they hold most of the page; then the way leads from the root down
//! to the smallest part that still holds most of the running text, or from the part that is named as an article's body; within
//! it, parts that are mostly links are left out (Kohlschütter et al. 2010 show that text and link density say most of what
//! there is to know). Takes time and memory in proportion to the page.
//!
//! Own code, because the kept crate for it (`dom_smoothie` 0.19, a port of Readability on html5ever) measured a token-F1 of 0.960
//! on 100 pages of news and blogs where this has 0.980 and trafilatura 2.3 has 0.958, at a fifth of the speed;
//! `fixtures/bench/extract.py` measures again.

mod entity;
mod find;
mod hints;
mod measure;
mod render;
mod token;
mod tree;
mod wikitext;

pub(crate) use wikitext::wiki_text;

use measure::Measured;
use tree::Tree;

/// The main text of `page`, one line a block, an empty line between paragraphs; empty where there is none.
#[must_use]
pub fn main_text(page: &str) -> String {
    let mut page = Measured::new(Tree::parse(page));
    let root = find::find(&mut page);
    render::render(&page, root)
}
