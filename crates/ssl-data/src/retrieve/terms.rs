//! The terms of a text, as questions and passages are compared by them.
//!
//! Text is put in normal form KC and lower case. Words are runs of letters, marks and digits; English plurals lose their ending. Where
//! a script puts no space between words, each character is a term and each two that stand together are another.
//!
//! Source: Harman 1991, "How effective is suffixing?", section 3 (the S stemmer); Nie, Gao, Zhang and Zhou 2000, "On the use of words and
//! n-grams for Chinese information retrieval".

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::sentence::spaceless;

/// Hands every term of `text`, in order, to `each`.
pub(crate) fn terms(text: &str, each: &mut dyn FnMut(&str)) {
    let text: String = if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfkc().collect::<String>().to_lowercase() };
    let mut word: Option<usize> = None;
    // Where the character before begins, if it is of a script without spaces.
    let mut before: Option<usize> = None;
    for (at, c) in text.char_indices() {
        let alone = spaceless(c);
        let inside = !alone && (c.is_alphanumeric() || is_combining_mark(c));
        if !inside && let Some(from) = word.take() {
            each(&singular(&text[from..at]));
        }
        if alone {
            let end = at + c.len_utf8();
            each(&text[at..end]);
            if let Some(from) = before {
                each(&text[from..end]);
            }
        } else if inside && word.is_none() {
            word = Some(at);
        }
        before = alone.then_some(at);
    }
    if let Some(from) = word {
        each(&singular(&text[from..]));
    }
}

/// An English word without the ending of its plural, or of a verb's third person.
fn singular(word: &str) -> Cow<'_, str> {
    if !word.is_ascii() || word.len() < 4 {
        return word.into();
    }
    let (stem, last) = word.split_at(word.len() - 3);
    match last.as_bytes() {
        b"ies" if stem.len() > 1 && !stem.ends_with(['a', 'e']) => (stem.to_owned() + "y").into(),
        [b'a' | b'e' | b'o', b'e', b's'] | [_, b'u' | b's', b's'] => word.into(),
        [_, _, b's'] => word[..word.len() - 1].into(),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        terms(text, &mut |term| found.push(term.to_owned()));
        found
    }

    #[test]
    fn words_are_compared_without_case_width_and_plural() {
        assert_eq!(of("The Lamps' LIGHT, ３rd—naïve"), ["the", "lamp", "light", "3rd", "naïve"]);
        assert_eq!(
            of("cities city boxes glass status days day dies"),
            ["city", "city", "boxe", "glass", "status", "day", "day", "die"]
        );
        assert_eq!(of("нет हिन्दी"), ["нет", "हिन्दी"]);
    }

    #[test]
    fn characters_and_pairs_stand_for_words_without_spaces() {
        assert_eq!(of("红楼梦，x1曹"), ["红", "楼", "红楼", "梦", "楼梦", "x1", "曹"]);
        assert_eq!(of("。"), [""; 0]);
    }
}
