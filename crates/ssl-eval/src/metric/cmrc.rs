//! Chinese answers: exact match, and F1 of the longest piece that an answer and a reference share.
//!
//! Texts are compared in lower case without a list of marks. For F1 each Chinese character is a token, and what stands
//! between them is split as Penn's Treebank splits English. With l the tokens of the longest common run,
//! `F1 = 2 l / (tokens of the answer + tokens of the reference)`, 0 without one. Of several references the best counts.
//!
//! Source: Cui et al. 2019, "A span-extraction dataset for Chinese machine reading comprehension", section 4, and its script
//! `cmrc2018_evaluate.py`, version 5. The script splits what is not Chinese with NLTK's `word_tokenize`. Here are its rules for
//! one sentence, without the split into sentences before them, which needs a trained model, and without the contractions
//! "cannot", "gimme" and the like. Letters and spaces are those of Python's `re`; NLTK 3.10 matches with `regex`, to which a
//! combining accent is a letter and ½ is none.

use crate::error::{Error, Result};
use crate::metric::squad::{Answer, each};
use crate::metric::text::{space, words};

/// Marks that are left out of both sides. The script's "……" is two characters and so never one of them.
const MARKS: &str = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』";

/// Scores each answer against the references of its question, all of which are answerable.
///
/// # Errors
/// Without an answer, with unequal numbers of answers and lists of references, or with an empty list.
pub fn answers<S: AsRef<str>>(answers: &[S], references: &[Vec<S>]) -> Result<Vec<Answer>> {
    each(answers, references, |at, answer, references| {
        let answer = bare(answer.as_ref());
        let ours = tokens(&answer);
        let score = |gold: &S| {
            let gold = bare(gold.as_ref());
            let exact = if gold == answer { 1.0 } else { 0.0 };
            let theirs = tokens(&gold);
            let all = (ours.len() + theirs.len()).max(1);
            (exact, 2.0 * common(&ours, &theirs) as f64 / all as f64)
        };
        let best = references.iter().map(score).reduce(|a, b| (f64::max(a.0, b.0), f64::max(a.1, b.1)));
        let (exact, f1) = best.ok_or(Error::NoReference { at })?;
        Ok(Answer { exact, f1, answerable: true })
    })
}

/// Lower case without marks.
fn bare(text: &str) -> String {
    text.to_lowercase().trim_matches(space).chars().filter(|&c| !MARKS.contains(c)).collect()
}

/// The tokens of a text without marks.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let chinese = |c: char| matches!(c, '\u{4e00}'..='\u{9fa5}');
        let end = if chinese(first) { first.len_utf8() } else { rest.find(chinese).unwrap_or(rest.len()) };
        let (run, after) = rest.split_at(end);
        if chinese(first) {
            tokens.push(run.to_owned());
        } else {
            tokens.extend(treebank(run));
        }
        rest = after;
    }
    tokens
}

/// NLTK's `NLTKWordTokenizer`, rule by rule in its order, for lower case without the marks above.
fn treebank(run: &str) -> Vec<String> {
    // Opening quotes.
    let mut text = pad(run, |c| matches!(c, '«' | '‘' | '„'));
    if let Some(after) = text.strip_prefix('"') {
        text = format!(" `` {after}");
    }
    text = opening(&text);
    text = apostrophes(&text);
    // Punctuation; the final period twice, as there.
    text = period(&text, |c| matches!(c, ']' | ')' | '}' | '>' | '"' | '\'' | '»' | ' '), " ");
    text = commas(&text);
    text = dots(&text);
    text = pad(&text, |c| matches!(c, ';' | '@' | '#' | '$' | '%' | '&' | '\u{2012}'..='\u{2015}'));
    text = period(&text, |c| matches!(c, ']' | ')' | '}' | '>' | '"' | '\''), "");
    text = pad(&text, |c| matches!(c, '?' | '!'));
    text = closing(&text, &[""]);
    text = pad(&text, |c| matches!(c, ']' | '[' | '(' | ')' | '{' | '}' | '<' | '>'));
    // Closing quotes, and the endings of English words.
    text = format!(" {text} ").replace('»', " » ").replace("''", " '' ").replace('"', " '' ");
    text = format!(" {} ", words(&text).collect::<Vec<_>>().join(" "));
    text = closing(&text, &["s", "m", "d", ""]);
    text = endings(&text);
    words(&text).map(str::to_owned).collect()
}

