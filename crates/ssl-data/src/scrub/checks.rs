//! The check digits by which numbers of people and accounts are told from other numbers.

/// Whether digits pass the check of payment cards. Source: ISO/IEC 7812-1, annex B (H. P. Luhn, 1960).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let value = u32::from(digit) << (place % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the digits begin like those of a network that issues cards of their length.
pub(super) fn issued(digits: &[u8]) -> bool {
    let lead = |count: usize| digits.iter().take(count).fold(0, |number, &digit| number * 10 + u32::from(digit));
    match digits.len() {
        13 => lead(1) == 4,
        14 => matches!(lead(3), 300..=305) || matches!(lead(2), 36 | 38 | 39),
        15 => matches!(lead(2), 34 | 37),
        16..=19 => {
            let long = lead(1) == 4 && matches!(digits.len(), 16 | 19) || digits.len() == 16 && matches!(lead(2), 51..=55);
            long || digits.len() == 16 && matches!(lead(4), 2221..=2720)
                || lead(4) == 6011
                || matches!(lead(2), 62 | 65)
                || matches!(lead(3), 644..=649)
                || matches!(lead(4), 3528..=3589)
        }
        _ => false,
    }
}

/// The length of an account number in the countries that have IBAN. Source: the SWIFT IBAN registry, release 99.
pub(super) fn iban_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FO" | b"FI" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" | b"MN" => 20,
        b"HR" | b"LV" | b"LI" | b"CH" => 21,
        b"BH" | b"BG" | b"CR" | b"GE" | b"DE" | b"IE" | b"ME" | b"RS" | b"GB" | b"VA" => 22,
        b"GI" | b"IL" | b"IQ" | b"TL" | b"AE" | b"OM" | b"SO" => 23,
        b"AD" | b"CZ" | b"MD" | b"PK" | b"RO" | b"SA" | b"SK" | b"ES" | b"SE" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MR" | b"MC" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"SV" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// Whether letters and digits pass the check of account numbers. Source: ISO 13616-1; ISO 7064, modulo 97-10.
pub(super) fn iban(chars: &[u8]) -> bool {
    let moved = chars.iter().skip(4).chain(chars.iter().take(4));
    moved.fold(0, |rest, &char| match char {
        b'0'..=b'9' => (rest * 10 + u32::from(char - b'0')) % 97,
        _ => (rest * 100 + u32::from(char.to_ascii_uppercase()) - u32::from(b'A') + 10) % 97,
    }) == 1
}

/// Whether 17 digits and a check character are those of a resident of China. Source: GB 11643-1999; ISO 7064, modulo 11-2.
pub(super) fn china(chars: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let number =
        |range: std::ops::Range<usize>| chars[range].iter().fold(0, |number, &digit| number * 10 + u32::from(digit - b'0'));
    if chars.len() != 18 || !chars[..17].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum: u32 = chars.iter().zip(WEIGHTS).map(|(&digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = b"10X98765432"[sum as usize % 11];
    matches!(number(0..2), 11..=91)
        && matches!(number(6..10), 1880..=2099)
        && matches!(number(10..12), 1..=12)
        && matches!(number(12..14), 1..=31)
        && chars[17].to_ascii_uppercase() == check
}

/// Whether twelve digits pass the check of an Aadhaar number of India. Source: Verhoeff 1969, "Error detecting decimal codes".
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    const TURN: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    // The group of a pentagon's symmetries.
    let product = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let turned = |digit: u8, place: usize| (0..place % 8).fold(usize::from(digit), |digit, _| TURN[digit]);
    digits.iter().rev().enumerate().fold(0, |sum, (place, &digit)| product(sum, turned(digit, place))) == 0
}

/// Whether eleven digits pass the check of a taxpayer of Brazil (CPF). Source: Receita Federal; weighted sums modulo 11.
pub(super) fn cpf(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let sum: u32 =
            digits[..count].iter().zip((2..=count as u32 + 1).rev()).map(|(&digit, weight)| u32::from(digit) * weight).sum();
        (sum * 10 % 11 % 10) as u8
    };
    digits.len() == 11 && digits.iter().any(|digit| *digit != digits[0]) && check(9) == digits[9] && check(10) == digits[10]
}

/// Whether nine digits can be a social security number of the USA. Source: Social Security Administration, rules since 2011.
pub(super) fn ssn(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| digits.iter().fold(0, |number, &digit| number * 10 + u32::from(digit));
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|byte| byte - b'0').collect()
    }

    #[test]
    fn published_examples_pass_and_their_neighbours_do_not() {
        for card in
            ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000", "30569309025904"]
        {
            assert!(luhn(&digits(card)) && issued(&digits(card)), "{card}");
        }
        assert!(!luhn(&digits("4111111111111112")) && !issued(&digits("9111111111111111")));
        // From ISO 13616 and the registry.
        for account in ["GB29NWBK60161331926819", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947"] {
            assert!(iban(account.as_bytes()), "{account}");
            assert_eq!(iban_length([account.as_bytes()[0], account.as_bytes()[1]]), Some(account.len()));
        }
        assert!(!iban(b"GB29NWBK60161331926818"));
        // From GB 11643.
        assert!(china(b"11010519491231002X") && china(b"440524188001010014") && !china(b"110105194912310021"));
        // From Verhoeff's own example, 236 with its check digit 3.
        assert!(verhoeff(&[2, 3, 6, 3]) && !verhoeff(&[2, 3, 6, 4]) && !verhoeff(&[3, 2, 6, 3]));
        assert!(cpf(&digits("52998224725")) && !cpf(&digits("52998224724")) && !cpf(&digits("11111111111")));
        assert!(ssn(&digits("123456789")) && !ssn(&digits("666123456")) && !ssn(&digits("123006789")));
    }
}
