//! An HTTP message as an archive keeps it: its head, and its body without the codings it was sent in (RFC 9110, RFC 9112).

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Bytes of brotli's own buffer.
const BROTLI_BUFFER: usize = 16 << 10;

/// A message: a response, or a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http<'a> {
    /// The status of a response.
    pub status: Option<u16>,
    /// The fields of the head, in order.
    pub fields: Vec<(String, String)>,
    /// What stands behind the head, as sent.
    pub sent: &'a [u8],
}

impl<'a> Http<'a> {
    pub(super) fn parse(block: &'a [u8]) -> Option<Self> {
        let first = memchr::memchr(b'\n', block).map_or(block, |end| &block[..end]);
        let first = String::from_utf8_lossy(first.trim_ascii_end());
        let mut words = first.split_ascii_whitespace();
        let (one, two) = (words.next()?, words.next().unwrap_or(""));
        let response = one.to_ascii_uppercase().starts_with("HTTP/");
        if !response && !one.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut at = 0;
        while at < block.len() {
            let end = memchr::memchr(b'\n', &block[at..]).map_or(block.len(), |end| at + end + 1);
            let blank = block[at..end].trim_ascii().is_empty();
            at = end;
            if blank {
                break;
            }
        }
        let head = &block[first.len().min(at)..at];
        Some(Self { status: response.then(|| two.parse().ok()).flatten(), fields: fields(head), sent: &block[at..] })
    }

    /// The first field of that name, in any case of letters.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// The body without its codings; none where it has more than `limit` bytes.
    ///
    /// Servers state codings they do not use, and archivers undo codings without saying so: what cannot be undone from its
    /// first byte is taken as it is, what breaks later ends there.
    #[must_use]
    pub fn body(&self, limit: u64) -> Option<Cow<'a, [u8]>> {
        let named = |name| self.field(name).unwrap_or("").to_ascii_lowercase();
        let mut body = Cow::Borrowed(self.sent);
        if named("Transfer-Encoding").split(',').any(|coding| coding.trim() == "chunked") {
            body = unchunk(self.sent);
        }
        // The last coding named was the last applied.
        for coding in named("Content-Encoding").rsplit(',') {
            let decoded = match coding.trim() {
                "gzip" | "x-gzip" => unpack(MultiGzDecoder::new(&*body), limit),
                "deflate" => unpack(ZlibDecoder::new(&*body), limit).or_else(|| unpack(DeflateDecoder::new(&*body), limit)),
                "br" => unpack(brotli_decompressor::Decompressor::new(&*body, BROTLI_BUFFER), limit),
                "zstd" => zstd::Decoder::new(&*body).ok().and_then(|decoder| unpack(decoder, limit)),
                _ => None,
            };
            if let Some(decoded) = decoded {
                body = Cow::Owned(decoded);
            }
        }
        (body.len() as u64 <= limit).then_some(body)
    }
}

/// Unpacks a little more than `limit` bytes at most; none where not one comes out.
fn unpack(decoder: impl Read, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let result: io::Result<usize> = decoder.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    (result.is_ok() || !bytes.is_empty()).then_some(bytes)
}

/// Joins chunks (RFC 9112, section 7.1); from where there is none, the rest as it is.
fn unchunk(sent: &[u8]) -> Cow<'_, [u8]> {
    let mut body = Vec::new();
    let mut rest = sent;
    while !rest.is_empty() {
        let line = memchr::memchr(b'\n', &rest[..rest.len().min(64)]).map(|end| (&rest[..end], &rest[end + 1..]));
        let size = line.and_then(|(line, behind)| {
            let digits = line.strip_suffix(b"\r")?.split(|&byte| byte == b';').next()?;
            let digits = std::str::from_utf8(digits).ok()?.trim();
            Some((usize::from_str_radix(digits, 16).ok().filter(|&size| size <= 1 << 31)?, behind))
        });
        let Some((size, behind)) = size else {
            if body.is_empty() && rest.len() == sent.len() {
                return Cow::Borrowed(sent);
            }
            body.extend_from_slice(rest);
            break;
        };
        if size == 0 {
            break;
        }
        let (chunk, behind) = behind.split_at(size.min(behind.len()));
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").unwrap_or(behind);
    }
    Cow::Owned(body)
}

/// The fields of a head; a line that begins with white space goes on with the one before.
pub(super) fn fields(head: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(&line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim_end().into(), value.trim_start().into()));
        }
    }
    fields
}

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
