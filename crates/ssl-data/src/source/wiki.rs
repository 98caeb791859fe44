//! Cuts a dump of a wiki (`<mediawiki><page>...`) into its articles: pages of the first name space that are no redirections,
//! each with its last revision. What a page holds is wikitext, which cleaning turns into text.

use std::io::{self, BufRead, Read};

use super::feed::{Cut, Feed};
use super::records::{Item, Record};
use crate::clean::Reason;
use crate::config::Format;

/// The longest tag that is looked at.
const TAG: u64 = 64 << 10;

/// Cuts a dump into pages.
#[derive(Default)]
pub(super) struct Dump {
    page: Option<Page>,
}

#[derive(Default)]
struct Page {
    line: u64,
    offset: u64,
    title: Vec<u8>,
    text: Vec<u8>,
    /// Whether it is a redirection, or stands in another name space.
    other: bool,
    large: bool,
}

impl Cut for Dump {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        let limit = feed.limit;
        let (mut content, mut tag) = (Vec::new(), Vec::new());
        loop {
            content.clear();
            let long = read_up_to(feed, b'<', limit, &mut content)?;
            tag.clear();
            let offset = feed.offset;
            feed.by_ref().take(TAG).read_until(b'>', &mut tag)?;
            feed.line += lines(&content) + lines(&tag);
            if tag.is_empty() {
                // A page that stands open at the end was cut off.
                return Ok(self.page.take().map(|page| feed.dropped(Reason::Damaged, page.line)));
            }
            let name = tag.split(|byte| b" \t\r\n/>".contains(byte)).next().unwrap_or(&[]);
            if name == b"page" {
                self.page = Some(Page { line: feed.line, offset: offset.saturating_sub(1), ..Page::default() });
                continue;
            }
            let Some(page) = &mut self.page else { continue };
            let text = content.strip_suffix(b"<").unwrap_or(&content);
            match &*tag {
                b"/title>" => page.title = text.to_vec(),
                b"/ns>" => page.other |= text.trim_ascii() != b"0",
                b"/text>" => {
                    page.large = long;
                    page.text = text.to_vec();
                }
                b"/page>" => {
                    if let Some(item) = self.page.take().and_then(|page| page.finish(feed)) {
                        return Ok(Some(item));
                    }
                }
                _ if name == b"redirect" => page.other = true,
                _ => {}
            }
        }
    }
}

impl Page {
    fn finish(self, feed: &Feed<'_>) -> Option<Item> {
        if self.other {
            return None;
        }
        if self.large {
            return Some(feed.dropped(Reason::TooLarge, self.line));
        }
        let mut bytes = self.title;
        bytes.extend_from_slice(b"\n\n");
        bytes.extend_from_slice(&self.text);
        let item = feed.record(bytes, self.line, self.offset);
        let Item::Record(record) = item else { return Some(item) };
        Some(Item::Record(Record { format: Format::Wiki, ..record }))
    }
}

/// Appends everything up to and with `end`, but no more than `limit` bytes and a little; whether there was more.
fn read_up_to(feed: &mut Feed<'_>, end: u8, limit: u64, into: &mut Vec<u8>) -> io::Result<bool> {
    feed.by_ref().take(limit.saturating_add(1)).read_until(end, into)?;
    let mut long = false;
    while into.last().is_some_and(|&last| last != end) && into.len() as u64 > limit {
        long = true;
        into.truncate(1);
        feed.by_ref().take(limit.saturating_add(1)).read_until(end, into)?;
        if into.len() == 1 {
            break;
        }
    }
    Ok(long)
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::records::testing::cut;
    use super::*;

    #[test]
    fn articles_come_out_with_their_last_revision() {
        let dump = "<mediawiki><siteinfo><title>no</title></siteinfo>\n<page>\n<title>A &amp; B</title><ns>0</ns>\n<revision><text bytes=\"3\">old</text></revision>\
                    <revision><text xml:space=\"preserve\">''new'' &lt;ref&gt;</text></revision></page>\n<page><title>T:x</title><ns>1</ns><text>talk</text></page>\
                    <page><title>R</title><ns>0</ns><redirect title=\"A\" /><text>#REDIRECT</text></page><page><title>E</title><text /></page>\n<page><title>cut";
        let found = cut(dump.as_bytes(), Format::Wiki, 99);
        let texts: Vec<_> = found.iter().map(|(line, _, text)| (*line, text.as_deref())).collect();
        let expect = [(2, Ok("A &amp; B\n\n''new'' &lt;ref&gt;")), (5, Ok("E\n\n")), (6, Err(&Reason::Damaged))];
        assert_eq!(texts, expect);
    }

    #[test]
    fn a_page_that_is_too_large_is_passed_over() {
        let dump = format!(
            "<page><title>L</title><text>{}</text></page><page><title>S</title><text>s</text></page>",
            "x".repeat(600_000)
        );
        let found = cut(dump.as_bytes(), Format::Wiki, 99);
        assert_eq!(found.iter().map(|item| item.2.clone()).collect::<Vec<_>>(), [Err(Reason::TooLarge), Ok("S\n\ns".into())]);
    }
}
