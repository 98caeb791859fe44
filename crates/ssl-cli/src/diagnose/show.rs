//! Shows faults as the Rust compiler does: message, place, the line with the fault underlined, and what to do.

use std::fmt;
use std::io::IsTerminal;

use super::fail::Found;
use super::tree::Place;

/// Longer lines are cut to this many characters around the fault.
const MAX_LINE: usize = 120;

/// Whether to write colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// Colours where a person reads stderr and has not asked for none.
    pub(crate) fn for_stderr() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stderr().is_terminal() && !refused && !dumb { Self::Colour } else { Self::Plain }
    }

    /// `text` in the style of an ANSI code.
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// A text that faults point into.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file's path, or `--set`.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: String,
}

impl Source {
    /// Whether this is the run file, and not an override.
    fn is_file(&self) -> bool {
        self.name != "--set"
    }
}

/// Everything that is wrong with a run; never empty.
#[derive(Debug, Clone)]
pub(crate) struct Diagnosis {
    sources: Vec<Source>,
    found: Vec<Found>,
}

impl Diagnosis {
    /// Puts faults in the order of their places, each once.
    pub(super) fn new(sources: Vec<Source>, mut found: Vec<Found>) -> Self {
        if found.is_empty() {
            found.push(Found { place: None, message: "the run cannot be read".into(), hint: String::new() });
        }
        found.sort_by(|a, b| a.place.cmp(&b.place));
        found.dedup();
        Self { sources, found }
    }

    /// The faults as JSON objects: `message, hint, file, line, column`; line and column are absent for the whole file.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let one = |found: &Found| {
            let (source, place) = self.place(found);
            let file = if source.is_file() { source.name.clone() } else { format!("{} {}", source.name, source.text) };
            serde_json::json!({
                "message": found.message, "hint": found.hint, "file": file,
                "line": place.as_ref().map(|place| place.line), "column": place.as_ref().map(|place| place.column),
            })
        };
        self.found.iter().map(one).collect()
    }

    /// The faults for a person.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut shown: Vec<String> = self.found.iter().map(|found| self.render_one(found, paint)).collect();
        if shown.len() > 1 {
            shown.push(format!("{} faults\n", self.found.len()));
        }
        shown.join("\n")
    }

    fn render_one(&self, found: &Found, paint: Paint) -> String {
        let blue = |part: String| paint.wrap("1;34", &part);
        let mut lines = vec![paint.wrap("1;31", "error") + &paint.wrap("1", &format!(": {}", printable(&found.message)))];
        let (source, spot) = self.place(found);
        let name = printable(&source.name);
        match spot {
            None if source.is_file() => lines.push(format!(" {} {name}", blue("-->".into()))),
            None => lines.push(format!("{} {name} {}", blue("-->".into()), printable(&source.text))),
            Some(spot) => {
                let carets = paint.wrap("1;31", &"^".repeat(spot.width));
                let (gutter, lead, place) = if source.is_file() {
                    (format!("{} ", spot.line), String::new(), format!("{name}:{}:{}", spot.line, spot.column))
                } else {
                    (String::new(), format!("{name} "), "command line".into())
                };
                let pad = " ".repeat(gutter.len());
                let arrow = &pad[..gutter.len().saturating_sub(1)];
                lines.push(format!("{arrow}{} {place}", blue("-->".into())));
                lines.push(format!("{} {lead}{}", blue(format!("{gutter}|")), spot.shown));
                lines.push(format!("{} {}{carets}", blue(format!("{pad}|")), " ".repeat(lead.len() + spot.indent)));
            }
        }
        if !found.hint.is_empty() {
            lines.push(format!("{}: {}", paint.wrap("1;36", "hint"), printable(&found.hint)));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn place(&self, found: &Found) -> (&Source, Option<Spot>) {
        let index = found.place.as_ref().map_or(0, |place| place.source).min(self.sources.len() - 1);
        let source = &self.sources[index];
        (source, found.place.as_ref().map(|place| Spot::of(&source.text, place)))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Paint::Plain).trim_end())
    }
}

impl std::error::Error for Diagnosis {}

/// One line of a source with the fault in it.
struct Spot {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line, cut to what can be shown.
    shown: String,
    /// Cells before the fault.
    indent: usize,
    /// Cells under the fault, at least 1.
    width: usize,
}

impl Spot {
    fn of(text: &str, place: &Place) -> Self {
        let from = floor(text, place.from);
        // A fault at the end of the file belongs to the last line that has something on it.
        let from = if from == text.len() { floor(text, text.trim_end_matches(['\n', '\r']).len()) } else { from };
        let start = text[..from].rfind('\n').map_or(0, |at| at + 1);
        let end = text[from..].find('\n').map_or(text.len(), |at| from + at);
        let line = text[..start].matches('\n').count() + 1;
        let before: Vec<char> = text[start..from].chars().collect();
        let to = floor(text, place.to).clamp(from, end);
        let marked: Vec<char> = text[from..to].trim_end().chars().take(MAX_LINE).collect();
        let skip = if before.len() + marked.len() > MAX_LINE { before.len().saturating_sub(MAX_LINE / 4) } else { 0 };
        let cut = if skip > 0 { "..." } else { "" };
        let shown: String = text[start..end].chars().skip(skip).take(MAX_LINE).collect();
        Self {
            line,
            column: before.len() + 1,
            shown: format!("{cut}{}", printable(shown.trim_end())),
            indent: cut.len() + cells(&before[skip..]),
            width: cells(&marked).max(1),
        }
    }
}

/// The nearest character border at or before byte `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// A tab as one space, and no control characters: a file must not steer the terminal.
fn printable(text: &str) -> String {
    let one = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(one).collect()
}

/// Terminal cells: East Asian wide characters and emoji take two.
fn cells(text: &[char]) -> usize {
    let wide = |c: &char| {
        matches!(u32::from(*c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
            | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3ffff)
    };
    text.iter().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