/// Sets characters apart.
fn pad(text: &str, fits: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if fits(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// `([ \(\[{<])("|'')` becomes `\1 `` `.
fn opening(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        out.push(first);
        rest = &rest[first.len_utf8()..];
        if matches!(first, ' ' | '(' | '[' | '{' | '<')
            && let Some(after) = rest.strip_prefix('"').or_else(|| rest.strip_prefix("''"))
        {
            out.push_str(" `` ");
            rest = after;
        }
    }
    out
}

/// An apostrophe before a word, unless the word is an ending of English, is set apart.
fn apostrophes(text: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        out.push(c);
        if c == '\'' && !word(before) {
            let after = &text[at + 1..];
            let run = &after[..after.find(|c| !word(c)).unwrap_or(after.len())];
            if !run.is_empty() && !matches!(run, "re" | "ve" | "ll" | "m" | "t" | "s" | "d" | "n") {
                out.push(' ');
            }
        }
        before = c;
    }
    out
}

/// The final period, with what may close after it, is set apart, unless another stands before it.
fn period(text: &str, closes: impl Fn(char) -> bool, between: &str) -> String {
    let Some((before, after)) = text.rsplit_once('.') else { return text.to_owned() };
    let closing = after.trim_end_matches(space);
    let last = before.chars().next_back();
    if last.is_none_or(|c| c == '.') || !closing.chars().all(&closes) {
        return text.to_owned();
    }
    format!("{before} .{between}{closing} ")
}

/// A comma that no digit follows is set apart; of digits other than ASCII's those of full width count, which Chinese texts have.
fn commas(text: &str) -> String {
    let digit = |c: char| c.is_ascii_digit() || matches!(c, '０'..='９');
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            _ if c != ',' => out.push(c),
            // The expression takes the next character with it, so that the second of two commas stays.
            Some(&next) if !digit(next) => {
                out.extend([' ', ',', ' ', next]);
                chars.next();
            }
            Some(_) => out.push(c),
            None => out.push_str(" , "),
        }
    }
    out
}

/// Two and more dots are set apart.
fn dots(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find("..") {
        let end = at + rest[at..].find(|c| c != '.').unwrap_or(rest.len() - at);
        out.push_str(&rest[..at]);
        out.extend([" ", &rest[at..end], " "]);
        rest = &rest[end..];
    }
    out + rest
}

/// An apostrophe and one of some endings before a space are set apart from the word before.
fn closing(text: &str, endings: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let ending = endings.iter().find(|&&ending| rest[c.len_utf8()..].starts_with(&format!("{ending} ")));
        match ending {
            Some(ending) if c == '\'' && before.is_some_and(|c| c != '\'' && (c != ' ' || endings.len() == 1)) => {
                out.extend([" '", ending, " "]);
                rest = &rest[2 + ending.len()..];
                // The space is taken, and no second match begins with it.
                before = None;
            }
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                before = Some(c);
            }
        }
    }
    out
}

/// `'ll`, `'re`, `'ve` and `n't` at the end of a word are set apart.
fn endings(text: &str) -> String {
    let apart = |word: &str| {
        let ending = ["'ll", "'re", "'ve", "n't"].into_iter().find(|ending| word.ends_with(ending));
        match ending.and_then(|ending| word.strip_suffix(ending).map(|stem| (stem, ending))) {
            Some((stem, ending)) if !stem.is_empty() && !stem.ends_with('\'') => format!("{stem} {ending}"),
            _ => word.to_owned(),
        }
    };
    words(text).map(apart).collect::<Vec<_>>().join(" ")
}

/// The length of the longest run that both have.
fn common(ours: &[String], theirs: &[String]) -> usize {
    let mut longest = 0;
    let mut above = vec![0; theirs.len() + 1];
    for one in ours {
        // From the right, so that one row is enough.
        for (at, other) in theirs.iter().enumerate().rev() {
            above[at + 1] = if one == other { above[at] + 1 } else { 0 };
            longest = longest.max(above[at + 1]);
        }
    }
    longest
}
