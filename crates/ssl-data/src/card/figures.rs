//! Numbers as people read them.

/// A count with its thousands apart: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// So many of a thing: `1 file`, `1,200 files`.
pub(super) fn of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A quantity in three digits and a decimal prefix: `412 k`, `1.23 M`, `75`.
pub(super) fn scaled(number: u64) -> String {
    let mut scaled = number as f64;
    for prefix in ["", " k", " M", " G", " T"] {
        // Rounded up, 999.95 would show as 1000.
        if scaled < 999.5 {
            return significant(scaled) + prefix;
        }
        scaled /= 1000.0;
    }
    significant(scaled) + " P"
}

/// A size in decimal units: `12.3 MB`.
pub(super) fn bytes(number: u64) -> String {
    let text = scaled(number);
    let space = if text.contains(' ') { "" } else { " " };
    format!("{text}{space}B")
}

/// One number as a part of another: `12.5 %`; a dash where there is no other.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { significant(part as f64 / whole as f64 * 100.0) + " %" }
}

/// A share from 0 to 1 in whole percents, beside either end in tenths and never rounded to all: `5 %`, `99.9 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text =
        if (1.0..99.0).contains(&percent) { format!("{percent:.0}") } else { format!("{:.1}", (percent * 10.0).floor() / 10.0) };
    text.trim_end_matches(".0").to_owned() + " %"
}

/// One number by another, to two decimals; a dash where there is no other.
pub(super) fn ratio(a: u64, b: u64) -> String {
    if b == 0 { "–".into() } else { format!("{:.2}", a as f64 / b as f64) }
}

/// The numbers from 2^k up to 2^(k + 1) - 1: `4–7`, `1 k–2 k`; 1024 counts as a thousand, as it does in lengths of context.
pub(super) fn octave(power: usize) -> String {
    let name = |power: usize| match power {
        0..10 => (1_u64 << power).to_string(),
        10..20 => format!("{} k", 1_u64 << (power - 10)),
        _ => format!("{} M", 1_u64 << (power - 20).min(40)),
    };
    match power {
        0 => "up to 1".into(),
        1..10 => format!("{}–{}", name(power), (2_u64 << power) - 1),
        _ => format!("{}–{}", name(power), name(power + 1)),
    }
}

/// Three digits that matter, as few as that: `0.042`, `7.5`, `38.1`, `412`.
fn significant(number: f64) -> String {
    let size = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    let text = format!("{number:.*}", (2 - size).clamp(0, 9) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 999, 12_345_678, 999_999].map(bytes), ["0 B", "999 B", "12.3 MB", "1 MB"]);
        assert_eq!([1, 2].map(|files| of(files, "file", "files")), ["1 file", "2 files"]);
        assert_eq!((share(1, 8), share(1, 0), share(1, 30_000)), ("12.5 %".into(), "–".into(), "0.00333 %".into()));
        assert_eq!([0.0, 0.0035, 0.052, 0.9, 0.9996, 1.0].map(percent), ["0 %", "0.3 %", "5 %", "90 %", "99.9 %", "100 %"]);
        assert_eq!((ratio(7, 2), ratio(7, 0)), ("3.50".into(), "–".into()));
    }

    #[test]
    fn octaves_say_their_ends() {
        assert_eq!(
            [0, 1, 2, 9, 10, 19, 20].map(octave),
            ["up to 1", "2–3", "4–7", "512–1023", "1 k–2 k", "512 k–1 M", "1 M–2 M"]
        );
    }
}
