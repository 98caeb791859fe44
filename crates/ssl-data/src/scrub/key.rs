//! Keys to services: by the beginnings that their issuers give them, or by what is said before them and their entropy.
//!
//! Source: the issuers' own descriptions, as the rules of gitleaks 8 collect them; Shannon 1948 for the entropy.

/// How a key begins, the fewest characters that follow, and the most, 0 for any number.
const ISSUED: [(&[u8], usize, usize); 30] = [
    (b"AKIA", 16, 16), // Amazon
    (b"ASIA", 16, 16),
    (b"ghp_", 36, 255), // GitHub
    (b"gho_", 36, 255),
    (b"ghu_", 36, 255),
    (b"ghs_", 36, 255),
    (b"ghr_", 36, 255),
    (b"github_pat_", 22, 255),
    (b"glpat-", 20, 255),   // GitLab
    (b"sk-ant-", 20, 255),  // Anthropic
    (b"sk-proj-", 20, 255), // OpenAI
    (b"sk-", 20, 255),
    (b"sk_live_", 16, 255), // Stripe
    (b"sk_test_", 16, 255),
    (b"rk_live_", 16, 255),
    (b"pk_live_", 16, 255),
    (b"xoxb-", 10, 255), // Slack
    (b"xoxp-", 10, 255),
    (b"xoxa-", 10, 255),
    (b"xoxr-", 10, 255),
    (b"xoxs-", 10, 255),
    (b"AIza", 35, 35), // Google
    (b"ya29.", 20, 0),
    (b"hf_", 34, 40),  // Hugging Face
    (b"npm_", 36, 36), // npm
    (b"pypi-", 50, 0), // PyPI
    (b"dckr_pat_", 20, 255),
    (b"SG.", 40, 255),    // SendGrid
    (b"dop_v1_", 64, 64), // DigitalOcean
    (b"eyJ", 40, 0),      // JSON web tokens
];

/// Words after which, and a `:` or `=`, a secret stands.
const NAMED: [&str; 12] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "secret_key",
    "private_key",
    "auth_token",
    "client_secret",
];

/// Fewest bits a character of what is issued, so that `sk-xxxxxxxxxxxxxxxxxxxx` of a manual stays.
const ISSUED_BITS: f64 = 2.5;
/// Fewest bits a character of what stands after a name.
const NAMED_BITS: f64 = 3.5;

fn body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// The part of `text` that is a key, where one begins it, or a name and then a key do. `before` is what stands before, no letter or
/// digit. A key begins no stretch of characters of keys but the whole, so that none is read again and again.
pub(super) fn begins(text: &[u8], before: Option<u8>) -> Option<(usize, usize)> {
    let whole = before.is_none_or(|before| !body(before));
    let key = if whole { issued(text) } else { private(text).filter(|_| before == Some(b'-')) };
    key.map(|end| (0, end)).or_else(|| named(text))
}

fn issued(text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    ISSUED.iter().filter(|(prefix, ..)| prefix[0] == first && text.starts_with(prefix)).find_map(|&(prefix, least, most)| {
        let run = text[prefix.len()..].iter().take(4096).take_while(|&&byte| body(byte)).count();
        let key = trimmed(&text[prefix.len()..prefix.len() + run]);
        let fits = key.len() >= least && (most == 0 || key.len() <= most);
        // A web token is three parts.
        let parts = prefix != b"eyJ" || memchr::memchr_iter(b'.', key).count() == 2;
        (fits && parts && entropy(key) >= ISSUED_BITS).then_some(prefix.len() + key.len())
    })
}

/// Without the signs that end the sentence.
fn trimmed(key: &[u8]) -> &[u8] {
    let end = key.iter().rposition(|byte| !b".-".contains(byte)).map_or(0, |at| at + 1);
    &key[..end]
}

fn named(text: &[u8]) -> Option<(usize, usize)> {
    let first = text.first()?.to_ascii_lowercase();
    let name = NAMED
        .iter()
        .filter(|name| name.as_bytes()[0] == first)
        .filter(|name| text.get(..name.len()).is_some_and(|lead| lead.eq_ignore_ascii_case(name.as_bytes())));
    // The longest name: "secret_key", not "secret".
    let name = name.max_by_key(|name| name.len())?;
    let mut at = name.len();
    let skip = |at: &mut usize, what: &[u8]| {
        let run = text[*at..].iter().take(4).take_while(|byte| what.contains(byte)).count();
        *at += run;
        run
    };
    skip(&mut at, b" \"'");
    if skip(&mut at, b":=") == 0 {
        return None;
    }
    skip(&mut at, b" \"'`");
    let value = |byte: u8| body(byte) || b"/+=!@#$%^&*~".contains(&byte);
    let run = text[at..].iter().take(256).take_while(|&&byte| value(byte)).count();
    let key = trimmed(&text[at..at + run]);
    let mixed = key.iter().any(u8::is_ascii_digit) && key.iter().any(u8::is_ascii_alphabetic);
    (key.len() >= 16 && mixed && entropy(key) >= NAMED_BITS).then_some((at, at + key.len()))
}

/// A private key in PEM, from its first line to its last.
fn private(text: &[u8]) -> Option<usize> {
    let line = text.strip_prefix(b"BEGIN ")?;
    let line = &line[..line.len().min(60)];
    let label = &line[..memchr::memmem::find(line, b"-----")?];
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    let block = &text[..text.len().min(16 << 10)];
    let end = memchr::memmem::find(block, b"-----END ")?;
    Some(end + 9 + memchr::memmem::find(&block[end + 9..], b"-----")?)
}

/// Bits a character, by how often each occurs.
fn entropy(key: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in key {
        counts[byte as usize] += 1;
    }
    let share = |count: u32| f64::from(count) / key.len() as f64;
    counts.into_iter().filter(|&count| count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_characters() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abcd"), 2.0);
        assert_eq!(entropy(b"aabb"), 1.0);
    }
}
