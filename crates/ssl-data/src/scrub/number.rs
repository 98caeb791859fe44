//! Numbers of cards, accounts, people and telephones, by their shapes and check digits.

use super::Kind;
use super::checks;

/// The most bytes that one number is looked for in.
const LONGEST: usize = 44;

/// Digits, letters and what stands between them, from one place of a text on.
struct Shape {
    /// The characters without signs.
    chars: Vec<u8>,
    /// For each of them: the sign before it, 0 without one, and the bytes up to its end.
    before: Vec<u8>,
    ends: Vec<usize>,
}

impl Shape {
    /// Reads characters that `wanted` names, with one of `signs` at a time between them.
    fn read(text: &[u8], wanted: impl Fn(u8) -> bool, signs: &[u8]) -> Self {
        let mut shape = Self { chars: Vec::new(), before: Vec::new(), ends: Vec::new() };
        let mut sign = 0;
        for (at, &byte) in text.iter().take(LONGEST).enumerate() {
            if wanted(byte) {
                shape.chars.push(byte);
                shape.before.push(sign);
                shape.ends.push(at + 1);
                sign = 0;
            } else if sign == 0 && signs.contains(&byte) && !shape.chars.is_empty() {
                sign = byte;
            } else {
                break;
            }
        }
        shape
    }

    fn digits(&self) -> Vec<u8> {
        self.chars.iter().map(|char| char.wrapping_sub(b'0')).collect()
    }

    /// The lengths of the groups that signs part, of the first `count` characters.
    fn groups(&self, count: usize) -> Vec<usize> {
        let mut groups = Vec::new();
        for &sign in &self.before[..count] {
            match groups.last_mut() {
                Some(group) if sign == 0 => *group += 1,
                _ => groups.push(1),
            }
        }
        groups
    }

    /// Whether all signs among the first `count` characters are `sign`.
    fn only(&self, count: usize, sign: u8) -> bool {
        self.before[..count].iter().all(|&before| before == 0 || before == sign)
    }
}

/// Whether a number may end before `rest`.
fn ends(rest: &[u8]) -> bool {
    match rest {
        [byte, ..] if byte.is_ascii_alphanumeric() || *byte == b'_' => false,
        [b'.' | b',' | b'-', byte, ..] if byte.is_ascii_digit() => false,
        _ => true,
    }
}

/// The numbers of a kind that begin `text`, as bytes; the text before ends no word.
pub(super) fn begins(text: &[u8], found: &mut impl FnMut(Kind, usize)) {
    let digit = |byte: u8| byte.is_ascii_digit();
    let mut give = |kind: Kind, length: usize| {
        if ends(&text[length..]) {
            found(kind, length);
        }
    };
    match text.first() {
        Some(b'0'..=b'9') => {
            let shape = Shape::read(text, digit, b" -");
            if let Some(length) = card(&shape) {
                give(Kind::Card, length);
            }
            if let Some(length) = person(text, &shape) {
                give(Kind::NationalId, length);
            }
            if let Some(length) = national_phone(text) {
                give(Kind::Phone, length);
            }
        }
        Some(b'+' | b'(') => {
            if let Some(length) = world_phone(text).or_else(|| national_phone(text)) {
                give(Kind::Phone, length);
            }
        }
        Some(b'A'..=b'Z' | b'a'..=b'z') => {
            if let Some(length) = iban(text) {
                give(Kind::Iban, length);
            }
            if let Some(length) = insurance(text) {
                give(Kind::NationalId, length);
            }
        }
        _ => {}
    }
}

/// 13 to 19 digits in groups of at least two, of a network that issues cards.
fn card(shape: &Shape) -> Option<usize> {
    let digits = shape.digits();
    (13..=19.min(digits.len())).rev().find_map(|count| {
        // The next digit is parted from these by more than nothing.
        let ends = shape.before.get(count).is_none_or(|&sign| sign == b' ');
        let groups = shape.groups(count);
        let grouped = groups.len() == 1 || groups.len() <= 6 && groups.iter().all(|&group| group >= 2);
        let fine = ends && grouped && checks::issued(&digits[..count]) && checks::luhn(&digits[..count]);
        fine.then(|| shape.ends[count - 1])
    })
}

/// Numbers of people: USA, China, India, Spain, Brazil.
fn person(text: &[u8], shape: &Shape) -> Option<usize> {
    let count = shape.chars.len();
    let digits = shape.digits();
    let groups = shape.groups(count);
    if groups.starts_with(&[3, 2, 4])
        && groups.get(3).is_none_or(|_| shape.before[9] == b' ')
        && shape.only(9, b'-')
        && checks::ssn(&digits[..9])
    {
        return Some(shape.ends[8]);
    }
    if text.len() >= 18 && text[..17].iter().all(u8::is_ascii_digit) && checks::china(&text[..18]) {
        return Some(18);
    }
    if groups.starts_with(&[4, 4, 4])
        && groups.get(3).is_none_or(|&group| group != 4)
        && digits[0] > 1
        && shape.only(12, b' ')
        && checks::verhoeff(&digits[..12])
    {
        return Some(shape.ends[11]);
    }
    if let [number @ .., letter] = text.get(..9)?
        && number.iter().all(u8::is_ascii_digit)
        && letter.is_ascii_uppercase()
    {
        let value = number.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
        return (b"TRWAGMYFPDXBNJZSQVHLCKE"[value % 23] == *letter).then_some(9);
    }
    let cpf = text.get(..14)?;
    let dotted = cpf[3] == b'.' && cpf[7] == b'.' && cpf[11] == b'-';
    let digits: Vec<u8> = cpf.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect();
    (dotted && checks::cpf(&digits)).then_some(14)
}

