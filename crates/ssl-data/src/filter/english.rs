//! Cuts English text into words as spaCy does, for the counts that the rules of others are stated in.
//!
//! Text is cut at white space; from each piece signs are taken off at both ends until a word of the table or nothing more to
//! take is left; what is left is one word if it is an address, else it is cut at signs inside it.
//!
//! Source: spaCy 3.8, `tokenizer.pyx` (`_split_affixes`, `_attach_tokens`) and `lang/{punctuation,en}`. Differs: see
//! [`classes`](super::classes); Arabic units, addresses of more than 2,000 bytes and those that are only an IP number are not
//! looked for.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use xxhash_rust::xxh3::Xxh3Default;

use super::classes::{BEFORE_STOP, CURRENCY, ICON, LETTER, LOWER, PREFIX, QUOTE, SUFFIX, UPPER, classes, is};

type Table = HashMap<String, Vec<usize>, BuildHasherDefault<Xxh3Default>>;

/// Words that are cut by table, or stay whole by it: the lengths of their parts.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines = include_str!("english.txt").lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| (line.replace(' ', ""), line.split(' ').map(str::len).collect())).collect()
});

/// More bytes than any word of the table.
const LONGEST: usize = 32;

/// An address is not looked for in a longer piece.
const ADDRESS: usize = 2000;

/// Signs of mail in a piece after which a host is looked for.
const USERS: usize = 4;

const UNITS: [&str; 63] = [
    "km", "km²", "km³", "m", "m²", "m³", "dm", "dm²", "dm³", "cm", "cm²", "cm³", "mm", "mm²", "mm³", "ha", "µm", "nm", "yd",
    "in", "ft", "kg", "g", "mg", "µg", "t", "lb", "oz", "m/s", "km/h", "kmh", "mph", "hPa", "Pa", "mbar", "mb", "MB", "kb", "KB",
    "gb", "GB", "tb", "TB", "T", "G", "M", "K", "%", "км", "км²", "км³", "м", "м²", "м³", "кг", "г", "мг", "м/с", "км/ч", "Мб",
    "Гб", "Кб", "Тб",
];

fn table(piece: &str) -> Option<&'static [usize]> {
    if piece.len() > LONGEST { None } else { TABLE.get(piece).map(Vec::as_slice) }
}

/// Calls `each` with the words of a piece of text without white space, in order.
pub(super) fn cut<'a>(piece: &'a str, each: &mut impl FnMut(&'a str)) {
    if let Some(parts) = table(piece) {
        return emit(piece, parts, each);
    }
    // Nothing can be taken off or cut inside; most words are such.
    if piece.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return each(piece);
    }
    let mut words = Vec::with_capacity(8);
    affixes(piece, &mut words);
    merge(piece, &words, each);
}

fn emit<'a>(mut piece: &'a str, parts: &[usize], each: &mut impl FnMut(&'a str)) {
    for &length in parts {
        let (part, rest) = piece.split_at(length);
        each(part);
        piece = rest;
    }
}

/// Takes signs off both ends.
fn affixes<'a>(piece: &'a str, words: &mut Vec<&'a str>) {
    let mut ends = Vec::new();
    let mut rest = piece;
    while !rest.is_empty() && table(rest).is_none() {
        let before = prefix(rest);
        let (sign, inner) = rest.split_at(before);
        if before > 0 && table(inner).is_some() {
            words.push(sign);
            rest = inner;
            break;
        }
        let after = suffix(inner);
        let (outer, end) = rest.split_at(rest.len() - after);
        if after > 0 && table(outer).is_some() {
            ends.push(end);
            rest = outer;
            break;
        }
        if before + after == 0 {
            break;
        }
        if before > 0 {
            words.push(sign);
        }
        if after > 0 {
            ends.push(end);
        }
        rest = &rest[before..rest.len() - after];
    }
    if let Some(parts) = table(rest) {
        emit(rest, parts, &mut |word| words.push(word));
    } else if is_address(rest) {
        words.push(rest);
    } else {
        inside(rest, words);
    }
    words.extend(ends.into_iter().rev());
}

