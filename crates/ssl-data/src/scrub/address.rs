//! Addresses of mail and of machines, and the credentials inside links.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The mail address around the `@` at `at`. Source: RFC 5321, section 4.1.2 (dot-atoms; quoted local parts are not looked for).
pub(super) fn email(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.".contains(&byte);
    let run = text[..at].iter().rev().take(64).take_while(|&&byte| local(byte)).count();
    // Signs before the name belong to the text around it.
    let start = at - run + text[at - run..at].iter().position(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')?;
    if text[at - 1] == b'.' || memchr::memmem::find(&text[start..at], b"..").is_some() {
        return None;
    }
    let mut end = at + 1;
    let mut labels = 0;
    while let Some(length) = label(&text[end..]) {
        labels += 1;
        end += length;
        match text[end..] {
            [b'.', next, ..] if next.is_ascii_alphanumeric() && end - at < 253 => end += 1,
            _ => break,
        }
    }
    let domain = &text[at + 1..end];
    let top = domain.rsplit(|&byte| byte == b'.').next()?;
    let fits = labels > 1 && top.len() > 1 && top.iter().all(u8::is_ascii_alphabetic)
        || domain.rsplit(|&byte| byte == b'.').next().is_some_and(|top| labels > 1 && top.starts_with(b"xn--"));
    fits.then_some((start, end))
}

/// Bytes of the label of a host's name that `text` begins with.
fn label(text: &[u8]) -> Option<usize> {
    let run = text.iter().take(63).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let length = text[..run].iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    text[0].is_ascii_alphanumeric().then_some(length)
}

/// Bytes of the address of a machine, of version 4 or 6, that `text` begins with, if it is one of the public network.
pub(super) fn ip(text: &[u8]) -> Option<usize> {
    let run = text.iter().take(46).take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    let whole = text.get(run).is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    if !whole || run < 6 {
        return None;
    }
    // A full stop or colon of the sentence may follow.
    let mut candidate = std::str::from_utf8(&text[..run]).ok()?;
    for _ in 0..2 {
        if candidate.parse::<Ipv4Addr>().is_ok_and(is_public_4) || candidate.parse::<Ipv6Addr>().is_ok_and(is_public_6) {
            return Some(candidate.len());
        }
        // A port of version 4.
        if let Some((address, port)) = candidate.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && address.parse::<Ipv4Addr>().is_ok_and(is_public_4)
        {
            return Some(address.len());
        }
        candidate = candidate.strip_suffix(['.', ':'])?;
    }
    None
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || shared)
        && address.octets()[0] != 0
        && !address.is_multicast()
}

/// Global unicast, the only part of version 6 that names machines of the public network. Source: RFC 4291, section 2.4.
fn is_public_6(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xe000 == 0x2000
}

/// Whether a link may have the byte: what is not ASCII is not part of it. Source: RFC 3986, section 2.
fn in_link(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>\"'".contains(&byte)
}

/// The user and password of the link whose `://` is at `at`.
pub(super) fn credentials(text: &[u8], at: usize) -> Option<(usize, usize)> {
    if !text[..at].last().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let start = at + 3;
    let rest = &text[start..];
    let end = rest.iter().take(512).position(|&byte| byte == b'@' || !in_link(byte) || b"/?#".contains(&byte))?;
    let user = &rest[..end];
    let host = rest.get(end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[');
    let colon = user.iter().position(|&byte| byte == b':')?;
    (rest[end] == b'@' && host && colon + 1 < user.len()).then_some((start, start + end))
}

/// The values of secrets among the parameters of the link whose `://` is at `at`; gives the link's end.
pub(super) fn parameters(text: &[u8], at: usize, found: &mut impl FnMut(usize, usize)) -> usize {
    const NAMES: [&[u8]; 12] = [
        b"password",
        b"passwd",
        b"pwd",
        b"token",
        b"access_token",
        b"auth_token",
        b"api_key",
        b"apikey",
        b"secret",
        b"client_secret",
        b"signature",
        b"sessionid",
    ];
    let run = text[at..].iter().take(2048).take_while(|byte| in_link(**byte)).count();
    let link = &text[at..at + run];
    let Some(query) = link.iter().position(|&byte| byte == b'?') else { return at + run };
    let mut start = at + query + 1;
    for part in link[query + 1..].split(|byte| matches!(byte, b'&' | b';' | b'#' | b'?')) {
        if let Some(equals) = part.iter().position(|&byte| byte == b'=')
            && NAMES.iter().any(|name| part[..equals].eq_ignore_ascii_case(name))
            && equals + 1 < part.len()
        {
            found(start + equals + 1, start + part.len());
        }
        start += part.len() + 1;
    }
    at + run
}
