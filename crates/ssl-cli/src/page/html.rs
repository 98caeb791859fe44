//! HTML from data: everything that goes in is escaped here.

use std::fmt::Write;

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
            '\r' => {}
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A table of names and values, one a row.
pub(super) fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: String = rows.into_iter().fold(String::new(), |mut rows, (name, value)| {
        // Writing to a String cannot fail.
        let _ = writeln!(rows, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(&value));
        rows
    });
    format!("<div class=\"wide\"><table class=\"pairs\"><tbody>\n{rows}</tbody></table></div>\n")
}

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Text,
    Number,
}

/// A table with a head.
pub(super) fn table(head: &[(&str, Column)], rows: &[Vec<String>]) -> String {
    let class = |column| if column == Column::Number { " class=\"number\"" } else { "" };
    let cells: String = head.iter().fold(String::new(), |mut cells, (name, column)| {
        let _ = write!(cells, "<th scope=\"col\"{}>{}</th>", class(*column), escape(name));
        cells
    });
    let mut body = String::new();
    for row in rows {
        body.push_str("<tr>");
        for (cell, (_, column)) in row.iter().zip(head) {
            let _ = write!(body, "<td{}>{}</td>", class(*column), escape(cell));
        }
        body.push_str("</tr>\n");
    }
    format!("<div class=\"wide\"><table><thead><tr>{cells}</tr></thead><tbody>\n{body}</tbody></table></div>\n")
}

/// A part of the page under a heading.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}</section>\n", escape(heading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        assert_eq!(escape("<a href='x' b=\"&\">"), "&lt;a href=&#39;x&#39; b=&quot;&amp;&quot;&gt;");
        assert_eq!(escape("中\u{0}\u{1b}[m\n\t"), "中\u{fffd}\u{fffd}[m\n\t");
        let table = table(&[("<h>", Column::Text), ("n", Column::Number)], &[vec!["<b>".into(), "1".into()]]);
        assert!(table.contains("&lt;h&gt;") && table.contains("<td>&lt;b&gt;</td><td class=\"number\">1</td>"), "{table}");
        assert!(pairs([("<k>", "</td>".to_owned())]).contains("&lt;k&gt;</th><td>&lt;/td&gt;</td>"));
    }
}