/// Neighbours that make a word of the table together are cut as it says, the most neighbours first.
fn merge<'a>(piece: &'a str, words: &[&'a str], each: &mut impl FnMut(&'a str)) {
    let (mut index, mut at) = (0, 0);
    'words: while index < words.len() {
        for count in (2..=5.min(words.len() - index)).rev() {
            let length = words[index..index + count].iter().map(|word| word.len()).sum::<usize>();
            let whole = &piece[at..at + length];
            if let Some(parts) = table(whole) {
                emit(whole, parts, each);
                (index, at) = (index + count, at + length);
                continue 'words;
            }
        }
        each(words[index]);
        at += words[index].len();
        index += 1;
    }
}

/// Bytes of the sign that `text` begins with, 0 without one.
fn prefix(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let rest = &text[first.len_utf8()..];
    match first {
        '+' => usize::from(!rest.starts_with(|next: char| next.is_ascii_digit())),
        '.' if rest.starts_with('.') => dots(text),
        'U' if rest.starts_with("S$") => 3,
        'C' | 'A' if rest.starts_with('$') => 2,
        _ if is(first, PREFIX) => first.len_utf8(),
        _ => 0,
    }
}

fn dots(text: &str) -> usize {
    text.bytes().take_while(|&byte| byte == b'.').count()
}

/// Bytes of the sign that `text` ends with, 0 without one.
fn suffix(text: &str) -> usize {
    let mut back = text.chars().rev();
    let Some(last) = back.next() else { return 0 };
    let before = back.next();
    if before.is_some_and(|digit| digit.is_ascii_digit()) && last == '+' {
        return 1;
    }
    if last.is_ascii_alphanumeric() && !matches!(last, 's' | 'S')
        || classes(last) & LETTER != 0
        || last == '%'
        || last == '²'
        || last == '³'
    {
        if let Some(mark @ ('\'' | '’')) = before.filter(|_| matches!(last, 's' | 'S')) {
            return mark.len_utf8() + 1;
        }
        return unit(text);
    }
    match last {
        '.' => {
            let run = text.bytes().rev().take_while(|&byte| byte == b'.').count();
            if run > 1 {
                return run;
            }
            let degrees = || matches!(before, Some('F' | 'f' | 'C' | 'c' | 'K' | 'k')) && text[..text.len() - 2].ends_with('°');
            let capitals = || {
                let mut two = text.chars().rev().skip(1).take(2).filter(|&char| is(char, UPPER));
                two.next().is_some() && two.next().is_some()
            };
            usize::from(before.is_some_and(|char| is(char, BEFORE_STOP)) || degrees() || capitals())
        }
        '…' if before == Some('…') => 6,
        _ if is(last, SUFFIX) => last.len_utf8(),
        _ if is(last, CURRENCY) => {
            let digit = |text: &str| text.ends_with(|char: char| char.is_ascii_digit());
            let whole = ["US$", "C$", "A$"].into_iter().find(|name| text.strip_suffix(name).is_some_and(digit));
            match whole {
                Some(name) => name.len(),
                None if digit(&text[..text.len() - last.len_utf8()]) => last.len_utf8(),
                None => 0,
            }
        }
        _ => 0,
    }
}

