//! The documents of a web archive: the pages of WARC, the texts of WET.

use std::io;

use super::address::told;
use super::feed::{Cut, Feed};
use super::records::{Item, Record};
use super::warc::{self, Archive, Entry, Members};
use crate::clean::Reason;
use crate::config::Format;

impl Members for Feed<'_> {
    fn next_member(&mut self) -> io::Result<bool> {
        Feed::next_member(self)
    }

    fn skip_damage(&mut self, fault: io::Error) -> io::Result<bool> {
        Feed::skip_damage(self, fault)
    }
}

/// Takes documents out of an archive. Their line is the number of their record in the archive, from 1.
#[derive(Default)]
pub(super) struct Pages {
    archive: Option<Archive>,
    number: u64,
}

impl Cut for Pages {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        let archive = self.archive.get_or_insert_with(|| Archive::new(feed.limit));
        loop {
            let offset = feed.offset;
            let Some(entry) = archive.next(feed)? else { return Ok(None) };
            self.number += 1;
            let (page, address) = match entry {
                Entry::Record(record) => {
                    let address = record.address().map(|address| told(address).into());
                    (page(record, feed.limit), address)
                }
                Entry::TooLarge => (Err(Reason::TooLarge), None),
                Entry::Damaged => (Err(Reason::Damaged), None),
            };
            let mut item = match page {
                Ok(None) => continue,
                Ok(Some(page)) => {
                    let mut item = feed.record(page.bytes, self.number, offset);
                    if let Item::Record(record) = &mut item {
                        (record.format, record.charset) = (page.format, page.charset);
                    }
                    item
                }
                Err(reason) => feed.dropped(reason, self.number),
            };
            let (Item::Record(Record { origin, .. }) | Item::Dropped(_, origin, _)) = &mut item;
            origin.address = address;
            return Ok(Some(item));
        }
    }
}

struct Page {
    bytes: Vec<u8>,
    format: Format,
    charset: Option<Box<str>>,
}

/// The page that a record holds: none where it is of a kind that holds no page, such as a request.
fn page(record: warc::Record, limit: u64) -> Result<Option<Page>, Reason> {
    if !matches!(record.kind(), "response" | "conversion" | "resource") {
        return Ok(None);
    }
    if record.cut_off {
        return Err(Reason::Damaged);
    }
    let content = |value: Option<&str>| value.unwrap_or("").to_owned();
    let (media, body) = match record.http() {
        Some(http) => {
            if http.status.is_some_and(|status| !(200..300).contains(&status)) {
                return Err(Reason::HttpStatus);
            }
            let media = content(http.field("Content-Type"));
            if format_of(&media, http.sent).is_none() {
                return Err(Reason::NotText);
            }
            (media, http.body(limit).ok_or(Reason::TooLarge)?.into_owned())
        }
        None => (content(record.field("Content-Type")), record.block),
    };
    let format = format_of(&media, &body).ok_or(Reason::NotText)?;
    Ok(Some(Page { bytes: body, format, charset: charset(&media).map(Into::into) }))
}

/// What a body of this media type is, if it is text that people read; without a type, what it looks like.
fn format_of(media: &str, body: &[u8]) -> Option<Format> {
    let essence = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/html" | "application/xhtml+xml" => Some(Format::Html),
        "text/plain" => Some(Format::Text),
        "" => {
            let start = body.trim_ascii_start();
            let start = start[..start.len().min(15)].to_ascii_lowercase();
            (start.starts_with(b"<!doctype html") || start.starts_with(b"<html")).then_some(Format::Html)
        }
        _ => None,
    }
}

/// The encoding that a media type names.
fn charset(media: &str) -> Option<&str> {
    let named = media.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Some(named.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_as_servers_write_them() {
        for media in ["text/html; charset=\"GBK\"", "Text/HTML;boundary=x; Charset = 'GBK' ", "text/plain;charset=GBK"] {
            assert_eq!(charset(media), Some("GBK"), "{media}");
        }
        assert_eq!(charset("text/html"), None);
        let cases = [
            ("text/HTML ; x", "", Some(Format::Html)),
            ("application/xhtml+xml", "", Some(Format::Html)),
            ("text/plain", "<html>", Some(Format::Text)),
            ("image/png", "<html>", None),
            ("", " \n<!DOCTYPE html>", Some(Format::Html)),
            ("", "\x7fELF", None),
        ];
        for (media, body, expect) in cases {
            assert_eq!(format_of(media, body.as_bytes()), expect, "{media} {body}");
        }
    }
}
