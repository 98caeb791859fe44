//! Numbers as people read them.

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// A size in decimal units: `12.3 MB`.
pub(crate) fn bytes(number: f64) -> String {
    let text = scaled(number);
    let space = if text.contains(' ') { "" } else { " " };
    format!("{text}{space}B")
}

/// A quantity in three digits and a decimal prefix: `412 k`, `1.23 M`, `7.5`.
pub(crate) fn scaled(number: f64) -> String {
    let mut scaled = number;
    for prefix in ["", " k", " M", " G", " T"] {
        // Rounded up, 999.95 would show as 1000.
        if !scaled.is_finite() || scaled.abs() < 999.5 {
            return significant(scaled) + prefix;
        }
        scaled /= 1000.0;
    }
    format!("{number:.2e}")
}

/// Three digits that matter, as few as that: `0.042`, `7.5`, `38.1`, `412`.
pub(crate) fn significant(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string();
    }
    let size = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    let text = format!("{number:.*}", (2 - size).clamp(0, 9) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time: `0.42s`, `42s`, `3m05s`, `1h12m`, `3d04h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return significant((seconds * 100.0).round() / 100.0) + "s";
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes, seconds) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{seconds:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn sizes() {
        for (number, text) in [(0.0, "0 B"), (999.0, "999 B"), (1000.0, "1 kB"), (12_345_678.0, "12.3 MB"), (999_999.0, "1 MB")] {
            assert_eq!(bytes(number), text);
        }
        for (number, text) in
            [(412_000.0, "412 k"), (1_234_567.0, "1.23 M"), (7.5, "7.5"), (0.0, "0"), (f64::NAN, "NaN"), (3e16, "3.00e16")]
        {
            assert_eq!(scaled(number), text);
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.0, "0s"),
            (0.042, "0.04s"),
            (9.0, "9s"),
            (59.7, "1m00s"),
            (185.0, "3m05s"),
            (4320.0, "1h12m"),
            (273_600.0, "3d04h"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
            (-1.0, "?"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