/// Bytes of the unit behind a number.
fn unit(text: &str) -> usize {
    // No unit is longer; without a digit so near the end there is none.
    if !text.bytes().rev().take(9).any(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let behind = |unit: &&str| text.strip_suffix(unit).is_some_and(|number| number.ends_with(|char: char| char.is_ascii_digit()));
    UNITS.iter().filter(|unit| behind(unit)).map(|unit| unit.len()).max().unwrap_or(0)
}

/// Cuts at signs between letters.
fn inside<'a>(text: &'a str, words: &mut Vec<&'a str>) {
    let (mut start, mut at) = (0, 0);
    let mut before = None;
    while let Some(char) = text[at..].chars().next() {
        // Letters and digits begin no sign.
        let length = if char.is_ascii_alphanumeric() { 0 } else { infix(before, char, &text[at..]) };
        if length == 0 || at == 0 {
            let step = length.max(char.len_utf8());
            before = text[at..at + step].chars().next_back();
            at += step;
            continue;
        }
        if at > start {
            words.push(&text[start..at]);
        }
        words.push(&text[at..at + length]);
        before = text[at..at + length].chars().next_back();
        at += length;
        start = at;
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
}

/// Bytes of the sign at which a word is cut: it begins `text` with `char`, behind `before`.
fn infix(before: Option<char>, char: char, text: &str) -> usize {
    let next = |length: usize| text[length..].chars().next();
    let letter = |char: Option<char>| char.is_some_and(|char| is(char, LETTER));
    let word = letter(before) || before.is_some_and(|char| char.is_ascii_digit());
    match char {
        '.' if text[1..].starts_with('.') => dots(text),
        '…' => 3,
        '.' => {
            let behind = before.is_some_and(|char| is(char, LOWER | QUOTE));
            usize::from(behind && next(1).is_some_and(|char| is(char, UPPER | QUOTE)))
        }
        ',' => usize::from(letter(before) && letter(next(1))),
        ':' | '<' | '>' | '=' | '/' => usize::from(word && letter(next(1))),
        '+' | '*' | '^' | '-'
            if before.is_some_and(|char| char.is_ascii_digit())
                && next(1).is_some_and(|next| next.is_ascii_digit() || next == '-') =>
        {
            1
        }
        '-' | '–' | '—' | '~' if word => {
            let signs = ["-", "–", "—", "--", "---", "——", "~"];
            signs.into_iter().find(|sign| text.starts_with(sign) && letter(next(sign.len()))).map_or(0, str::len)
        }
        _ if is(char, ICON) => char.len_utf8(),
        _ => 0,
    }
}

/// Whether it is a web or mail address: perhaps a scheme and a user, a host whose last part is of small letters, perhaps a port,
/// a path.
fn is_address(text: &str) -> bool {
    if text.len() > ADDRESS || !text.contains('.') {
        return false;
    }
    let scheme =
        |scheme: &str| scheme.chars().count() > 1 && scheme.chars().all(|char| char.is_alphanumeric() || "_+-.".contains(char));
    let rests = [Some(text), text.split_once("://").filter(|(before, _)| scheme(before)).map(|(_, rest)| rest)];
    rests
        .into_iter()
        .flatten()
        .any(|rest| host(rest) || rest.match_indices('@').take(USERS).any(|(at, _)| at > 0 && host(&rest[at + 1..])))
}

fn host(text: &str) -> bool {
    let end = text.find(['/', '?', '#', ':']).unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    let Some((labels, top)) = host.rsplit_once('.') else { return false };
    let alnum = |char: char| char.is_ascii_alphanumeric() || char >= '\u{a1}';
    let label = |label: &str| {
        label.starts_with(alnum)
            && label.ends_with(alnum)
            && label.len() <= 256
            && label.chars().all(|char| alnum(char) || char == '-' || char == '_')
    };
    let path = match rest.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            if !(2..=5).contains(&digits) {
                return false;
            }
            &port[digits..]
        }
        None => rest,
    };
    (path.is_empty() || path.starts_with(['/', '?', '#']))
        && top.chars().count() >= 2
        && top.chars().all(|char| is(char, LOWER))
        && labels.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_as_spacy_cuts_them() {
        // What spaCy 3.8 gives.
        let cases = [
            ("don't", "do n't"),
            ("cannot,", "can not ,"),
            ("\"Well,", "\" Well ,"),
            ("(e.g.,", "( e.g. ,"),
            ("U.S.A.", "U.S.A."),
            ("John's.", "John 's ."),
            ("dogs'", "dogs '"),
            ("well-known", "well - known"),
            ("word--word", "word -- word"),
            ("1999-2004", "1999 - 2004"),
            ("10km,", "10 km ,"),
            ("$3.50/day", "$ 3.50 / day"),
            ("wait...what", "wait ... what"),
            ("end.Next", "end . Next"),
            ("http://example.com/a?b=c.", "http://example.com/a?b=c ."),
            ("me@example.org>", "me@example.org >"),
            (":-)", ":-)"),
            ("hello:)", "hello :)"),
            ("I'll've", "I 'll 've"),
            ("NASA.", "NASA ."),
            ("A.", "A."),
            ("3pm", "3 pm"),
            ("+1", "+1"),
            ("100%", "100 %"),
            ("....", "...."),
        ];
        for (piece, expect) in cases {
            let mut words = Vec::new();
            cut(piece, &mut |word| words.push(word));
            assert_eq!(words.join(" "), expect, "{piece}");
        }
    }
}
