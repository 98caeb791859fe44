//! A page as a tree, in one array, every node behind its parent. Built without recursion and with a bounded depth, so that no
//! page can exhaust the stack.

use super::token::{Token, Tokens};

/// Elements deeper than this are read, but as if they stood beside each other.
const DEPTH: usize = 250;
/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// What an element does to its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    A,
    Article,
    Aside,
    Blockquote,
    Body,
    Br,
    Button,
    Cell,
    Div,
    Figcaption,
    Figure,
    Footer,
    Form,
    Head,
    Header,
    Heading,
    Hr,
    Input,
    Item,
    Label,
    List,
    Main,
    Menu,
    Nav,
    Opaque,
    P,
    Pre,
    Row,
    Section,
    Select,
    Table,
    Term,
    /// An element that stands within a line, or that we know nothing of.
    Inline,
}

impl Tag {
    fn of(name: &str) -> Self {
        let mut lower = [0; 12];
        let Some(lower) = lower.get_mut(..name.len()) else { return Self::Inline };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        match &*lower {
            b"a" => Self::A,
            b"article" => Self::Article,
            b"aside" => Self::Aside,
            b"blockquote" => Self::Blockquote,
            b"body" => Self::Body,
            b"br" => Self::Br,
            b"button" => Self::Button,
            b"td" | b"th" => Self::Cell,
            b"div" | b"center" | b"address" | b"details" | b"hgroup" | b"fieldset" | b"dialog" => Self::Div,
            b"figcaption" => Self::Figcaption,
            b"figure" => Self::Figure,
            b"footer" => Self::Footer,
            b"form" => Self::Form,
            b"head" => Self::Head,
            b"header" => Self::Header,
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => Self::Heading,
            b"hr" => Self::Hr,
            b"img" | b"input" | b"meta" | b"link" | b"base" | b"wbr" | b"col" | b"area" | b"embed" | b"source" | b"track"
            | b"param" => Self::Input,
            b"li" => Self::Item,
            b"label" => Self::Label,
            b"ul" | b"ol" | b"dl" => Self::List,
            b"main" => Self::Main,
            b"menu" => Self::Menu,
            b"nav" => Self::Nav,
            b"script" | b"style" | b"noscript" | b"textarea" | b"title" | b"iframe" | b"noframes" | b"xmp" | b"svg"
            | b"template" | b"noembed" | b"audio" | b"video" | b"canvas" | b"object" => Self::Opaque,
            b"p" => Self::P,
            b"pre" => Self::Pre,
            b"tr" => Self::Row,
            b"section" => Self::Section,
            b"select" | b"option" | b"datalist" => Self::Select,
            b"table" | b"tbody" | b"thead" | b"tfoot" => Self::Table,
            b"dt" | b"dd" => Self::Term,
            _ => Self::Inline,
        }
    }

    /// Whether the element begins a line of its own.
    pub(super) fn is_block(self) -> bool {
        !matches!(self, Self::A | Self::Button | Self::Inline | Self::Input | Self::Label | Self::Br | Self::Opaque)
    }

    /// Whether the element never has content.
    fn is_void(self) -> bool {
        matches!(self, Self::Br | Self::Hr | Self::Input)
    }

    /// Whether an open `p` ends where this begins.
    fn ends_paragraph(self) -> bool {
        self.is_block() && !matches!(self, Self::Cell | Self::Row | Self::Term | Self::Figcaption)
    }
}

/// An element or a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) tag: Tag,
    /// Whether it is a text, and no element.
    pub(super) is_text: bool,
    /// The text, or the element's attributes as written.
    pub(super) text: &'a str,
    pub(super) parent: u32,
    /// The node behind the last one below this: where to go on when it is passed over.
    pub(super) end: u32,
}

/// Nodes that are read of one page: no page for people has a tenth of them, and each costs many times its bytes.
const NODES: usize = 1 << 22;

/// All nodes of a page in document order; the first is the page itself.
pub(super) struct Tree<'a> {
    pub(super) nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    pub(super) fn parse(page: &'a str) -> Self {
        let root = Node { tag: Tag::Body, is_text: false, text: "", parent: NONE, end: 0 };
        let mut build = Build { nodes: vec![root], open: vec![(0, "")] };
        for token in Tokens::new(page) {
            match token {
                Token::Text(text) => {
                    build.add(Node { tag: Tag::Inline, is_text: true, text, parent: 0, end: 0 });
                }
                Token::Open(name, attributes) => build.open(name, attributes),
                Token::Close(name) => build.close(name),
            }
            if build.nodes.len() >= NODES {
                break;
            }
        }
        build.finish()
    }
}

struct Build<'a> {
    nodes: Vec<Node<'a>>,
    /// The open elements and their names, the outermost first.
    open: Vec<(u32, &'a str)>,
}

