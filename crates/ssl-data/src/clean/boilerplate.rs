//! Takes away what surrounds texts of some kinds and is the same in all of them: the notices of Project Gutenberg, the heads,
//! quotations and signatures of mail and Usenet posts. Works on mended text.

use crate::config::Boilerplate;

/// So many lines of a file may stand before the notice that opens a book of Project Gutenberg ends.
const GUTENBERG_LINES: usize = 600;
/// The most lines of a signature; a longer end of a post is text.
const SIGNATURE_LINES: usize = 15;

/// The text without the boilerplate of `rules`, in their order; a rule that finds nothing changes nothing.
pub(super) fn strip<'a>(text: &'a str, rules: &[Boilerplate]) -> std::borrow::Cow<'a, str> {
    let mut text = std::borrow::Cow::Borrowed(text);
    for rule in rules {
        let stripped = match rule {
            Boilerplate::Gutenberg => gutenberg(&text).map(str::to_owned),
            Boilerplate::Mail => mail(&text),
        };
        if let Some(stripped) = stripped {
            text = stripped.into();
        }
    }
    text
}

/// The book between the notices of Project Gutenberg, in all their wordings since 1991.
fn gutenberg(text: &str) -> Option<&str> {
    let is_notice = |line: &str| line.to_ascii_lowercase().contains("project gutenberg");
    let (mut begin, mut at, mut named) = (0, 0, false);
    for line in text.split_inclusive('\n').take(GUTENBERG_LINES) {
        at += line.len();
        named |= is_notice(line);
        let upper = line.to_ascii_uppercase();
        let opens = upper.starts_with("***") && upper.contains("START OF") && is_notice(line);
        if opens || upper.starts_with("*END*THE SMALL PRINT") || upper.starts_with("*END THE SMALL PRINT") {
            begin = at;
        }
    }
    if !named {
        return None;
    }
    let book = without_makers(&text[begin..]);
    let ends = |line: &str| {
        let upper = line.trim_start().to_ascii_uppercase();
        is_notice(line)
            && (upper.starts_with("*** END OF")
                || upper.starts_with("***END OF")
                || upper.starts_with("END OF PROJECT GUTENBERG")
                || upper.starts_with("END OF THE PROJECT GUTENBERG")
                || upper.starts_with("END OF THIS PROJECT GUTENBERG"))
    };
    let (mut at, mut end) = (0, book.len());
    for line in book.split_inclusive('\n') {
        if ends(line) {
            end = at;
            break;
        }
        at += line.len();
    }
    let book = book[..end].trim_end().trim_start_matches('\n');
    (book.len() < text.len()).then_some(book)
}

/// A book without the lines at its beginning that say who made the file.
fn without_makers(book: &str) -> &str {
    let book = book.trim_start_matches('\n');
    let first = book.lines().next().unwrap_or("").to_ascii_lowercase();
    let makers = [
        "produced by",
        "e-text prepared by",
        "etext prepared by",
        "this etext was prepared by",
        "transcribed from",
        "this ebook was produced by",
    ];
    if makers.iter().any(|maker| first.starts_with(maker)) {
        return book.split_once("\n\n").map_or("", |(_, rest)| rest);
    }
    book
}

