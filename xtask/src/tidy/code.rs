//! Rust text with its comments and literals blanked, so that rules read code only.

/// Replaces comments and the insides of string and character literals by spaces; lines stay where they are.
pub(super) fn only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = end_of_literal(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Whole characters were blanked, or none of one.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn end_of_literal(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + end_of_block(rest);
    }
    let starts_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if let Some(hashes) = raw_hashes(rest).filter(|_| starts_word) {
        let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
        let body = rest.iter().position(|&byte| byte == b'"').map_or(rest.len(), |quote| quote + 1);
        let length = rest[body..].windows(close.len()).position(|window| window == close);
        return at + length.map_or(rest.len(), |length| body + length + close.len());
    }
    match rest[0] {
        b'"' => at + end_of_quoted(rest, b'"'),
        // A character, not a lifetime: 'x' or '\...'.
        b'\'' if rest.get(1) == Some(&b'\\') || character_length(rest).is_some() => at + end_of_quoted(rest, b'\''),
        _ => at,
    }
}

/// The number of hashes when a raw string starts here.
fn raw_hashes(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"br").or_else(|| rest.strip_prefix(b"r"))?;
    let hashes = after.iter().take_while(|&&byte| byte == b'#').count();
    (after.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// The length of one character between quotes.
fn character_length(rest: &[u8]) -> Option<usize> {
    (2..=5).find(|&quote| {
        rest.get(quote) == Some(&b'\'') && std::str::from_utf8(&rest[1..quote]).is_ok_and(|inside| inside.chars().count() == 1)
    })
}

fn end_of_quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Block comments nest.
fn end_of_block(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_u32);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::only;

    #[test]
    fn comments_and_literals_go_and_code_stays() {
        let cases = [
            ("a // unsafe\nb", "b"),
            ("a /* unsafe /* unsafe */ unsafe */ b", "b"),
            (r#"a "unsafe \" unsafe" b"#, "b"),
            (r##"a r#"unsafe " unsafe"# b"##, "b"),
            ("a br\"unsafe\" b", "b"),
            (r"a '\'' b", "b"),
            ("a '\"' b", "b"),
            ("a 'é' \"unsafe\" b", "b"),
            ("a<'static>('x') b", "b"),
        ];
        for (text, kept) in cases {
            let code = only(text);
            assert!(!code.contains("unsafe"), "{text} -> {code}");
            assert!(code.starts_with('a') && code.trim_end().ends_with(kept), "{text} -> {code}");
            assert_eq!(code.lines().count(), text.lines().count(), "{text}");
        }
    }

    #[test]
    fn code_between_literals_is_seen() {
        let code = only("let s = \"x\"; unsafe { f::<'a>() } // y");
        assert!(code.contains("unsafe {"));
    }

    #[test]
    fn an_identifier_that_ends_in_r_starts_no_raw_string() {
        assert!(only("matcher\"unsafe\" after").contains("after"));
    }
}
