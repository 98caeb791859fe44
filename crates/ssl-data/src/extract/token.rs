//! Cuts HTML into tags and text, without copying and in one pass. Whatever the input, something comes out: a tag that does not
//! end runs to the end of the page, as in a browser.

use memchr::{memchr, memchr2, memmem};

/// One piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text as it stands, its character references not resolved.
    Text(&'a str),
    /// A tag that opens an element: its name as written, and what stands behind the name.
    Open(&'a str, &'a str),
    /// A tag that closes one.
    Close(&'a str),
}

/// The pieces of a page, in order. Comments, declarations and the content of [`OPAQUE`] elements are left out.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// The element whose content stands next and is no markup.
    opaque: Option<&'static str>,
}

enum Markup<'a> {
    Tag(Token<'a>),
    /// A comment or a declaration, which is no part of the page.
    Comment,
}

/// Elements whose content is no text of the page.
const OPAQUE: [&str; 11] =
    ["script", "style", "noscript", "textarea", "title", "iframe", "noframes", "xmp", "svg", "template", "noembed"];

impl<'a> Tokens<'a> {
    pub(super) fn new(page: &'a str) -> Self {
        Self { rest: page, opaque: None }
    }

    /// Passes over the content of an opaque element.
    fn skip_opaque(&mut self, name: &str) {
        let bytes = self.rest.as_bytes();
        let ends = memmem::find_iter(bytes, b"</").find(|&at| {
            let after = &bytes[at + 2..];
            after.len() >= name.len() && after[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        });
        // One that never ends hides the rest of the page, as in a browser.
        self.rest = &self.rest[ends.unwrap_or(self.rest.len())..];
    }

    /// Takes the tag or other markup at the start of the rest; says no where `<` is only a character.
    fn markup(&mut self) -> Option<Markup<'a>> {
        let rest = self.rest;
        let bytes = rest.as_bytes();
        match *bytes.get(1)? {
            b'!' | b'?' => {
                let end = if rest.starts_with("<!--") {
                    memmem::find(&bytes[4..], b"-->").map(|at| 4 + at + 3)
                } else {
                    memchr(b'>', bytes).map(|at| at + 1)
                };
                self.rest = &rest[end.unwrap_or(rest.len())..];
                Some(Markup::Comment)
            }
            b'/' if bytes.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                let end = memchr(b'>', bytes).unwrap_or(rest.len());
                let name = name_at(rest, 2);
                self.rest = rest.get(end + 1..).unwrap_or("");
                Some(Markup::Tag(Token::Close(name)))
            }
            byte if byte.is_ascii_alphabetic() => {
                let name = name_at(rest, 1);
                let behind = &rest[1 + name.len()..];
                let end = tag_end(behind.as_bytes());
                self.rest = behind.get(end + 1..).unwrap_or("");
                let attributes = &behind[..end];
                let opaque = OPAQUE.iter().find(|opaque| name.eq_ignore_ascii_case(opaque));
                self.opaque = opaque.filter(|_| !attributes.ends_with('/')).copied();
                Some(Markup::Tag(Token::Open(name, attributes)))
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if let Some(name) = self.opaque.take() {
                self.skip_opaque(name);
            }
            if self.rest.is_empty() {
                return None;
            }
            let mut from = 0;
            if self.rest.starts_with('<') {
                match self.markup() {
                    Some(Markup::Tag(token)) => return Some(token),
                    Some(Markup::Comment) => continue,
                    None => from = 1,
                }
            }
            let end = memchr(b'<', &self.rest.as_bytes()[from..]).map_or(self.rest.len(), |at| from + at);
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Token::Text(text));
        }
    }
}

fn name_at(text: &str, at: usize) -> &str {
    let name = &text[at..];
    let end = name.bytes().position(|byte| byte.is_ascii_whitespace() || byte == b'/' || byte == b'>').unwrap_or(name.len());
    &name[..end]
}

/// Where the `>` of a tag stands: outside of quoted values.
fn tag_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(next) = memchr2(b'>', b'=', &bytes[at..]) else { return bytes.len() };
        at += next;
        if bytes[at] == b'>' {
            return at;
        }
        // Only a value may be quoted; an apostrophe elsewhere is a character.
        at += 1;
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if let Some(&quote @ (b'"' | b'\'')) = bytes.get(at) {
            let Some(end) = memchr(quote, &bytes[at + 1..]) else { return bytes.len() };
            at += end + 2;
        }
    }
}

/// The value of an attribute, as written; empty where it has none.
pub(super) fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        // An `=` that comes first is part of the name.
        let end = rest.char_indices().skip(1).find(|&(_, c)| c.is_ascii_whitespace() || c == '/' || c == '=');
        let (key, behind) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = behind.trim_ascii_start();
        let mut value = "";
        if let Some(behind) = rest.strip_prefix('=') {
            let behind = behind.trim_ascii_start();
            let quote = behind.chars().next().filter(|&c| c == '"' || c == '\'');
            (value, rest) = match quote {
                Some(quote) => behind[1..].split_once(quote).unwrap_or((&behind[1..], "")),
                None => behind.split_at(behind.find(|c: char| c.is_ascii_whitespace()).unwrap_or(behind.len())),
            };
        }
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_as_browsers_cut_them() {
        use Token::{Close, Open, Text};
        let cases: [(&str, &[Token<'_>]); 12] = [
            ("a<b>c</b >", &[Text("a"), Open("b", ""), Text("c"), Close("b")]),
            ("<a title='x>y' b>z", &[Open("a", " title='x>y' b"), Text("z")]),
            ("<a it's>z", &[Open("a", " it's"), Text("z")]),
            ("<br/>", &[Open("br", "/")]),
            ("1 < 2 <3", &[Text("1 "), Text("< 2 "), Text("<3")]),
            ("a<!-- <b> -->c<!doctype x>d<?e?>", &[Text("a"), Text("c"), Text("d")]),
            ("<script>if (a</b) '</p>'</SCRIPT>x", &[Open("script", ""), Close("SCRIPT"), Text("x")]),
            ("a<!-- never ends", &[Text("a")]),
            ("<style>never ends", &[Open("style", "")]),
            ("<a href=\"never ends>x", &[Open("a", " href=\"never ends>x")]),
            ("</ x>a</", &[Text("</ x>a"), Text("</")]),
            ("<", &[Text("<")]),
        ];
        for (page, expect) in cases {
            assert_eq!(Tokens::new(page).collect::<Vec<_>>(), expect, "{page}");
        }
    }

    #[test]
    fn attributes_are_found_however_they_are_written() {
        let attributes = " hidden class = 'a b' ID=x/ =odd data-id=\"1\" title=\"never ends";
        for (name, value) in [
            ("hidden", Some("")),
            ("class", Some("a b")),
            ("id", Some("x/")),
            ("data-id", Some("1")),
            ("title", Some("never ends")),
            ("b", None),
        ] {
            assert_eq!(attribute(attributes, name), value, "{name}");
        }
    }
}