/// A post without its head, the lines it quotes and its signature.
fn mail(text: &str) -> Option<String> {
    let body = &text[head(text)..];
    let lines: Vec<&str> = body.lines().collect();
    let mut kept = vec![true; lines.len()];
    // What stands behind two hyphens alone at the end of a message is its signature (RFC 3676, section 4.3).
    let signature = lines.iter().rposition(|line| *line == "--");
    if let Some(at) = signature.filter(|at| lines.len() - at <= SIGNATURE_LINES + 1) {
        kept[at..].fill(false);
    }
    for at in 0..lines.len() {
        if is_quoted(lines[at]) {
            kept[at] = false;
        } else if is_attribution(lines[at]) && quote_follows(&lines[at + 1..]) {
            kept[at] = false;
            // Its beginning may stand on the line before.
            if at > 0 && lines[at - 1].starts_with("In article") {
                kept[at - 1] = false;
            }
        }
    }
    if body.len() == text.len() && kept.iter().all(|&kept| kept) {
        return None;
    }
    let mut out = String::with_capacity(body.len());
    for (line, _) in lines.iter().zip(&kept).filter(|&(_, &kept)| kept) {
        // Where a quotation went, one empty line is enough.
        if !(line.is_empty() && (out.is_empty() || out.ends_with("\n\n"))) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    Some(out)
}

/// The bytes of a message's head (RFC 5322): fields up to an empty line, one of them a field that only messages have.
fn head(text: &str) -> usize {
    let (mut at, mut fields, mut known) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line == "\n" {
            return if known && fields >= 2 { at } else { 0 };
        }
        if line.starts_with([' ', '\t']) && fields > 0 {
            continue;
        }
        // The line that parts messages in a mailbox file.
        if fields == 0 && line.starts_with("From ") {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return 0 };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return 0;
        }
        fields += 1;
        known |= ["from", "subject", "date", "message-id", "path", "newsgroups", "received"]
            .contains(&name.to_ascii_lowercase().as_str());
    }
    0
}

/// Whether a line is one that somebody else wrote: marked by `>`, perhaps behind initials, or by a bar.
fn is_quoted(line: &str) -> bool {
    let line = line.trim_start();
    let initials = line.bytes().take(4).take_while(u8::is_ascii_alphabetic).count();
    line[initials..].starts_with('>') || line.starts_with("| ") || line == "|"
}

/// Whether a line says who wrote what is quoted behind it.
fn is_attribution(line: &str) -> bool {
    let line = line.trim_end().to_ascii_lowercase();
    let ends = ["writes:", "wrote:", "writes...", "says:", "said:", "writes", "wrote"].iter().any(|end| line.ends_with(end));
    ends || line.starts_with("in article <") || line.starts_with("quoted from")
}

fn quote_follows(lines: &[&str]) -> bool {
    lines.iter().take(4).find(|line| !line.is_empty() && !is_attribution(line)).is_some_and(|line| is_quoted(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_come_out_of_the_notices_of_every_age() {
        let new = "The Project Gutenberg eBook of A\n\nlicense\n\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\n\nProduced by B\nand C\n\n\nTITLE\n\nText.\n\n\
                   *** END OF THE PROJECT GUTENBERG EBOOK A ***\nlicense";
        let middle = "The Project Gutenberg EBook of A\n\n*** START OF THIS PROJECT GUTENBERG EBOOK A ***\nTITLE\n\nText.\n\nEnd of Project Gutenberg’s A, by B\n\n\
                      *** END OF THIS PROJECT GUTENBERG EBOOK A ***\nlicense";
        let old = "**The Project Gutenberg Etext of A**\nsmall print\n*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n\
                   This etext was prepared by B\n\nTITLE\n\nText.\n\nEnd of this Project Gutenberg etext of A";
        for book in [new, middle, old] {
            assert_eq!(strip(book, &[Boilerplate::Gutenberg]), "TITLE\n\nText.");
        }
        let other = "TITLE\n\n*** START OF A DREAM ***\n\nText.\n\nEnd of a dream.";
        assert_eq!(strip(other, &[Boilerplate::Gutenberg, Boilerplate::Mail]), other);
    }

    #[test]
    fn posts_lose_what_is_not_their_own() {
        let post = "Path: a!b\nFrom: a@b (C)\nSubject: Re: x\n y\n\nIn article <1@a>\nb@c (D) writes:\n\n>Quoted.\n>>Twice.\n\nI say so.\n\nJD> Hm.\nNo: not this > that.\n\n--\nC\na@b";
        assert_eq!(strip(post, &[Boilerplate::Mail]), "I say so.\n\nNo: not this > that.");
        for text in ["He said:\n\n“Well.”\n\n--\nThe End", "Note: a\nThing: b\n\nText.", "a > b\n\nx|y"] {
            let kept = strip(text, &[Boilerplate::Mail]);
            assert!(text.starts_with(&*kept) && kept.len() + 12 >= text.len(), "{text}: {kept}");
        }
    }
}