impl<'a> Build<'a> {
    fn add(&mut self, node: Node<'a>) -> u32 {
        let parent = self.open.last().map_or(0, |&(at, _)| at);
        let at = self.nodes.len() as u32;
        self.nodes.push(Node { parent, end: at + 1, ..node });
        at
    }

    fn tag(&self, at: u32) -> Tag {
        self.nodes[at as usize].tag
    }

    fn open(&mut self, name: &'a str, attributes: &'a str) {
        let tag = Tag::of(name);
        match tag {
            Tag::Item => self.end_within(&[Tag::Item], &[Tag::List, Tag::Menu, Tag::Cell]),
            Tag::Term => self.end_within(&[Tag::Term], &[Tag::List, Tag::Cell]),
            Tag::Cell => self.end_within(&[Tag::Cell], &[Tag::Row, Tag::Table]),
            Tag::Row => self.end_within(&[Tag::Row], &[Tag::Table]),
            Tag::Body => self.end_within(&[Tag::Head], &[]),
            _ => {}
        }
        if tag.ends_paragraph() {
            self.end_within(&[Tag::P], &[Tag::Cell, Tag::Item, Tag::Button, Tag::Table, Tag::Figure]);
        }
        let at = self.add(Node { tag, is_text: false, text: attributes, parent: 0, end: 0 });
        if !tag.is_void() && self.open.len() < DEPTH {
            self.open.push((at, name));
        }
    }

    fn close(&mut self, name: &'a str) {
        let tag = Tag::of(name);
        // A line's element that was left open does not reach beyond the block that holds it.
        for depth in (1..self.open.len()).rev() {
            let (at, open) = self.open[depth];
            if open.eq_ignore_ascii_case(name) {
                return self.end_from(depth);
            }
            let here = self.tag(at);
            let wall = matches!(here, Tag::Cell | Tag::Table) && !matches!(tag, Tag::Table | Tag::Row | Tag::Cell | Tag::Body);
            if wall || (!tag.is_block() && here.is_block()) {
                return;
            }
        }
    }

    /// Ends the innermost open element of the tags `ends`, unless one of `walls` stands before it.
    fn end_within(&mut self, ends: &[Tag], walls: &[Tag]) {
        for depth in (1..self.open.len()).rev() {
            let tag = self.tag(self.open[depth].0);
            if ends.contains(&tag) {
                return self.end_from(depth);
            }
            if walls.contains(&tag) || tag == Tag::Div {
                return;
            }
        }
    }

    fn end_from(&mut self, depth: usize) {
        let end = self.nodes.len() as u32;
        for (at, _) in self.open.drain(depth..) {
            self.nodes[at as usize].end = end;
        }
    }

    fn finish(mut self) -> Tree<'a> {
        self.end_from(0);
        Tree { nodes: self.nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in brackets.
    fn drawn(page: &str) -> String {
        let tree = Tree::parse(page);
        let mut out = String::new();
        let mut ends: Vec<u32> = Vec::new();
        for (at, node) in tree.nodes.iter().enumerate().skip(1) {
            while ends.last().is_some_and(|&end| end <= at as u32) {
                ends.pop();
                out.push(')');
            }
            if node.is_text {
                out.push_str(node.text);
            } else {
                out += &(format!("{:?}", node.tag) + "(");
                ends.push(node.end);
            }
        }
        out + &")".repeat(ends.len())
    }

    #[test]
    fn ends_that_are_not_written_are_found() {
        let cases = [
            ("<p>a<p>b", "P(a)P(b)"),
            ("<p>a<div>b</div>c", "P(a)Div(b)c"),
            ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e", "List(Item(a)Item(bList(Item(c)))Item(d))e"),
            ("<table><tr><td>a<td>b<tr><td>c</table>d", "Table(Row(Cell(a)Cell(b))Row(Cell(c)))d"),
            ("<dl><dt>a<dd>b<dt>c</dl>", "List(Term(a)Term(b)Term(c))"),
            ("<div><b>a</div>b</b>c", "Div(Inline(a))bc"),
            ("<div>a</p></span>b</div>", "Div(ab)"),
            ("<br>a<img src=x>b</br>", "Br()aInput()b"),
            ("<td>a</div>b", "Cell(ab)"),
        ];
        for (page, expect) in cases {
            assert_eq!(drawn(page), expect, "{page}");
        }
    }

    #[test]
    fn depth_is_bounded_and_nothing_is_lost() {
        let page = format!("{}x{}y", "<div>".repeat(100_000), "</div>".repeat(100_000));
        let tree = Tree::parse(&page);
        assert_eq!(tree.nodes.iter().filter(|node| node.is_text).count(), 2);
        assert_eq!(tree.nodes.len(), 100_003);
    }
}
