//! HTML from data: everything that goes in is escaped here, and nothing else makes markup.

use std::fmt::Write;

/// Longer texts from outside are cut to this many characters, from their middle: a place ends with the line that it speaks of.
const LONGEST: usize = 96;

/// Text as HTML shows it literally, in an element or an attribute; characters that HTML forbids become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text from outside: cut, escaped, and kept from turning the direction of what stands beside it.
fn foreign(text: &str) -> String {
    let chars = text.chars().count();
    let cut = if chars > LONGEST {
        let (head, tail) = (LONGEST / 2, LONGEST - LONGEST / 2 - 1);
        let head: String = text.chars().take(head).collect();
        let tail: String = text.chars().skip(chars - tail).collect();
        format!("{head}…{tail}")
    } else {
        text.to_owned()
    };
    format!("<bdi>{}</bdi>", escape(&cut))
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Words of our own.
    Text(String),
    /// Names and places from outside, each on a line.
    Foreign(Vec<String>),
    /// Set to the right.
    Number(String),
}

impl Cell {
    /// A name from outside.
    pub(super) fn name(text: &str) -> Self {
        Self::Foreign(vec![text.to_owned()])
    }
}

/// A table with a head, whose columns are set as the cells of the first row.
pub(super) fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let class = |cell: Option<&Cell>| if matches!(cell, Some(Cell::Number(_))) { " class=\"number\"" } else { "" };
    let first = rows.first();
    let mut out = "<div class=\"wide\"><table><thead><tr>".to_owned();
    for (at, name) in head.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(first.and_then(|row| row.get(at))), escape(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let inner = match cell {
                Cell::Text(text) | Cell::Number(text) => escape(text),
                Cell::Foreign(texts) => texts.iter().map(|text| foreign(text)).collect(),
            };
            let _ = write!(out, "<td{}>{inner}</td>", class(Some(cell)));
        }
        out.push_str("</tr>\n");
    }
    out + "</tbody></table></div>\n"
}

/// A table of names and values, one a row.
pub(super) fn pairs(rows: &[(&str, String)]) -> String {
    let mut out = "<div class=\"wide\"><table class=\"pairs\"><tbody>\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    out + "</tbody></table></div>\n"
}

/// One bar: its name, how long it is, and what is written behind it.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: u64,
    pub(super) note: String,
}

/// Bars under each other, the longest over the whole width. Names may be from outside.
pub(super) fn bars(bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let mut out = "<div class=\"bars\">\n".to_owned();
    for Bar { name, value, note } in bars {
        // What is there is seen, however little.
        let width = if *value == 0 { 0.0 } else { (*value as f64 / most as f64 * 100.0).max(0.4) };
        let _ = writeln!(
            out,
            "<div class=\"bar\"><span>{}</span><svg aria-hidden=\"true\"><rect width=\"{width:.1}%\" height=\"100%\" rx=\"3\"/></svg><b>{}</b></div>",
            foreign(name),
            escape(note),
        );
    }
    out + "</div>\n"
}

/// A figure to see first.
pub(super) fn tile(name: &str, value: &str, note: &str) -> String {
    format!(
        "<div class=\"tile\"><span>{}</span><strong>{}</strong><small>{}</small></div>\n",
        escape(name),
        escape(value),
        escape(note)
    )
}

/// A remark.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// A smaller heading.
pub(super) fn heading(text: &str) -> String {
    format!("<h3>{}</h3>\n", escape(text))
}

/// A part of the page under a heading.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{}\">\n<h2>{}</h2>\n<div class=\"card\">\n{body}</div>\n</section>\n", escape(id), escape(heading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        assert_eq!(escape("<a href='x' b=\"&\">"), "&lt;a href=&#39;x&#39; b=&quot;&amp;&quot;&gt;");
        assert_eq!(escape("中\u{0}\u{1b}[m\n"), "中\u{fffd}\u{fffd}[m\u{fffd}");
        let table = table(&["<h>", "n"], &[vec![Cell::name("<b>"), Cell::Number("1".into())]]);
        assert!(
            table.contains("&lt;h&gt;") && table.contains("<td><bdi>&lt;b&gt;</bdi></td><td class=\"number\">1</td>"),
            "{table}"
        );
        let drawn = bars(&[Bar { name: "</svg>".into(), value: 0, note: "<i>".into() }]);
        assert!(
            drawn.contains("<bdi>&lt;/svg&gt;</bdi>") && drawn.contains("width=\"0.0%\"") && drawn.contains("&lt;i&gt;"),
            "{drawn}"
        );
    }

    #[test]
    fn long_names_are_cut_by_characters_and_keep_their_ends() {
        let shown = foreign(&("文".repeat(500) + "/页.txt:17"));
        assert!(shown.ends_with("文/页.txt:17</bdi>") && shown.starts_with("<bdi>文文"), "{shown}");
        assert_eq!(shown.chars().count(), LONGEST + "<bdi></bdi>".len());
        // Half of a character that HTML writes in five is never left.
        let shown = foreign(&"&".repeat(500));
        assert_eq!(shown.matches("&amp;").count(), LONGEST - 1);
    }
}
