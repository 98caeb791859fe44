//! Turns wikitext into text: what readers see of it, without templates, tables, notes, pictures and categories.

use super::entity::resolve;

/// The text of a page, given as in a dump: its markup with the characters `<>&"` written as references.
pub(crate) fn wiki_text(dumped: &str) -> String {
    let mut source = String::with_capacity(dumped.len());
    resolve(dumped, &mut source);
    let bare = without_blocks(&source);
    let mut resolved = String::with_capacity(bare.len());
    resolve(&bare, &mut resolved);
    let mut out = String::with_capacity(resolved.len());
    for line in resolved.lines() {
        let line = line_text(line);
        if !line.is_empty() || !out.ends_with("\n\n") {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// So much may stand open within each other; a deeper beginning is no markup.
const DEPTH: usize = 64;
/// The longest tag.
const TAG: usize = 2000;

/// What stands open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Template,
    Table,
    /// A link: where it begins in the output, and where its last part does.
    Link(usize, usize),
}

/// Takes out everything that is no running text, and puts the labels of links in their place. One pass, with a stack of its own.
fn without_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut open: Vec<Open> = Vec::new();
    // Templates and tables that stand open: within them nothing is written.
    let mut hidden = 0;
    let mut endless: Vec<String> = Vec::new();
    let mut rest = source;
    while !rest.is_empty() {
        let next = rest.find(['{', '}', '[', ']', '|', '<', '\'']).unwrap_or(rest.len());
        if hidden == 0 {
            out.push_str(&rest[..next]);
        }
        rest = &rest[next..];
        let begins_line = || rest.len() == source.len() || source[..source.len() - rest.len()].ends_with('\n');
        let mut take = rest.chars().next().map_or(0, char::len_utf8);
        let mut keep = true;
        let room = open.len() < DEPTH;
        if rest.starts_with("{{") && room {
            open.push(Open::Template);
            hidden += 1;
            take = 2;
            keep = false;
        } else if rest.starts_with("{|") && room && begins_line() {
            open.push(Open::Table);
            hidden += 1;
            take = 2;
            keep = false;
        } else if rest.starts_with("}}") && open.contains(&Open::Template) {
            hidden -= close(&mut open, Open::Template);
            take = 2;
            keep = false;
        } else if rest.starts_with("|}") && begins_line() && open.contains(&Open::Table) {
            hidden -= close(&mut open, Open::Table);
            take = 2;
            keep = false;
        } else if rest.starts_with("[[") && room {
            open.push(Open::Link(out.len(), out.len()));
            take = 2;
            keep = false;
        } else if rest.starts_with("]]") && matches!(open.last(), Some(Open::Link(..))) {
            if let Some(Open::Link(start, label)) = open.pop() {
                end_link(&mut out, start, label);
            }
            take = 2;
            keep = false;
        } else if rest.starts_with('|')
            && let Some(Open::Link(_, label)) = open.last_mut()
        {
            *label = out.len() + 1;
        } else if rest.starts_with('[') && (rest[1..].starts_with("http") || rest[1..].starts_with("//")) {
            // [address label]
            let end = rest.find([']', '\n']).unwrap_or(rest.len());
            if hidden == 0 {
                out.push_str(rest[1..end].split_once(' ').map_or("", |(_, label)| label));
            }
            take = end + usize::from(rest[end..].starts_with(']'));
            keep = false;
        } else if rest.starts_with("<!--") {
            take = rest.find("-->").map_or(rest.len(), |end| end + 3);
            keep = false;
        } else if rest.starts_with('<') {
            if let Some(end) = element(rest, &mut endless) {
                take = end;
                keep = false;
            }
        } else if rest.starts_with("''") {
            take = rest.bytes().take(5).take_while(|&byte| byte == b'\'').count();
            keep = false;
        }
        if keep && hidden == 0 {
            out.push_str(&rest[..take]);
        }
        rest = &rest[take..];
    }
    out
}

/// Closes the innermost `kind` and all that stands open within it; how much of that hid text.
fn close(open: &mut Vec<Open>, kind: Open) -> usize {
    let mut hidden = 0;
    while let Some(last) = open.pop() {
        hidden += usize::from(!matches!(last, Open::Link(..)));
        if last == kind {
            break;
        }
    }
    hidden
}

/// Leaves a link's label, or nothing where it shows none: pictures, categories, and links between languages.
fn end_link(out: &mut String, start: usize, label: usize) {
    let target = &out[start.min(out.len())..];
    let name = target.split(':').next().unwrap_or("");
    let shows = !target.contains(':') || target.starts_with(':') || label > start && !is_media(name);
    if !shows || is_media(name) {
        out.truncate(start);
    } else if label > start {
        out.replace_range(start..label.min(out.len()), "");
    } else if target.starts_with(':') {
        out.remove(start);
    }
}

/// Whether a name space holds pictures, categories and the like, in some of the largest languages.
fn is_media(name: &str) -> bool {
    const MEDIA: [&str; 14] = [
        "file",
        "image",
        "category",
        "datei",
        "bild",
        "kategorie",
        "fichier",
        "catégorie",
        "archivo",
        "categoría",
        "файл",
        "категория",
        "文件",
        "分类",
    ];
    let name = name.trim().to_lowercase();
    MEDIA.contains(&name.as_str())
}

/// The bytes of an element that shows no text, with its content, or of a tag alone; none where `<` is a character. `endless`
/// remembers elements that never end, so that the end is not looked for again.
fn element(rest: &str, endless: &mut Vec<String>) -> Option<usize> {
    let end = memchr::memchr(b'>', &rest.as_bytes()[..rest.len().min(TAG)])? + 1;
    let tag = &rest[1..end - 1];
    let name = tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("").to_ascii_lowercase();
    if name.is_empty() {
        return None;
    }
    let hides =
        ["ref", "gallery", "math", "timeline", "imagemap", "references", "score", "graph", "mapframe"].contains(&name.as_str());
    if !hides || tag.starts_with('/') || tag.ends_with('/') || endless.contains(&name) {
        return Some(end);
    }
    let close = format!("</{name}");
    let at = rest.as_bytes().windows(close.len()).position(|window| window.eq_ignore_ascii_case(close.as_bytes()));
    if at.is_none() {
        endless.push(name);
    }
    Some(at.map_or(end, |at| rest[at..].find('>').map_or(rest.len(), |end| at + end + 1)))
}

/// A line without the marks at its ends.
fn line_text(line: &str) -> String {
    let line = line.trim();
    if let Some(heading) = line.strip_prefix('=').and_then(|line| line.strip_suffix('=')) {
        return heading.trim_matches('=').trim().into();
    }
    if line.starts_with("__") && line.ends_with("__") {
        return String::new();
    }
    match line.trim_start_matches(['*', '#', ':', ';']) {
        rest if rest.len() == line.len() => line.into(),
        rest if line.starts_with(['*', '#']) => format!("- {}", rest.trim()),
        rest => rest.trim().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wikitext_becomes_what_readers_see() {
        let cases = [
            ("'''Oslo''' is the ''capital'' of [[Norway]].", "Oslo is the capital of Norway."),
            (
                "A [[Fjord|deep fjord]], [[:Category:X]], [https://a.example a site] and [https://b.example].",
                "A deep fjord, Category:X, a site and .",
            ),
            ("{{Infobox|a={{b|c}}|d=[[e]]}}Text{{cite|x}}.", "Text."),
            (
                "x&lt;ref name=\"a\"&gt;note {{c}}&lt;/ref&gt; y&lt;ref name=\"b\" /&gt;&lt;!-- c --&gt; &amp;nbsp;z",
                "x y \u{a0}z",
            ),
            ("[[File:a.jpg|thumb|A [[cat]] here]]\n[[Category:Cats]]\n[[de:Katze]]\nCats", "\n\nCats"),
            ("== History ==\n* one\n** two\n# three\n: four\n__NOTOC__", "History\n- one\n- two\n- three\nfour"),
            ("a\n{| class=x\n| b || c\n|-\n| [[d]]\n|}\ne", "a\n\ne"),
            ("1 < 2 &lt;b&gt;bold&lt;/b&gt; {single} [x] a|b", "1 < 2 bold {single} [x] a|b"),
        ];
        for (source, expect) in cases {
            assert_eq!(wiki_text(source).trim_end(), expect.trim_end(), "{source}");
        }
    }

    #[test]
    fn markup_without_end_costs_little() {
        let begin = std::time::Instant::now();
        for part in ["{{", "[[", "[[a|", "{|\n", "&lt;ref&gt;", "''", "[http", "}}", "]]", "&lt;!--"] {
            let _ = wiki_text(&part.repeat(100_000));
        }
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