/// A national insurance number of the United Kingdom. Source: HMRC, manual NIM39110.
fn insurance(text: &[u8]) -> Option<usize> {
    let shape = Shape::read(text, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit(), b" ");
    let chars = shape.chars.get(..9)?;
    let letters = !b"DFIQUV".contains(&chars[0]) && !b"DFIQUVO".contains(&chars[1]);
    let given = ![*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&[chars[0], chars[1]]);
    let alpha = chars[..2].iter().all(u8::is_ascii_uppercase) && matches!(chars[8], b'A'..=b'D');
    let grouped = matches!(shape.groups(9)[..], [9] | [2, 2, 2, 2, 1] | [2, 6, 1] | [8, 1]);
    (letters && given && alpha && grouped && chars[2..8].iter().all(u8::is_ascii_digit)).then(|| shape.ends[8])
}

/// An account number, whole or in groups of four.
fn iban(text: &[u8]) -> Option<usize> {
    let lead = text.get(..4)?;
    let country = [lead[0].to_ascii_uppercase(), lead[1].to_ascii_uppercase()];
    if !lead[2].is_ascii_digit() || !lead[3].is_ascii_digit() {
        return None;
    }
    let length = checks::iban_length(country)?;
    let shape = Shape::read(text, |byte| byte.is_ascii_alphanumeric(), b" -");
    let chars = shape.chars.get(..length)?;
    let groups = shape.groups(length);
    let grouped = groups.len() == 1 || groups[..groups.len() - 1].iter().all(|&group| group == 4);
    (grouped && checks::iban(chars)).then(|| shape.ends[length - 1])
}

/// A number with `+` and the code of a country: 8 to 15 digits in all. Source: ITU-T E.164, section 6.
fn world_phone(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"(+"))?;
    let skipped = text.len() - rest.len();
    let (mut digits, mut end, mut gap) = (0, 0, 0);
    for (at, &byte) in rest.iter().take(LONGEST).enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + 1;
                gap = 0;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if digits > 0 && gap < 2 => gap += 1,
            _ => break,
        }
        if digits > 15 {
            return None;
        }
    }
    (digits >= 8 && rest[0] != b'0').then_some(skipped + end)
}

/// A number as it is written within China, North America, the United Kingdom and France.
fn national_phone(text: &[u8]) -> Option<usize> {
    let shape = Shape::read(text, |byte| byte.is_ascii_digit(), b" -.");
    let digits = shape.digits();
    let count = digits.len();
    let groups = shape.groups(count);
    let number =
        |range: std::ops::Range<usize>| digits[range].iter().fold(0, |number: u32, &digit| number * 10 + u32::from(digit));
    // Mobile telephones of China: eleven digits, perhaps as 3-4-4.
    if count == 11 && digits[0] == 1 && digits[1] >= 3 && matches!(groups[..], [11] | [3, 4, 4]) {
        return Some(shape.ends[10]);
    }
    // 0 and a city, then seven or eight digits.
    if matches!(groups[..], [3 | 4, 7 | 8]) && digits[0] == 0 && digits[1] > 0 && shape.only(count, b'-') {
        return Some(shape.ends[count - 1]);
    }
    // North America: area and exchange begin with 2 to 9.
    let american = |from: usize| digits[from] > 1 && digits[from + 3] > 1;
    if groups.starts_with(&[3, 3, 4]) && (count == 10 || shape.before[10] == b' ') && american(0) {
        return Some(shape.ends[9]);
    }
    if groups.starts_with(&[1, 3, 3, 4]) && (count == 11 || shape.before[11] == b' ') && digits[0] == 1 && american(1) {
        return Some(shape.ends[10]);
    }
    if let Some(rest) = text.strip_prefix(b"(")
        && let Some(rest) = rest.strip_prefix(b"+").or(Some(rest))
        && let Some((area, after)) = rest.split_at_checked(3)
        && area.iter().all(u8::is_ascii_digit)
        && area[0] > b'1'
        && let Some(after) = after.strip_prefix(b")")
    {
        let after = after.strip_prefix(b" ").or(after.strip_prefix(b"-")).unwrap_or(after);
        let shape = Shape::read(after, |byte| byte.is_ascii_digit(), b" -.");
        let fits = shape.chars.len() >= 7
            && shape.groups(7) == [3, 4]
            && shape.chars[0] > b'1'
            && shape.before.get(7).is_none_or(|&sign| sign == b' ');
        return fits.then(|| text.len() - after.len() + shape.ends[6]);
    }
    // Mobile telephones of the United Kingdom, and France in pairs.
    if count == 11 && digits[..2] == [0, 7] && matches!(groups[..], [11] | [5, 6] | [5, 3, 3]) {
        return Some(shape.ends[10]);
    }
    let pairs = groups[..] == [2, 2, 2, 2, 2] && matches!(number(0..2), 1..=9);
    pairs.then(|| shape.ends[9])
}
