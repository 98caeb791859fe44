//! Cuts a JSON file into the elements of its array, without holding more than one: brackets and strings are followed, and the
//! element itself is read later, as a line of JSONL is.

use std::io::{self, BufRead};

use super::feed::{Cut, Feed};
use super::records::{Item, Record};
use crate::clean::Reason;
use crate::config::Format;

/// Cuts an array into its elements; values that stand one after another are taken as if they stood in one.
#[derive(Default)]
pub(super) struct Elements {
    begun: bool,
    /// Whether the values stand in an array.
    array: bool,
}

/// Where in a value the next byte stands.
#[derive(Default)]
struct Value {
    depth: u64,
    string: bool,
    escaped: bool,
    /// Whether the value is neither object, array nor string, so that it ends where something else begins.
    bare: bool,
}

/// What a byte is to the value that is read.
enum Step {
    Inside,
    /// Its last byte.
    Last,
    /// The first byte behind it.
    Behind,
}

impl Value {
    fn step(&mut self, byte: u8) -> Step {
        if self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.string = false;
                    return if self.depth == 0 { Step::Last } else { Step::Inside };
                }
                _ => {}
            }
            return Step::Inside;
        }
        match byte {
            b'"' if !self.bare => self.string = true,
            b'{' | b'[' if !self.bare => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                return if self.depth == 0 { Step::Last } else { Step::Inside };
            }
            b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return Step::Behind,
            _ => self.bare |= self.depth == 0,
        }
        Step::Inside
    }
}

impl Elements {
    /// Passes over what stands between values; the first byte of the next, if there is one.
    fn pass_to_value(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<u8>> {
        loop {
            let block = feed.fill_buf()?;
            let Some(&byte) = block.first() else { return Ok(None) };
            match byte {
                b'[' if !self.begun => self.array = true,
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xef | 0xbb | 0xbf => {}
                b']' if self.array => {}
                _ => {
                    self.begun = true;
                    return Ok(Some(byte));
                }
            }
            self.begun |= byte == b'[';
            feed.line += u64::from(byte == b'\n');
            feed.consume(1);
        }
    }
}

impl Cut for Elements {
    fn next(&mut self, feed: &mut Feed<'_>) -> io::Result<Option<Item>> {
        if self.pass_to_value(feed)?.is_none() {
            return Ok(None);
        }
        let (line, offset, limit) = (feed.line, feed.offset, feed.limit);
        let (mut value, mut bytes, mut size, mut lines) = (Value::default(), Vec::new(), 0, 0);
        let ended = loop {
            let block = feed.fill_buf()?;
            if block.is_empty() {
                break value.bare;
            }
            let (mut used, mut ended) = (0, false);
            for &byte in block {
                let step = value.step(byte);
                ended = !matches!(step, Step::Inside);
                if matches!(step, Step::Behind) {
                    break;
                }
                used += 1;
                lines += u64::from(byte == b'\n');
                if ended {
                    break;
                }
            }
            size += used as u64;
            if size <= limit {
                bytes.extend_from_slice(&block[..used]);
            } else {
                bytes = Vec::new();
            }
            // A stray closing bracket is a value of its own, that is no JSON.
            if ended && size == 0 {
                used = 1;
                size = 1;
                bytes.push(block[0]);
            }
            feed.consume(used);
            if ended {
                break true;
            }
        };
        feed.line += lines;
        if size > limit {
            return Ok(Some(feed.dropped(Reason::TooLarge, line)));
        }
        if !ended {
            return Ok(Some(feed.dropped(Reason::Damaged, line)));
        }
        let item = feed.record(bytes, line, offset);
        let Item::Record(record) = item else { return Ok(Some(item)) };
        Ok(Some(Item::Record(Record { format: Format::Jsonl, ..record })))
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::testing::{cut, ok};
    use super::*;

    #[test]
    fn elements_come_out_as_they_stand() {
        let file = "\u{feff}[\n {\"text\": \"a ] } \\\" , b\", \"n\": [1, {\"m\": 2}]},\n\n\"x\", 12,null ]\n";
        assert_eq!(
            cut(file.as_bytes(), Format::Json, 99),
            [
                ok(2, 6, "{\"text\": \"a ] } \\\" , b\", \"n\": [1, {\"m\": 2}]}"),
                ok(4, 53, "\"x\""),
                ok(4, 58, "12"),
                ok(4, 61, "null")
            ]
        );
        assert_eq!(cut(b"{\"a\": 1}\n{\"b\": [2]}", Format::Json, 99), [ok(1, 0, "{\"a\": 1}"), ok(2, 9, "{\"b\": [2]}")]);
        assert_eq!(cut(b"[]", Format::Json, 99), [(1, 0, Err(Reason::EmptyFile))]);
    }

    #[test]
    fn what_is_broken_or_too_large_is_named() {
        assert_eq!(cut(b"[{\"a\": 1},\n{\"b\": ", Format::Json, 99), [ok(1, 1, "{\"a\": 1}"), (2, 0, Err(Reason::Damaged))]);
        let long = format!("[\"{}\",\n1]", "x".repeat(600_000));
        assert_eq!(cut(long.as_bytes(), Format::Json, 9), [(1, 0, Err(Reason::TooLarge)), ok(2, 600_005, "1")]);
        let deep = format!("[{}", "[".repeat(1_000_000));
        assert_eq!(cut(deep.as_bytes(), Format::Json, 99), [(1, 0, Err(Reason::TooLarge))]);
        assert_eq!(cut(b"[1}, 2]", Format::Json, 99), [ok(1, 1, "1"), ok(1, 2, "}"), ok(1, 5, "2")]);
    }
}
